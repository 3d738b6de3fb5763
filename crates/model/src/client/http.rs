//! One try.

use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Body, Response, Url};

use super::status::{error_of, retry_after};
use crate::error::ModelError;
use crate::message::Reply;
use crate::wire::{Api, Assembler, Failure, Progress};

/// Bytes of an error that are read.
const ERROR: usize = 64 << 10;
/// After its end, a stream may take so long to close, so that the connection can be used again.
const CLOSE: Duration = Duration::from_millis(50);

/// What is sent, and how the answer is read.
pub(super) struct Try {
    pub(super) http: reqwest::Client,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: bytes::Bytes,
    pub(super) api: Api,
    pub(super) server: String,
    pub(super) timeout: Duration,
    pub(super) max_response: usize,
}

/// What came.
pub(super) enum Came {
    /// A body that is to be read; it is left to the calling thread.
    Whole(Vec<u8>),
    /// A stream that was read while it came.
    Stream(Vec<u8>, Box<Reply>),
}

impl Try {
    pub(super) async fn run(self) -> Result<Came, ModelError> {
        match tokio::time::timeout(self.timeout, self.answer()).await {
            Ok(result) => result,
            Err(_) => Err(ModelError::TimedOut { server: self.server, after: self.timeout }),
        }
    }

    async fn answer(&self) -> Result<Came, ModelError> {
        let request = self.http.post(self.url.clone()).headers(self.headers.clone());
        let request = request.body(Body::from(self.body.clone()));
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status().as_u16();
        if !(200..300).contains(&status) {
            return Err(self.refused(response, status).await);
        }
        let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
            return self.stream(response).await;
        }
        let mut response = response;
        let mut bytes = Vec::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|error| self.broken(&error, bytes.len()))?
        {
            self.bound(bytes.len() + chunk.len())?;
            bytes.extend_from_slice(&chunk);
        }
        Ok(Came::Whole(bytes))
    }

    async fn stream(&self, mut response: Response) -> Result<Came, ModelError> {
        let mut bytes = Vec::new();
        let mut assembler = self.api.assembler();
        let mut clean = true;
        loop {
            let chunk = match response.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                // Where the completion has ended, what follows is only usage or nothing.
                Err(error) if assembler.progress() == Progress::Open => {
                    return Err(self.broken(&error, bytes.len()));
                }
                Err(_) => {
                    clean = false;
                    break;
                }
            };
            self.bound(bytes.len() + chunk.len())?;
            assembler.push(&chunk);
            bytes.extend_from_slice(&chunk);
            if assembler.failure().is_some() {
                break;
            }
            if assembler.progress() == Progress::Done {
                let _ = tokio::time::timeout(CLOSE, response.chunk()).await;
                break;
            }
        }
        self.assembled(assembler, bytes, clean)
    }

    fn assembled(
        &self,
        assembler: Assembler,
        bytes: Vec<u8>,
        clean: bool,
    ) -> Result<Came, ModelError> {
        if let Some(failure) = assembler.failure() {
            let status = failure.status.unwrap_or(500);
            return Err(error_of(&self.server, status, failure.clone(), None));
        }
        if !clean && assembler.progress() != Progress::Done {
            return Err(self.garbage("the connection broke before the stream had ended".to_owned()));
        }
        let reply = assembler.finish().map_err(|problem| self.garbage(problem.to_string()))?;
        Ok(Came::Stream(bytes, Box::new(reply)))
    }

    async fn refused(&self, mut response: Response, status: u16) -> ModelError {
        let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok());
        let after = retry_after(header("retry-after-ms"), header("retry-after"), SystemTime::now());
        let location = header("location").map(str::to_owned);
        let mut bytes = Vec::new();
        while bytes.len() < ERROR
            && let Ok(Some(chunk)) = response.chunk().await
        {
            bytes.extend_from_slice(&chunk);
        }
        bytes.truncate(ERROR);
        let mut failure = Failure::of_body(&bytes);
        if let (300..400, Some(location)) = (status, location) {
            failure.text = format!("it redirects to {location}; use that address");
        }
        error_of(&self.server, status, failure, after)
    }

    fn bound(&self, length: usize) -> Result<(), ModelError> {
        if length <= self.max_response {
            return Ok(());
        }
        Err(self.garbage(format!("the answer is longer than {} bytes", self.max_response)))
    }

    pub(super) fn garbage(&self, detail: String) -> ModelError {
        ModelError::Garbage { server: self.server.clone(), detail }
    }

    fn broken(&self, error: &reqwest::Error, read: usize) -> ModelError {
        let detail = format!("the connection broke after {read} bytes: {}", chain(error));
        ModelError::Unreachable { server: self.server.clone(), detail }
    }

    fn unreachable(&self, error: &reqwest::Error) -> ModelError {
        ModelError::Unreachable { server: self.server.clone(), detail: chain(error) }
    }
}

/// An error with its causes, without the address: that may hold a password.
fn chain(error: &reqwest::Error) -> String {
    let mut text = match error {
        error if error.is_connect() => "no connection".to_owned(),
        error if error.is_body() || error.is_decode() => "the body is cut off".to_owned(),
        _ => "the request could not be sent".to_owned(),
    };
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
