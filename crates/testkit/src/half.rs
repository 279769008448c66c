//! Half an answer: its head and some of its body arrive, then the connection closes.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::Notify;

/// Long enough for what was written to leave, and short for whoever waits.
const UNTIL_CLOSED: Duration = Duration::from_millis(50);

/// A body that gives what it has and never ends.
#[derive(Debug)]
pub(crate) struct Half(Option<Bytes>);

impl Half {
    /// `close` is told a moment later: whoever holds the connection drops it then.
    pub(crate) fn of(bytes: impl Into<Bytes>, close: &Arc<Notify>) -> Self {
        let close = Arc::clone(close);
        tokio::spawn(async move {
            tokio::time::sleep(UNTIL_CLOSED).await;
            close.notify_one();
        });
        Self(Some(bytes.into()))
    }
}

impl Body for Half {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.take() {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None => Poll::Pending,
        }
    }
}
