//! The bytes of what keepers were told, as a journal keeps them: six to ten a second and keeper.

use super::Entry;
use crate::Moment;
use crate::bytes::{Input, Unreadable, put, put_counts, put_signed};

const VERSION: u8 = 1;

impl Entry {
    /// The bytes of what several keepers were told, each with the keeper's number.
    pub fn to_bytes(told: &[(u64, Self)]) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        let out = &mut bytes;
        let mut last = 0;
        for (keeper, entry) in told {
            put(out, (*keeper).into());
            let (kind, second) = match *entry {
                Self::Second { second, moment: None } => (0, second),
                Self::Second { second, moment: Some(_) } => (1, second),
                Self::Share { second, .. } => (2, second),
                Self::Late { second, .. } => (3, second),
                Self::Resumed { now } => (4, now),
            };
            put(out, kind);
            put_signed(out, second.wrapping_sub(last).cast_signed());
            last = second;
            match *entry {
                Self::Second { moment: Some(moment), .. } => {
                    put_counts(out, moment.counts);
                    put(out, moment.overdue.into());
                }
                Self::Share { good, .. } => put(out, good.into()),
                Self::Late { counts, .. } => put_counts(out, counts),
                Self::Second { moment: None, .. } | Self::Resumed { .. } => {}
            }
        }
        bytes
    }

    /// What these bytes were made of.
    ///
    /// # Errors
    /// When they are damaged, or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Vec<(u64, Self)>, Unreadable> {
        let (&version, rest) = bytes.split_first().ok_or(Unreadable::Length)?;
        if version != VERSION {
            return Err(Unreadable::Version(version));
        }
        let mut input = Input(rest);
        let mut told = Vec::new();
        let mut last = 0_u64;
        while !input.0.is_empty() {
            let (keeper, kind) = (input.number()?, input.number()?);
            last = last.wrapping_add(input.signed()?.cast_unsigned());
            let entry = match kind {
                0 => Self::Second { second: last, moment: None },
                1 => {
                    let moment = Moment { counts: input.counts()?, overdue: input.number()? };
                    Self::Second { second: last, moment: Some(moment) }
                }
                2 => Self::Share { second: last, good: input.number()? },
                3 => Self::Late { second: last, counts: input.counts()? },
                4 => Self::Resumed { now: last },
                _ => return Err(Unreadable::Contradiction("no such entry")),
            };
            told.push((keeper, entry));
        }
        Ok(told)
    }
}
