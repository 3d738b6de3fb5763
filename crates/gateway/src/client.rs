//! The client's end of a call.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Response;
use axum::http::header::{CACHE_CONTROL, HeaderValue};
use bytes::Bytes;
use futures_util::stream;
use palestra_model::Api;
use tokio::sync::{mpsc, oneshot};

use crate::respond::{self, Refusal};
use crate::session::Inner;
use crate::sse;

/// Events on their way to a client that reads slowly.
const QUEUE: usize = 64;

/// Why nothing more can be said.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The client has hung up.
    Gone,
    /// The session was stopped.
    Stopped(String),
}

/// A client that waits.
pub(crate) struct Client {
    pub(crate) api: Api,
    /// Whether it wants events.
    pub(crate) streams: bool,
    keep_alive: Duration,
    state: State,
}

enum State {
    /// Nothing was said.
    Waiting(oneshot::Sender<Response<Body>>),
    /// A stream has begun.
    Reading(mpsc::Sender<Bytes>),
    /// Everything was said.
    Served,
}

impl Client {
    pub(crate) fn new(
        api: Api,
        streams: bool,
        keep_alive: Duration,
        respond: oneshot::Sender<Response<Body>>,
    ) -> Self {
        Self { api, streams, keep_alive, state: State::Waiting(respond) }
    }

    /// Waits for something, as long as the client does, and lets it know that it is not forgotten.
    pub(crate) async fn wait<T>(
        &mut self,
        session: &Arc<Inner>,
        future: impl Future<Output = T>,
    ) -> Result<T, Ended> {
        let stopped = session.until_stopped();
        tokio::pin!(future, stopped);
        loop {
            let keep_alive = self.keep_alive;
            tokio::select! {
                value = &mut future => return Ok(value),
                why = &mut stopped => return Err(Ended::Stopped(why)),
                () = self.gone() => return Err(Ended::Gone),
                () = tokio::time::sleep(keep_alive) => self.ping(),
            }
        }
    }

    async fn gone(&mut self) {
        match &mut self.state {
            State::Waiting(respond) => respond.closed().await,
            State::Reading(events) => events.closed().await,
            State::Served => std::future::pending().await,
        }
    }

    fn ping(&mut self) {
        if self.streams {
            self.begin();
            if let State::Reading(events) = &self.state {
                // A client that has so much to read already needs no comment.
                let _ = events.try_send(Bytes::from_static(sse::KEEP_ALIVE));
            }
        }
    }

    /// Begins a stream, if it has not begun.
    fn begin(&mut self) {
        if matches!(self.state, State::Waiting(_)) {
            let (events, receiver) = mpsc::channel(QUEUE);
            let body = stream::unfold(receiver, async |mut receiver: mpsc::Receiver<Bytes>| {
                let event = receiver.recv().await?;
                Some((Ok::<_, Infallible>(event), receiver))
            });
            let mut response =
                respond::bytes(200, "text/event-stream; charset=utf-8", Body::from_stream(body));
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            self.say(response);
            self.state = State::Reading(events);
        }
    }

    fn say(&mut self, response: Response<Body>) {
        if let State::Waiting(respond) = std::mem::replace(&mut self.state, State::Served) {
            // Whether the client is still there is seen at the next wait.
            let _ = respond.send(response);
        }
    }

    /// Sends an event of a stream.
    pub(crate) async fn event(&mut self, session: &Arc<Inner>, event: Bytes) -> Result<(), Ended> {
        self.begin();
        let State::Reading(events) = &self.state else { return Ok(()) };
        tokio::select! {
            sent = events.send(event) => sent.map_err(|_| Ended::Gone),
            why = session.until_stopped() => Err(Ended::Stopped(why)),
        }
    }

    /// Sends a whole answer.
    pub(crate) fn whole(&mut self, body: Vec<u8>) {
        self.say(respond::bytes(200, "application/json", body));
    }

    /// Tells of a failure, in the stream if it has begun.
    pub(crate) async fn refuse(&mut self, refusal: &Refusal) {
        if let State::Reading(events) = &self.state {
            let status = respond::status(&refusal.error);
            let event = sse::broken_off(self.api, status, &refusal.error.to_string());
            let sending = events.send(Bytes::from(event));
            // A client that does not read is not waited for.
            let _ = tokio::time::timeout(self.keep_alive, sending).await;
            self.state = State::Served;
        } else {
            self.say(respond::refusal(self.api, refusal));
        }
    }
}
