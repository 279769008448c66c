//! One HTTP/1.1 connection, one request at a time, polled in the task of the request it carries.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body::Body as _;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use plimsoll_measure::Outcome;

use crate::exchange::Counted;
use crate::transport::{Metered, Opened, Origin, Traffic};
use crate::{Clock, Failure};

type Driver = http1::Connection<TokioIo<Metered>, Full<Bytes>>;

/// An open connection that nobody uses, or somebody alone does.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) origin: Rc<Origin>,
    /// Which of the target's addresses it leads to, if to any.
    pub(crate) address: Option<u16>,
    pub(crate) traffic: Rc<Traffic>,
    sender: http1::SendRequest<Full<Bytes>>,
    driver: Pin<Box<Driver>>,
    /// hyper has finished with the connection: it takes no further request.
    ended: bool,
    /// How long opening took, until its first request has told.
    pub(crate) opened: Option<(u64, Option<u64>)>,
    _counted: Counted,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The body, where it was asked for.
    pub(crate) body: Vec<u8>,
}

/// How much of the body the caller wants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyLimit {
    pub(crate) keep: bool,
    pub(crate) max: u64,
}

impl Connection {
    /// Makes a connection of a stream that has just opened.
    pub(crate) async fn new(
        origin: Rc<Origin>,
        opened: Opened,
        clock: Clock,
        counted: Counted,
    ) -> Result<Self, Failure> {
        let traffic = Traffic::new(clock);
        let stream = TokioIo::new(Metered::new(opened.stream, Rc::clone(&traffic)));
        let (sender, driver) =
            http1::Builder::new().handshake(stream).await.map_err(|error| Failure::of_hyper(&error))?;
        Ok(Self {
            origin,
            address: opened.address,
            traffic,
            sender,
            driver: Box::pin(driver),
            ended: false,
            opened: Some((opened.connect, opened.tls)),
            _counted: counted,
        })
    }

    /// Whether it can carry another request: looks once whether the target has closed it.
    pub(crate) async fn is_usable(&mut self) -> bool {
        std::future::poll_fn(|context| {
            self.poll_driver(context);
            Poll::Ready(!self.ended && self.sender.is_ready())
        })
        .await
    }

    /// The same just after an answer, with whose last byte hyper mostly asks for the next request.
    pub(crate) async fn is_reusable(&mut self) -> bool {
        (!self.ended && self.sender.is_ready()) || self.is_usable().await
    }

    fn poll_driver(&mut self, context: &mut std::task::Context<'_>) {
        if !self.ended && self.driver.as_mut().poll(context).is_ready() {
            // Its error reaches the exchange through the response; here only the end matters.
            self.ended = true;
        }
    }

    /// Sends a request and reads the whole answer. The caller bounds the time.
    pub(crate) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        limit: BodyLimit,
    ) -> Result<Answer, Failure> {
        let mut response = std::pin::pin!(self.sender.send_request(request));
        let (driver, ended) = (&mut self.driver, &mut self.ended);
        let response = std::future::poll_fn(|context| {
            if !*ended && driver.as_mut().poll(context).is_ready() {
                *ended = true;
            }
            response.as_mut().poll(context)
        })
        .await
        .map_err(|error| Failure::of_hyper(&error))?;
        let (parts, body) = response.into_parts();
        let body = self.body(body, limit).await?;
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    async fn body(&mut self, mut body: Incoming, limit: BodyLimit) -> Result<Vec<u8>, Failure> {
        let too_large =
            || Failure::new(Outcome::TooLarge, format!("the body is larger than {} bytes", limit.max));
        if body.size_hint().lower() > limit.max {
            self.ended = true;
            return Err(too_large());
        }
        let (mut kept, mut size) = (Vec::new(), 0_u64);
        loop {
            if body.is_end_stream() {
                return Ok(kept);
            }
            let frame = std::future::poll_fn(|context| {
                // What came with the head is here already; for the rest the connection has to be read.
                let frame = Pin::new(&mut body).poll_frame(context);
                if frame.is_ready() {
                    return frame;
                }
                self.poll_driver(context);
                Pin::new(&mut body).poll_frame(context)
            })
            .await;
            let data = match frame {
                None => return Ok(kept),
                Some(Err(error)) => return Err(Failure::of_hyper(&error)),
                Some(Ok(frame)) => frame.into_data(),
            };
            let Ok(data) = data else { continue };
            size += data.len() as u64;
            if size > limit.max {
                self.ended = true;
                return Err(too_large());
            }
            if limit.keep {
                kept.extend_from_slice(&data);
            }
        }
    }
}
