//! Answers as they come from a server.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use palestra_model::wire::{Assembler, Failure, Progress};
use palestra_model::{Api, ModelError, Reply};
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use tokio::task::block_in_place;
use tokio::time::timeout;

use crate::backend::Http;
use crate::sse::Splitter;

/// After its end, a stream may take so long to close, so that the connection can be used again.
const CLOSE: Duration = Duration::from_millis(50);

/// Bounds of an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// How long nothing may come.
    pub(crate) timeout: Duration,
    pub(crate) bytes: usize,
}

/// A whole answer.
pub(crate) struct Whole {
    pub(crate) api: Api,
    pub(crate) reply: Reply,
    pub(crate) received: Arc<[u8]>,
    /// Whether `received` is what a client of the same API expects of a call without stream.
    pub(crate) is_body: bool,
}

/// Whether a response is a stream of events.
pub(crate) fn is_stream(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("text/event-stream"))
}

/// Reads a whole body.
pub(crate) async fn body(
    http: &Http,
    mut response: Response,
    bounds: Bounds,
) -> Result<Vec<u8>, ModelError> {
    let mut bytes = Vec::new();
    let read = async {
        while let Some(chunk) = response.chunk().await.map_err(|error| http.broken(&error))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > bounds.bytes {
                return Err(http.garbage(format!("it is longer than {} bytes", bounds.bytes)));
            }
        }
        Ok(())
    };
    timeout(bounds.timeout, read).await.map_err(|_| http.timed_out(bounds.timeout))??;
    Ok(bytes)
}

/// Reads a whole answer that is no stream.
pub(crate) async fn whole(
    http: &Http,
    response: Response,
    bounds: Bounds,
) -> Result<Whole, ModelError> {
    let bytes = body(http, response, bounds).await?;
    if http.tells_a_key(&bytes) {
        return Err(http.garbage("it tells the key"));
    }
    let reply = block_in_place(|| http.api.reply_from_slice(&bytes)).map_err(|problem| {
        // Some servers answer with status 200 and an error.
        let failure = Failure::of_body(&bytes);
        match failure.status {
            Some(status) => http.error_of(status, &failure, None),
            None => http.garbage(problem.to_string()),
        }
    })?;
    Ok(Whole { api: http.api, reply, received: bytes.into(), is_body: true })
}

/// A stream that is being read.
pub(crate) struct Stream {
    http: Arc<Http>,
    response: Response,
    bounds: Bounds,
    splitter: Splitter,
    /// Events that were looked at.
    ready: VecDeque<Vec<u8>>,
    assembler: Assembler,
    received: Vec<u8>,
}

impl Stream {
    pub(crate) fn new(http: Arc<Http>, response: Response, bounds: Bounds) -> Self {
        let assembler = http.api.assembler();
        let splitter = Splitter::default();
        let ready = VecDeque::new();
        Self { http, response, bounds, splitter, ready, assembler, received: Vec::new() }
    }

    /// Reads on. False says that the stream is over and whole.
    pub(crate) async fn read(&mut self) -> Result<bool, ModelError> {
        let progress = self.assembler.progress();
        if progress == Progress::Done {
            let _ = timeout(CLOSE, self.response.chunk()).await;
            return Ok(false);
        }
        let chunk = match timeout(self.bounds.timeout, self.response.chunk()).await {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None)) if progress == Progress::Open => {
                return Err(self.http.garbage("the stream ended before the completion did"));
            }
            Ok(Ok(None)) => return Ok(false),
            Ok(Err(error)) => return Err(self.http.broken(&error)),
            // The completion has ended; only the server does not say so.
            Err(_) if progress == Progress::Finished => return Ok(false),
            Err(_) => return Err(self.http.timed_out(self.bounds.timeout)),
        };
        if self.received.len() + chunk.len() > self.bounds.bytes {
            let detail = format!("the stream is longer than {} bytes", self.bounds.bytes);
            return Err(self.http.garbage(detail));
        }
        // A key may have come in two pieces.
        let before = self.received.len().saturating_sub(1024);
        self.received.extend_from_slice(&chunk);
        if self.http.tells_a_key(&self.received[before..]) {
            return Err(self.http.garbage("it tells the key"));
        }
        self.splitter.push(&chunk);
        self.assembler.push(&chunk);
        match self.assembler.failure() {
            None => Ok(true),
            Some(failure) => Err(self.http.error_of(failure.status.unwrap_or(500), failure, None)),
        }
    }

    /// Reads until something was said, so that a failure before it can still be mended.
    pub(crate) async fn begin(&mut self) -> Result<(), ModelError> {
        loop {
            while let Some(event) = self.splitter.next() {
                let said = memchr::memmem::find(&event, b"data:").is_some();
                self.ready.push_back(event);
                if said {
                    return Ok(());
                }
            }
            if !self.read().await? {
                return Ok(());
            }
        }
    }

    /// The next whole event of what was read.
    pub(crate) fn event(&mut self) -> Option<Vec<u8>> {
        self.ready.pop_front().or_else(|| self.splitter.next())
    }

    /// Whether the completion goes on.
    pub(crate) fn is_open(&self) -> bool {
        self.assembler.progress() == Progress::Open
    }

    /// The answer, and bytes behind the last whole event.
    pub(crate) fn finish(mut self) -> Result<(Whole, Vec<u8>), ModelError> {
        let rest = self.splitter.rest();
        let reply = block_in_place(|| self.assembler.finish());
        let reply = reply.map_err(|problem| self.http.garbage(problem.to_string()))?;
        // A key may also have come in the texts of two events.
        let said = serde_json::to_vec(&reply.message).unwrap_or_default();
        if self.http.tells_a_key(&said) {
            return Err(self.http.garbage("it tells the key"));
        }
        let received = self.received.into();
        Ok((Whole { api: self.http.api, reply, received, is_body: false }, rest))
    }

    /// Reads to the end.
    pub(crate) async fn whole(mut self) -> Result<Whole, ModelError> {
        while self.read().await? {}
        self.finish().map(|(whole, _)| whole)
    }
}
