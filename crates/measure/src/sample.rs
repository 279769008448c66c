use crate::table::{Packed, packed};
use crate::{Outcome, Phase};

/// Which series a request belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey {
    /// Index of the step in the run's list of steps.
    pub step: u16,
    /// The phase its iteration was due in.
    pub phase: Phase,
    /// The stage its iteration was due in; `None` for setup and teardown.
    pub stage: Option<u16>,
    /// How it ended.
    pub outcome: Outcome,
}

impl SeriesKey {
    /// In place of a step: requests of any step beyond what is told apart, see [`crate::Limits`].
    pub const OVERFLOW_STEP: u16 = u16::MAX;

    /// The name shown in place of such a step's.
    pub const OVERFLOW_NAME: &str = "(overflow)";

    /// The series that counts it when nothing finer is left: phase and outcome stay.
    pub fn overflow(self) -> Self {
        Self { step: Self::OVERFLOW_STEP, stage: None, ..self }
    }

    /// Whether it counts requests of several series together.
    pub fn is_overflow(self) -> bool {
        self.step == Self::OVERFLOW_STEP
    }
}

impl Packed for SeriesKey {
    #[inline]
    fn packed(self) -> u64 {
        packed(self.step, self.phase, self.stage) | (self.outcome as u64) << 48
    }
}

/// A request that ended. Offsets are nanoseconds from the start of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Where it is counted.
    pub key: SeriesKey,
    /// When it should have left.
    pub due: u64,
    /// When a worker got to it.
    pub ready: u64,
    /// When it had a connection and its first byte left; `None` if it never did.
    pub sent: Option<u64>,
    /// When its last body byte came, or it was given up.
    pub done: u64,
    /// How long its TCP connection took to open, if it opened one (nanoseconds).
    pub connect: Option<u64>,
    /// How long its TLS handshake took, if it made one (nanoseconds).
    pub tls: Option<u64>,
    /// From its first byte out to the first byte back (nanoseconds).
    pub first_byte: Option<u64>,
    /// HTTP status of the answer, if one came.
    pub status: Option<u16>,
    /// Bytes read from the connection for it, headers included.
    pub received_bytes: u64,
    /// Bytes written to the connection for it, headers included.
    pub sent_bytes: u64,
    /// Index of the address it went to, in the order of the run's addresses; 0 where there is one, and
    /// beyond all of them for another host than the target.
    pub address: u16,
}

impl Sample {
    /// A request that was due and done at one moment and met nothing on the way.
    pub fn at(key: SeriesKey, due: u64) -> Self {
        Self {
            key,
            due,
            ready: due,
            sent: None,
            done: due,
            connect: None,
            tls: None,
            first_byte: None,
            status: None,
            received_bytes: 0,
            sent_bytes: 0,
            address: 0,
        }
    }
}

/// A duration that every request, or some, has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timing {
    /// done - due.
    ResponseTime,
    /// done - sent.
    ServiceTime,
    /// ready - due: the generator was late.
    ScheduleLag,
    /// sent - ready: no free connection.
    Wait,
    /// TCP connect.
    ConnectTime,
    /// TLS handshake.
    TlsTime,
    /// First byte out to first byte back.
    FirstByteTime,
}

impl Timing {
    /// Every timing, in the order records keep them.
    pub const ALL: [Self; 7] = [
        Self::ResponseTime,
        Self::ServiceTime,
        Self::ScheduleLag,
        Self::Wait,
        Self::ConnectTime,
        Self::TlsTime,
        Self::FirstByteTime,
    ];

    /// Its name in objectives, records and metric names.
    pub fn name(self) -> &'static str {
        match self {
            Self::ResponseTime => "response_time",
            Self::ServiceTime => "service_time",
            Self::ScheduleLag => "schedule_lag",
            Self::Wait => "wait",
            Self::ConnectTime => "connect_time",
            Self::TlsTime => "tls_time",
            Self::FirstByteTime => "first_byte_time",
        }
    }

    /// The timing with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|timing| timing.name() == name)
    }

    /// Its value for a sample in nanoseconds, where the sample has one.
    #[inline(always)]
    pub fn of(self, sample: &Sample) -> Option<u64> {
        match self {
            Self::ResponseTime => Some(sample.done.saturating_sub(sample.due)),
            Self::ServiceTime => sample.sent.map(|sent| sample.done.saturating_sub(sent)),
            Self::ScheduleLag => Some(sample.ready.saturating_sub(sample.due)),
            Self::Wait => sample.sent.map(|sent| sent.saturating_sub(sample.ready)),
            Self::ConnectTime => sample.connect,
            Self::TlsTime => sample.tls,
            Self::FirstByteTime => sample.first_byte,
        }
    }
}

/// Why an arrival was not offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropCause {
    /// `max_in_flight` iterations were running: the target's slowness filled the limit.
    InFlightLimit,
    /// The generator could not: out of descriptors, ports or time. Only this one touches validity.
    Generator,
}

impl DropCause {
    /// Every cause.
    pub const ALL: [Self; 2] = [Self::InFlightLimit, Self::Generator];

    /// The value of the `cause` label.
    pub fn label(self) -> &'static str {
        match self {
            Self::InFlightLimit => "in_flight_limit",
            Self::Generator => "generator",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_means_what_the_design_says() {
        let key = SeriesKey { step: 0, phase: Phase::Measured, stage: Some(0), outcome: Outcome::Ok };
        let sample = Sample {
            key,
            due: 100,
            ready: 130,
            sent: Some(180),
            done: 1000,
            connect: Some(20),
            tls: None,
            first_byte: Some(700),
            status: Some(200),
            received_bytes: 0,
            sent_bytes: 0,
            address: 0,
        };
        let of = |timing: Timing| timing.of(&sample);
        assert_eq!(of(Timing::ScheduleLag), Some(30), "ready - due");
        assert_eq!(of(Timing::Wait), Some(50), "sent - ready");
        assert_eq!(of(Timing::ServiceTime), Some(820), "done - sent");
        assert_eq!(of(Timing::ResponseTime), Some(900), "done - due");
        let never_sent = Sample { sent: None, ..sample };
        assert_eq!(Timing::ServiceTime.of(&never_sent), None);
        assert_eq!(Timing::Wait.of(&never_sent), None);
        assert_eq!(Timing::ResponseTime.of(&never_sent), Some(900));
    }
}
