//! One call, from its body to its record.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use axum::body::Body;
use axum::http::{HeaderMap, Response};
use bytes::Bytes;
use palestra_model::{
    Answer, Api, CallOptions, Effort, Model, ModelError, Request, wire::Streaming,
};
use tokio::sync::oneshot;
use tokio::task::{block_in_place, spawn_blocking};
use tokio::time::timeout;

use crate::backend::{Backend, Http, Passing};
use crate::client::{Client, Ended};
use crate::edit::{self, Edits};
use crate::gateway::Shared;
use crate::patience::Patience;
use crate::respond::{self, Refusal};
use crate::session::{Inner, Open};
use crate::sse;
use crate::stream::{self, Bounds, Stream, Whole};

/// A call as it came.
pub(crate) struct Call {
    pub(crate) shared: Arc<Shared>,
    pub(crate) session: Arc<Inner>,
    pub(crate) api: Api,
    pub(crate) headers: HeaderMap,
    pub(crate) query: Option<String>,
    pub(crate) body: Bytes,
}

/// What it asks.
struct Asked {
    /// As the client said it.
    client: Request,
    /// As the upstream is asked.
    upstream: Arc<Request>,
    streaming: Streaming,
}

/// The beginning of an answer.
enum Begun {
    Whole(Box<Whole>),
    /// Of the client's own API, to be passed on as it comes.
    Stream(Box<Stream>),
    /// Made by a model with its own effort.
    Answer(Box<Answer>),
}

/// A beginning with what was sent for it and what it took.
struct Beginning {
    begun: Begun,
    sent: Bytes,
    effort: Effort,
    since: Instant,
}

/// Sets a flag when it is dropped.
struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Call {
    /// Makes the call. Ends early if the future is dropped, as it is when the client hangs up.
    pub(crate) async fn handle(self) -> Response<Body> {
        let api = self.api;
        let (respond, response) = oneshot::channel();
        // On a task of its own: it goes on while the client reads, and it notes that the client left.
        tokio::spawn(self.run(respond));
        let lost = |_| respond::error(api, 500, "the call was lost inside the gateway");
        response.await.unwrap_or_else(lost)
    }

    async fn run(self, respond: oneshot::Sender<Response<Body>>) {
        let keep_alive = self.shared.options.keep_alive;
        let mut client = Client::new(self.api, false, keep_alive, respond);
        let asked = match block_in_place(|| self.read()) {
            Ok(asked) => asked,
            Err(error) => return client.refuse(&error.into()).await,
        };
        client.streams = asked.streaming.stream;
        let mut open = match self.session.begin() {
            Ok(open) => open,
            Err(error) => return client.refuse(&error.into()).await,
        };
        open.asks(asked.upstream.clone());
        // Where it ends early, dropping `open` notes it.
        if let Err(Ended::Stopped(why)) = self.answer(&asked, &mut client, open).await {
            let error = ModelError::Rejected {
                server: format!("session {}", self.session.id),
                status: 410,
                detail: why,
            };
            client.refuse(&error.into()).await;
        }
    }

    fn read(&self) -> Result<Asked, ModelError> {
        let rejected = |status, detail: String| ModelError::Rejected {
            server: format!("session {}", self.session.id),
            status,
            detail,
        };
        if let Some(why) = self.session.stopped() {
            return Err(rejected(410, why));
        }
        let read = self.api.request_from_slice(&self.body);
        let (client, streaming) = read.map_err(|problem| rejected(400, problem.to_string()))?;
        let mut upstream = edit::request(&client, &self.edits());
        upstream.session = Some(self.session.id.clone());
        Ok(Asked { client, upstream: Arc::new(upstream), streaming })
    }

    fn edits(&self) -> Edits<'_> {
        Edits {
            options: Some(&self.session.options),
            model: None,
            usage: false,
            cache_salt: self.shared.options.cache_salt.then_some(&*self.session.id),
        }
    }

    async fn answer(&self, asked: &Asked, client: &mut Client, open: Open) -> Result<(), Ended> {
        let beginning = match client.wait(&self.session, self.begin(asked)).await? {
            Ok(beginning) => beginning,
            Err(refusal) => {
                block_in_place(|| open.failed(&refusal.error));
                client.refuse(&refusal).await;
                return Ok(());
            }
        };
        let Beginning { begun, sent, mut effort, since } = beginning;
        let (whole, held) = match begun {
            Begun::Answer(answer) => {
                return self.tell(asked, client, open, *answer, None).await;
            }
            Begun::Whole(whole) => (*whole, None),
            Begun::Stream(stream) => match self.pass_on(asked, client, *stream).await? {
                Ok((whole, held)) => (whole, Some(held)),
                Err(error) => {
                    block_in_place(|| open.failed(&error));
                    client.refuse(&error.into()).await;
                    return Ok(());
                }
            },
        };
        effort.seconds = since.elapsed().as_secs_f64();
        let price = self.shared.options.price.as_ref();
        effort.cost = price.and_then(|price| price(&asked.upstream.model, &whole.reply.usage));
        let held = held.or_else(|| {
            let passes = whole.is_body && !client.streams && self.speaks(&whole);
            passes.then(|| whole.received.to_vec())
        });
        let answer = Answer {
            reply: whole.reply,
            effort,
            sent: sent.as_ref().into(),
            received: whole.received,
        };
        self.tell(asked, client, open, answer, held).await
    }

    /// Records an answer, and then lets the client see its end.
    async fn tell(
        &self,
        asked: &Asked,
        client: &mut Client,
        open: Open,
        answer: Answer,
        ready: Option<Vec<u8>>,
    ) -> Result<(), Ended> {
        let hook = self.shared.options.on_call.as_ref();
        let recorded = block_in_place(|| open.answered(&asked.upstream, answer, hook));
        let answer = match recorded {
            Ok(answer) => answer,
            Err(error) => {
                client.refuse(&error.into()).await;
                return Ok(());
            }
        };
        let streams = client.streams;
        let end = ready.unwrap_or_else(|| {
            block_in_place(|| match streams {
                true => {
                    let usage = asked.streaming.include_usage;
                    let events = self.api.events_of(&answer.reply, &asked.client, usage);
                    events.concat().into_bytes()
                }
                false => self.api.reply_to_vec(&answer.reply, &asked.client),
            })
        });
        if streams {
            client.event(&self.session, end.into()).await?;
        } else {
            client.whole(end);
        }
        Ok(())
    }

    /// Whether a body that came is one of the client's own API.
    fn speaks(&self, whole: &Whole) -> bool {
        whole.api == self.api
    }

    /// Passes events on as they come, but for those after the completion's end.
    async fn pass_on(
        &self,
        asked: &Asked,
        client: &mut Client,
        mut stream: Stream,
    ) -> Result<Result<(Whole, Vec<u8>), ModelError>, Ended> {
        let hide_usage = self.api == Api::Chat && !asked.streaming.include_usage;
        let mut held = Vec::new();
        loop {
            let mut ready = Vec::new();
            while let Some(event) = stream.event() {
                if !(hide_usage && sse::is_usage_only(&event)) {
                    ready.extend_from_slice(&event);
                }
            }
            if !held.is_empty() || !stream.is_open() {
                held.append(&mut ready);
            } else if !ready.is_empty() {
                client.event(&self.session, ready.into()).await?;
            }
            match client.wait(&self.session, stream.read()).await? {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(stream.finish().map(|(whole, rest)| {
            held.extend_from_slice(&rest);
            (whole, held)
        }))
    }

    /// Asks until an answer begins.
    async fn begin(&self, asked: &Asked) -> Result<Beginning, Refusal> {
        let mut patience = Patience::new(self.shared.options.patience, self.shared.options.backoff);
        let mut turn = 0;
        loop {
            let place = self.session.order[turn % self.session.order.len()];
            let waited = patience.try_begins();
            let since = Instant::now();
            let tried = match &self.shared.backends[place] {
                Backend::Model(_, model) => {
                    let answer = ask(model.clone(), asked.upstream.clone(), self.options()).await;
                    // A model tries again by itself.
                    let answer = answer.map_err(Refusal::from)?;
                    let (sent, effort) = (Bytes::new(), Effort::default());
                    let begun = Begun::Answer(Box::new(answer));
                    return Ok(Beginning { begun, sent, effort, since });
                }
                Backend::Http(http) => self.try_once(asked, http).await,
            };
            let refusal = match tried {
                Ok((begun, sent)) => {
                    let effort = Effort { tries: patience.tries, waited, ..Effort::default() };
                    return Ok(Beginning { begun, sent, effort, since });
                }
                Err(refusal) => refusal,
            };
            let Some(wait) = patience.after(&refusal.error) else { return Err(refusal) };
            if !matches!(refusal.error, ModelError::RateLimited { .. }) {
                // Another replica may be well.
                turn += 1;
            }
            tokio::time::sleep(wait).await;
        }
    }

    fn options(&self) -> CallOptions {
        let options = &self.shared.options;
        CallOptions {
            timeout: options.timeout,
            patience: options.patience,
            ..CallOptions::default()
        }
    }

    async fn try_once(&self, asked: &Asked, http: &Arc<Http>) -> Result<(Begun, Bytes), Refusal> {
        let options = &self.shared.options;
        let bounds = Bounds { timeout: options.timeout, bytes: options.response_bytes };
        let same = http.api == self.api;
        let sent = block_in_place(|| self.body_for(asked, http.api)).map_err(|error| {
            let detail = format!("the body cannot be written: {error}");
            ModelError::Rejected { server: http.server.clone(), status: 400, detail }
        })?;
        let passing = Passing {
            session: &self.session.id,
            client: same.then_some((&self.headers, self.query.as_deref())),
        };
        let post = http.post(&self.shared.http, http.api.path(), sent.clone(), &passing);
        let response = timeout(bounds.timeout, post).await;
        let response = response.map_err(|_| http.timed_out(bounds.timeout))?;
        let response =
            response.map_err(|refusal| if same { refusal } else { refusal.error.into() })?;
        if !stream::is_stream(&response) {
            let whole = stream::whole(http, response, bounds).await?;
            return Ok((Begun::Whole(Box::new(whole)), sent));
        }
        let mut stream = Stream::new(http.clone(), response, bounds);
        if same && asked.streaming.stream {
            stream.begin().await?;
            return Ok((Begun::Stream(Box::new(stream)), sent));
        }
        let whole = stream.whole().await?;
        Ok((Begun::Whole(Box::new(whole)), sent))
    }

    fn body_for(&self, asked: &Asked, api: Api) -> Result<Bytes, serde_json::Error> {
        if api != self.api {
            return Ok(api.request_to_vec(&asked.upstream, asked.streaming.stream).into());
        }
        let mut edits = self.edits();
        edits.usage = asked.streaming.stream && !asked.streaming.include_usage;
        edit::body(api, &self.body, &edits)
    }
}

/// Asks a model on a thread of its own, and tells it to stop when nobody waits for it.
async fn ask(
    model: Arc<dyn Model>,
    request: Arc<Request>,
    options: CallOptions,
) -> Result<Answer, ModelError> {
    let flag = Flag(options.stop.clone());
    let call = spawn_blocking(move || model.call(&request, &options));
    let answer = call.await;
    drop(flag);
    answer.unwrap_or_else(|error| Err(ModelError::File(format!("the call broke: {error}"))))
}
