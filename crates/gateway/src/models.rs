//! What clients ask besides completions.

use axum::body::Body;
use axum::http::{HeaderMap, Response};
use bytes::Bytes;
use palestra_model::Api;
use serde_json::json;

use crate::backend::{Backend, Passing};
use crate::gateway::Shared;
use crate::respond;
use crate::session::Inner;
use crate::stream::{self, Bounds};

/// The list of models, or one of them: as the first server tells it, or the session's own model.
pub(crate) async fn models(shared: &Shared, session: &Inner, path: &str) -> Response<Body> {
    if session.options.model.is_none()
        && let Some(Backend::Http(http)) = session.order.first().map(|at| &shared.backends[*at])
    {
        let passing = Passing { session: &session.id, client: None };
        let got = http.get(&shared.http, &format!("/v1/{path}"), &passing).await;
        let read = match got {
            Ok(response) => stream::body(http, response, bounds(shared)).await,
            Err(refusal) => Err(refusal.error),
        };
        match read {
            Ok(bytes) if !http.tells_a_key(&bytes) => {
                return respond::bytes(200, "application/json", bytes);
            }
            Ok(_) => return respond::error(Api::Chat, 502, "the list of models tells the key"),
            Err(error) => {
                let status = respond::status(&error);
                return respond::error(Api::Chat, status, &error.to_string());
            }
        }
    }
    let model =
        |id: &str| json!({"id": id, "object": "model", "created": 0, "owned_by": "palestra"});
    match (path.strip_prefix("models/"), &session.options.model) {
        (Some(id), Some(ours)) if id != ours => {
            respond::error(Api::Chat, 404, "the session has another model")
        }
        (Some(id), _) => respond::json(200, &model(id)),
        (None, ours) => {
            let list: Vec<_> = ours.iter().map(|id| model(id)).collect();
            respond::json(200, &json!({"object": "list", "data": list}))
        }
    }
}

/// Anthropic's count of tokens: the server's own, or none. Nothing is estimated.
pub(crate) async fn count_tokens(
    shared: &Shared,
    session: &Inner,
    headers: &HeaderMap,
    query: Option<&str>,
    body: Bytes,
) -> Response<Body> {
    let first = session.order.first().map(|at| &shared.backends[*at]);
    let Some(Backend::Http(http)) = first
        .filter(|backend| matches!(backend, Backend::Http(http) if http.api == Api::Anthropic))
    else {
        return respond::error(Api::Anthropic, 404, "the server of this session counts no tokens");
    };
    let edits = crate::edit::Edits {
        options: None,
        model: session.options.model.as_deref(),
        ..crate::edit::Edits::default()
    };
    let body = match crate::edit::body(Api::Anthropic, &body, &edits) {
        Ok(body) => body,
        Err(error) => return respond::error(Api::Anthropic, 400, &error.to_string()),
    };
    let passing = Passing { session: &session.id, client: Some((headers, query)) };
    let posted = http.post(&shared.http, "/v1/messages/count_tokens", body, &passing).await;
    let read = match posted {
        Ok(response) => stream::body(http, response, bounds(shared)).await,
        Err(refusal) => return respond::refusal(Api::Anthropic, &refusal),
    };
    match read {
        Ok(bytes) => respond::bytes(200, "application/json", bytes),
        Err(error) => respond::refusal(Api::Anthropic, &error.into()),
    }
}

fn bounds(shared: &Shared) -> Bounds {
    Bounds { timeout: shared.options.timeout, bytes: shared.options.response_bytes }
}
