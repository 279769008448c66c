//! The bytes [`BurnAlerts`] are kept in, so that an alert stays the same one over a restart.

use super::{Alert, BurnAlerts, BurnReading, BurnRule};
use crate::Budget;
use crate::bytes::{Input, Unreadable, put, put_option, put_sum};

impl BurnAlerts {
    /// Appends since when each rule fires.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_option(out, self.judged);
        put(out, self.alerts.len() as u128);
        for alert in &self.alerts {
            for number in identity(&alert.rule) {
                put(out, number.into());
            }
            put_option(out, alert.since);
            put_option(out, alert.holds_since);
            put(out, alert.reading.is_some().into());
            if let Some(reading) = &alert.reading {
                put_sum(out, reading.long.events());
                put_sum(out, reading.short.events());
            }
        }
    }

    /// Goes on where those left off that these bytes are of. A rule that is not among them begins anew.
    pub(crate) fn restore(&mut self, input: &mut Input<'_>) -> Result<(), Unreadable> {
        self.judged = input.time_option()?;
        for _ in 0..input.number()? {
            let mut stored = [0; 5];
            for number in &mut stored {
                *number = input.number()?;
            }
            let (since, holds_since) = (input.time_option()?, input.time_option()?);
            let reading = if input.flag()? {
                let (long, short) = (input.sum()?, input.sum()?);
                Some(BurnReading {
                    long: Budget::new(self.target, long),
                    short: Budget::new(self.target, short),
                })
            } else {
                None
            };
            let known = self.alerts.iter_mut().find(|alert| identity(&alert.rule) == stored);
            if let Some(alert) = known {
                *alert = Alert { rule: alert.rule, since, holds_since, reading };
            }
        }
        Ok(())
    }
}

fn identity(rule: &BurnRule) -> [u64; 5] {
    [rule.factor.thousandths().into(), rule.long, rule.short, rule.hold, rule.at_least.into()]
}
