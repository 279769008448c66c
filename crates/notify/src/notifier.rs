//! The task that tells: it owns what is planned and what waits, sends, and says what it could not.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use plimsoll_run::NotifySettings;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::lane::{Fate, Lane, Try};
use crate::planner::{Now, Planner, Told};
use crate::send::{Answer, ReceiverError, Sender};
use crate::text::{count, plain};
use crate::{Breach, Occurrence, message};

/// What may wait to be looked at. It is looked at within microseconds, so this is for a storm.
const WAITING: usize = 1024;

/// How many different things are told of receivers; one that fails in ever new ways repeats itself.
const MOST_NOTES: usize = 50;

/// Tells receivers what has happened. Clones of its [`Teller`] say what that is.
#[derive(Debug)]
pub struct Notifier {
    teller: Teller,
    ending: CancellationToken,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// Says what has happened. It never waits, and costs nothing where nobody is told.
#[derive(Debug, Clone)]
pub struct Teller {
    news: mpsc::Sender<News>,
    /// What found no room.
    missed: Arc<AtomicU64>,
}

#[derive(Debug)]
enum News {
    Happened(Occurrence),
    Resumed(Breach),
}

/// What becomes known outside while the task runs.
#[derive(Debug, Default)]
struct Shared {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    fates: Vec<(String, Fate)>,
    /// What was told under which key, so that each thing is told once.
    keys: BTreeSet<String>,
    notes: Vec<String>,
}

impl Shared {
    /// What a panic elsewhere left behind is whole: every change is one assignment or an addition.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, key: &str, text: String) {
        let mut known = self.lock();
        if known.keys.len() < MOST_NOTES && known.keys.insert(key.to_owned()) {
            tracing::warn!(note = text, "somebody could not be told");
            known.notes.push(text);
        }
    }
}

impl Teller {
    /// Says what has happened. What finds no room is counted, and said to everybody.
    pub fn tell(&self, occurrence: Occurrence) {
        self.send(News::Happened(occurrence));
    }

    /// Goes on with a breach that an earlier process told: when it is over, that is told.
    pub fn resume(&self, breach: Breach) {
        self.send(News::Resumed(breach));
    }

    fn send(&self, news: News) {
        if self.news.try_send(news).is_err() {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Notifier {
    /// Begins to tell.
    ///
    /// # Errors
    /// When settings cannot be used. Whether receivers are there is found out by telling them.
    pub fn start(settings: NotifySettings) -> Result<Self, ReceiverError> {
        let senders: Result<Vec<Sender>, ReceiverError> =
            settings.receivers.iter().map(Sender::new).collect();
        let (news, heard) = mpsc::channel(WAITING);
        let missed = Arc::new(AtomicU64::new(0));
        let (ending, shared) = (CancellationToken::new(), Arc::new(Shared::default()));
        let names: Vec<String> = settings
            .receivers
            .iter()
            .map(|receiver| format!("{} ({})", plain(&receiver.name, 200), receiver.channel.label()))
            .collect();
        shared.lock().fates = names.iter().map(|name| (name.clone(), Fate::default())).collect();
        let desk = Desk {
            planner: Planner::new(Arc::new(settings), process()),
            lanes: names.iter().map(|_| Lane::default()).collect(),
            names,
            senders: senders?,
            under_way: JoinSet::new(),
            began: Instant::now(),
            is_ending: false,
            shared: Arc::clone(&shared),
            missed: Arc::clone(&missed),
        };
        let task = tokio::spawn(desk.run(heard, ending.clone()));
        Ok(Self { teller: Teller { news, missed }, ending, shared, task })
    }

    /// Who says what has happened.
    pub fn teller(&self) -> Teller {
        self.teller.clone()
    }

    /// What became of the messages of each receiver so far.
    pub fn fates(&self) -> Vec<(String, Fate)> {
        self.shared.lock().fates.clone()
    }

    /// What is worth telling about receivers since the last call: each thing once, without secrets.
    pub fn notes(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.lock().notes)
    }

    /// Nothing more happens. Tells what is known, and delivers what waits for at most `deadline`; what is left then is
    /// lost. Gives notes: what could not be delivered among them.
    pub async fn finish(mut self, deadline: Duration) -> Vec<String> {
        self.ending.cancel();
        if tokio::time::timeout(deadline, &mut self.task).await.is_err() {
            self.task.abort();
            // It is gone now, and so is a request of its that nobody knows the end of.
            let _ = (&mut self.task).await;
        }
        let mut notes = self.notes();
        for (receiver, fate) in self.fates() {
            let missing = fate.lost + fate.waiting;
            if missing > 0 {
                notes.push(format!("notify: {receiver}: {} not delivered", count(missing, "message")));
            }
        }
        notes
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What no other process has: the random end of an id of its own.
fn process() -> String {
    Uuid::now_v7().simple().to_string().split_off(16)
}

/// Everything the task owns.
struct Desk {
    planner: Planner,
    lanes: Vec<Lane>,
    names: Vec<String>,
    senders: Vec<Sender>,
    under_way: JoinSet<Sent>,
    began: Instant,
    is_ending: bool,
    shared: Arc<Shared>,
    missed: Arc<AtomicU64>,
}

/// What came of a try.
struct Sent {
    receiver: usize,
    answer: Answer,
    /// So many lost messages were told with it.
    said: u64,
}

impl Desk {
    async fn run(mut self, mut heard: mpsc::Receiver<News>, ending: CancellationToken) {
        loop {
            self.plan();
            self.send();
            if self.is_ending && self.lanes.iter().all(Lane::is_empty) {
                return;
            }
            let next = self.next();
            tokio::select! {
                news = heard.recv(), if !self.is_ending => match news {
                    Some(news) => self.hear(news),
                    None => self.end(),
                },
                Some(sent) = self.under_way.join_next() => {
                    // Only a panic ends one without an answer.
                    if let Ok(sent) = sent {
                        self.answered(sent);
                    }
                }
                () = tokio::time::sleep_until(next) => {}
                () = ending.cancelled(), if !self.is_ending => {
                    while let Ok(news) = heard.try_recv() {
                        self.hear(news);
                    }
                    self.end();
                }
            }
        }
    }

    fn now(&self) -> Now {
        let unix = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
        Now { passed: self.began.elapsed(), unix }
    }

    /// When there is something to do by itself; far away where there is nothing.
    fn next(&self) -> Instant {
        const FAR: Duration = Duration::from_secs(3600);
        let lanes = self.lanes.iter().filter_map(Lane::next);
        let next = lanes.chain(self.planner.next()).min();
        self.began + next.unwrap_or(self.began.elapsed() + FAR)
    }

    fn hear(&mut self, news: News) {
        let now = self.now();
        match news {
            News::Happened(occurrence) => {
                let told = self.planner.take(occurrence, now);
                self.queue(told);
            }
            News::Resumed(breach) => self.planner.resume(breach, now),
        }
    }

    fn end(&mut self) {
        self.planner.missed(self.missed.swap(0, Ordering::Relaxed));
        let now = self.now();
        let told = self.planner.end(now);
        self.queue(told);
        self.lanes.iter_mut().for_each(|lane| lane.hurry(now.passed));
        self.is_ending = true;
    }

    fn plan(&mut self) {
        self.planner.missed(self.missed.swap(0, Ordering::Relaxed));
        let told = self.planner.due(self.now());
        self.queue(told);
    }

    fn queue(&mut self, told: Vec<Told>) {
        let now = self.now().passed;
        for (receiver, message) in told {
            if let Some(lane) = self.lanes.get_mut(receiver) {
                lane.push(message, now);
            }
            self.publish(receiver);
        }
    }

    fn send(&mut self) {
        let now = self.now();
        for (receiver, lane) in self.lanes.iter_mut().enumerate() {
            let Some(Try { message, lost }) = lane.next_try(now.passed) else { continue };
            let Some(sender) = self.senders.get(receiver).cloned() else { continue };
            self.under_way.spawn(async move {
                let answer = sender.send(&message, lost, now.unix).await;
                Sent { receiver, answer, said: lost }
            });
        }
    }

    fn answered(&mut self, sent: Sent) {
        let now = self.now().passed;
        let Some(lane) = self.lanes.get_mut(sent.receiver) else { return };
        lane.answered(&sent.answer, sent.said, now, rand::random());
        if self.is_ending {
            lane.hurry(now);
        }
        let name = self.names.get(sent.receiver).map_or("", String::as_str);
        match sent.answer {
            Answer::Taken { .. } => {}
            Answer::Later { reason, .. } => {
                self.shared.note(
                    &format!("{name} {reason}"),
                    format!("notify: {name}: {reason}; it is tried again"),
                );
            }
            Answer::Refused { reason } => {
                self.shared.note(
                    &format!("{name} {reason}"),
                    format!("notify: {name}: {reason}; the message is lost"),
                );
            }
        }
        self.publish(sent.receiver);
    }

    /// Makes known what became of a receiver's messages.
    fn publish(&self, receiver: usize) {
        let fate = self.lanes.get(receiver).map(Lane::fate);
        if let (Some((_, known)), Some(fate)) = (self.shared.lock().fates.get_mut(receiver), fate) {
            *known = fate;
        }
    }
}

/// What a receiver said to a test.
#[derive(Debug, Clone, PartialEq)]
pub struct Tested {
    /// The receiver's name.
    pub receiver: String,
    /// How it is told.
    pub channel: &'static str,
    /// What it said.
    pub answer: Answer,
    /// How long that took.
    pub took: Duration,
}

/// Sends a test to every receiver, all at once and each one time, and gives what they said in the order of the settings.
///
/// # Errors
/// When settings cannot be used.
pub async fn test(settings: &NotifySettings) -> Result<Vec<Tested>, ReceiverError> {
    let senders: Result<Vec<Sender>, ReceiverError> = settings.receivers.iter().map(Sender::new).collect();
    let unix = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
    let tests = senders?.into_iter().zip(&settings.receivers).map(|(sender, receiver)| async move {
        let id = format!("msg_{}", process());
        let message = message::test(id, unix, &receiver.name, settings);
        let began = Instant::now();
        let answer = sender.send(&message, 0, unix).await;
        let took = began.elapsed();
        if matches!(answer, Answer::Taken { .. }) {
            sender.resolve(&message).await;
        }
        Tested { receiver: plain(&receiver.name, 200), channel: receiver.channel.label(), answer, took }
    });
    Ok(futures_util::future::join_all(tests).await)
}
