//! A model behind an address.

mod http;
mod retry;
mod status;

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Url, redirect};
use serde_json::Value;

use crate::call::{Answer, CallOptions, Effort, Model};
use crate::error::{ModelError, Result};
use crate::ledger::{Entry, Ledger};
use crate::limit::{Gauge, Limits, Place};
use crate::message::{Reply, Request};
use crate::price::Prices;
use crate::secret::Secret;
use crate::wait::{Stopped, Waiting};
use crate::wire::{Api, anthropic};

pub use retry::Backoff;

use http::{Came, Try};

/// How a server is asked.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Address, with or without `/v1`: `http://localhost:8000`, `https://openrouter.ai/api/v1`.
    pub base_url: String,
    /// What it speaks.
    pub api: Api,
    /// The key, where it wants one.
    pub key: Option<Secret>,
    /// Further headers of every request. Their values are kept out of errors as the key is.
    pub headers: Vec<(String, Secret)>,
    /// Whether answers are asked for as streams. Then a call that hangs is told from a long one by
    /// nobody but the server; it only helps where proxies close silent connections.
    pub stream: bool,
    /// Whether prompts are marked for caching, where the server wants marks.
    pub cache_prompts: bool,
    /// Whether the bound of tokens is called `max_completion_tokens` (chat completions of OpenAI).
    pub max_completion_tokens: bool,
    /// A connection may take so long to be made.
    pub connect: Duration,
    /// Bytes of an answer.
    pub max_response: usize,
    /// Waits between tries.
    pub backoff: Backoff,
    /// An HTTP proxy between here and the server.
    pub proxy: Option<String>,
    /// Bounds that this client shares with others of the same server.
    pub limits: Arc<Limits>,
    /// What tokens cost.
    pub prices: Arc<Prices>,
    /// Where calls are written down, and their money is counted.
    pub ledger: Option<Arc<Ledger>>,
}

impl ClientConfig {
    /// A server without limits, prices and ledger.
    pub fn new(api: Api, base_url: impl Into<String>) -> Self {
        let base_url = base_url.into();
        Self {
            max_completion_tokens: base_url.starts_with("https://api.openai.com"),
            base_url,
            api,
            key: None,
            headers: Vec::new(),
            stream: false,
            cache_prompts: false,
            connect: Duration::from_secs(10),
            max_response: 64 << 20,
            backoff: Backoff::default(),
            proxy: None,
            limits: Arc::default(),
            prices: Arc::default(),
            ledger: None,
        }
    }
}

/// A model behind an address. Any number of threads may call at once; a call blocks only its own.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    http: reqwest::Client,
    url: Url,
    headers: HeaderMap,
    server: String,
}

impl Client {
    /// Makes a client. No connection is made yet.
    ///
    /// # Errors
    /// [`ModelError::File`] where the address, a header or the proxy is none.
    pub fn new(config: ClientConfig) -> Result<Self> {
        let wrong = |what: &str, error: &dyn std::fmt::Display| {
            ModelError::File(format!("{what} cannot be used: {error}"))
        };
        let url = endpoint(&config.base_url, config.api)
            .map_err(|error| wrong("the address of the model", &error))?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in config.api.headers() {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        if let Some(key) = &config.key {
            for (name, value) in config.api.key_headers(key.expose()) {
                // The error would not say the key, and neither does this.
                let mut value = HeaderValue::from_str(&value)
                    .map_err(|_| wrong("the key", &"it has bytes that no header may have"))?;
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        for (name, value) in &config.headers {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|error| wrong(&format!("the header `{name}`"), &error))?;
            let mut value = HeaderValue::from_str(value.expose())
                .map_err(|error| wrong(&format!("the header `{name}`"), &error))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let mut http = reqwest::Client::builder()
            .connect_timeout(config.connect)
            // Another host would be sent the key.
            .redirect(redirect::Policy::none())
            .user_agent(concat!("palestra/", env!("CARGO_PKG_VERSION")))
            .no_proxy();
        if let Some(proxy) = &config.proxy {
            let proxy = reqwest::Proxy::all(proxy);
            http = http.proxy(proxy.map_err(|error| wrong("the proxy", &error))?);
        }
        let http = http.build().map_err(|error| wrong("TLS", &error))?;
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let server = format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or("?"));
        Ok(Self { config, http, url, headers, server })
    }

    /// What is going on: calls under way, waiting, allowed.
    pub fn gauge(&self) -> Gauge {
        self.config.limits.gauge()
    }

    /// The body that a request is sent as.
    pub fn body(&self, request: &Request) -> Vec<u8> {
        let api = self.config.api;
        let marks = self.config.cache_prompts && api != Api::Responses;
        if api == Api::Anthropic && !marks {
            return api.request_to_vec(request, self.config.stream);
        }
        let mut body = api.request_to_json(request, self.config.stream);
        if marks {
            anthropic::mark_for_cache(api, &mut body);
        }
        if self.config.max_completion_tokens
            && api == Api::Chat
            && let Value::Object(map) = &mut body
            && let Some(max) = map.shift_remove("max_tokens")
        {
            map.insert("max_completion_tokens".to_owned(), max);
        }
        body.to_string().into_bytes()
    }

    fn one_try(&self, request: &Request, sent: &Arc<[u8]>, timeout: Duration) -> Try {
        let mut headers = self.headers.clone();
        if let Some(session) = &request.session
            && let Ok(value) = HeaderValue::from_str(session)
        {
            headers.insert(HeaderName::from_static("x-session-id"), value);
        }
        Try {
            http: self.http.clone(),
            url: self.url.clone(),
            headers,
            body: bytes::Bytes::from_owner(sent.clone()),
            api: self.config.api,
            server: self.server.clone(),
            timeout,
            max_response: self.config.max_response,
        }
    }

    /// Tries once, with a place among the calls under way.
    fn attempt(
        &self,
        waiting: &Waiting<'_>,
        request: &Request,
        sent: &Arc<[u8]>,
        timeout: Duration,
    ) -> Result<(Vec<u8>, Reply)> {
        let one_try = self.one_try(request, sent, timeout);
        let came = match waiting.run(one_try.run()) {
            Ok(came) => came,
            Err(Stopped) => return Err(ModelError::Cancelled),
        };
        let garbage = |detail: String| ModelError::Garbage { server: self.server.clone(), detail };
        match came.ok_or_else(|| garbage("reading it failed".to_owned()))?? {
            Came::Stream(bytes, reply) => Ok((bytes, *reply)),
            Came::Whole(bytes) => {
                let reply = self.config.api.reply_from_bytes(&bytes);
                let reply = reply.map_err(|problem| {
                    // Some servers answer with status 200 and an error.
                    let failure = crate::wire::Failure::of_body(&bytes);
                    match failure.status {
                        Some(status) => status::error_of(&self.server, status, failure, None),
                        None => garbage(problem.to_string()),
                    }
                })?;
                Ok((bytes, reply))
            }
        }
    }

    fn tries(
        &self,
        request: &Request,
        options: &CallOptions,
        sent: &Arc<[u8]>,
        effort: &mut Effort,
    ) -> Result<(Vec<u8>, Reply)> {
        let waiting = Waiting::new(&options.stop);
        let began = Instant::now();
        let deadline = began.checked_add(options.patience);
        let estimate = estimate(request, sent.len());
        let mut before: Option<ModelError> = None;
        loop {
            let place = self.config.limits.enter(&waiting, estimate, deadline);
            let mut place: Place<'_> = match place {
                Ok(Some(place)) => place,
                Ok(None) => {
                    return Err(ModelError::RateLimited {
                        server: self.server.clone(),
                        detail: "no place was free, by limits of our own".to_owned(),
                        retry_after: None,
                    });
                }
                Err(Stopped) => return Err(ModelError::Cancelled),
            };
            effort.tries += 1;
            let start = Instant::now();
            let left = deadline.map_or(options.timeout, |end| end.saturating_duration_since(start));
            let timeout = options.timeout.min(left.max(Duration::from_millis(1)));
            let result = self.attempt(&waiting, request, sent, timeout);
            effort.seconds = start.elapsed().as_secs_f64();
            effort.waited = (began.elapsed().as_secs_f64() - effort.seconds).max(0.0);
            let error = match result {
                Ok((bytes, reply)) => {
                    place.succeeded(reply.usage.prompt + reply.usage.completion);
                    return Ok((bytes, reply));
                }
                Err(error) => error,
            };
            place.failed(&error);
            drop(place);
            // A try that had less time than others says nothing that the one before did not.
            if timeout < options.timeout
                && matches!(error, ModelError::TimedOut { .. })
                && let Some(before) = before
            {
                return Err(before);
            }
            if !error.is_transient() {
                return Err(error);
            }
            let wait = self.config.backoff.wait(effort.tries, &error);
            if deadline.is_some_and(|deadline| Instant::now() + wait >= deadline) {
                return Err(error);
            }
            waiting.sleep(wait).map_err(|Stopped| ModelError::Cancelled)?;
            before = Some(error);
        }
    }

    /// An error without the key and the values of headers.
    fn scrubbed(&self, error: ModelError) -> ModelError {
        let secrets = self.config.key.iter().chain(self.config.headers.iter().map(|(_, s)| s));
        let secrets: Vec<&Secret> = secrets.collect();
        error.map_text(|text| secrets.iter().fold(text, |text, secret| secret.scrub(&text)))
    }
}

impl Model for Client {
    fn call(&self, request: &Request, options: &CallOptions) -> Result<Answer> {
        let price = self.config.prices.of(&request.model);
        if let Some(ledger) = &self.config.ledger {
            ledger.check(&request.model, price.is_some())?;
        }
        let sent: Arc<[u8]> = self.body(request).into();
        let mut effort = Effort::default();
        let result = self.tries(request, options, &sent, &mut effort);
        let result = result.map_err(|error| self.scrubbed(error));
        if let Ok((_, reply)) = &result {
            effort.cost = price.map(|price| price.cost(&reply.usage));
        } else {
            effort.waited += std::mem::take(&mut effort.seconds);
        }
        if let Some(ledger) = &self.config.ledger {
            ledger.add(&Entry::of(
                request,
                &self.server,
                &effort,
                result.as_ref().map(|(_, r)| r),
            ))?;
        }
        let (received, reply) = result?;
        Ok(Answer { reply, effort, sent, received: received.into() })
    }

    fn server(&self) -> String {
        self.server.clone()
    }

    fn api(&self) -> Option<Api> {
        Some(self.config.api)
    }
}

/// Tokens that a call will take, before anyone has counted them.
fn estimate(request: &Request, bytes: usize) -> u64 {
    let completion = request.sampling.max_tokens.unwrap_or(1024);
    (bytes as u64 / 4).saturating_add(completion)
}

/// The address of the endpoint. Some people give the address with `/v1`, some without.
fn endpoint(base: &str, api: Api) -> std::result::Result<Url, String> {
    let base = base.trim_end_matches('/');
    let path = api.path();
    let last = base.rsplit('/').next().unwrap_or("");
    let versioned = last == "openai"
        || last
            .strip_prefix('v')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let text = if base.ends_with(path) {
        base.to_owned()
    } else if versioned {
        format!("{base}{}", path.trim_start_matches("/v1"))
    } else {
        format!("{base}{path}")
    };
    let url = Url::parse(&text).map_err(|error| format!("it is no address ({error})"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("it begins with neither http:// nor https://".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it holds a user or a password; give a key or a header instead".to_owned());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        for (base, api, url) in [
            ("http://h:1", Api::Chat, "http://h:1/v1/chat/completions"),
            ("http://h:1/v1/", Api::Responses, "http://h:1/v1/responses"),
            ("http://h/sessions/a", Api::Anthropic, "http://h/sessions/a/v1/messages"),
            ("https://o.ai/api/v1", Api::Chat, "https://o.ai/api/v1/chat/completions"),
            ("https://g/v1beta/openai", Api::Chat, "https://g/v1beta/openai/chat/completions"),
            ("http://h/v1/messages", Api::Anthropic, "http://h/v1/messages"),
        ] {
            assert_eq!(endpoint(base, api).unwrap().as_str(), url);
        }
        for bad in ["", "h", "ftp://h", "http://u:p@h"] {
            let error = endpoint(bad, Api::Chat).unwrap_err();
            assert!(!error.contains(":p@"), "{error}");
        }
    }
}
