//! Connections.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::answer::{Asked, refusal};
use super::body::Pieces;
use super::{Script, ScriptedOptions};
use crate::wire::{Api, derive};

/// A server that plays a script. It ends when this is dropped.
pub struct ScriptedServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

struct Shared {
    script: Box<dyn Script>,
    options: ScriptedOptions,
    requests: AtomicU64,
}

impl ScriptedServer {
    /// Starts a server on a free port of loopback.
    ///
    /// # Errors
    /// Where threads or ports are exhausted.
    pub fn start(script: impl Script, options: ScriptedOptions) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(options.threads.max(1))
            .thread_name("scripted")
            .enable_all()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        let script = Box::new(script);
        let shared = Arc::new(Shared { script, options, requests: AtomicU64::new(0) });
        runtime.spawn(listen(listener, shared.clone()));
        Ok(Self { address, shared, runtime: Some(runtime) })
    }

    /// Its address, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests that it was sent, those under way included.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // No descriptor is free; one will be.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let shared = shared.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| serve(shared.clone(), request));
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).half_close(false);
            // A client that goes away is no news.
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn serve(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Pieces>, Infallible> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    let api = Api::of_path(path);
    if head.method == Method::GET && path.ends_with("/v1/models") {
        let models = json!({"object": "list", "data": [{"id": "scripted", "object": "model"}]});
        return Ok(Response::new(Pieces::whole(models.to_string())));
    }
    let Some(api) = api.filter(|_| head.method == Method::POST) else {
        return Ok(refusal(Api::Chat, 404, "", None));
    };
    shared.requests.fetch_add(1, Ordering::Relaxed);
    let Ok(body) = body.collect().await else {
        return Ok(refusal(api, 400, "", None));
    };
    if !shared.allows(&head.headers) {
        return Ok(refusal(api, 401, "", None));
    }
    let (mut request, streaming) = match api.request_from_slice(&body.to_bytes()) {
        Ok(asked) => asked,
        Err(problem) => {
            let body = api.error_to_json(400, &problem.to_string()).to_string();
            return Ok(refusal(api, 400, &body, None));
        }
    };
    let session = head.headers.get("x-session-id").and_then(|value| value.to_str().ok());
    request.session = session.map(str::to_owned);
    if !shared.options.latency.is_zero() {
        tokio::time::sleep(shared.options.latency).await;
    }
    let scripted = shared.script.play(&request);
    let id = name_of(&request);
    let asked = Asked { api, request, streaming, id };
    match asked.answer(scripted, &shared.options) {
        Some(response) => Ok(response),
        None => std::future::pending().await,
    }
}

/// A name for the answer: another one in each turn of each session, and the same in the next run.
fn name_of(request: &crate::Request) -> String {
    let last = request.messages.last().map(|message| message.content_text()).unwrap_or_default();
    let turn = request.messages.len().to_string();
    derive("scripted-", &[request.session.as_deref().unwrap_or(""), &turn, &last])
}

impl Shared {
    fn allows(&self, headers: &HeaderMap) -> bool {
        let given = Api::key_of(|name| headers.get(name)?.to_str().ok());
        self.options.key.as_deref().is_none_or(|key| given == Some(key))
    }
}
