//! Where answers come from.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use palestra_model::wire::Failure;
use palestra_model::{Api, Model, ModelError, Secret};
use reqwest::{Client, Response, Url};

use crate::error::{GatewayError, Result};
use crate::options::Upstream;
use crate::respond::Refusal;

/// A shorter key may be part of any text, so it is not looked for.
const SHORTEST_KEY: usize = 12;

/// So much of an error's body is read.
const ERROR_BYTES: usize = 64 << 10;

/// Headers of clients that go on, where both speak the same API.
const PASSED: [&str; 3] = ["anthropic-version", "anthropic-beta", "openai-beta"];

/// An upstream, ready to be asked.
pub(crate) enum Backend {
    Http(Arc<Http>),
    Model(String, Arc<dyn Model>),
}

impl Backend {
    pub(crate) fn new(upstream: &Upstream) -> Result<Self> {
        match upstream {
            Upstream::Http { name, base_url, api, key, headers } => {
                Http::new(name, base_url, *api, key.as_ref(), headers).map(Arc::new).map(Self::Http)
            }
            Upstream::Model { name, model } => Ok(Self::Model(name.clone(), model.clone())),
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Http(http) => &http.name,
            Self::Model(name, _) => name,
        }
    }
}

/// A server.
pub(crate) struct Http {
    pub(crate) name: String,
    /// What errors call it: its address without a path.
    pub(crate) server: String,
    pub(crate) api: Api,
    base: Url,
    headers: HeaderMap,
    secrets: Vec<Secret>,
}

/// What goes with a body.
pub(crate) struct Passing<'a> {
    pub(crate) session: &'a str,
    /// The client's headers and query, where it speaks the same API.
    pub(crate) client: Option<(&'a HeaderMap, Option<&'a str>)>,
}

impl Http {
    fn new(
        name: &str,
        base_url: &str,
        api: Api,
        key: Option<&Secret>,
        more: &[(String, Secret)],
    ) -> Result<Self> {
        let wrong = |what: &str| GatewayError::Option(format!("upstream `{name}`: {what}"));
        let base = base_url.trim_end_matches('/');
        let base = Url::parse(base.strip_suffix("/v1").unwrap_or(base))
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .filter(|url| url.username().is_empty() && url.password().is_none())
            .ok_or_else(|| {
                wrong("its URL must begin with http:// or https:// and hold no password")
            })?;
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        for (name, value) in api.headers() {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        let keys = key.into_iter().flat_map(|key| api.key_headers(key.expose()));
        let further = more.iter().map(|(name, value)| (&**name, value.expose().to_owned()));
        for (header, value) in keys.chain(further) {
            let header: HeaderName =
                header.parse().map_err(|_| wrong(&format!("`{header}` is no header")))?;
            let mut value = HeaderValue::from_str(&value)
                .map_err(|_| wrong(&format!("the value of `{header}` cannot be sent")))?;
            value.set_sensitive(true);
            headers.insert(header, value);
        }
        let secrets = key.into_iter().chain(more.iter().map(|(_, value)| value)).cloned().collect();
        let port = base.port().map(|port| format!(":{port}")).unwrap_or_default();
        let server = format!("{}://{}{port}", base.scheme(), base.host_str().unwrap_or_default());
        Ok(Self { name: name.to_owned(), server, api, base, headers, secrets })
    }

    /// The URL of a path such as `/v1/models`.
    fn url(&self, path: &str, query: Option<&str>) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        url.set_query(query);
        url
    }

    /// Sends a body, and gives the response once it begins well.
    pub(crate) async fn post(
        &self,
        http: &Client,
        path: &str,
        body: Bytes,
        passing: &Passing<'_>,
    ) -> Result<Response, Refusal> {
        let query = passing.client.and_then(|(_, query)| query);
        let request = http.post(self.url(path, query)).headers(self.headers_for(passing));
        self.begun(request.body(body).send().await).await
    }

    /// Gets something.
    pub(crate) async fn get(
        &self,
        http: &Client,
        path: &str,
        passing: &Passing<'_>,
    ) -> Result<Response, Refusal> {
        let request = http.get(self.url(path, None)).headers(self.headers_for(passing));
        self.begun(request.send().await).await
    }

    fn headers_for(&self, passing: &Passing<'_>) -> HeaderMap {
        let mut headers = self.headers.clone();
        if let Some((client, _)) = passing.client {
            for name in PASSED {
                if let Some(value) = client.get(name) {
                    headers.insert(name, value.clone());
                }
            }
        }
        if let Ok(session) = HeaderValue::from_str(passing.session) {
            headers.insert("x-session-id", session);
        }
        headers
    }

    async fn begun(&self, sent: reqwest::Result<Response>) -> Result<Response, Refusal> {
        let mut response = sent.map_err(|error| self.broken(&error))?;
        let status = response.status().as_u16();
        if response.status().is_success() {
            return Ok(response);
        }
        let after = retry_after(response.headers());
        let mut body = Vec::new();
        while body.len() < ERROR_BYTES
            && let Ok(Some(chunk)) = response.chunk().await
        {
            body.extend_from_slice(&chunk);
        }
        body.truncate(ERROR_BYTES);
        let failure = Failure::of_body(&body);
        let error = self.error_of(status, &failure, after);
        // Other failures are not the client's to read: they are of the gateway's key and its patience.
        let may = matches!(error, ModelError::Rejected { .. } | ModelError::ContextTooLong { .. });
        let readable = may && serde_json::from_slice::<serde_json::Value>(&body).is_ok();
        let said = readable.then(|| (status, self.scrub_bytes(body)));
        Err(Refusal { error, said })
    }

    /// What a failure means.
    pub(crate) fn error_of(
        &self,
        status: u16,
        failure: &Failure,
        retry_after: Option<Duration>,
    ) -> ModelError {
        let server = self.server.clone();
        let detail = match (&*failure.text, &*failure.kind) {
            ("", _) => format!("status {status} and nothing else"),
            (text, "") => self.scrub(text),
            (text, kind) => self.scrub(&format!("{text} ({kind})")),
        };
        let words = detail.to_lowercase();
        let says = |list: &[&str]| list.iter().any(|word| words.contains(word));
        if status == 402 || says(&["insufficient_quota", "credit balance is too low"]) {
            return ModelError::Budget(format!("{server} says: {detail}"));
        }
        let long = ["context_length_exceeded", "context length", "prompt is too long"];
        if status == 413 || (matches!(status, 400 | 422) && says(&long)) {
            return ModelError::ContextTooLong { detail };
        }
        match status {
            401 | 403 => ModelError::Unauthorised { server, detail },
            429 => ModelError::RateLimited { server, detail, retry_after },
            408 | 409 | 425 | 500 | 502..=504 | 506.. => {
                ModelError::Server { server, status, detail, retry_after }
            }
            _ => ModelError::Rejected { server, status, detail },
        }
    }

    /// An error of the connection.
    pub(crate) fn broken(&self, error: &reqwest::Error) -> ModelError {
        let mut detail = if error.is_connect() {
            "no connection".to_owned()
        } else {
            "the connection broke".to_owned()
        };
        // The error's own text holds the URL; its causes do not.
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            detail = format!("{detail}: {error}");
            cause = error.source();
        }
        ModelError::Unreachable { server: self.server.clone(), detail: self.scrub(&detail) }
    }

    pub(crate) fn garbage(&self, detail: impl Into<String>) -> ModelError {
        ModelError::Garbage { server: self.server.clone(), detail: self.scrub(&detail.into()) }
    }

    pub(crate) fn timed_out(&self, after: Duration) -> ModelError {
        ModelError::TimedOut { server: self.server.clone(), after }
    }

    /// Whether bytes hold a key of ours.
    pub(crate) fn tells_a_key(&self, bytes: &[u8]) -> bool {
        self.long_keys().any(|key| memchr::memmem::find(bytes, key.as_bytes()).is_some())
    }

    fn long_keys(&self) -> impl Iterator<Item = &str> {
        let keys = self.secrets.iter().map(Secret::expose);
        keys.filter(|key| key.len() >= SHORTEST_KEY)
    }

    fn scrub(&self, text: &str) -> String {
        self.long_keys().fold(text.to_owned(), |text, key| text.replace(key, "[key]"))
    }

    fn scrub_bytes(&self, bytes: Vec<u8>) -> Vec<u8> {
        match self.tells_a_key(&bytes) {
            true => self.scrub(&String::from_utf8_lossy(&bytes)).into_bytes(),
            false => bytes,
        }
    }
}

/// When the server wants to be asked again.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |text: &str| text.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
    let longest = 365.0 * 24.0 * 3600.0;
    if let Some(milliseconds) = text("retry-after-ms").and_then(number) {
        return Some(Duration::from_secs_f64((milliseconds / 1000.0).min(longest)));
    }
    let after = text("retry-after")?;
    if let Some(seconds) = number(after) {
        return Some(Duration::from_secs_f64(seconds.min(longest)));
    }
    let date = httpdate::parse_http_date(after).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO))
}
