//! Whether an answer is what its step expects, and what the step takes from it.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::time::Duration;

use cookie_store::RawCookie;
use http::header::{HeaderName, SET_COOKIE};
use plimsoll_measure::Outcome;
use plimsoll_query::{JsonPath, Schema, XPath, Xml};
use plimsoll_run::{
    Absent, Capture, CaptureSource, Check, Comparison, Expect, MOST_CAPTURED, Pick, StatusRange,
};
use rand::RngExt;
use serde_json::Value;

use crate::Failure;
use crate::comparison::{CompiledComparison, expression};
use crate::compile::{CompiledUntil, Step};
use crate::connection::Answer;
use crate::fill::Values;
use crate::measures::{Json, as_text};
use crate::message::Message;
use crate::user::User;
use crate::worker::random;

/// Sets what captures draw apart from what the places of a script draw.
const OF_CAPTURES: u64 = 0x7a3c_91d5_0e62_b84f;

#[derive(Debug)]
pub(crate) struct CompiledExpect {
    status: Vec<StatusRange>,
    /// What must hold beside the status.
    asks: Vec<Ask>,
    /// What must not.
    not: Vec<Ask>,
    /// Whether something expected is secret.
    secret: bool,
}

/// One thing that is asked of an answer.
#[derive(Debug)]
pub(crate) enum Ask {
    Status(Vec<StatusRange>),
    Header { name: HeaderName, is: Wanted },
    Contains(String),
    Body(Wanted),
    Size(Wanted),
    Json { path: String, query: JsonPath, is: Wanted },
    XPath { path: String, query: XPath, is: Wanted },
    Schema(Box<Schema>),
    Within(Duration),
    FirstByteWithin(Duration),
}

/// A comparison, with its words.
#[derive(Debug)]
pub(crate) struct Wanted {
    words: Comparison,
    is: CompiledComparison,
}

/// What is known of an answer beside the answer itself.
pub(crate) struct Around<'a> {
    /// When its first byte came, and when the request's had left.
    pub(crate) first_byte: Option<(u64, u64)>,
    pub(crate) user: &'a User,
    /// The request it answers.
    pub(crate) message: &'a Message,
    pub(crate) seed: u64,
}

/// An answer while it is looked at. What it is read as is read once, when somebody asks.
pub(crate) struct Seen<'a> {
    answer: &'a Answer,
    json: &'a Json<'a>,
    /// Nanoseconds since its request was due.
    took: u64,
    around: Around<'a>,
    text: OnceCell<Cow<'a, str>>,
    xml: OnceCell<Option<Xml>>,
}

/// What is looked at in an answer and counted.
#[derive(Debug)]
pub(crate) struct CompiledCheck {
    /// Its position among the plan's.
    pub(crate) index: u16,
    asks: Vec<Ask>,
    not: Vec<Ask>,
}

impl CompiledCheck {
    pub(crate) fn new(check: &Check) -> Result<Self, String> {
        let not = check.expect.not.as_deref().map(Ask::all).transpose()?.unwrap_or_default();
        Ok(Self { index: check.check, asks: Ask::all(&check.expect)?, not })
    }

    pub(crate) fn reads_body(&self) -> bool {
        self.asks.iter().chain(&self.not).any(Ask::reads_body)
    }

    pub(crate) fn reads_headers(&self) -> bool {
        self.asks.iter().chain(&self.not).any(Ask::reads_headers)
    }

    pub(crate) fn holds(&self, seen: &Seen<'_>) -> bool {
        self.asks.iter().all(|ask| ask.holds(seen)) && !self.not.iter().any(|ask| ask.holds(seen))
    }
}

#[derive(Debug)]
pub(crate) struct CompiledCapture {
    pub(crate) name: String,
    pub(crate) slot: usize,
    source: CompiledSource,
    pick: Pick,
    absent: Absent,
}

#[derive(Debug)]
enum CompiledSource {
    JsonPath(JsonPath),
    /// A group by its number; `None`: the first, or the match where it has none.
    Regex(regex::Regex, Option<usize>),
    XPath(XPath),
    Header(HeaderName),
    Cookie(String),
}

impl Wanted {
    fn new(words: &Comparison) -> Result<Self, String> {
        Ok(Self { words: words.clone(), is: CompiledComparison::new(words)? })
    }
}

impl Ask {
    /// Everything that is written, one by one; not the status that an answer must have without a word.
    pub(crate) fn all(expect: &Expect) -> Result<Vec<Self>, String> {
        let mut asks = Vec::new();
        if !expect.status.is_empty() {
            asks.push(Self::Status(expect.status.clone()));
        }
        for header in &expect.headers {
            let name = header_name(&header.name)?;
            asks.push(Self::Header { name, is: Wanted::new(&header.is)? });
        }
        asks.extend(expect.body_contains.iter().cloned().map(Self::Contains));
        if let Some(is) = &expect.body {
            asks.push(Self::Body(Wanted::new(is)?));
        }
        if let Some(is) = &expect.size {
            asks.push(Self::Size(Wanted::new(is)?));
        }
        for (path, is) in &expect.json {
            let query = JsonPath::new(path)?;
            asks.push(Self::Json { path: path.clone(), query, is: Wanted::new(is)? });
        }
        for (path, is) in &expect.xpath {
            let query = xpath(path)?;
            asks.push(Self::XPath { path: path.clone(), query, is: Wanted::new(is)? });
        }
        if let Some(schema) = &expect.schema {
            let schema = Schema::new(schema).map_err(|error| format!("no JSON Schema: {}", error.message))?;
            asks.push(Self::Schema(Box::new(schema)));
        }
        asks.extend(expect.within.map(Self::Within));
        asks.extend(expect.first_byte_within.map(Self::FirstByteWithin));
        Ok(asks)
    }

    pub(crate) fn reads_body(&self) -> bool {
        match self {
            Self::Contains(_) | Self::Body(_) | Self::Size(_) => true,
            Self::Json { .. } | Self::XPath { .. } | Self::Schema(_) => true,
            Self::Status(_) | Self::Header { .. } | Self::Within(_) | Self::FirstByteWithin(_) => false,
        }
    }

    pub(crate) fn reads_headers(&self) -> bool {
        matches!(self, Self::Header { .. })
    }

    pub(crate) fn holds(&self, seen: &Seen<'_>) -> bool {
        match self {
            Self::Status(ranges) => contains(ranges, seen.answer.status.as_u16()),
            Self::Header { name, is } => {
                let value = seen.answer.header(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
                is.is.holds_of_text(value.as_deref())
            }
            Self::Contains(text) => seen.text().contains(text.as_str()),
            Self::Body(is) => is.is.holds_of_text(Some(seen.text())),
            Self::Size(is) => is.is.holds(Some(&Value::from(seen.answer.body.len()))),
            Self::Json { query, is, .. } => is.is.holds(seen.json.first_match(query)),
            Self::XPath { query, is, .. } => {
                let found = seen.xml().and_then(|xml| query.find(xml, |count| (count > 0).then_some(0)));
                is.is.holds_of_text(found.as_deref())
            }
            Self::Schema(schema) => seen.json.value().is_some_and(|value| schema.misses(value).is_none()),
            Self::Within(limit) => u128::from(seen.took) <= limit.as_nanos(),
            Self::FirstByteWithin(limit) => {
                let took = seen.around.first_byte.map(|(byte, sent)| byte.saturating_sub(sent));
                took.is_some_and(|took| u128::from(took) <= limit.as_nanos())
            }
        }
    }

    /// Why it does not hold.
    fn missed(&self, seen: &Seen<'_>, shown: impl Fn(String) -> String) -> String {
        let time = plimsoll_units::duration::format;
        match self {
            Self::Status(_) => format!("status {}", seen.answer.status.as_u16()),
            Self::Header { name, .. } if seen.answer.header(name).is_none() => {
                format!("header `{name}` is missing")
            }
            Self::Header { name, is } => format!("header `{name}` is not {}", shown(is.words.to_string())),
            Self::Contains(text) => format!("the body does not contain `{}`", shown(text.clone())),
            Self::Body(is) => format!("the body is not {}", shown(is.words.to_string())),
            Self::Size(is) => {
                format!("the size is not {} bytes: it is {}", is.words, seen.answer.body.len())
            }
            Self::Json { path, is, .. } => format!("`{path}` is not {}", shown(is.words.to_string())),
            Self::XPath { path, is, .. } => {
                let why = if seen.xml().is_none() { ": the body is not XML that is read here" } else { "" };
                format!("`{path}` is not {}{why}", shown(is.words.to_string()))
            }
            Self::Schema(schema) => match seen.json.value() {
                None => "the schema does not allow the body: it is not JSON".to_owned(),
                Some(value) => format!(
                    "the schema does not allow {}",
                    shown(schema.misses(value).unwrap_or_else(|| "the body".to_owned()))
                ),
            },
            Self::Within(limit) => format!("took longer than {}", time(*limit)),
            Self::FirstByteWithin(limit) => {
                format!("the first byte took longer than {}", time(*limit))
            }
        }
    }

    /// Why it must not hold.
    fn unwanted(&self, seen: &Seen<'_>, shown: impl Fn(String) -> String) -> String {
        let time = plimsoll_units::duration::format;
        match self {
            Self::Status(_) => format!("status {}", seen.answer.status.as_u16()),
            Self::Header { name, is } => format!("header `{name}` is {}", shown(is.words.to_string())),
            Self::Contains(text) => format!("the body contains `{}`", shown(text.clone())),
            Self::Body(is) => format!("the body is {}", shown(is.words.to_string())),
            Self::Size(is) => format!("the size is {} bytes", is.words),
            Self::Json { path, is, .. } | Self::XPath { path, is, .. } => {
                format!("`{path}` is {}", shown(is.words.to_string()))
            }
            Self::Schema(_) => "the body keeps to the schema of `not`".to_owned(),
            Self::Within(limit) => format!("took no longer than {}", time(*limit)),
            Self::FirstByteWithin(limit) => {
                format!("the first byte took no longer than {}", time(*limit))
            }
        }
    }
}

impl<'a> Seen<'a> {
    pub(crate) fn new(answer: &'a Answer, json: &'a Json<'a>, took: u64, around: Around<'a>) -> Self {
        Self { answer, json, took, around, text: OnceCell::new(), xml: OnceCell::new() }
    }

    fn text(&self) -> &str {
        self.text.get_or_init(|| String::from_utf8_lossy(&self.answer.body))
    }

    fn xml(&self) -> Option<&Xml> {
        self.xml.get_or_init(|| Xml::read(&self.answer.body)).as_ref()
    }
}

impl CompiledExpect {
    pub(crate) fn new(expect: &Expect) -> Result<Self, String> {
        let rest = Expect { status: Vec::new(), ..expect.clone() };
        let not = expect.not.as_deref().map(Ask::all).transpose()?.unwrap_or_default();
        Ok(Self { status: expect.status.clone(), asks: Ask::all(&rest)?, not, secret: expect.secret })
    }

    /// Whether an answer is judged by its status alone.
    pub(crate) fn is_status_alone(&self) -> bool {
        self.asks.is_empty() && self.not.is_empty()
    }

    pub(crate) fn reads_body(&self) -> bool {
        self.asks.iter().chain(&self.not).any(Ask::reads_body)
    }

    pub(crate) fn reads_headers(&self) -> bool {
        self.asks.iter().chain(&self.not).any(Ask::reads_headers)
    }

    /// Whether this status is named, so that it is wanted even where it redirects.
    pub(crate) fn names(&self, status: u16) -> bool {
        contains(&self.status, status)
    }

    /// Whether an answer may have this status.
    #[inline]
    pub(crate) fn is_right(&self, status: u16) -> bool {
        if self.status.is_empty() { (200..400).contains(&status) } else { self.names(status) }
    }

    fn has_right_status(&self, answer: &Answer) -> Result<(), Failure> {
        let status = answer.status.as_u16();
        if self.is_right(status) {
            return Ok(());
        }
        Err(Failure::new(Outcome::Status, format!("status {status}")))
    }

    fn meets(&self, seen: &Seen<'_>) -> Result<(), Failure> {
        let shown = |value: String| if self.secret { "***".to_owned() } else { value };
        let missed = self.asks.iter().find(|ask| !ask.holds(seen)).map(|ask| ask.missed(seen, shown));
        let unwanted = || self.not.iter().find(|ask| ask.holds(seen)).map(|ask| ask.unwanted(seen, shown));
        match missed.or_else(unwanted) {
            None => Ok(()),
            Some(message) => Err(Failure::new(Outcome::Expectation, message)),
        }
    }
}

impl CompiledCapture {
    pub(crate) fn new(capture: &Capture) -> Result<Self, String> {
        let source = match &capture.source {
            CaptureSource::JsonPath(path) => CompiledSource::JsonPath(JsonPath::new(path)?),
            CaptureSource::Regex { pattern, group } => {
                let regex = expression(pattern)?;
                let group = group.as_deref().map(|group| group_of(&regex, group)).transpose()?;
                CompiledSource::Regex(regex, group)
            }
            CaptureSource::XPath(path) => CompiledSource::XPath(xpath(path)?),
            CaptureSource::Header(name) => CompiledSource::Header(header_name(name)?),
            CaptureSource::Cookie(name) => CompiledSource::Cookie(name.clone()),
        };
        let (pick, absent) = (capture.pick, capture.absent.clone());
        Ok(Self { name: capture.name.clone(), slot: usize::from(capture.slot), source, pick, absent })
    }

    pub(crate) fn reads_body(&self) -> bool {
        !self.reads_headers()
    }

    pub(crate) fn reads_headers(&self) -> bool {
        matches!(self.source, CompiledSource::Header(_) | CompiledSource::Cookie(_))
    }

    fn find(&self, seen: &Seen<'_>, values: &Values) -> Option<String> {
        let choose = |count: usize| match self.pick {
            Pick::First => (count > 0).then_some(0),
            Pick::Last => count.checked_sub(1),
            Pick::Nth(number) => (number as usize).checked_sub(1).filter(|position| *position < count),
            Pick::Random => (count > 0).then(|| {
                let Values { iteration, pass, .. } = values;
                let seed = seen.around.seed ^ OF_CAPTURES;
                random(seed, *iteration, self.slot as u64, *pass).random_range(0..count)
            }),
        };
        match &self.source {
            CompiledSource::JsonPath(path) => {
                let found = seen.json.matches(path);
                found.get(choose(found.len())?).map(|value| as_text(value))
            }
            CompiledSource::Regex(regex, group) => {
                let text = seen.text();
                let found = match self.pick {
                    Pick::First => regex.captures(text),
                    _ => choose(regex.find_iter(text).count())
                        .and_then(|position| regex.captures_iter(text).nth(position)),
                }?;
                let taken = match group {
                    Some(group) => found.get(*group),
                    None => found.get(1).or_else(|| found.get(0)),
                };
                taken.map(|text| text.as_str().to_owned())
            }
            CompiledSource::XPath(path) => path.find(seen.xml()?, choose),
            CompiledSource::Header(name) => {
                let found: Vec<_> = seen.answer.headers()?.get_all(name).iter().collect();
                found.get(choose(found.len())?)?.to_str().ok().map(str::to_owned)
            }
            CompiledSource::Cookie(name) => cookie(name, seen),
        }
    }

    /// Takes the value from an answer.
    fn take(&self, seen: &Seen<'_>, values: &mut Values) -> Result<(), Failure> {
        let wrong = |message: String| Err(Failure::new(Outcome::Capture, message));
        let value = match (self.find(seen, values), &self.absent) {
            (Some(found), _) if found.len() > MOST_CAPTURED => {
                let (limit, length) = (MOST_CAPTURED >> 10, found.len());
                return wrong(format!("`{}` is longer than {limit} KiB: {length} bytes", self.name));
            }
            (Some(found), _) => Some(found),
            (None, Absent::Is(text)) => Some(text.clone()),
            (None, Absent::Unknown) => None,
            (None, Absent::Fails) => return wrong(format!("`{}` was not found in the answer", self.name)),
        };
        if let Some(slot) = values.captures.get_mut(self.slot) {
            *slot = value;
        }
        Ok(())
    }
}

/// A cookie that the answer sets, the last of its name; else one that the user has for where it came from.
fn cookie(name: &str, seen: &Seen<'_>) -> Option<String> {
    let set = seen.answer.headers().map(|headers| headers.get_all(SET_COOKIE).iter());
    let texts = set.into_iter().flatten().filter_map(|value| value.to_str().ok());
    let mut set = texts.filter_map(|text| RawCookie::parse(text).ok()).filter(|cookie| cookie.name() == name);
    let last = set.next_back().map(|cookie| cookie.value().to_owned());
    last.or_else(|| seen.around.user.cookie(name, seen.around.message))
}

fn contains(ranges: &[StatusRange], status: u16) -> bool {
    ranges.iter().any(|range| (range.first..=range.last).contains(&status))
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is no header name"))
}

fn xpath(path: &str) -> Result<XPath, String> {
    XPath::new(path).map_err(|why| format!("`{path}` is no XPath: {why}"))
}

/// The number of a group.
fn group_of(regex: &regex::Regex, group: &str) -> Result<usize, String> {
    let by_name = || regex.capture_names().position(|name| name == Some(group));
    let number = group.parse().ok().or_else(by_name).filter(|number| *number < regex.captures_len());
    number.ok_or_else(|| format!("the expression has no group `{group}`"))
}

/// Whether an answer is what the step expects, and what the step takes from it. False: the answer is
/// right, but not yet what the step waits for, and nothing was taken from it.
pub(crate) fn judge(
    step: &Step,
    values: &mut Values,
    seen: &Seen<'_>,
    is_last: impl FnOnce(&CompiledUntil) -> bool,
) -> Result<bool, Failure> {
    step.expect.has_right_status(seen.answer)?;
    step.expect.meets(seen)?;
    if let Some(until) = &step.until
        && let Err(failure) =
            until.expect.has_right_status(seen.answer).and_then(|()| until.expect.meets(seen))
    {
        if !is_last(until) {
            return Ok(false);
        }
        let waited = plimsoll_units::duration::format(Duration::from_nanos(until.timeout));
        let message = format!("not done after {waited}: {}", failure.message);
        return Err(Failure::new(Outcome::Expectation, message));
    }
    for capture in &step.captures {
        capture.take(seen, values)?;
    }
    Ok(true)
}
