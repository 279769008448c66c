//! The stream of events that a page listens to: one for everything, because browsers open six
//! connections to a host and no more.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Sse;
use axum::response::sse::{Event as Sent, KeepAlive};
use futures_util::stream::{self, Stream, StreamExt};
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::followed::Followed;

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

    fn sent(&self) -> Sent {
        Sent::default().event(self.name).data(&*self.data)
    }
}

/// What is known now, then everything that happens until `ended`.
pub(crate) fn stream(
    followed: &Followed,
    ended: CancellationToken,
    place: OwnedSemaphorePermit,
) -> Sse<impl Stream<Item = Result<Sent, Infallible>> + use<>> {
    // The place is free again when the stream is dropped.
    let sent = told(followed).map(move |event| {
        let _ = &place;
        Ok(event.sent())
    });
    Sse::new(sent.take_until(ended.cancelled_owned()))
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}

fn told(followed: &Followed) -> impl Stream<Item = Event> + use<> {
    // Listening begins before looking, so nothing falls between the two; what falls into both is
    // told twice, and pages take a second by its number.
    let receiver = followed.subscribe();
    let known = followed.known();
    let mut first: Vec<_> = known.runs.iter().map(Event::runs).collect();
    first.extend(known.trouble.as_deref().map(|trouble| Event::trouble(Some(trouble))));
    drop(known);
    let later = stream::unfold(receiver, |mut receiver| async {
        match receiver.recv().await {
            Ok(event) => Some((event, receiver)),
            Err(RecvError::Lagged(_)) => Some((Event::missed(), receiver)),
            Err(RecvError::Closed) => None,
        }
    });
    stream::iter(first).chain(later)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::followed::BACKLOG;
    use plimsoll_history::History;

    #[tokio::test]
    async fn a_page_that_falls_behind_is_told_so_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path().join("history.db")).await.unwrap();
        let followed = Followed::new(history, tokio::sync::watch::Sender::default());
        followed.known().runs = Some(json!({ "runs": [] }));
        let mut told = std::pin::pin!(told(&followed));
        let event = told.next().await.unwrap();
        assert_eq!((event.name, &*event.data), ("runs", "{\"runs\":[]}"));
        for number in 0..BACKLOG + 1 {
            followed.tell(Event::second(&json!(number)));
        }
        assert_eq!(told.next().await.unwrap().name, "missed");
        assert_eq!(&*told.next().await.unwrap().data, "1", "the oldest that is still known comes next");
    }
}
