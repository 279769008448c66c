use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use plimsoll_units::{ByteCount, duration};

use crate::wire::{Value, fields};

/// The largest file that is read, and what it may become when it is unpacked, in bytes.
pub const LARGEST: usize = 64 << 20;
const LARGEST_UNPACKED: u64 = 128 << 20;
/// More than any program has; a file with more is a bomb.
const MOST_STACKS: usize = 2_000_000;
const MOST_FRAMES: usize = 20_000_000;
const MOST_LOCATIONS: usize = 2_000_000;
const MOST_FUNCTIONS: usize = 2_000_000;
const MOST_TEXTS: usize = 4_000_000;
const MOST_VALUES: usize = 16_000_000;
/// Names that stacks refer to, and what they may take together.
const MOST_NAMES: usize = 1_000_000;
const LARGEST_NAMES: usize = 64 << 20;
/// Frames of one stack, and functions of one location; of more, the outermost are left out.
const DEEPEST: usize = 512;
const MOST_KINDS: usize = 64;
/// Names are shown, and longer ones are shortened.
const LONGEST_NAME: usize = 300;

/// Where a program spent what.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// What was counted, such as `cpu` in `nanoseconds`; each stack has a value for each.
    pub kinds: Vec<Kind>,
    /// Which of them is meant where none is named.
    pub usual: usize,
    /// How long it was looked, in seconds; `None` where the profile does not say.
    pub duration: Option<f64>,
    /// Names of functions, or addresses of what has none.
    pub names: Vec<Arc<str>>,
    /// Where it was found.
    pub stacks: Vec<Stack>,
}

/// Something that is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// What, like `cpu`, `alloc_space`, `inuse_space`, `contentions`, `delay`.
    pub name: Arc<str>,
    /// In what, like `nanoseconds`, `bytes`, `count`.
    pub unit: Arc<str>,
}

/// A stack of calls and what was counted in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    /// Places in [`Profile::names`], the outermost call first.
    pub frames: Vec<u32>,
    /// One for each of [`Profile::kinds`]; negative ones are of differences.
    pub values: Vec<i64>,
}

/// Why bytes are no profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The file is too large.
    #[error("it is larger than {} MiB", LARGEST >> 20)]
    TooLarge,
    /// It is too large once unpacked.
    #[error("unpacked it is larger than {} MiB", LARGEST_UNPACKED >> 20)]
    TooLargeUnpacked,
    /// It is packed and cannot be unpacked.
    #[error("it cannot be unpacked: {0}")]
    Unpack(String),
    /// It is no message of protobuf, or not this one.
    #[error("it is no profile in pprof's format: its {what} is broken or missing")]
    Broken {
        /// Which part.
        what: &'static str,
    },
    /// It has more of something than is read.
    #[error("it has more than {most} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are read.
        most: usize,
    },
    /// A stack has other than one value for each kind.
    #[error("a stack has {found} values for {expected} kinds")]
    Values {
        /// How many it has.
        found: usize,
        /// How many kinds there are.
        expected: usize,
    },
}

/// A message as its fields are collected, before they refer to each other.
#[derive(Default)]
struct Parts<'a> {
    kinds: Vec<&'a [u8]>,
    samples: Vec<&'a [u8]>,
    locations: HashMap<u64, Location>,
    /// The place of a function's name among the texts.
    functions: HashMap<u64, u64>,
    texts: Vec<&'a [u8]>,
    nanos: u64,
    usual: u64,
}

#[derive(Default)]
struct Location {
    address: u64,
    /// Functions, of inlined ones the innermost first.
    functions: Vec<u64>,
}

impl Profile {
    /// Reads a profile, packed by gzip or not.
    ///
    /// # Errors
    /// When it is none, or larger than what is read: 64 MiB, 128 MiB unpacked, 2,000,000 stacks,
    /// 20,000,000 frames, 1,000,000 names, 64 kinds and the like.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > LARGEST {
            return Err(Malformed::TooLarge);
        }
        if !bytes.starts_with(&[0x1f, 0x8b]) {
            return Self::of_message(bytes);
        }
        let mut unpacked = Vec::new();
        let mut decoder = MultiGzDecoder::new(bytes).take(LARGEST_UNPACKED + 1);
        decoder.read_to_end(&mut unpacked).map_err(|error| Malformed::Unpack(error.to_string()))?;
        if unpacked.len() as u64 > LARGEST_UNPACKED {
            return Err(Malformed::TooLargeUnpacked);
        }
        Self::of_message(&unpacked)
    }

    fn of_message(bytes: &[u8]) -> Result<Self, Malformed> {
        let parts = Parts::of(bytes)?;
        let kinds: Vec<Kind> = parts.kinds.iter().map(|kind| parts.kind(kind)).collect::<Result<_, _>>()?;
        if kinds.is_empty() {
            return Err(Malformed::Broken { what: "list of kinds" });
        }
        // As pprof does: the last, unless one is named.
        let named = parts.text(parts.usual);
        let usual = kinds.iter().position(|kind| parts.usual > 0 && *kind.name == *named);
        let mut names = Known::default();
        let (mut stacks, mut frames, mut values) = (Vec::new(), 0, 0);
        for sample in &parts.samples {
            let stack = parts.stack(sample, kinds.len(), &mut names)?;
            frames += stack.frames.len();
            values += stack.values.len();
            let counts = [
                ("frames", frames, MOST_FRAMES),
                ("values", values, MOST_VALUES),
                ("names", names.names.texts.len(), MOST_NAMES),
                ("bytes of names", names.names.size, LARGEST_NAMES),
            ];
            within(counts)?;
            stacks.push(stack);
        }
        Ok(Self {
            usual: usual.unwrap_or(kinds.len() - 1),
            kinds,
            duration: (parts.nanos > 0).then_some(parts.nanos as f64 / 1e9),
            names: names.names.texts,
            stacks,
        })
    }

    /// The kind with this name.
    pub fn kind(&self, name: &str) -> Option<usize> {
        self.kinds.iter().position(|kind| &*kind.name == name)
    }

    /// The sum of a kind over all stacks.
    pub fn total(&self, kind: usize) -> i64 {
        self.stacks.iter().fold(0, |sum, stack| sum.saturating_add(stack.value(kind)))
    }

    /// This one with every value of `other` taken off: what is positive is more than there, negative less. Kinds are
    /// matched by name and unit; what only one of them counts is left out. `None` where they share none.
    pub fn less(&self, other: &Self) -> Option<Self> {
        let shared: Vec<(usize, usize)> = (0..self.kinds.len())
            .filter_map(|one| Some((one, other.kinds.iter().position(|kind| *kind == self.kinds[one])?)))
            .collect();
        let kinds: Vec<Kind> = shared.iter().map(|(one, _)| self.kinds[*one].clone()).collect();
        let usual = shared.iter().position(|(one, _)| *one == self.usual).or(kinds.len().checked_sub(1))?;
        let mut names = Names::default();
        let mut stacks = Vec::with_capacity(self.stacks.len() + other.stacks.len());
        for (profile, is_other) in [(self, false), (other, true)] {
            for stack in &profile.stacks {
                let value = |(one, other): &(usize, usize)| match is_other {
                    true => stack.value(*other).saturating_neg(),
                    false => stack.value(*one),
                };
                let name = |frame: &u32| Some(names.place(profile.names.get(*frame as usize)?));
                let frames = stack.frames.iter().filter_map(name).collect();
                stacks.push(Stack { frames, values: shared.iter().map(value).collect() });
            }
        }
        Some(Self { kinds, usual, duration: None, names: names.texts, stacks })
    }
}

impl Kind {
    /// A value as people read it, like `21.3 s` or `-4.00 MB`; of a unit that is not known as it stands.
    pub fn amount(&self, value: i64) -> String {
        let sign = if value < 0 { "-" } else { "" };
        format!("{sign}{}", amount(&self.unit, value.unsigned_abs()))
    }
}

/// A size in a unit, as people read it.
pub(crate) fn amount(unit: &str, size: u64) -> String {
    let seconds = |parts: f64| duration::human(size as f64 / parts);
    match unit {
        "nanoseconds" => seconds(1e9),
        "microseconds" => seconds(1e6),
        "milliseconds" => seconds(1e3),
        "seconds" => seconds(1.0),
        "bytes" => ByteCount(size).to_string(),
        _ => size.to_string(),
    }
}

impl Stack {
    /// What of a kind was counted in it; 0 of one that it does not know.
    pub fn value(&self, kind: usize) -> i64 {
        self.values.get(kind).copied().unwrap_or_default()
    }
}

fn within<const N: usize>(counts: [(&'static str, usize, usize); N]) -> Result<(), Malformed> {
    match counts.into_iter().find(|(_, count, most)| count > most) {
        Some((what, _, most)) => Err(Malformed::TooMany { what, most }),
        None => Ok(()),
    }
}

/// Names, each once.
#[derive(Default)]
struct Names {
    texts: Vec<Arc<str>>,
    size: usize,
    places: HashMap<Arc<str>, u32>,
}

impl Names {
    fn place(&mut self, name: &str) -> u32 {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let (name, place): (Arc<str>, _) = (name.into(), self.texts.len() as u32);
        self.size += name.len();
        self.texts.push(Arc::clone(&name));
        self.places.insert(name, place);
        place
    }
}

/// What locations and texts have become. Each is looked at once: any number of stacks may refer to it.
#[derive(Default)]
struct Known {
    names: Names,
    /// Of texts; `None` where they are empty.
    texts: HashMap<u64, Option<u32>>,
    /// Of locations, of inlined functions the innermost first.
    locations: HashMap<u64, Box<[u32]>>,
}

impl Known {
    /// Adds frames, the innermost first; `None` where their list is broken.
    fn add(&mut self, parts: &Parts<'_>, locations: Value<'_>, frames: &mut Vec<u32>) -> Option<()> {
        for id in locations.numbers() {
            let id = id?;
            let room = DEEPEST.saturating_sub(frames.len());
            if room == 0 {
                break;
            }
            if !self.locations.contains_key(&id) {
                let found = self.location(parts, id);
                self.locations.insert(id, found);
            }
            frames.extend(self.locations[&id].iter().take(room));
        }
        Some(())
    }

    /// What has no name is called by its address, and what the profile lacks by its number.
    fn location(&mut self, parts: &Parts<'_>, id: u64) -> Box<[u32]> {
        let Some(location) = parts.locations.get(&id) else {
            return Box::from([self.names.place(&format!("location {id}"))]);
        };
        let names = location.functions.iter().filter_map(|id| self.text(parts, *parts.functions.get(id)?));
        let names: Box<[u32]> = names.collect();
        match names.is_empty() {
            true => Box::from([self.names.place(&format!("{:#x}", location.address))]),
            false => names,
        }
    }

    fn text(&mut self, parts: &Parts<'_>, place: u64) -> Option<u32> {
        *self.texts.entry(place).or_insert_with(|| {
            let text = parts.text(place);
            (!text.is_empty()).then(|| self.names.place(&text))
        })
    }
}

impl<'a> Parts<'a> {
    fn of(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut parts = Self::default();
        let broken = |what| Malformed::Broken { what };
        for field in fields(bytes) {
            let (number, value) = field.ok_or(broken("message"))?;
            let bytes = |what| value.bytes().ok_or(broken(what));
            match number {
                1 => parts.kinds.push(bytes("list of kinds")?),
                2 => parts.samples.push(bytes("list of stacks")?),
                4 => parts.location(bytes("list of locations")?).ok_or(broken("list of locations"))?,
                5 => parts.function(bytes("list of functions")?).ok_or(broken("list of functions"))?,
                6 => parts.texts.push(bytes("list of names")?),
                10 => parts.nanos = value.number().unwrap_or_default(),
                14 => parts.usual = value.number().unwrap_or_default(),
                _ => {}
            }
            let counts = [
                ("stacks", parts.samples.len(), MOST_STACKS),
                ("kinds", parts.kinds.len(), MOST_KINDS),
                ("locations", parts.locations.len(), MOST_LOCATIONS),
                ("functions", parts.functions.len(), MOST_FUNCTIONS),
                ("texts", parts.texts.len(), MOST_TEXTS),
            ];
            within(counts)?;
        }
        Ok(parts)
    }

    fn location(&mut self, bytes: &[u8]) -> Option<()> {
        let (mut id, mut location) = (0, Location::default());
        for field in fields(bytes) {
            match field? {
                (1, value) => id = value.number()?,
                (3, value) => location.address = value.number()?,
                (4, line) if location.functions.len() < DEEPEST => {
                    location.functions.push(number_of(line.bytes()?, 1)?);
                }
                _ => {}
            }
        }
        self.locations.insert(id, location);
        Some(())
    }

    fn function(&mut self, bytes: &[u8]) -> Option<()> {
        let (id, name, system_name) = (number_of(bytes, 1)?, number_of(bytes, 2)?, number_of(bytes, 3)?);
        self.functions.insert(id, if name > 0 { name } else { system_name });
        Some(())
    }

    fn kind(&self, bytes: &[u8]) -> Result<Kind, Malformed> {
        let text = |number| {
            let place = number_of(bytes, number).ok_or(Malformed::Broken { what: "list of kinds" })?;
            Ok(Arc::from(self.text(place)))
        };
        Ok(Kind { name: text(1)?, unit: text(2)? })
    }

    /// A text of the table; nothing where there is none at this place.
    fn text(&self, place: u64) -> String {
        let bytes = usize::try_from(place).ok().and_then(|place| self.texts.get(place));
        // No more of it than is shown: many may refer to one enormous name.
        let bytes = bytes.copied().unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * LONGEST_NAME)]);
        match text.char_indices().nth(LONGEST_NAME) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text.into_owned(),
        }
    }

    fn stack(&self, bytes: &[u8], kinds: usize, names: &mut Known) -> Result<Stack, Malformed> {
        let broken = || Malformed::Broken { what: "list of stacks" };
        let (mut frames, mut values) = (Vec::new(), Vec::new());
        for field in fields(bytes) {
            let (number, value) = field.ok_or_else(broken)?;
            match number {
                1 => names.add(self, value, &mut frames).ok_or_else(broken)?,
                2 => {
                    for number in value.numbers().take(kinds + 1 - values.len()) {
                        values.push(number.ok_or_else(broken)? as i64);
                    }
                }
                _ => {}
            }
            if values.len() > kinds {
                break;
            }
        }
        if values.len() != kinds {
            return Err(Malformed::Values { found: values.len(), expected: kinds });
        }
        frames.reverse();
        frames.shrink_to_fit();
        Ok(Stack { frames, values })
    }
}

/// The last number of a field, 0 where there is none; `None` where the message is broken.
fn number_of(bytes: &[u8], wanted: u64) -> Option<u64> {
    let mut found = 0;
    for field in fields(bytes) {
        let (number, value) = field?;
        if number == wanted {
            found = value.number()?;
        }
    }
    Some(found)
}
