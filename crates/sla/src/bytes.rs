//! Numbers as bytes, for what is kept: LEB128, seven bits a byte.
//!
//! Bytes that are damaged are refused or read as something else that is sound; they never panic.

use crate::{Counts, Sum};

/// Why bytes are no ledger of an objective.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Of another version of the program, or no ledger at all.
    #[error("the budget was kept in a form of version {0}, which this program does not read")]
    Version(u8),
    /// They end in the middle, or go on behind the end.
    #[error("the budget's bytes are cut short or too long")]
    Length,
    /// A number that cannot be.
    #[error("the budget's bytes contradict themselves: {0}")]
    Contradiction(&'static str),
    /// Its events are others than this objective's.
    #[error("the budget was kept by another budgeting method, or with other time slices")]
    Method,
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
pub(crate) fn put(out: &mut Vec<u8>, mut number: u128) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A number that may be missing: one more, or 0.
pub(crate) fn put_option(out: &mut Vec<u8>, number: Option<u64>) {
    put(out, number.map_or(0, |number| u128::from(number) + 1));
}

/// A number that may be negative: small ones of either sign are short.
pub(crate) fn put_signed(out: &mut Vec<u8>, number: i64) {
    put(out, (number.cast_unsigned() << 1 ^ (number >> 63).cast_unsigned()).into());
}

/// A number with a fraction, bit by bit.
pub(crate) fn put_float(out: &mut Vec<u8>, number: f64) {
    put(out, number.to_bits().into());
}

/// The bad and the good ones.
pub(crate) fn put_sum(out: &mut Vec<u8>, sum: Sum) {
    put(out, sum.bad());
    put(out, sum.good());
}

/// The bad and the good ones.
pub(crate) fn put_counts(out: &mut Vec<u8>, counts: Counts) {
    put(out, counts.bad().into());
    put(out, counts.good().into());
}

/// What is still to be read.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl Input<'_> {
    pub(crate) fn large(&mut self) -> Result<u128, Unreadable> {
        let mut number = 0_u128;
        for shift in (0..).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(Unreadable::Length)?;
            self.0 = rest;
            let bits = u128::from(byte & 0x7f);
            let shifted = bits.checked_shl(shift).filter(|shifted| shifted >> shift == bits);
            number |= shifted.ok_or(Unreadable::Contradiction("a number is too large"))?;
            if byte & 0x80 == 0 {
                break;
            }
        }
        Ok(number)
    }

    pub(crate) fn number(&mut self) -> Result<u64, Unreadable> {
        self.large()?.try_into().map_err(|_| Unreadable::Contradiction("a number is too large"))
    }

    /// A time until 2106.
    pub(crate) fn time(&mut self) -> Result<u64, Unreadable> {
        let time: u32 =
            self.number()?.try_into().map_err(|_| Unreadable::Contradiction("a time is too late"))?;
        Ok(time.into())
    }

    pub(crate) fn counts(&mut self) -> Result<Counts, Unreadable> {
        let too_many = Unreadable::Contradiction("more events than can be counted");
        let (bad, good) = (self.number()?, self.number()?);
        let total = good.checked_add(bad).filter(|total| *total <= Counts::MOST).ok_or(too_many.clone())?;
        Counts::new(good, total).map_err(|_| too_many)
    }

    pub(crate) fn option(&mut self) -> Result<Option<u64>, Unreadable> {
        Ok(self.number()?.checked_sub(1))
    }

    /// A time or a number of seconds that may be missing.
    pub(crate) fn time_option(&mut self) -> Result<Option<u64>, Unreadable> {
        let time = self.option()?;
        if time.is_some_and(|time| time > u32::MAX.into()) {
            return Err(Unreadable::Contradiction("a time is too late"));
        }
        Ok(time)
    }

    pub(crate) fn signed(&mut self) -> Result<i64, Unreadable> {
        let number = self.number()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    pub(crate) fn float(&mut self) -> Result<f64, Unreadable> {
        let number = f64::from_bits(self.number()?);
        if number.is_finite() { Ok(number) } else { Err(Unreadable::Contradiction("a figure is no number")) }
    }

    pub(crate) fn flag(&mut self) -> Result<bool, Unreadable> {
        match self.number()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Unreadable::Contradiction("neither yes nor no")),
        }
    }

    pub(crate) fn sum(&mut self) -> Result<Sum, Unreadable> {
        Sum::of(self.large()?, self.large()?)
            .ok_or(Unreadable::Contradiction("more events than can be counted"))
    }
}
