use std::fmt::{self, Write};
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::names::{FIRST, LAST};
use crate::zipf::Zipf;

/// The longest made text in bytes.
pub(crate) const MOST_TEXT: u32 = 1 << 20;

/// A function that makes values. Its arguments were checked when it was read ([`Function::parse`]).
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    pub(crate) kind: Kind,
    /// The call in one way of writing.
    pub(crate) text: String,
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// A whole number of a range, both ends included, each equally likely.
    Int {
        low: i64,
        high: i64,
    },
    /// A number of a range, its upper end excluded, with this many digits after the point.
    Float {
        low: f64,
        high: f64,
        digits: u8,
    },
    /// A whole number about a mean, with a standard deviation.
    Normal {
        mean: f64,
        deviation: f64,
    },
    /// A key from 1, small ones more often.
    Zipf(Zipf),
    Uuid,
    FirstName,
    LastName,
    Name,
    Email,
    /// A moment between two distances from now, in seconds.
    Date {
        format: String,
        from: i64,
        to: i64,
    },
    Now {
        format: String,
    },
    /// Letters and digits.
    Text(u32),
    Pick(Vec<String>),
    /// How often this user has filled this hole before.
    Sequence,
}

/// Which value of a run is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// The virtual user.
    pub user: u64,
    /// The hole, by its number in the plan.
    pub hole: u16,
    /// How often this user has filled this hole before.
    pub count: u32,
}

/// Makes values from a seed.
///
/// Each turn has a stretch of the random stream to itself: the user chooses one of 2^64 streams of
/// ChaCha8, hole and count a place in it. So no two turns share a random number, and which worker
/// carries a user does not matter.
#[derive(Debug, Clone)]
pub struct Maker(ChaCha8Rng);

impl Maker {
    /// Of a run with this seed.
    pub fn new(seed: u64) -> Self {
        // Pauses and arrivals use streams of the seed itself.
        Self(ChaCha8Rng::seed_from_u64(seed ^ 0x706c_696d_736f_6c6c))
    }

    /// Appends the value of a function at its turn. `now` is asked by functions that make dates.
    pub fn make(&self, function: &Function, turn: Turn, now: impl Fn() -> SystemTime, out: &mut String) {
        let random = || self.random(turn);
        // Writing to a text cannot fail.
        let _ = match &function.kind {
            Kind::Int { low, high } => write!(out, "{}", random().random_range(*low..=*high)),
            Kind::Float { low, high, digits } => {
                let value = low + (high - low) * random().random::<f64>();
                write!(out, "{value:.*}", usize::from(*digits))
            }
            Kind::Normal { mean, deviation } => {
                write!(out, "{}", (mean + deviation * standard_normal(&mut random())).round() as i64)
            }
            Kind::Zipf(zipf) => write!(out, "{}", zipf.draw(&mut random())),
            Kind::Uuid => uuid(random().random(), out),
            Kind::FirstName => out.write_str(one_of(&FIRST, &mut random())),
            Kind::LastName => out.write_str(one_of(&LAST, &mut random())),
            Kind::Name => {
                let mut random = random();
                let (first, last) = (one_of(&FIRST, &mut random), one_of(&LAST, &mut random));
                write!(out, "{first} {last}")
            }
            Kind::Email => {
                let mut random = random();
                let (first, last) = (one_of(&FIRST, &mut random), one_of(&LAST, &mut random));
                let (first, last) = (first.to_lowercase(), last.to_lowercase());
                // A domain that nobody has (RFC 2606).
                write!(out, "{first}.{last}.{:08x}@example.com", random.random::<u32>())
            }
            Kind::Date { format, from, to } => {
                let distance = random().random_range(*from..=*to);
                date(format, since_1970(now()).0.saturating_add(distance), 0, out)
            }
            Kind::Now { format } => {
                let (seconds, nanos) = since_1970(now());
                date(format, seconds, nanos, out)
            }
            Kind::Text(length) => {
                text(*length, &mut random(), out);
                Ok(())
            }
            Kind::Pick(texts) => match texts.choose(&mut random()) {
                Some(text) => out.write_str(text),
                None => Ok(()),
            },
            Kind::Sequence => write!(out, "{}", turn.count),
        };
    }

    fn random(&self, turn: Turn) -> ChaCha8Rng {
        let mut random = self.0.clone();
        random.set_stream(turn.user);
        // Of the 64 bits of the block counter 16 are the value's own: 4 MiB of randomness.
        let block = u128::from(turn.hole) << 48 | u128::from(turn.count) << 16;
        random.set_word_pos(block * 16);
        random
    }
}

fn one_of<'t>(texts: &[&'t str], random: &mut ChaCha8Rng) -> &'t str {
    texts.choose(random).copied().unwrap_or_default()
}

/// Box and Muller, "A note on the generation of random normal deviates", 1958.
fn standard_normal(random: &mut ChaCha8Rng) -> f64 {
    // 1 - u is above zero, and so has a logarithm.
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.random::<f64>()).cos()
}

/// A random UUID: version 4 (RFC 9562, section 5.4).
fn uuid(bits: u128, out: &mut String) -> fmt::Result {
    let bits = bits & !(0xF << 76) & !(0b11 << 62) | 4 << 76 | 0b10 << 62;
    let group = |shift: u32, digits: u32| bits >> shift & ((1 << (digits * 4)) - 1);
    write!(
        out,
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        group(96, 8),
        group(80, 4),
        group(64, 4),
        group(48, 4),
        group(0, 12)
    )
}

fn text(length: u32, random: &mut ChaCha8Rng, out: &mut String) {
    const CHARACTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    out.reserve(length as usize);
    let mut left = length;
    while left > 0 {
        // Of six bits 62 of 64 values are a character; ten of them are in a number of 64 bits.
        let mut bits: u64 = random.random();
        for _ in 0..10 {
            if let Some(character) = CHARACTERS.get((bits & 63) as usize)
                && left > 0
            {
                out.push(char::from(*character));
                left -= 1;
            }
            bits >>= 6;
        }
    }
}

/// Seconds and nanoseconds since 1970.
fn since_1970(now: SystemTime) -> (i64, i32) {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (now.as_secs() as i64, now.subsec_nanos() as i32)
}

/// A moment of UTC in words; nothing where the calendar ends or the format is none.
fn date(format: &str, seconds: i64, nanos: i32, out: &mut String) -> fmt::Result {
    out.push_str(&formatted(format, seconds, nanos).unwrap_or_default());
    Ok(())
}

fn formatted(format: &str, seconds: i64, nanos: i32) -> Result<String, jiff::Error> {
    let moment = Timestamp::new(seconds, nanos)?.to_zoned(TimeZone::UTC);
    BrokenDownTime::from(&moment).to_string(format)
}

/// Whether a format makes a date.
pub(crate) fn check_format(format: &str) -> Result<(), String> {
    formatted(format, 1_000_000_000, 0).map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(call: &str, turn: Turn) -> String {
        let function = Function::parse(call).unwrap_or_else(|error| panic!("{call}: {error}"));
        let mut out = String::new();
        let now = || SystemTime::UNIX_EPOCH + std::time::Duration::new(1_700_000_000, 123_456_789);
        Maker::new(7).make(&function, turn, now, &mut out);
        out
    }

    const FIRST_TURN: Turn = Turn { user: 0, hole: 0, count: 0 };

    /// The first 1,000 values of one user.
    fn series(call: &str) -> Vec<String> {
        (0..1000).map(|count| made(call, Turn { user: 3, hole: 2, count })).collect()
    }

    fn figures(call: &str) -> (f64, f64, f64, f64) {
        let values: Vec<f64> = series(call).iter().map(|value| value.parse().unwrap_or(f64::NAN)).collect();
        let mean = values.iter().sum::<f64>() / 1000.0;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 999.0;
        let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
        (mean, variance.sqrt(), low, high)
    }

    #[test]
    fn numbers_follow_their_law() {
        // Bounds are five standard errors of 1,000 draws.
        let (mean, _, low, high) = figures("int(1, 100)");
        assert!((45.9..55.1).contains(&mean) && low >= 1.0 && high <= 100.0, "{mean} {low} {high}");
        let (mean, deviation, ..) = figures("normal(500, 50)");
        assert!((492.0..508.0).contains(&mean) && (44.0..56.0).contains(&deviation), "{mean} {deviation}");
        let (mean, _, low, high) = figures("float(-1, 1, 3)");
        assert!((-0.1..0.1).contains(&mean) && low >= -1.0 && high <= 1.0, "{mean} {low} {high}");
        let (_, _, low, high) = figures("zipf(50, 1.1)");
        assert!(low == 1.0 && high <= 50.0, "{low} {high}");
        assert_eq!(series("int(4, 4)")[0], "4");
        assert!(
            series("int(-9223372036854775808, 9223372036854775807)").iter().all(|n| n.parse::<i64>().is_ok())
        );
    }

    #[test]
    fn texts_have_their_form() {
        let uuids = series("uuid()");
        let pattern = |uuid: &String| {
            let places: Vec<usize> = uuid.match_indices('-').map(|(at, _)| at).collect();
            uuid.len() == 36
                && places == [8, 13, 18, 23]
                && uuid.as_bytes()[14] == b'4'
                && b"89ab".contains(&uuid.as_bytes()[19])
        };
        assert!(uuids.iter().all(pattern), "{uuids:?}");
        let different: std::collections::BTreeSet<_> = uuids.iter().collect();
        assert_eq!(different.len(), 1000);
        for length in [0, 1, 9, 200, 100_000] {
            let text = made(&format!("text({length})"), FIRST_TURN);
            assert!(text.len() == length && text.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{text}");
        }
        assert!(
            series("email()").iter().all(|email| email.ends_with("@example.com") && !email.contains(' '))
        );
        assert!(series("name()").iter().all(|name| name.split(' ').count() == 2));
        assert!(series("first_name()").iter().all(|name| FIRST.contains(&name.as_str())));
        assert!(series("last_name()").iter().all(|name| LAST.contains(&name.as_str())));
        let picked: std::collections::BTreeSet<_> = series("pick('a', \"b\", 'c, d')").into_iter().collect();
        assert_eq!(picked.into_iter().collect::<Vec<_>>(), ["a", "b", "c, d"]);
        assert_eq!(series("sequence()")[..3], ["0", "1", "2"]);
    }

    #[test]
    fn dates_count_from_now() {
        assert_eq!(made("now('%Y-%m-%dT%H:%M:%SZ')", FIRST_TURN), "2023-11-14T22:13:20Z");
        assert_eq!(made("now('%s%3f')", FIRST_TURN), "1700000000123");
        assert_eq!(made("date('%Y-%m-%d', -1d, -1d)", FIRST_TURN), "2023-11-13");
        assert_eq!(made("date('%s', 1h30m, 1h30m)", FIRST_TURN), "1700005400");
        let days = series("date('%Y-%m-%d', -30d, 0)");
        assert!(days.iter().all(|day| ("2023-10-15"..="2023-11-14").contains(&day.as_str())), "{days:?}");
        assert_eq!(days.iter().collect::<std::collections::BTreeSet<_>>().len(), 31);
    }

    #[test]
    fn a_turn_decides_and_nothing_else() {
        let turn = |user, hole, count| made("uuid()", Turn { user, hole, count });
        assert_eq!(turn(1, 2, 3), turn(1, 2, 3));
        let turns =
            [turn(1, 2, 3), turn(2, 2, 3), turn(1, 3, 3), turn(1, 2, 4), turn(u64::MAX, u16::MAX, u32::MAX)];
        for (position, one) in turns.iter().enumerate() {
            assert!(!turns[..position].contains(one), "{turns:?}");
        }
    }
}
