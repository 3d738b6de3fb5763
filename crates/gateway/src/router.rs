//! Which path means what.

use std::io::Read;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Response};
use axum::routing::{any, get, post};
use bytes::Bytes;
use futures_util::stream;
use palestra_model::Api;
use serde::Deserialize;
use serde_json::json;
use tokio::task::{block_in_place, spawn_blocking};

use crate::call::Call;
use crate::error::GatewayError;
use crate::gateway::Shared;
use crate::models;
use crate::options::{Admin, SessionOptions};
use crate::respond;
use crate::session::{Inner, Session};

type Reply = Response<Body>;

/// The routes of a gateway.
pub(crate) fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", any(async || respond::json(200, &json!({"status": "ok"}))))
        .route("/healthz", any(async || respond::json(200, &json!({"status": "ok"}))))
        .route("/sessions", post(create))
        .route("/sessions/{id}", get(look).delete(remove).head(async || respond::json(200, &())))
        .route("/sessions/{id}/trace", get(trace))
        .route("/sessions/{id}/{*rest}", any(in_session))
        .route("/v1/{*rest}", any(in_header))
        .fallback(async |request: Request| unknown(request.uri().path()))
        .with_state(shared)
}

fn unknown(path: &str) -> Reply {
    let text = format!("there is nothing at {path}; try /sessions/NAME/v1/chat/completions");
    respond::error(Api::Chat, 404, &text)
}

/// The body of `POST /sessions`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    id: String,
    #[serde(default)]
    options: SessionOptions,
}

async fn create(State(shared): State<Arc<Shared>>, request: Request) -> Reply {
    let (parts, body) = request.into_parts();
    if let Err(refused) = administers(&shared, &parts.headers) {
        return *refused;
    }
    let bytes = match read(&shared, Api::Chat, body).await {
        Ok(bytes) => bytes,
        Err(refused) => return *refused,
    };
    let wanted: Wanted = match serde_json::from_slice(&bytes) {
        Ok(wanted) => wanted,
        Err(error) => return respond::error(Api::Chat, 400, &error.to_string()),
    };
    match block_in_place(|| shared.create(&wanted.id, wanted.options, None)) {
        Ok(session) => respond::json(201, &Session(session).status()),
        Err(error) => gateway_error(Api::Chat, &error),
    }
}

fn gateway_error(api: Api, error: &GatewayError) -> Reply {
    let status = match error {
        GatewayError::Name(_) | GatewayError::Option(_) => 400,
        GatewayError::Exists(_) => 409,
        _ => 500,
    };
    respond::error(api, status, &error.to_string())
}

async fn look(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Reply {
    match managed(&shared, &headers, &id) {
        Ok(session) => respond::json(200, &Session(session).status()),
        Err(refused) => *refused,
    }
}

async fn remove(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Reply {
    if let Err(refused) = managed(&shared, &headers, &id) {
        return *refused;
    }
    match block_in_place(|| shared.remove(&id)) {
        Some(session) => respond::json(200, &Session(session).status()),
        None => missing(Api::Chat, &id),
    }
}

async fn trace(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Reply {
    let session = match managed(&shared, &headers, &id) {
        Ok(session) => Session(session),
        Err(refused) => return *refused,
    };
    // As long as it is now: what is written meanwhile may be cut.
    let open = || -> std::io::Result<_> {
        let file = fs_err::File::open(session.trace())?;
        let length = file.metadata()?.len();
        Ok((file, length))
    };
    match block_in_place(open) {
        Ok((file, length)) => {
            let pieces = stream::unfold(Some(file.take(length)), async |file| {
                let mut file = file?;
                let read = spawn_blocking(move || {
                    let mut bytes = vec![0; 1 << 16];
                    let got = file.read(&mut bytes)?;
                    bytes.truncate(got);
                    Ok::<_, std::io::Error>((file, bytes))
                });
                match read.await.map_err(std::io::Error::other).flatten() {
                    Ok((_, bytes)) if bytes.is_empty() => None,
                    Ok((file, bytes)) => Some((Ok(Bytes::from(bytes)), Some(file))),
                    // The response is cut off, so that it is not taken for whole.
                    Err(error) => Some((Err(error), None)),
                }
            });
            respond::bytes(200, "application/jsonl", Body::from_stream(pieces))
        }
        Err(error) => respond::error(Api::Chat, 500, &error.to_string()),
    }
}

type Refused<T> = Result<T, Box<Reply>>;

/// A session for who manages sessions.
fn managed(shared: &Shared, headers: &HeaderMap, id: &str) -> Refused<Arc<Inner>> {
    administers(shared, headers)?;
    shared.session(id).ok_or_else(|| Box::new(missing(Api::Chat, id)))
}

fn missing(api: Api, id: &str) -> Reply {
    let id: String = id.chars().take(128).collect();
    respond::error(api, 404, &format!("there is no session `{id}`"))
}

fn administers(shared: &Shared, headers: &HeaderMap) -> Refused<()> {
    let text = match &shared.options.admin {
        Admin::Open => return Ok(()),
        Admin::Key(key) if sent_key(headers).is_some_and(|sent| same(sent, key.expose())) => {
            return Ok(());
        }
        Admin::Key(_) => "sessions are managed with the administrator's key",
        Admin::Closed => "sessions are not managed over HTTP here",
    };
    Err(Box::new(respond::error(Api::Chat, 403, text)))
}

/// The key that a client sends, in the way of any API.
fn sent_key(headers: &HeaderMap) -> Option<&str> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    text("x-api-key").or_else(|| {
        let value = text("authorization")?;
        Some(
            value.strip_prefix("Bearer ").or(value.strip_prefix("bearer ")).unwrap_or(value).trim(),
        )
    })
}

/// Whether two secrets are the same, in a time that does not tell how far.
fn same(one: &str, other: &str) -> bool {
    blake3::hash(one.as_bytes()) == blake3::hash(other.as_bytes())
}

async fn in_session(
    State(shared): State<Arc<Shared>>,
    Path((id, rest)): Path<(String, String)>,
    request: Request,
) -> Reply {
    serve(shared, &id, rest.strip_prefix("v1/").unwrap_or(&rest), request).await
}

async fn in_header(
    State(shared): State<Arc<Shared>>,
    Path(rest): Path<String>,
    request: Request,
) -> Reply {
    let id = request.headers().get("x-session-id").and_then(|id| id.to_str().ok());
    let id = id.unwrap_or("default").to_owned();
    serve(shared, &id, &rest, request).await
}

async fn serve(shared: Arc<Shared>, id: &str, path: &str, request: Request) -> Reply {
    let api = match path {
        "responses" => Api::Responses,
        "messages" | "messages/count_tokens" => Api::Anthropic,
        _ => Api::Chat,
    };
    let session = match block_in_place(|| shared.session_or_implicit(id)) {
        Ok(Some(session)) => session,
        Ok(None) => return missing(api, id),
        Err(error) => return gateway_error(api, &error),
    };
    let (parts, body) = request.into_parts();
    if let Some(secret) = &session.options.secret
        && !sent_key(&parts.headers).is_some_and(|sent| same(sent, secret.expose()))
    {
        return respond::error(api, 401, "this session wants its own key");
    }
    match (&parts.method, path) {
        (&Method::GET, "models") => models::models(&shared, &session, path).await,
        (&Method::GET, one) if one.starts_with("models/") => {
            models::models(&shared, &session, one).await
        }
        (
            &Method::POST,
            "chat/completions" | "responses" | "messages" | "messages/count_tokens",
        ) => {
            let body = match read(&shared, api, body).await {
                Ok(body) => body,
                Err(refused) => return *refused,
            };
            let Parts { headers, uri, .. } = parts;
            if path == "messages/count_tokens" {
                return models::count_tokens(&shared, &session, &headers, uri.query(), body).await;
            }
            let query = uri.query().map(str::to_owned);
            Call { shared, session, api, headers, query, body }.handle().await
        }
        (_, "chat/completions" | "responses" | "messages" | "messages/count_tokens") => {
            respond::error(api, 405, "this wants POST")
        }
        _ => unknown(parts.uri.path()),
    }
}

async fn read(shared: &Shared, api: Api, body: Body) -> Refused<Bytes> {
    let limit = shared.options.request_bytes;
    axum::body::to_bytes(body, limit).await.map_err(|_| {
        let text = format!("the body is cut off, or longer than {limit} bytes");
        Box::new(respond::error(api, 413, &text))
    })
}
