//! All promises and how they stand: what comes goes to their desks, and what is to be written is collected.
//!
//! Nothing here waits or looks at a clock. Seconds are Unix time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plimsoll_exposition::{Family, Labels, Point, Value as Level, catalogue};
use plimsoll_history::{KeptState, SlaBreach, SlaChanges, SlaMonth, SlaStatus};
use plimsoll_run::State as RunState;
use plimsoll_sla::{Budget, Condition, Counts, Entry, Events, Keeper, Moment, Sla};
use serde_json::Value;

use super::desk::{Desk, Seen, Told};
use super::news::{self, News};
use super::{month, status};

/// For how many seconds data is waited for. What comes later is late.
const PATIENCE: u64 = 2;

/// How often the whole state is written, in seconds: the journal between two of them takes a moment to tell again.
const STATE_EVERY: u64 = 600;

/// More entries than this are not told again a second time: twice those between two states.
const LONG_JOURNAL: usize = 2 * STATE_EVERY as usize;

/// How often a status is written at least, in seconds, where the alerts have steps of a second.
const STATUS_EVERY: u64 = 10;

/// More values of a label than this are not judged.
pub(super) const MOST_VALUES: usize = 1000;

/// Every condition, in the order in which they are exposed.
const CONDITIONS: [Condition; 5] =
    [Condition::Ok, Condition::Warning, Condition::Breaching, Condition::Exhausted, Condition::Undecided];

/// What is judged.
#[derive(Debug)]
pub(super) struct Bench {
    slas: Vec<Arc<Sla>>,
    rows: Vec<Row>,
    /// Which rows an SLA has.
    rows_of: Vec<Vec<usize>>,
    runs: BTreeMap<String, Running>,
    journal: Vec<(u64, Entry)>,
    breaches: Vec<SlaBreach>,
    /// What somebody may want to be told.
    news: Vec<News>,
    /// Why events of an SLA cannot be had.
    troubles: Vec<Option<String>>,
    /// Whether all states are to be written, because entries of the journal were not.
    rewrite: bool,
    /// What runs came to so far, as long as not all that they have recorded was taken.
    held: Option<Held>,
}

/// What is written and told only once all that runs have recorded was taken. Runs overlap, so until then a state may be as of a
/// second that is still to come from another run, and whoever went on behind it would never count that one.
#[derive(Debug, Default)]
struct Held {
    has_told: bool,
    breaches: Vec<SlaBreach>,
    news: Vec<News>,
}

/// A promise, or one value of the label that it holds for each of.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) sla: Arc<Sla>,
    pub(super) value: Option<String>,
    pub(super) trouble: Option<String>,
    index: usize,
    number: i64,
    desk: Desk,
    /// What came before this second was counted by an earlier process.
    counted_to: u64,
    /// The entry of the journal that the written state is as of.
    upto: Option<i64>,
    breach: Option<SlaBreach>,
    /// Somebody was told of a breach, and not of its end.
    owes_end: bool,
    written: Option<Written>,
    /// Events since this process began.
    events: (u64, u64),
}

/// What was said when the status was written last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Written {
    condition: Condition,
    firing: usize,
    at: u64,
}

/// A run, as far as it was heard of. One that is over is remembered too: where its process died it may go on, and is then
/// read again from its beginning.
#[derive(Debug)]
struct Running {
    plan: String,
    /// The newest second that was taken, counted from the start of the run.
    newest: u64,
    /// The second after it, in Unix time.
    next: u64,
    /// Good, all and overdue events so far, by SLA.
    so_far: BTreeMap<usize, (u64, u64)>,
    /// Seconds that do not count, and nobody was told of yet.
    uncounted: u64,
    is_over: bool,
}

/// What a second of a run came to, by SLA.
struct Grown {
    at: u64,
    seen: Vec<(usize, Result<Moment, String>)>,
}

/// A run as of the second that was folded last.
#[derive(Debug)]
pub(crate) struct RunSecond<'r> {
    pub(crate) run: &'r str,
    pub(crate) state: &'r RunState,
}

impl Row {
    pub(super) fn keeper(&self) -> &Keeper {
        self.desk.keeper()
    }

    fn is_of_runs(&self) -> bool {
        matches!(self.sla.events, Events::Runs(_))
    }

    /// What of what it was told somebody may want to be told. That nobody can know is no recovery.
    fn news(&mut self, told: &[Told]) -> Vec<News> {
        let mut news: Vec<News> = news::breaches(self, told).collect();
        self.owes_end |= !news.is_empty();
        let is_kept = match self.keeper().state().condition {
            Condition::Ok | Condition::Warning | Condition::Exhausted => true,
            Condition::Breaching | Condition::Undecided => false,
        };
        if self.owes_end && is_kept {
            self.owes_end = false;
            news.push(news::over(self));
        }
        news
    }

    /// Its name in metrics.
    pub(super) fn label(&self) -> String {
        match &self.value {
            None => self.sla.slo.name.clone(),
            Some(value) => format!("{}/{value}", self.sla.slo.name),
        }
    }
}

impl Bench {
    pub(super) fn new(slas: Vec<Arc<Sla>>) -> Self {
        Self {
            troubles: vec![None; slas.len()],
            rows_of: vec![Vec::new(); slas.len()],
            slas,
            rows: Vec::new(),
            runs: BTreeMap::new(),
            journal: Vec::new(),
            breaches: Vec::new(),
            news: Vec::new(),
            rewrite: false,
            held: None,
        }
    }

    /// Writes and tells nothing of what runs come to until [`Self::release`]; whether runs are judged at all.
    pub(super) fn hold(&mut self) -> bool {
        let is_of_runs = self.rows.iter().any(Row::is_of_runs);
        self.held = is_of_runs.then(Held::default);
        is_of_runs
    }

    /// All that runs have recorded was taken.
    pub(super) fn release(&mut self) {
        let Some(held) = self.held.take() else { return };
        self.breaches.extend(held.breaches);
        self.news.extend(held.news);
        // What the journal was not given, states make up for.
        self.rewrite |= held.has_told;
    }

    pub(super) fn slas(&self) -> &[Arc<Sla>] {
        &self.slas
    }

    /// Everything that is judged; why its events cannot be had stands with each.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter()
    }

    /// Whether this value of the SLA's label is judged, or can be.
    pub(super) fn has_room(&self, sla: usize, value: Option<&str>) -> bool {
        self.row(sla, value).is_some() || self.rows_of.get(sla).is_some_and(|rows| rows.len() < MOST_VALUES)
    }

    pub(super) fn row(&self, sla: usize, value: Option<&str>) -> Option<usize> {
        let is_meant = |at: &usize| self.rows.get(*at).is_some_and(|row| row.value.as_deref() == value);
        self.rows_of.get(sla)?.iter().copied().find(is_meant)
    }

    /// Begins to judge an SLA, or one value of its label, or goes on with what was kept.
    pub(super) fn add(
        &mut self,
        index: usize,
        value: Option<String>,
        number: i64,
        kept: Option<&KeptState>,
    ) -> Result<(), String> {
        let Some(sla) = self.slas.get(index).map(Arc::clone) else { return Ok(()) };
        let read = kept.map(|kept| (kept.upto, Keeper::from_bytes(&kept.state, &sla)));
        let (upto, keeper, problem) = match read {
            Some((upto, Ok(keeper))) => (Some(upto), keeper, None),
            Some((_, Err(error))) => (None, begin(&sla)?, Some(error.to_string())),
            None => (None, begin(&sla)?, None),
        };
        if let Some(problem) = problem {
            tracing::warn!(
                sla = sla.slo.name,
                problem,
                "what was counted before is of no use; counting begins anew"
            );
        }
        if let Some(rows) = self.rows_of.get_mut(index) {
            rows.push(self.rows.len());
        }
        self.rows.push(Row {
            sla,
            value,
            trouble: None,
            index,
            number,
            desk: Desk::new(keeper),
            counted_to: 0,
            upto,
            breach: None,
            owes_end: false,
            written: None,
            events: (0, 0),
        });
        Ok(())
    }

    /// Tells again what the journal holds behind the states; then goes on with the breaches that were open.
    pub(super) fn replay(&mut self, journal: &[(i64, Vec<u8>)], open: Vec<SlaBreach>) {
        let by_number: BTreeMap<u64, usize> =
            self.rows.iter().enumerate().map(|(at, row)| (row.number.cast_unsigned(), at)).collect();
        let mut resumed = Vec::new();
        for breach in open {
            let Some(at) = by_number.get(&breach.sla.cast_unsigned()).copied() else { continue };
            if let Some(row) = self.rows.get_mut(at) {
                row.breach = Some(breach.clone());
                resumed.push((at, breach));
            }
        }
        for (at, bytes) in journal {
            let told = match Entry::from_bytes(bytes) {
                Ok(told) => told,
                Err(error) => {
                    tracing::warn!(entry = at, %error, "an entry of the SLAs' journal cannot be read");
                    continue;
                }
            };
            for (number, entry) in told {
                let Some(row) = by_number.get(&number).and_then(|at| self.rows.get_mut(*at)) else {
                    continue;
                };
                if row.upto.is_none_or(|upto| *at > upto) {
                    let mut told = Vec::new();
                    row.desk.tell(entry, &mut told);
                    row.note(told, &mut self.breaches);
                }
            }
        }
        for row in &mut self.rows {
            row.desk.settle();
            row.counted_to = row.keeper().now();
            let is_over = row.keeper().state().condition != Condition::Breaching;
            if let Some(breach) = row.breach.take_if(|_| is_over) {
                let ended = Some(row.counted_to.max(breach.found));
                self.breaches.push(SlaBreach { ended, ..breach });
            }
        }
        for (at, breach) in resumed {
            if let Some(row) = self.rows.get_mut(at) {
                row.owes_end = true;
                self.news.push(news::resumed(row, &breach));
                self.news.extend(row.news(&[]));
            }
        }
        // Services that end soon after they began leave their entries behind; they do not pile up.
        self.rewrite = journal.len() > LONG_JOURNAL;
    }

    /// What somebody may want to be told since this was asked last.
    pub(super) fn news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// The earliest second from which on runs of a plan may have something to tell; `None` where nothing is known yet.
    pub(super) fn counted_to(&self, plan: &str) -> Option<u64> {
        let of_plan = |row: &&Row| matches!(&row.sla.events, Events::Runs(runs) if runs.plan == plan);
        self.rows.iter().filter(of_plan).map(|row| row.counted_to).filter(|second| *second > 0).min()
    }

    /// The same of runs of any plan.
    pub(super) fn runs_counted_to(&self) -> Option<u64> {
        let of_runs = |row: &&Row| matches!(&row.sla.events, Events::Runs(_));
        self.rows.iter().filter(of_runs).map(|row| row.counted_to).filter(|second| *second > 0).min()
    }

    /// Takes what a source said of a second.
    pub(super) fn hand_in(&mut self, row: usize, second: u64, seen: Seen, now: u64) {
        self.with(row, |desk, told| {
            desk.hand_in(second, seen, told);
            desk.advance(now.saturating_sub(PATIENCE).max(second + 1), told);
        });
    }

    /// Says why events of an SLA cannot be had, or that they can.
    pub(super) fn trouble(&mut self, sla: usize, trouble: Option<String>) {
        let Some(known) = self.troubles.get_mut(sla) else { return };
        if *known != trouble {
            if let (Some(trouble), Some(sla)) = (&trouble, self.slas.get(sla)) {
                tracing::warn!(sla = sla.slo.name, trouble, "events of an SLA cannot be had");
            }
            for row in self.rows.iter_mut().filter(|row| row.index == sla) {
                row.trouble.clone_from(&trouble);
            }
            *known = trouble;
        }
    }

    /// Takes a second of a run. One that was taken before does not count again.
    pub(super) fn run_second(&mut self, second: &RunSecond<'_>) {
        let Some(Grown { at, seen }) = self.grown(second) else { return };
        self.tell_uncounted(second.run);
        for (index, seen) in seen {
            let Some(row) = self.row(index, None) else { continue };
            match seen {
                Err(trouble) => self.trouble(index, Some(trouble)),
                Ok(moment) => {
                    self.trouble(index, None);
                    if self.rows.get(row).is_some_and(|row| at >= row.counted_to) {
                        // What was recorded before is still to come: time goes on with the runs.
                        let upto = self.runs_told_to(&second.state.started().shape.plan);
                        self.with(row, |desk, told| {
                            desk.hand_in(at, Seen::Moment(moment), told);
                            desk.advance(upto, told);
                        });
                    }
                }
            }
        }
    }

    /// Takes so many seconds of a run, of which only the sum is left: nobody knows any more in which second what happened, so
    /// they do not count, neither by themselves nor with the second behind them.
    pub(super) fn run_stretch(&mut self, last: &RunSecond<'_>, seconds: u64) {
        let known = self.runs.get(last.run).map(|run| run.newest);
        let Some(Grown { at, .. }) = self.grown(last) else { return };
        let newest = last.state.judged().second;
        let from = self.counted_to(&last.state.started().shape.plan).unwrap_or(0);
        let new = known.map_or(seconds, |known| seconds.min(newest.saturating_sub(known)));
        if let Some(run) = self.runs.get_mut(last.run) {
            run.uncounted += new.min((at + 1).saturating_sub(from));
        }
    }

    /// Says once how many seconds of a run do not count.
    fn tell_uncounted(&mut self, run: &str) {
        let uncounted = self.runs.get_mut(run).map_or(0, |run| std::mem::take(&mut run.uncounted));
        if uncounted > 0 {
            tracing::warn!(
                run,
                seconds = uncounted,
                "old seconds of a run became minutes before SLAs knew them, and do not count for them"
            );
        }
    }

    /// What has come of a run since the second of it that was taken before; `None` where no SLA judges it, or that was taken.
    fn grown(&mut self, second: &RunSecond<'_>) -> Option<Grown> {
        let started = second.state.started();
        let plan = &started.shape.plan;
        let is_of_plan = |sla: &Arc<Sla>| matches!(&sla.events, Events::Runs(runs) if runs.plan == *plan);
        if !self.slas.iter().any(is_of_plan) {
            return None;
        }
        let judged = second.state.judged();
        if self.runs.get(second.run).is_some_and(|known| judged.second <= known.newest) {
            return None;
        }
        let wall_nanos = second.state.wall_nanos(judged.second.saturating_mul(1_000_000_000));
        let at = u64::try_from(wall_nanos / 1_000_000_000).unwrap_or(0);
        let running = self.runs.entry(second.run.to_owned()).or_insert_with(|| Running {
            plan: plan.clone(),
            newest: judged.second,
            next: at,
            so_far: BTreeMap::new(),
            uncounted: 0,
            is_over: false,
        });
        (running.newest, running.next, running.is_over) = (judged.second, at + 1, false);
        let mut seen = Vec::new();
        for (index, sla) in self.slas.iter().enumerate().filter(|(_, sla)| is_of_plan(sla)) {
            let objective = started.shape.objectives.iter().position(|one| one.name == sla.slo.name);
            let Some(status) = objective.and_then(|objective| judged.statuses.get(objective)) else {
                let name = &sla.slo.name;
                seen.push((
                    index,
                    Err(format!("runs of `{plan}` do not judge `{name}`: start them with `--sla`")),
                ));
                continue;
            };
            let so_far = match (status.good_events, status.total_events) {
                (Some(good), Some(total)) => (good, total),
                // A figure of a second is an event.
                _ => (status.windows.saturating_sub(status.missed_windows), status.windows),
            };
            let before = running.so_far.insert(index, so_far).unwrap_or((0, 0));
            let grown = Counts::new(
                so_far.0.saturating_sub(before.0),
                so_far.1.saturating_sub(before.1).max(so_far.0.saturating_sub(before.0)),
            );
            let moment = Moment { counts: grown.unwrap_or(Counts::ZERO), overdue: status.overdue_events };
            seen.push((index, Ok(moment)));
        }
        Some(Grown { at, seen })
    }

    /// A run has ended or was deleted. Nobody waits for it, until it goes on.
    pub(super) fn run_over(&mut self, run: &str) {
        self.tell_uncounted(run);
        if let Some(known) = self.runs.get_mut(run) {
            known.is_over = true;
        }
    }

    /// Forgets the runs that are over and not among these.
    pub(super) fn forget_runs(&mut self, is_known: impl Fn(&str) -> bool) {
        self.runs.retain(|run, known| !known.is_over || is_known(run));
    }

    /// Up to which second every live run of a plan was heard of.
    fn runs_told_to(&self, plan: &str) -> u64 {
        let live = self.runs.values().filter(|run| run.plan == plan && !run.is_over);
        live.map(|run| run.next).min().unwrap_or(0)
    }

    /// Lets time go on for SLAs of sources that are asked, or for those of runs, once all that is recorded was taken.
    pub(super) fn advance(&mut self, now: u64, of_runs: bool) {
        for at in 0..self.rows.len() {
            if self.rows.get(at).is_some_and(|row| row.is_of_runs() == of_runs) {
                self.with(at, |desk, told| desk.advance(now.saturating_sub(PATIENCE), told));
            }
        }
    }

    /// The clock went back.
    pub(super) fn turn_back(&mut self, now: u64) {
        for row in &mut self.rows {
            row.desk.turn_back(now);
        }
    }

    fn with(&mut self, row: usize, work: impl FnOnce(&mut Desk, &mut Vec<Told>)) {
        let Some(row) = self.rows.get_mut(row) else { return };
        let mut told = Vec::new();
        work(&mut row.desk, &mut told);
        if let Some(held) = self.held.as_mut().filter(|_| row.is_of_runs()) {
            held.has_told |= !told.is_empty();
            held.news.extend(row.news(&told));
            row.note(told, &mut held.breaches);
            return;
        }
        self.news.extend(row.news(&told));
        let number = row.number.cast_unsigned();
        let entries = row.note(told, &mut self.breaches);
        self.journal.extend(entries.into_iter().map(|entry| (number, entry)));
    }

    /// What is to be written, or nothing where nothing has happened.
    pub(super) fn changes(&mut self, now: u64, is_last: bool) -> Option<SlaChanges> {
        let rewrite = std::mem::take(&mut self.rewrite) || is_last;
        if self.journal.is_empty() && self.breaches.is_empty() && !rewrite {
            return None;
        }
        let mut changes = SlaChanges {
            journal: Entry::to_bytes(&std::mem::take(&mut self.journal)),
            breaches: std::mem::take(&mut self.breaches),
            forget: self.rows.iter().map(|row| row.upto.unwrap_or(0)).min().unwrap_or(0),
            ..SlaChanges::default()
        };
        let is_held = self.held.is_some();
        for row in self.rows.iter_mut().filter(|row| !(is_held && row.is_of_runs())) {
            let turn = now % STATE_EVERY == row.number.cast_unsigned() % STATE_EVERY;
            if rewrite || turn || row.upto.is_none() {
                changes.states.push((row.number, row.keeper().to_bytes()));
            }
            let firing = row.keeper().alerts().iter().filter(|alert| alert.since.is_some()).count();
            let written = Written { condition: row.keeper().state().condition, firing, at: now };
            let is_due = row.written.is_none_or(|known| {
                let every = row.keeper().step().max(STATUS_EVERY);
                now.abs_diff(known.at) >= every
                    || (known.condition, known.firing) != (written.condition, firing)
            });
            if is_due || rewrite {
                row.written = Some(written);
                let (sla, judged) = (row.number, row.keeper().now());
                changes.statuses.push(SlaStatus { sla, judged, status: status::row(row).to_string() });
                let months = month::outcomes(row).into_iter();
                changes.months.extend(months.map(|(month, outcome)| SlaMonth { sla, month, outcome }));
            }
        }
        Some(changes)
    }

    /// These changes were written as this entry of the journal.
    pub(super) fn written(&mut self, changes: &SlaChanges, entry: i64) {
        let states: BTreeSet<i64> = changes.states.iter().map(|(number, _)| *number).collect();
        for row in self.rows.iter_mut().filter(|row| states.contains(&row.number)) {
            row.upto = Some(entry);
        }
    }

    /// These changes were not written. States make up for the entries that are lost with them.
    pub(super) fn not_written(&mut self, mut changes: SlaChanges) {
        self.rewrite = true;
        changes.breaches.append(&mut self.breaches);
        self.breaches = changes.breaches;
    }

    /// How all of it stands.
    pub(super) fn statuses(&self) -> Vec<Value> {
        self.rows.iter().map(status::row).collect()
    }

    /// What goes by this name in metrics.
    pub(super) fn find(&self, label: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.label() == label)
    }
}

impl Row {
    pub(super) fn number(&self) -> i64 {
        self.number
    }

    /// Sees to what telling came to; gives the entries for the journal.
    fn note(&mut self, told: Vec<Told>, breaches: &mut Vec<SlaBreach>) -> Vec<Entry> {
        let mut entries = Vec::new();
        for told in told {
            match told {
                Told::Entry(entry) => {
                    let counts = match entry {
                        Entry::Second { moment: Some(moment), .. } => moment.counts,
                        Entry::Late { counts, .. } => counts,
                        _ => Counts::ZERO,
                    };
                    self.events = (self.events.0 + counts.good(), self.events.1 + counts.total());
                    entries.push(entry);
                }
                Told::Found { began, found, why } => {
                    let breach = SlaBreach { sla: self.number, found, began, ended: None, why };
                    tracing::warn!(sla = self.label(), why = breach.why, "an SLA is being broken");
                    breaches.push(breach.clone());
                    self.breach = Some(breach);
                }
                Told::Over { ended } => {
                    tracing::info!(sla = self.label(), "an SLA is kept again");
                    if let Some(breach) = self.breach.take() {
                        breaches.push(SlaBreach { ended: Some(ended.max(breach.found)), ..breach });
                    }
                }
                Told::Refused(refused) => {
                    tracing::warn!(sla = self.label(), %refused, "events of an SLA do not count");
                }
            }
        }
        entries
    }
}

fn begin(sla: &Sla) -> Result<Keeper, String> {
    Keeper::new(sla).map_err(|error| error.to_string())
}

/// How all of it stands, for a scrape.
pub(crate) fn families(bench: &Bench) -> Vec<Family> {
    let mut families: Vec<Family> = [
        &catalogue::SLA_MET,
        &catalogue::SLA_GOOD_EVENTS,
        &catalogue::SLA_EVENTS,
        &catalogue::SLA_STATE,
        &catalogue::SLA_TARGET,
        &catalogue::SLA_COMPLIANCE,
        &catalogue::SLA_DETECTION_DELAY,
        &catalogue::ERROR_BUDGET_REMAINING,
        &catalogue::BURN_RATE,
    ]
    .map(|metric| Family { metric, points: Vec::new() })
    .into();
    let mut rows: Vec<&Row> = bench.rows.iter().collect();
    rows.sort_by_key(|row| (plan(row).to_owned(), row.label()));
    for row in rows {
        let mut put = |at: usize, labels: &[&str], value: Level| {
            let labels: Labels = labels.iter().map(|label| Arc::from(*label)).collect();
            if let Some(family) = families.get_mut(at) {
                family.points.push(Point::new(labels, value));
            }
        };
        let (name, keeper) = (row.label(), row.keeper());
        let plan = plan(row);
        let condition = keeper.state().condition;
        let own = [plan, name.as_str()];
        match condition {
            Condition::Ok | Condition::Warning => put(0, &own, Level::Gauge(1.0)),
            Condition::Breaching | Condition::Exhausted => put(0, &own, Level::Gauge(0.0)),
            Condition::Undecided => {}
        }
        // Those of runs are where the runs are.
        if !matches!(row.sla.events, Events::Runs(_) | Events::Share { .. }) {
            put(1, &own, Level::Counter(row.events.0));
            put(2, &own, Level::Counter(row.events.1));
        }
        for one in CONDITIONS {
            put(3, &[plan, &name, one.label()], Level::Gauge(f64::from(u8::from(one == condition))));
        }
        put(4, &own, Level::Gauge(keeper.slo().target.share().to_f64()));
        let windows = keeper.windows().into_iter().map(|window| {
            let now = keeper.now();
            (status::span(window), keeper.over(now.saturating_sub(window)..now))
        });
        let all: Vec<(String, Budget)> =
            std::iter::once(("period".to_owned(), keeper.budget())).chain(windows).collect();
        for (window, budget) in &all {
            if let Some(attained) = budget.attained() {
                put(5, &[plan, &name, window], Level::Gauge(attained.to_f64()));
            }
        }
        if let Some(delay) = keeper.delay() {
            put(6, &own, Level::Gauge(delay as f64));
        }
        if let Some(left) = keeper.budget().remaining_ratio() {
            put(7, &[&name], Level::Gauge(left.to_f64()));
        }
        for (window, budget) in &all {
            if let Some(rate) = budget.burn_rate() {
                put(8, &[&name, window], Level::Gauge(rate.to_f64()));
            }
        }
    }
    families.retain(|family| !family.points.is_empty());
    families
}

/// The plan that events come from; empty, and so no label, where they come from elsewhere.
fn plan(row: &Row) -> &str {
    match &row.sla.events {
        Events::Runs(runs) => &runs.plan,
        Events::Counters { .. } | Events::Figure { .. } | Events::Share { .. } => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_notify::Occurrence;
    use plimsoll_sla::{AlertRule, BurnRule, Counted, Good, Method, Period, RunEvents, Slo, Source};

    const START: u64 = 1_767_571_200;

    fn sla() -> Arc<Sla> {
        let period = Period::rolling(30 * 86_400).unwrap();
        let target = "99.9%".parse().unwrap();
        let slo = Slo { name: "shop".to_owned(), target, period, method: Method::Occurrences };
        let alert =
            |rule| AlertRule { rule, severity: "page".to_owned(), notify: Vec::new(), resolved: true };
        let counted = Counted::Good("a".to_owned());
        Arc::new(Sla {
            alerts: BurnRule::published(&slo.period, slo.method).map(alert).into(),
            slo,
            title: String::new(),
            service: String::new(),
            description: None,
            events: Events::Counters { source: Source::Prometheus(None), counted, total: "b".to_owned() },
            never: Vec::new(),
            no_data: None,
            runbook_url: None,
            each: None,
            exclusions: Vec::new(),
            policy: Vec::new(),
            part_of: None,
        })
    }

    fn bench() -> Bench {
        let mut bench = Bench::new(vec![sla()]);
        bench.add(0, None, 7, None).unwrap();
        bench
    }

    fn seen(bad: u64) -> Seen {
        Seen::Moment(Moment { counts: Counts::new(100 - bad, 100).unwrap(), overdue: 0 })
    }

    fn told(bench: &Bench) -> (u64, u128, Condition) {
        let keeper = bench.rows[0].keeper();
        (keeper.now() - START, keeper.budget().events().total(), keeper.state().condition)
    }

    #[test]
    fn seconds_are_told_in_their_order_and_not_waited_for_longer_than_two() {
        let mut bench = bench();
        for second in 0..20 {
            bench.hand_in(0, START + second, seen(0), START + second + 1);
        }
        assert_eq!(told(&bench), (20, 2000, Condition::Ok));
        bench.advance(START + 22, false);
        assert_eq!(told(&bench).0, 20, "what came last may come again");
        bench.advance(START + 25, false);
        assert_eq!(told(&bench).0, 23);
        // A late second counts in its own time, and the state sees it.
        bench.hand_in(0, START + 21, seen(100), START + 25);
        bench.hand_in(0, START + 23, seen(0), START + 25);
        assert_eq!(told(&bench), (24, 2200, Condition::Breaching));
        bench.advance(START + 40, false);
        assert_eq!(told(&bench).2, Condition::Undecided);
        let breaches = bench.changes(START + 40, false).unwrap().breaches;
        assert_eq!(breaches.iter().map(|breach| breach.ended.is_some()).collect::<Vec<_>>(), [false, true]);
    }

    /// What there is to tell, with its second.
    fn news(bench: &mut Bench) -> Vec<(&'static str, u64)> {
        let word = |news| match news {
            News::Happened(Occurrence::Breach(breach)) => ("breach", breach.found - START),
            News::Happened(Occurrence::Recovery(recovery)) => ("recovery", recovery.ended - START),
            News::Resumed(breach) => ("resumed", breach.found - START),
            other => panic!("{other:?}"),
        };
        bench.news().into_iter().map(word).collect()
    }

    #[test]
    fn that_nobody_can_know_is_no_recovery() {
        let mut bench = bench();
        for second in 0..30 {
            bench.hand_in(0, START + second, seen(if second < 20 { 0 } else { 100 }), START + second + 1);
        }
        assert_eq!(news(&mut bench), [("breach", 21)]);
        bench.advance(START + 60, false);
        assert_eq!((told(&bench).2, news(&mut bench)), (Condition::Undecided, Vec::new()));
        for second in 60..120 {
            bench.hand_in(0, START + second, seen(0), START + second + 1);
        }
        let told = news(&mut bench);
        assert!(matches!(told[..], [("recovery", 61..)]), "{told:?}");
    }

    #[test]
    fn what_runs_come_to_is_written_and_told_once_all_of_it_was_taken() {
        let runs = RunEvents { plan: "shop".to_owned(), scenario: None, step: None, good: Good::Succeeded };
        let mut bench = Bench::new(vec![Arc::new(Sla { events: Events::Runs(runs), ..(*sla()).clone() })]);
        bench.add(0, None, 7, None).unwrap();
        assert!(bench.hold());
        for second in 0..30 {
            bench.hand_in(0, START + second, seen(if second < 20 { 0 } else { 100 }), START + second + 1);
        }
        assert_eq!(told(&bench).2, Condition::Breaching);
        assert_eq!((news(&mut bench), bench.changes(START + 30, false)), (Vec::new(), None));
        let last = bench.changes(START + 30, true).unwrap();
        assert!(last.states.is_empty() && last.breaches.is_empty() && last.statuses.is_empty(), "{last:?}");
        bench.release();
        assert_eq!(news(&mut bench), [("breach", 21)]);
        let changes = bench.changes(START + 30, false).unwrap();
        assert_eq!((changes.states.len(), changes.breaches.len()), (1, 1));
    }

    #[test]
    fn a_clock_that_goes_back_is_followed() {
        let mut bench = bench();
        for second in 0..20 {
            bench.hand_in(0, START + 3600 + second, seen(0), START + 3600 + second + 1);
        }
        bench.turn_back(START);
        bench.hand_in(0, START, seen(100), START + 1);
        let (now, _, condition) = told(&bench);
        assert_eq!((now, condition), (1, Condition::Breaching));
        assert_eq!(bench.rows[0].keeper().ledger().window(0..u64::MAX).events.total(), 2100);
    }

    #[test]
    fn what_was_written_gives_back_what_was() {
        let mut first = bench();
        for second in 0..400 {
            first.hand_in(0, START + second, seen(u64::from(second > 390) * 50), START + second + 1);
            if second == 100 {
                let state = first.changes(START + second, true).unwrap();
                first.written(&state, 1);
            }
        }
        let changes = first.changes(START + 1, false).unwrap();
        assert_eq!((changes.states.len(), changes.forget), (0, 1));
        let state = {
            let mut earlier = bench();
            for second in 0..101 {
                earlier.hand_in(0, START + second, seen(0), START + second + 1);
            }
            KeptState { sla: 7, upto: 1, state: earlier.rows[0].keeper().to_bytes() }
        };
        let mut second = Bench::new(vec![sla()]);
        second.add(0, None, 7, Some(&state)).unwrap();
        second.replay(&[(1, b"not looked at".to_vec()), (2, changes.journal.clone())], Vec::new());
        assert_eq!(second.rows[0].keeper().to_bytes(), first.rows[0].keeper().to_bytes());
        assert_eq!(told(&second).2, Condition::Breaching);
        assert!(second.rows[0].breach.is_some());
        // What cannot be written is made up for by the whole state.
        first.not_written(changes);
        assert_eq!(first.changes(START + 2, false).unwrap().states.len(), 1);
    }

    #[test]
    fn what_is_of_no_use_begins_anew() {
        let mut bench = Bench::new(vec![sla()]);
        let state = KeptState { sla: 7, upto: 9, state: vec![99, 1, 2] };
        bench.add(0, None, 7, Some(&state)).unwrap();
        bench.replay(&[(10, vec![77])], Vec::new());
        assert_eq!(bench.rows[0].keeper().now(), 0);
        assert!(families(&bench).iter().all(|family| family.metric.name != "plimsoll_sla_met"));
        assert_eq!(bench.changes(START, false), None);
        bench.hand_in(0, START, seen(0), START + 1);
        assert_eq!(bench.changes(START + 1, false).unwrap().states.len(), 1);
    }
}
