//! The stream of events that a page listens to: one for everything, because browsers open six
//! connections to a host and no more.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Sse;
use axum::response::sse::{Event as Sent, KeepAlive};
use futures_util::stream::{self, Stream, StreamExt};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

use crate::followed::Followed;
use crate::journal::After;

/// Something pages are told. Cheap to clone: the text is shared.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    name: &'static str,
    data: Arc<str>,
}

impl Event {
    /// The list of runs, whenever a run begins, ends or is deleted.
    pub(crate) fn runs(list: &Value) -> Self {
        Self::new("runs", list)
    }

    /// A second of a live run, and how its objectives stand.
    pub(crate) fn second(second: &Value) -> Self {
        Self::new("second", second)
    }

    /// The record cannot be read, or can be read again.
    pub(crate) fn trouble(trouble: Option<&str>) -> Self {
        Self::new("trouble", &json!({ "trouble": trouble }))
    }

    /// Events were missed: ask anew.
    fn missed() -> Self {
        Self::new("missed", &json!({}))
    }

    fn new(name: &'static str, data: &Value) -> Self {
        Self { name, data: data.to_string().into() }
    }

    /// What it takes of memory, nearly.
    pub(crate) fn bytes(&self) -> usize {
        self.data.len() + 64
    }

    #[cfg(test)]
    pub(crate) fn data(&self) -> &str {
        &self.data
    }

    fn sent(&self, id: &str) -> Sent {
        Sent::default().event(self.name).id(id).data(&*self.data)
    }
}

/// What is known now, or what came after the event that the page had last, and then everything that happens until
/// `ended`.
pub(crate) fn stream(
    followed: Arc<Followed>,
    last: Option<&str>,
    ended: CancellationToken,
    place: OwnedSemaphorePermit,
) -> Sse<impl Stream<Item = Result<Sent, Infallible>> + use<>> {
    // The place is free again when the stream is dropped.
    let sent = told(followed, last).map(move |(id, event)| {
        let _ = &place;
        Ok(event.sent(&id))
    });
    Sse::new(sent.take_until(ended.cancelled_owned()))
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}

/// A page that listens. It keeps nothing but its place: what it has not taken waits once for all pages.
struct Listener {
    followed: Arc<Followed>,
    changes: watch::Receiver<u64>,
    /// The number of the event that it was told last.
    at: u64,
    /// What it is told next, without numbers of its own.
    waiting: VecDeque<Event>,
}

fn told(followed: Arc<Followed>, last: Option<&str>) -> impl Stream<Item = (String, Event)> + use<> {
    let mut listener =
        Listener { changes: followed.journal().watch(), at: 0, waiting: VecDeque::new(), followed };
    match last.map(|last| listener.followed.journal().number(last)) {
        Some(Some(number)) => listener.at = number,
        Some(None) => listener.start_anew(true),
        None => listener.start_anew(false),
    }
    stream::unfold(listener, |mut listener| async {
        let event = listener.next().await?;
        Some((event, listener))
    })
}

impl Listener {
    /// Tells how things stand in place of what came before.
    ///
    /// The number is taken before looking, so nothing falls between the two; what falls into both is told twice, and
    /// pages take a second by its number.
    fn start_anew(&mut self, has_missed: bool) {
        self.at = self.followed.journal().latest();
        let known = self.followed.known();
        self.waiting.extend(has_missed.then(Event::missed));
        self.waiting.extend(known.runs.iter().map(Event::runs));
        self.waiting.extend(known.trouble.as_deref().map(|trouble| Event::trouble(Some(trouble))));
    }

    async fn next(&mut self) -> Option<(String, Event)> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some((self.followed.journal().id(self.at), event));
            }
            // Marked before looking: what comes meanwhile ends the wait below at once.
            self.changes.borrow_and_update();
            match self.followed.journal().first_after(self.at) {
                After::Missed => self.start_anew(true),
                After::Event(event) => {
                    self.at += 1;
                    return Some((self.followed.journal().id(self.at), event));
                }
                After::Nothing => self.changes.changed().await.ok()?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::BACKLOG;
    use plimsoll_history::History;

    async fn followed() -> (tempfile::TempDir, Arc<Followed>) {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path().join("history.db")).await.unwrap();
        let followed = Followed::new(history, watch::Sender::default());
        followed.known().runs = Some(json!({ "runs": [] }));
        (folder, Arc::new(followed))
    }

    #[tokio::test]
    async fn a_page_that_falls_behind_is_told_so_and_how_things_stand() {
        let (_folder, followed) = followed().await;
        let mut told = std::pin::pin!(told(Arc::clone(&followed), None));
        let (_, event) = told.next().await.unwrap();
        assert_eq!((event.name, &*event.data), ("runs", "{\"runs\":[]}"));
        for number in 0..=BACKLOG {
            followed.tell(Event::second(&json!(number)));
        }
        assert_eq!(told.next().await.unwrap().1.name, "missed");
        assert_eq!(told.next().await.unwrap().1.name, "runs");
        followed.tell(Event::second(&json!("next")));
        assert_eq!(&*told.next().await.unwrap().1.data, "\"next\"", "what was missed is not told in part");
    }

    #[tokio::test]
    async fn a_page_that_comes_back_is_told_what_it_has_not_heard() {
        let (_folder, followed) = followed().await;
        for number in 1..=5 {
            followed.tell(Event::second(&json!(number)));
        }
        let mut first = std::pin::pin!(told(Arc::clone(&followed), None));
        let (id, event) = first.next().await.unwrap();
        assert_eq!(event.name, "runs");
        followed.tell(Event::second(&json!(6)));
        followed.tell(Event::second(&json!(7)));
        // It has the state as of the fifth, and after that what came.
        let mut again = std::pin::pin!(told(Arc::clone(&followed), Some(&id)));
        for number in 6..=7 {
            assert_eq!(&*again.next().await.unwrap().1.data, number.to_string());
        }
        // What is of another service, or of none, says nothing of what is missing.
        for odd in ["", "1", "ffff-3"] {
            let mut odd = std::pin::pin!(told(Arc::clone(&followed), Some(odd)));
            assert_eq!(odd.next().await.unwrap().1.name, "missed");
            assert_eq!(odd.next().await.unwrap().1.name, "runs");
        }
    }
}
