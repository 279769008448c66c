//! The bytes a [`StateJudge`] is kept in, so that a breach outlives the process that found it.

use super::{Breach, Condition, LONGEST_WINDOW, Reason, Recent, Seen, Spent, State, StateJudge, UpTo};
use crate::Factor;
use crate::bytes::{Input, Unreadable, put, put_float, put_option, put_signed};

const CONDITIONS: [Condition; 5] =
    [Condition::Undecided, Condition::Ok, Condition::Warning, Condition::Breaching, Condition::Exhausted];

impl StateJudge {
    /// Appends what it knows. What it judges by is the objective's.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        self.recent.put(out);
        put(out, u128::from(self.breach.is_some()));
        if let Some(breach) = &self.breach {
            breach.put(out);
        }
        self.spent.put(out);
        put(out, self.now.into());
        put_option(out, self.silent);
        put_option(out, self.quiet);
        let condition = CONDITIONS.iter().position(|one| *one == self.state.condition);
        put(out, condition.unwrap_or(0) as u128);
        put(out, self.state.since.into());
        put_option(out, self.state.delay);
        self.state.reason.put(out);
    }

    /// Goes on where the one left off that these bytes are of.
    pub(crate) fn restore(&mut self, input: &mut Input<'_>) -> Result<(), Unreadable> {
        self.recent = Recent::read(input)?;
        self.breach = if input.flag()? { Some(Breach::read(input)?) } else { None };
        self.spent = Spent::read(input)?;
        self.now = input.time()?;
        self.silent = input.time_option()?;
        self.quiet = input.time_option()?;
        let condition = usize::try_from(input.number()?).ok().and_then(|at| CONDITIONS.get(at));
        self.state = State {
            condition: *condition.ok_or(Unreadable::Contradiction("no such state"))?,
            since: input.time()?,
            delay: input.time_option()?,
            reason: Reason::read(input)?,
        };
        Ok(())
    }
}

impl Recent {
    fn put(&self, out: &mut Vec<u8>) {
        put(out, self.bad.into());
        put(out, self.total.into());
        put(out, self.sums.len() as u128);
        let mut last = UpTo { end: 0, bad: 0, total: 0 };
        for sum in &self.sums {
            let pairs = [(sum.end, last.end), (sum.bad, last.bad), (sum.total, last.total)];
            for (now, before) in pairs {
                put_signed(out, now.wrapping_sub(before).cast_signed());
            }
            last = *sum;
        }
    }

    fn read(input: &mut Input<'_>) -> Result<Self, Unreadable> {
        let mut recent = Self { bad: input.number()?, total: input.number()?, ..Self::default() };
        let count = input.number()?;
        if count > LONGEST_WINDOW as u64 + 1 {
            return Err(Unreadable::Contradiction("more seconds than are looked at"));
        }
        let mut last = UpTo { end: 0, bad: 0, total: 0 };
        for _ in 0..count {
            let mut next = |before: u64| Ok(before.wrapping_add(input.signed()?.cast_unsigned()));
            last = UpTo { end: next(last.end)?, bad: next(last.bad)?, total: next(last.total)? };
            if last.end > u32::MAX.into() {
                return Err(Unreadable::Contradiction("a time is too late"));
            }
            recent.sums.push_back(last);
        }
        Ok(recent)
    }
}

impl Breach {
    fn put(&self, out: &mut Vec<u8>) {
        put(out, self.delay.into());
        put_float(out, self.share);
        put(out, self.calm as u128);
        put(out, self.age as u128);
        self.reason.put(out);
    }

    fn read(input: &mut Input<'_>) -> Result<Self, Unreadable> {
        Ok(Self {
            delay: input.time()?,
            share: input.float()?,
            calm: input.time()? as usize,
            age: input.time()? as usize,
            reason: Reason::read(input)?,
        })
    }
}

impl Spent {
    fn put(&self, out: &mut Vec<u8>) {
        put_option(out, self.step);
        put_share(out, self.used);
        for flag in [self.whole, self.exhausted, self.nearly] {
            put(out, flag.into());
        }
        put_option(out, self.burning.map(|factor| factor.thousandths().into()));
        put_option(out, self.burned);
    }

    fn read(input: &mut Input<'_>) -> Result<Self, Unreadable> {
        Ok(Self {
            step: input.time_option()?,
            used: read_share(input)?,
            whole: input.flag()?,
            exhausted: input.flag()?,
            nearly: input.flag()?,
            burning: input.option()?.map(factor).transpose()?,
            burned: input.time_option()?,
        })
    }
}

impl Reason {
    fn put(self, out: &mut Vec<u8>) {
        match self {
            Self::NeverAny => put(out, 0),
            Self::NoData(seconds) => {
                put(out, 1);
                put(out, seconds.into());
            }
            Self::NoEvents(seconds) => {
                put(out, 2);
                put(out, seconds.into());
            }
            Self::Failing { seen, seconds } => {
                put(out, 3);
                for number in [seen.bad, seen.total, seconds] {
                    put(out, number.into());
                }
            }
            Self::Spent { used, whole } => {
                put(out, 4);
                put_float(out, used);
                put(out, whole.into());
            }
            Self::Burning(factor) => {
                put(out, 5);
                put(out, factor.thousandths().into());
            }
            Self::Burned => put(out, 6),
            Self::Fine { used, whole } => {
                put(out, 7);
                put_share(out, used);
                put(out, whole.into());
            }
        }
    }

    fn read(input: &mut Input<'_>) -> Result<Self, Unreadable> {
        Ok(match input.number()? {
            0 => Self::NeverAny,
            1 => Self::NoData(input.time()?),
            2 => Self::NoEvents(input.time()?),
            3 => Self::Failing {
                seen: Seen { bad: input.number()?, total: input.number()? },
                seconds: input.time()?,
            },
            4 => Self::Spent { used: input.float()?, whole: input.flag()? },
            5 => Self::Burning(factor(input.number()?)?),
            6 => Self::Burned,
            7 => Self::Fine { used: read_share(input)?, whole: input.flag()? },
            _ => return Err(Unreadable::Contradiction("no such reason")),
        })
    }
}

fn put_share(out: &mut Vec<u8>, share: Option<f64>) {
    put(out, share.is_some().into());
    if let Some(share) = share {
        put_float(out, share);
    }
}

fn read_share(input: &mut Input<'_>) -> Result<Option<f64>, Unreadable> {
    if input.flag()? { input.float().map(Some) } else { Ok(None) }
}

fn factor(thousandths: u64) -> Result<Factor, Unreadable> {
    let thousandths = u32::try_from(thousandths).ok().and_then(|number| Factor::new(number).ok());
    thousandths.ok_or(Unreadable::Contradiction("no burn rate"))
}
