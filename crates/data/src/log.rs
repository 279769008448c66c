//! Access logs: which request came when.
//!
//! Lines are in the Common or Combined Log Format, as nginx and Apache write them by default, or each is an
//! object of JSON. A log is a table of its requests, read where it lies; whatever else its lines are is
//! counted, so that nothing of a log is left out without a word.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use memchr::{memchr, memchr_iter, memchr2};
use serde_json::{Map, Value};

use crate::row::Row;
use crate::source::{Source, Window};
use crate::table::{BOM, Format, MOST_ROW, Place, STEP, Table, place_in};

/// Methods that a log can be asked for. Others are counted together.
pub const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// The longest path in bytes: what makes requests takes no longer one.
const MOST_PATH: usize = 60_000;

/// Stretches of time whose requests are counted one by one; a longer log has longer ones. At a second each
/// they are four and a half hours.
const MOST_STRETCHES: usize = 1 << 14;

const SECOND: i64 = 1_000_000_000;

/// Some of [`METHODS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Methods(u8);

impl Methods {
    /// Those that change nothing at the target (RFC 9110, section 9.2.1), and have no body that a log lacks.
    pub const SAFE: Self = Self(0b11);

    /// Those with these names. `None` where one is not among [`METHODS`].
    pub fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Option<Self> {
        let bit = |name: &str| METHODS.iter().position(|known| *known == name).map(|place| 1 << place);
        names.into_iter().try_fold(Self(0), |all, name| Some(Self(all.0 | bit(name)?)))
    }

    fn has(self, place: usize) -> bool {
        self.0 & (1 << place) != 0
    }
}

/// Why a line says nothing that can be replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// Longer than [`MOST_ROW`].
    #[error("it is longer than 1 MiB")]
    TooLong,
    /// No time, or one that no calendar has, or one before 1970 or after 2199.
    #[error("it has no time that is understood")]
    NoTime,
    /// Nothing that looks like a request.
    #[error("it has no request like `\"GET /path HTTP/1.1\"`")]
    NoRequest,
    /// A request for something that is no path.
    #[error("its request has no path")]
    NoPath,
    /// More path than can be sent.
    #[error("its path is longer than 60000 bytes")]
    LongPath,
    /// It begins as an object does, and is none.
    #[error("it begins with a brace and is not JSON")]
    NoJson,
}

/// How much of a log is taken.
#[derive(Debug, Clone, Copy)]
pub struct LogRules {
    /// Requests with these methods.
    pub methods: Methods,
    /// How far a line may be behind the latest before it. Lines are written when requests end, and some
    /// servers write when they began: a little disorder is usual.
    pub tolerance: Duration,
}

/// What is in a log. Every line is one of `replayed`, `left_out`, `blank` and `unreadable`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogSummary {
    /// Its lines.
    pub lines: u64,
    /// Requests that are rows of the table, by their place in [`METHODS`].
    pub replayed: [u64; METHODS.len()],
    /// Requests with methods that were not asked for; the last are those that are not in [`METHODS`].
    pub left_out: [u64; METHODS.len() + 1],
    /// Lines without anything.
    pub blank: u64,
    /// Lines that are not understood.
    pub unreadable: u64,
    /// The first of them and why.
    pub first_unreadable: Option<(u64, LineFault)>,
    /// Requests that were behind the latest time before them, which is taken for theirs.
    pub late: u64,
    /// How far at most, in nanoseconds.
    pub latest: u64,
    /// The most requests in one second, counted from the first.
    pub busiest_second: u64,
    /// From the first to the end of what the last one's time stands for, in whole seconds.
    pub seconds: u64,
    /// How many seconds a stretch has.
    pub stretch_seconds: u64,
    /// Requests in each stretch of time, one behind the other.
    pub stretches: Vec<u64>,
}

impl LogSummary {
    /// Requests that are rows of the table.
    pub fn requests(&self) -> u64 {
        self.replayed.iter().sum()
    }

    /// Counts a request so many nanoseconds after the first.
    fn count(&mut self, offset: i64) {
        let second = (offset / SECOND) as u64;
        while second / self.stretch_seconds >= MOST_STRETCHES as u64 {
            let pairs = self.stretches.chunks(2).map(|pair| pair.iter().sum());
            self.stretches = pairs.collect();
            self.stretch_seconds *= 2;
        }
        let place = (second / self.stretch_seconds) as usize;
        if self.stretches.len() <= place {
            self.stretches.resize(place + 1, 0);
        }
        self.stretches[place] += 1;
    }
}

/// Why a log cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It cannot be read.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// A line is farther behind the latest before it than is tolerated.
    #[error("{place}: the clock runs backwards: {time} comes after {latest}")]
    Backwards {
        /// Where the time stands.
        place: Place,
        /// The time of the line.
        time: Timestamp,
        /// The latest before it.
        latest: Timestamp,
    },
    /// Nothing of it can be replayed.
    #[error("none of its lines ({}) is a request to replay{}", .0.lines, Why(.0))]
    Empty(Box<LogSummary>),
}

/// Why nothing of a log can be replayed.
struct Why<'s>(&'s LogSummary);

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left_out: u64 = self.0.left_out.iter().sum();
        if left_out > 0 {
            write!(f, "; with another method: {left_out}")?;
        }
        match self.0.first_unreadable {
            None => Ok(()),
            Some((line, fault)) => write!(f, "; line {line}: {fault}"),
        }
    }
}

impl Table {
    /// Reads a log once from its first byte to its last. `each` sees when a request came, in nanoseconds after
    /// the first, its method and its path.
    ///
    /// # Errors
    /// When it cannot be read, runs backwards, or has nothing to replay.
    pub fn open_log(
        source: Source,
        rules: LogRules,
        mut each: impl FnMut(u64, &str, &str),
    ) -> Result<(Self, LogSummary), LogError> {
        let mut table = Self::empty(source, Format::Log { methods: rules.methods });
        table.columns = ["method", "path"].map(str::to_owned).to_vec();
        let mut lines = Lines::of(&table.source)?;
        let mut summary = LogSummary { stretch_seconds: 1, ..LogSummary::default() };
        let tolerance = i64::try_from(rules.tolerance.as_nanos()).unwrap_or(i64::MAX);
        let (mut row, mut times, mut busy) = (Row::default(), None::<(i64, i64)>, (0, 0));
        while let Some(found) =
            lines.next(&table.source, rules.methods, &mut |line, other| summary.other(line, other))?
        {
            let (first, latest) = *times.get_or_insert((found.at, found.at));
            let text = lines.window.at(&table.source, found.start, found.length, STEP)?;
            let text = text.get(..found.length).unwrap_or(text);
            let behind = latest - found.at;
            if behind > tolerance {
                let moment = |nanos: i64| Timestamp::from_nanosecond(nanos.into()).unwrap_or_default();
                let place = place_in(lines.line, text, found.time_at);
                return Err(LogError::Backwards { place, time: moment(found.at), latest: moment(latest) });
            }
            if behind > 0 {
                summary.late += 1;
                summary.latest = summary.latest.max(behind as u64);
            }
            let now = latest.max(found.at);
            times = Some((first, now));
            let offset = now - first;
            summary.seconds =
                summary.seconds.max(((offset + found.resolution) as u64).div_ceil(SECOND as u64));
            summary.replayed[found.method] += 1;
            summary.count(offset);
            let second = offset / SECOND;
            busy = if busy.0 == second { (second, busy.1 + 1) } else { (second, 1) };
            summary.busiest_second = summary.busiest_second.max(busy.1);
            row.clear();
            if values(text, &mut row).is_ok() {
                each(offset as u64, row.get(0).unwrap_or_default(), row.get(1).unwrap_or_default());
            }
            table.remember(found.start);
        }
        summary.lines = lines.line;
        match table.rows() {
            0 => Err(LogError::Empty(Box::new(summary))),
            _ => Ok((table, summary)),
        }
    }
}

impl LogSummary {
    /// Counts a line that is no request to replay.
    fn other(&mut self, line: u64, other: Other) {
        match other {
            Other::Blank => self.blank += 1,
            Other::Method(place) => self.left_out[place] += 1,
            Other::Fault(fault) => {
                self.unreadable += 1;
                self.first_unreadable.get_or_insert((line, fault));
            }
        }
    }
}

/// When the requests of a log came, in its order, by reading it once more.
///
/// Requests of one time are spread evenly over what that time stands for: those of a second over the second. One that
/// is behind the latest before it is taken to have come with that.
#[derive(Debug)]
pub struct LogTimes {
    table: Arc<Table>,
    lines: Lines,
    first: Option<i64>,
    /// The requests of one time.
    group: Group,
    /// What was read behind them.
    next: Option<(i64, i64)>,
}

#[derive(Debug, Default)]
struct Group {
    at: i64,
    span: i64,
    count: i64,
    given: i64,
}

impl LogTimes {
    /// The times of a log from its first request on; none of a table that is no log.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn new(table: Arc<Table>) -> io::Result<Self> {
        let lines = Lines::of(&table.source)?;
        Ok(Self { table, lines, first: None, group: Group::default(), next: None })
    }

    /// The time of the next request, in nanoseconds after the first line's. They never descend.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn next_time(&mut self) -> io::Result<Option<u64>> {
        if self.group.given == self.group.count && !self.gather()? {
            return Ok(None);
        }
        let Group { at, span, count, given } = self.group;
        self.group.given += 1;
        let within = i128::from(span) * i128::from(given) / i128::from(count);
        let first = *self.first.get_or_insert(at);
        Ok(Some((at - first) as u64 + within as u64))
    }

    /// Reads all requests of the next time; false at the end.
    fn gather(&mut self) -> io::Result<bool> {
        let first = match self.next.take() {
            Some(next) => Some(next),
            None => self.read()?,
        };
        let Some((at, resolution)) = first else { return Ok(false) };
        let (mut count, mut span) = (1, resolution);
        while let Some((later, resolution)) = self.read()? {
            if later > at {
                self.next = Some((later, resolution));
                span = span.min(later - at);
                break;
            }
            count += 1;
        }
        self.group = Group { at, span, count, given: 0 };
        Ok(true)
    }

    fn read(&mut self) -> io::Result<Option<(i64, i64)>> {
        let Format::Log { methods } = self.table.format else { return Ok(None) };
        let found = self.lines.next(&self.table.source, methods, &mut |_, _| {})?;
        Ok(found.map(|found| (found.at, found.resolution)))
    }
}

/// What a line is that is no request to replay.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Other {
    Blank,
    /// By its place in [`METHODS`], or behind them.
    Method(usize),
    Fault(LineFault),
}

/// A request to replay.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    /// Where its line begins in the log.
    pub(crate) start: u64,
    /// How long that is, without its end.
    pub(crate) length: usize,
    at: i64,
    resolution: i64,
    method: usize,
    /// The byte of the line at which its time stands.
    time_at: usize,
}

/// The lines of a log, one after the other.
#[derive(Debug, Default)]
struct Lines {
    window: Window,
    at: u64,
    /// The number of the line read last, from 1.
    line: u64,
}

impl Lines {
    fn of(source: &Source) -> io::Result<Self> {
        let mut lines = Self::default();
        if lines.window.at(source, 0, BOM.len(), STEP)?.starts_with(BOM) {
            lines.at = BOM.len() as u64;
        }
        Ok(lines)
    }

    fn next(
        &mut self,
        source: &Source,
        methods: Methods,
        told: &mut dyn FnMut(u64, Other),
    ) -> io::Result<Option<Found>> {
        next(&mut self.window, source, methods, (&mut self.at, &mut self.line), STEP, told)
    }
}

/// The next request to replay; `at` and `line` move behind it. What is passed over is told with its line.
pub(crate) fn next(
    window: &mut Window,
    source: &Source,
    methods: Methods,
    (at, line): (&mut u64, &mut u64),
    step: usize,
    told: &mut dyn FnMut(u64, Other),
) -> io::Result<Option<Found>> {
    loop {
        let start = *at;
        let Some(length) = measure(window, source, at, step)? else { return Ok(None) };
        *line += 1;
        let Some(length) = length else {
            told(*line, Other::Fault(LineFault::TooLong));
            continue;
        };
        let bytes = window.at(source, start, length, step)?;
        let bytes = bytes.get(..length).unwrap_or(bytes).trim_ascii_end();
        match parse(bytes) {
            Ok(None) => told(*line, Other::Blank),
            Err(fault) => told(*line, Other::Fault(fault)),
            Ok(Some(entry)) if entry.method < METHODS.len() && methods.has(entry.method) => {
                let Entry { at, resolution, method, time_at, .. } = entry;
                let length = bytes.len();
                return Ok(Some(Found { start, length, at, resolution, method, time_at }));
            }
            Ok(Some(entry)) => told(*line, Other::Method(entry.method)),
        }
    }
}

/// How long the line at `at` is, which moves behind it: `Some(None)` where it is too long to be one, and `None` at the
/// end.
fn measure(
    window: &mut Window,
    source: &Source,
    at: &mut u64,
    step: usize,
) -> io::Result<Option<Option<usize>>> {
    let mut fewest = 1;
    loop {
        let bytes = window.at(source, *at, fewest, step)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let all = bytes.len();
        let (length, is_end) = match memchr(b'\n', bytes) {
            Some(end) => (end + 1, true),
            None => (all, *at + all as u64 >= source.size()),
        };
        if is_end {
            *at += length as u64;
            return Ok(Some((length <= MOST_ROW).then_some(length)));
        }
        if length > MOST_ROW {
            *at += length as u64;
            pass_over(window, source, at, step)?;
            return Ok(Some(None));
        }
        fewest = all * 2;
    }
}

/// Moves `at` behind the end of the line it is in.
fn pass_over(window: &mut Window, source: &Source, at: &mut u64, step: usize) -> io::Result<()> {
    loop {
        let bytes = window.at(source, *at, 1, step)?;
        match memchr(b'\n', bytes) {
            Some(end) => {
                *at += end as u64 + 1;
                return Ok(());
            }
            None if bytes.is_empty() => return Ok(()),
            None => *at += bytes.len() as u64,
        }
    }
}

/// Writes method and path of a line.
pub(crate) fn values(line: &[u8], row: &mut Row) -> Result<(), LineFault> {
    let entry = parse(line)?.ok_or(LineFault::NoRequest)?;
    row.push_str(METHODS.get(entry.method).copied().unwrap_or("-"));
    row.end_value();
    encode(&entry.path, row);
    row.end_value();
    Ok(())
}

/// What a line says.
#[derive(Debug)]
struct Entry<'l> {
    /// Nanoseconds since 1970.
    at: i64,
    /// What its last digit stands for, in nanoseconds.
    resolution: i64,
    method: usize,
    path: Cow<'l, [u8]>,
    time_at: usize,
}

/// Reads a line; `None` where it says nothing.
fn parse(line: &[u8]) -> Result<Option<Entry<'_>>, LineFault> {
    let text = line.trim_ascii();
    match text.first() {
        None => Ok(None),
        Some(b'{') => json(text).map(Some),
        Some(_) => common(line).map(Some),
    }
}

/// A line of the Common Log Format, or of one that begins as it does.
fn common(line: &[u8]) -> Result<Entry<'_>, LineFault> {
    // Whoever logged in may have any name, brackets too.
    let times = memchr_iter(b'[', line).filter_map(|open| Some((open, bracketed(&line[open + 1..])?)));
    let (open, (at, resolution, length)) = times.take(1).next().ok_or(LineFault::NoTime)?;
    let rest = line[open + 1 + length..].strip_prefix(b"] \"").ok_or(LineFault::NoRequest)?;
    let (method, path) = match unquoted(rest).ok_or(LineFault::NoRequest)? {
        Cow::Borrowed(request) => {
            let (method, target) = split(request)?;
            (method, path(target)?)
        }
        Cow::Owned(request) => {
            let (method, target) = split(&request)?;
            (method, Cow::Owned(path(target)?.into_owned()))
        }
    };
    Ok(Entry { at, resolution, method, path, time_at: open + 1 })
}

/// What stands before the closing quote, escapes of nginx and Apache undone.
fn unquoted(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut at = 0;
    let mut plain = Vec::new();
    loop {
        let found = at + memchr2(b'"', b'\\', &text[at..])?;
        if text[found] == b'"' {
            return Some(match plain.is_empty() {
                true => Cow::Borrowed(&text[..found]),
                false => {
                    plain.extend_from_slice(&text[at..found]);
                    Cow::Owned(plain)
                }
            });
        }
        plain.extend_from_slice(&text[at..found]);
        let hex = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        let (byte, length) = match text.get(found + 1)? {
            b'x' => match text.get(found + 2..found + 4).and_then(hex) {
                Some(byte) => (byte, 4),
                None => (b'\\', 1),
            },
            b'n' => (b'\n', 2),
            b'r' => (b'\r', 2),
            b't' => (b'\t', 2),
            byte @ (b'"' | b'\\') => (*byte, 2),
            _ => (b'\\', 1),
        };
        plain.push(byte);
        at = found + length;
    }
}

/// Method and target of `GET /path HTTP/1.1`.
fn split(request: &[u8]) -> Result<(usize, &[u8]), LineFault> {
    let space = memchr(b' ', request).ok_or(LineFault::NoRequest)?;
    let method = method(&request[..space])?;
    let rest = &request[space + 1..];
    let target = match memchr::memrchr(b' ', rest) {
        Some(last) if rest[last + 1..].starts_with(b"HTTP/") => &rest[..last],
        // HTTP/0.9 has no version.
        None => rest,
        Some(_) => return Err(LineFault::NoRequest),
    };
    Ok((method, target))
}

/// The place of a method in [`METHODS`], or behind them.
fn method(name: &[u8]) -> Result<usize, LineFault> {
    let is_word = (1..=32).contains(&name.len())
        && name.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'-')
        && name[0] != b'-';
    let place = METHODS.iter().position(|known| known.as_bytes() == name);
    is_word.then_some(place.unwrap_or(METHODS.len())).ok_or(LineFault::NoRequest)
}

/// Path and query of a target. Where a proxy logged a whole URL, its host is left out.
fn path(target: &[u8]) -> Result<Cow<'_, [u8]>, LineFault> {
    let scheme = [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    let path = match scheme {
        None => Cow::Borrowed(target),
        Some(scheme) => {
            let rest = &target[scheme.len()..];
            match rest.iter().position(|byte| matches!(byte, b'/' | b'?')) {
                None => Cow::Borrowed(&b"/"[..]),
                Some(at) if rest[at] == b'/' => Cow::Borrowed(&rest[at..]),
                Some(at) => Cow::Owned([b"/", &rest[at..]].concat()),
            }
        }
    };
    if !path.starts_with(b"/") {
        return Err(LineFault::NoPath);
    }
    // What cannot stand in a URL takes three times its room.
    let long = path.len() > MOST_PATH / 3
        && path.iter().map(|byte| 1 + 2 * usize::from(!is_kept(*byte))).sum::<usize>() > MOST_PATH;
    if long { Err(LineFault::LongPath) } else { Ok(path) }
}

/// Whether a byte stands in a URL as it is. A fragment is never sent, so its sign is part of the path.
fn is_kept(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(byte, b'"' | b'#' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
}

fn encode(path: &[u8], row: &mut Row) {
    for byte in path {
        match is_kept(*byte) {
            true => row.push_str(char::from(*byte).encode_utf8(&mut [0; 4])),
            false => row.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// An object with a time, a method and a path, which may be within its `request`, as Caddy writes it.
fn json(line: &[u8]) -> Result<Entry<'static>, LineFault> {
    let object: Map<String, Value> = serde_json::from_slice(line).map_err(|_| LineFault::NoJson)?;
    let time = ["time", "ts", "timestamp"].into_iter().find_map(|key| object.get(key));
    let (at, resolution) = time.and_then(moment).ok_or(LineFault::NoTime)?;
    let within = object.get("request").and_then(Value::as_object).unwrap_or(&object);
    let text = |key: &str| within.get(key).and_then(Value::as_str);
    let method = method(text("method").ok_or(LineFault::NoRequest)?.as_bytes())?;
    let target = text("path").or_else(|| text("uri")).ok_or(LineFault::NoPath)?;
    let path = Cow::Owned(path(target.as_bytes())?.into_owned());
    Ok(Entry { at, resolution, method, path, time_at: 0 })
}

/// A time of JSON: RFC 3339, or seconds since 1970.
fn moment(value: &Value) -> Option<(i64, i64)> {
    let (nanos, resolution) = match value {
        Value::Number(number) if number.is_f64() => {
            // A double holds microseconds of these times, and no nanoseconds. What is too large for any time
            // stays so.
            (((number.as_f64()? * 1e6).round() as i64).saturating_mul(1000), 1000)
        }
        Value::Number(number) => (number.as_i64()?.checked_mul(SECOND)?, SECOND),
        Value::String(text) => {
            let time: Timestamp = text.parse().ok()?;
            let rest = text.split_once('.').map_or("", |(_, rest)| rest);
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            (i64::try_from(time.as_nanosecond()).ok()?, resolution_of(digits))
        }
        _ => return None,
    };
    in_range(nanos).map(|nanos| (nanos, resolution))
}

fn resolution_of(digits: usize) -> i64 {
    SECOND / 10_i64.pow(digits.min(9) as u32)
}

/// From 1970 to 2199: other times are mistakes, and these have room for all that is done with them.
fn in_range(nanos: i64) -> Option<i64> {
    const END: i64 = 7_258_118_400 * SECOND;
    (0..END).contains(&nanos).then_some(nanos)
}

/// `10/Oct/2000:13:55:36 -0700`, maybe with a fraction: nanoseconds since 1970, what the last digit stands for,
/// and how long it is.
fn bracketed(text: &[u8]) -> Option<(i64, i64, usize)> {
    const MONTHS: [&[u8; 3]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let head = text.get(..20)?;
    let signs = [(2, b'/'), (6, b'/'), (11, b':'), (14, b':'), (17, b':')];
    if signs.iter().any(|(at, sign)| head[*at] != *sign) {
        return None;
    }
    let number = |from: usize, to: usize| digits(text.get(from..to)?);
    let month = MONTHS.iter().position(|name| head[3..6].eq_ignore_ascii_case(&name[..]))? as i64 + 1;
    let (day, year) = (number(0, 2)?, number(7, 11)?);
    let (hour, minute, second) = (number(12, 14)?, number(15, 17)?, number(18, 20)?);
    let fraction = match text.get(20)? {
        b'.' => text[21..].iter().take_while(|byte| byte.is_ascii_digit()).count(),
        _ => 0,
    };
    let (nanos, zone) = match fraction {
        0 => (0, 20),
        1..=9 => (number(21, 21 + fraction)? * resolution_of(fraction), 21 + fraction),
        _ => return None,
    };
    let sign = match text.get(zone..zone + 2)? {
        b" +" => 1,
        b" -" => -1,
        _ => return None,
    };
    let (hours, minutes) = (number(zone + 2, zone + 4)?, number(zone + 4, zone + 6)?);
    let is_right = (1..=days_of(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        // A leap second is the first of the next minute.
        && second <= 60
        && hours < 24
        && minutes < 60;
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second
        - sign * (hours * 3600 + minutes * 60);
    let nanos = seconds.checked_mul(SECOND)?.checked_add(nanos)?;
    in_range(nanos).filter(|_| is_right).map(|nanos| (nanos, resolution_of(fraction), zone + 6))
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter()
        .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970 to a date of the Gregorian calendar: years begin in March, so that a leap day ends one, and 400 of them
/// have 146,097 days (Hatcher, "Simple formulae for Julian day numbers", 1984).
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469
}
