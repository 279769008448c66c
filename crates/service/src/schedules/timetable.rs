use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::job::Job;
use super::when::{MOST_COUNTED, When};

/// How late a time may be noticed and still counts as now: longer than a busy machine keeps us waiting.
const LATE: SignedDuration = SignedDuration::from_secs(60);

/// The waits of a continuous schedule whose run did not last or failed: doubled each time.
const FIRST_WAIT: SignedDuration = SignedDuration::from_secs(1);
const LONGEST_WAIT: SignedDuration = SignedDuration::from_mins(5);

/// How far a time that was set may lie in the future before the clock must have been set back: farther than any wait.
const SET_BACK: SignedDuration = LONGEST_WAIT;

/// A run that lasted so long had begun well: the next one waits no longer than after the first failure.
const LASTED: SignedDuration = SignedDuration::from_mins(1);

/// Something and when it is started.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Its name, unique among the schedules; tag `schedule` of its runs.
    pub name: String,
    /// What is started.
    pub job: Job,
    /// How many of its reports are kept, the newest.
    pub keep: usize,
    /// When.
    pub when: When,
    /// What happens when the run before still goes on.
    pub overlap: Overlap,
    /// What happens with times at which no service ran.
    pub missed: Missed,
}

impl Schedule {
    /// How many reports are kept where nobody says it.
    pub const KEPT: usize = 50;
}

/// What happens when a run is due while the one before still goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlap {
    /// The new one is left out.
    #[default]
    Skip,
    /// It starts when the other has ended; one waits, never more.
    Queue,
    /// The other is stopped, then it starts.
    Replace,
}

/// What happens with times at which no service ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missed {
    /// They are left out, and told.
    #[default]
    Skip,
    /// One run makes up for all of them.
    Once,
}

/// What is kept of a schedule from one service to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// The last time that was dealt with.
    pub(crate) due: Option<Timestamp>,
    /// Whether somebody paused it.
    pub(crate) is_paused: bool,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Start what this schedule is for.
    Start {
        /// The schedule.
        schedule: String,
    },
    /// Stop its run: the new one starts when it has ended.
    Stop {
        /// The schedule.
        schedule: String,
    },
    /// Times went by without a run.
    Left {
        /// The schedule.
        schedule: String,
        /// Why, in words for people.
        why: String,
    },
}

/// The schedules and what is due: a function of what it was told and of the time it is asked at.
#[derive(Debug)]
pub(crate) struct Timetable {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    schedule: Schedule,
    memory: Memory,
    /// Due, and waiting until the run before has ended.
    waits: bool,
    /// A continuous one does not start before.
    not_before: Option<Timestamp>,
    wait: SignedDuration,
}

impl Timetable {
    /// The schedules, with what the last service left. One that is new begins now.
    pub(crate) fn new(schedules: Vec<Schedule>, mut kept: BTreeMap<String, Memory>, now: Timestamp) -> Self {
        let entry = |schedule: Schedule| {
            let mut memory = kept.remove(&schedule.name).unwrap_or_default();
            memory.due.get_or_insert(now);
            let name = schedule.name.clone();
            (name, Entry { schedule, memory, waits: false, not_before: None, wait: FIRST_WAIT })
        };
        Self { entries: schedules.into_iter().map(entry).collect() }
    }

    /// What is to be done now; `runs` says whether a run of a schedule goes on.
    pub(crate) fn look(&mut self, now: Timestamp, runs: impl Fn(&str) -> bool) -> Vec<Decision> {
        let mut decisions = Vec::new();
        for (name, entry) in &mut self.entries {
            entry.look(now, runs(name), &mut decisions);
        }
        decisions
    }

    /// A run of a schedule has ended, or could not begin: then it lasted no time.
    pub(crate) fn ended(&mut self, schedule: &str, now: Timestamp, lasted: SignedDuration, is_well: bool) {
        let Some(entry) = self.entries.get_mut(schedule) else { return };
        if is_well || lasted >= LASTED {
            entry.wait = FIRST_WAIT;
        }
        let wait = if is_well && lasted >= FIRST_WAIT { SignedDuration::ZERO } else { entry.wait };
        entry.not_before = now.checked_add(wait).ok();
        if !wait.is_zero() {
            entry.wait = (entry.wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Pauses a schedule, or goes on with it: times that passed meanwhile are not made up for.
    pub(crate) fn pause(&mut self, schedule: &str, is_paused: bool, now: Timestamp) -> bool {
        let Some(entry) = self.entries.get_mut(schedule) else { return false };
        entry.memory = Memory { due: Some(now), is_paused };
        entry.waits = false;
        entry.wait = FIRST_WAIT;
        entry.not_before = None;
        true
    }

    /// The schedules, each with what is to be kept of it.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&Schedule, &Memory)> {
        self.entries.values().map(|entry| (&entry.schedule, &entry.memory))
    }

    /// When a schedule starts next, as far as a clock says it.
    pub(crate) fn next(&self, schedule: &str, now: Timestamp) -> Option<Timestamp> {
        let entry = self.entries.get(schedule).filter(|entry| !entry.memory.is_paused)?;
        match &entry.schedule.when {
            When::Cron(cron) => cron.next(entry.memory.due.unwrap_or(now).min(now)),
            When::Continuous => entry.not_before.filter(|then| *then > now),
            When::OnDemand => None,
        }
    }
}

impl Entry {
    fn look(&mut self, now: Timestamp, runs: bool, decisions: &mut Vec<Decision>) {
        if self.memory.is_paused {
            return;
        }
        match &self.schedule.when {
            When::OnDemand => {}
            When::Continuous => {
                if !runs && self.not_before.is_none_or(|then| then <= now || is_set_back(then, now)) {
                    // Told again only when this one has ended, or could not begin.
                    decisions.push(self.start());
                }
            }
            When::Cron(_) => self.look_at_clock(now, runs, decisions),
        }
        if self.waits && !runs {
            self.waits = false;
            decisions.push(self.start());
        }
    }

    fn look_at_clock(&mut self, now: Timestamp, runs: bool, decisions: &mut Vec<Decision>) {
        let When::Cron(cron) = &self.schedule.when else { return };
        let due = self.memory.due.filter(|due| !is_set_back(*due, now)).unwrap_or(now);
        self.memory.due = Some(due);
        let Some((latest, count)) = cron.latest(due, now) else { return };
        self.memory.due = Some(latest);
        let is_late = now.duration_since(latest) > LATE;
        let missed = if is_late { count } else { count - 1 };
        if missed > 0 {
            let makes_up = is_late && self.schedule.missed == Missed::Once;
            decisions.push(self.left(&missed_words(missed, makes_up)));
        }
        if is_late && self.schedule.missed == Missed::Skip {
            return;
        }
        match (runs, self.schedule.overlap) {
            (false, _) => {
                self.waits = false;
                decisions.push(self.start());
            }
            (true, Overlap::Skip) => decisions.push(self.left("the run before still goes on")),
            (true, Overlap::Queue) if self.waits => {
                decisions.push(self.left("one waits already for the run before to end"));
            }
            (true, Overlap::Queue) => self.waits = true,
            (true, Overlap::Replace) => {
                self.waits = true;
                decisions.push(Decision::Stop { schedule: self.schedule.name.clone() });
            }
        }
    }

    fn start(&self) -> Decision {
        Decision::Start { schedule: self.schedule.name.clone() }
    }

    fn left(&self, why: &str) -> Decision {
        Decision::Left { schedule: self.schedule.name.clone(), why: why.to_owned() }
    }
}

fn missed_words(missed: u32, makes_up: bool) -> String {
    let times = match missed {
        1 => "one time was".to_owned(),
        MOST_COUNTED.. => format!("{MOST_COUNTED} times or more were"),
        many => format!("{many} times were"),
    };
    let makes_up = if makes_up { "; one run makes up for it" } else { "" };
    format!("{times} missed, because no service ran or its clock was set forward{makes_up}")
}

fn is_set_back(then: Timestamp, now: Timestamp) -> bool {
    then.duration_since(now) > SET_BACK
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-23T{text}Z").parse().unwrap()
    }

    fn schedule(when: &str, overlap: Overlap, missed: Missed) -> Schedule {
        let when = When::parse(when, "UTC").unwrap();
        let job = Job::Plan("shop".to_owned());
        Schedule { name: "nightly".to_owned(), job, keep: Schedule::KEPT, when, overlap, missed }
    }

    fn timetable(when: &str, overlap: Overlap, missed: Missed, now: &str) -> Timetable {
        Timetable::new(vec![schedule(when, overlap, missed)], BTreeMap::new(), at(now))
    }

    /// What was decided, each in a word, and why something was left.
    fn words(decisions: &[Decision]) -> String {
        let word = |decision: &Decision| match decision {
            Decision::Start { .. } => "start".to_owned(),
            Decision::Stop { .. } => "stop".to_owned(),
            Decision::Left { why, .. } => why.clone(),
        };
        decisions.iter().map(word).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_cron_line_starts_its_plan_once_at_each_of_its_times() {
        let mut table = timetable("0 * * * *", Overlap::Skip, Missed::Skip, "00:30:00");
        assert_eq!(table.next("nightly", at("00:30:00")), Some(at("01:00:00")));
        for (now, runs, expected) in [
            ("00:59:59", false, ""),
            ("01:00:00", false, "start"),
            ("01:00:01", true, ""),
            ("01:59:59", true, ""),
            ("02:00:00", true, "the run before still goes on"),
            ("02:00:01", false, ""),
            ("03:00:59", false, "start"),
        ] {
            assert_eq!(words(&table.look(at(now), |_| runs)), expected, "{now}");
        }
    }

    #[test]
    fn what_overlaps_waits_or_replaces_where_that_is_asked() {
        let mut table = timetable("0 * * * *", Overlap::Queue, Missed::Skip, "00:30:00");
        for (now, runs, expected) in [
            ("01:00:00", false, "start"),
            ("02:00:00", true, ""),
            ("03:00:00", true, "one waits already for the run before to end"),
            ("03:10:00", true, ""),
            ("03:10:01", false, "start"),
            ("03:10:02", false, ""),
        ] {
            assert_eq!(words(&table.look(at(now), |_| runs)), expected, "{now}");
        }
        let mut table = timetable("0 * * * *", Overlap::Replace, Missed::Skip, "00:30:00");
        for (now, runs, expected) in
            [("01:00:00", true, "stop"), ("01:00:01", true, ""), ("01:00:02", false, "start")]
        {
            assert_eq!(words(&table.look(at(now), |_| runs)), expected, "{now}");
        }
    }

    #[test]
    fn times_without_a_service_are_left_out_or_made_up_for_once() {
        let missed = "5 times were missed, because no service ran or its clock was set forward";
        let mut table = timetable("0 * * * *", Overlap::Skip, Missed::Skip, "00:30:00");
        assert_eq!(words(&table.look(at("05:20:00"), |_| false)), missed);
        assert_eq!(words(&table.look(at("05:20:01"), |_| false)), "");
        let mut table = timetable("0 * * * *", Overlap::Skip, Missed::Once, "00:30:00");
        let once = format!("{missed}; one run makes up for it, start");
        assert_eq!(words(&table.look(at("05:20:00"), |_| false)), once);
        assert_eq!(words(&table.look(at("05:20:01"), |_| false)), "");
        // The latest of them is now, and those before it are missed.
        let mut table = timetable("0 * * * *", Overlap::Skip, Missed::Skip, "00:30:00");
        let four = "4 times were missed, because no service ran or its clock was set forward, start";
        assert_eq!(words(&table.look(at("05:00:10"), |_| false)), four);
    }

    #[test]
    fn what_was_dealt_with_is_remembered_by_the_next_service() {
        let memory = Memory { due: Some(at("03:00:00")), is_paused: false };
        let kept = BTreeMap::from([("nightly".to_owned(), memory)]);
        let mut table =
            Timetable::new(vec![schedule("0 * * * *", Overlap::Skip, Missed::Once)], kept, at("04:30:00"));
        assert!(words(&table.look(at("04:30:00"), |_| false)).ends_with("start"), "four was missed");
        let kept = table.entries().map(|(schedule, memory)| (schedule.name.clone(), memory.clone()));
        let mut table = Timetable::new(
            vec![schedule("0 * * * *", Overlap::Skip, Missed::Once)],
            kept.collect(),
            at("04:31:00"),
        );
        assert_eq!(words(&table.look(at("04:31:00"), |_| false)), "");
    }

    #[test]
    fn a_clock_that_is_set_back_starts_nothing_twice_and_silences_nothing() {
        let mut table = timetable("0 * * * *", Overlap::Skip, Missed::Skip, "10:30:00");
        assert_eq!(words(&table.look(at("11:00:00"), |_| false)), "start");
        // By some seconds: that time is dealt with.
        assert_eq!(words(&table.look(at("10:59:58"), |_| false)), "");
        assert_eq!(words(&table.look(at("11:00:00"), |_| false)), "");
        // By hours: it goes on from there.
        assert_eq!(words(&table.look(at("05:30:00"), |_| false)), "");
        assert_eq!(words(&table.look(at("06:00:00"), |_| false)), "start");
    }

    #[test]
    fn a_continuous_schedule_begins_again_and_waits_longer_after_each_failure() {
        let mut table = timetable("continuous", Overlap::Skip, Missed::Skip, "00:00:00");
        let second = SignedDuration::from_secs(1);
        assert_eq!(words(&table.look(at("00:00:00"), |_| false)), "start");
        assert_eq!(words(&table.look(at("00:00:01"), |_| true)), "");
        table.ended("nightly", at("00:10:00"), second * 600, true);
        assert_eq!(words(&table.look(at("00:10:00"), |_| false)), "start", "at once after a good one");
        let mut now = at("00:20:00");
        let mut waits = Vec::new();
        for _ in 0..11 {
            table.ended("nightly", now, SignedDuration::ZERO, false);
            let began = now;
            while table.look(now, |_| false).is_empty() {
                now += second;
            }
            waits.push(now.duration_since(began).as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        table.ended("nightly", now, second * 61, false);
        assert_eq!(table.next("nightly", now), Some(now + second), "it had begun well");
    }

    #[test]
    fn a_paused_schedule_starts_nothing_and_makes_up_for_nothing() {
        for (when, resumed) in [("0 * * * *", ""), ("continuous", "start"), ("on_demand", "")] {
            let mut table = timetable(when, Overlap::Queue, Missed::Once, "00:30:00");
            assert!(table.pause("nightly", true, at("00:30:00")));
            assert_eq!(words(&table.look(at("05:20:00"), |_| false)), "", "{when}");
            assert_eq!(table.next("nightly", at("05:20:00")), None);
            assert!(table.pause("nightly", false, at("05:30:00")));
            assert_eq!(words(&table.look(at("05:30:00"), |_| false)), resumed, "{when}");
        }
        let mut table = timetable("continuous", Overlap::Skip, Missed::Skip, "00:00:00");
        assert!(!table.pause("another", true, at("00:00:00")));
    }

    #[test]
    fn on_demand_starts_nothing_by_itself() {
        let mut table = timetable("on_demand", Overlap::Skip, Missed::Once, "00:00:00");
        assert_eq!(words(&table.look(at("23:00:00"), |_| false)), "");
        assert_eq!(table.next("nightly", at("23:00:00")), None);
    }

    proptest::proptest! {
        /// However the clock jumps and whatever runs: no time is started twice, and a look ends.
        #[test]
        fn no_time_is_started_twice_while_the_clock_goes_on(
            steps in proptest::collection::vec((0_i64..20_000, proptest::bool::ANY), 1..60),
        ) {
            let mut table = timetable("*/10 * * * *", Overlap::Skip, Missed::Skip, "00:00:00");
            let mut now = at("00:00:00");
            let mut started: Vec<Option<Timestamp>> = Vec::new();
            for (ahead, runs) in steps {
                now += SignedDuration::from_secs(ahead);
                let starts = table.look(now, |_| runs).iter().filter(|one| matches!(one, Decision::Start { .. })).count();
                proptest::prop_assert!(starts <= 1);
                if starts == 1 {
                    let due = table.entries().next().and_then(|(_, memory)| memory.due);
                    proptest::prop_assert!(!started.contains(&due));
                    started.push(due);
                }
            }
        }
    }
}
