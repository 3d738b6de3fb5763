//! Answers of the gateway itself.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use axum::http::{Response, StatusCode};
use palestra_model::{Api, ModelError};
use serde::Serialize;

/// What a client is told of a failure.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) error: ModelError,
    /// What the upstream said, where the client can read it and may.
    pub(crate) said: Option<(u16, Vec<u8>)>,
}

impl From<ModelError> for Refusal {
    fn from(error: ModelError) -> Self {
        Self { error, said: None }
    }
}

/// The HTTP status for an error.
pub(crate) fn status(error: &ModelError) -> u16 {
    match error {
        ModelError::RateLimited { .. } => 429,
        ModelError::Server { status, .. } if (500..600).contains(status) => *status,
        ModelError::Rejected { status, .. } if (400..500).contains(status) => *status,
        ModelError::Server { .. } | ModelError::Rejected { .. } => 502,
        ModelError::Unreachable { .. } | ModelError::Garbage { .. } => 502,
        ModelError::TimedOut { .. } => 504,
        ModelError::Unauthorised { .. } => 401,
        ModelError::ContextTooLong { .. } => 400,
        ModelError::Budget(_) => 402,
        ModelError::NotRecorded(_) => 404,
        ModelError::File(_) => 500,
        ModelError::Cancelled => 410,
    }
}

/// The response for an error, in the client's own API. Clients are told not to try again: the gateway
/// has.
pub(crate) fn refusal(api: Api, refusal: &Refusal) -> Response<Body> {
    let wait = match &refusal.error {
        ModelError::RateLimited { retry_after, .. } | ModelError::Server { retry_after, .. } => {
            *retry_after
        }
        _ => None,
    };
    let mut response = match &refusal.said {
        Some((status, body)) => bytes(*status, "application/json", body.clone()),
        None => error(api, status(&refusal.error), &refusal.error.to_string()),
    };
    if let Some(wait) = wait {
        let seconds = wait.saturating_add(Duration::from_millis(999)).as_secs();
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
        .headers_mut()
        .insert(HeaderName::from_static("x-should-retry"), HeaderValue::from_static("false"));
    response
}

/// An error in the form of an API.
pub(crate) fn error(api: Api, status: u16, text: &str) -> Response<Body> {
    let mut body = api.error_to_json(status, text);
    if api != Api::Anthropic && text.contains("longer than the context") {
        // Client libraries know this failure by its code.
        body["error"]["code"] = "context_length_exceeded".into();
    }
    json(status, &body)
}

/// A value as JSON.
pub(crate) fn json(status: u16, value: &impl Serialize) -> Response<Body> {
    let body = serde_json::to_vec(value).unwrap_or_default();
    bytes(status, "application/json", body)
}

/// Bytes.
pub(crate) fn bytes(status: u16, kind: &str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(kind) = HeaderValue::from_str(kind) {
        response.headers_mut().insert(CONTENT_TYPE, kind);
    }
    response
}
