//! A session: whose calls are recorded together.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use palestra_model::{Answer, ModelError, Request, Usage};
use palestra_trace::{Counters, Recorder};
use serde::Serialize;
use tokio::sync::watch;

use crate::error::{GatewayError, Result};
use crate::options::{Hook, Recording, SessionOptions};

/// A session. Whoever holds it can look at it and stop it.
#[derive(Clone)]
pub struct Session(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) id: String,
    pub(crate) options: SessionOptions,
    /// The upstreams in the order in which they are asked.
    pub(crate) order: Vec<usize>,
    hook: Option<Hook>,
    path: PathBuf,
    recorder: Mutex<Recorder>,
    tally: Mutex<Tally>,
    /// Why it was stopped.
    stop: watch::Sender<Option<String>>,
}

#[derive(Debug, Default, Clone)]
struct Tally {
    begun: u64,
    answered: u64,
    failed: u64,
    usage: Usage,
    cost: f64,
    tries: u64,
    waited: f64,
    counters: Counters,
}

/// What is known of a session.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Its name.
    pub id: String,
    /// Calls that are under way.
    pub under_way: u64,
    /// Calls that were answered and recorded.
    pub answered: u64,
    /// Calls that were not: refused, failed, given up by the client.
    pub failed: u64,
    /// Tries of all answered calls.
    pub tries: u64,
    /// Seconds that answered calls waited for another try or in failed ones.
    pub waited: f64,
    /// Tokens.
    pub usage: Usage,
    /// Dollars, where prices are known.
    pub cost: f64,
    /// What became of the calls in the graph.
    pub counters: Counters,
    /// Why it was stopped, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

impl Session {
    /// Its name.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// What is known of it now.
    pub fn status(&self) -> Status {
        let tally = self.0.tally().clone();
        Status {
            id: self.0.id.clone(),
            under_way: tally.begun.saturating_sub(tally.answered + tally.failed),
            answered: tally.answered,
            failed: tally.failed,
            tries: tally.tries,
            waited: tally.waited,
            usage: tally.usage,
            cost: tally.cost,
            counters: tally.counters,
            stopped: self.0.stopped(),
        }
    }

    /// The file of its record.
    pub fn trace(&self) -> &Path {
        &self.0.path
    }

    /// Breaks off its calls and refuses further ones. The reason is told to the client.
    pub fn stop(&self, why: impl Into<String>) {
        self.0.stop(why.into());
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Session").field(&self.0.id).finish()
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

impl Inner {
    pub(crate) fn new(
        id: &str,
        options: SessionOptions,
        order: Vec<usize>,
        hook: Option<Hook>,
        directory: &Path,
    ) -> Result<Self> {
        fs_err::create_dir_all(directory)?;
        let path = directory.join("trace.jsonl");
        let recorder = Recorder::open(&path)?;
        let counters = recorder.counters();
        Ok(Self {
            id: id.to_owned(),
            options,
            order,
            hook,
            path,
            recorder: Mutex::new(recorder),
            tally: Mutex::new(Tally { counters, ..Tally::default() }),
            stop: watch::Sender::new(None),
        })
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stop(&self, why: String) {
        self.stop.send_if_modified(|stopped| {
            let first = stopped.is_none();
            stopped.get_or_insert(why);
            first
        });
    }

    pub(crate) fn stopped(&self) -> Option<String> {
        self.stop.borrow().clone()
    }

    /// Ends when the session is stopped, with the reason.
    pub(crate) async fn until_stopped(&self) -> String {
        let mut receiver = self.stop.subscribe();
        match receiver.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            // The sender is `self`, so this does not happen.
            Err(_) => String::new(),
        }
    }

    /// Begins a call, if the budget allows one.
    pub(crate) fn begin(self: &Arc<Self>) -> Result<Open, ModelError> {
        let budget = self.options.budget;
        let mut tally = self.tally();
        let used = tally.usage.prompt + tally.usage.completion;
        // Calls under way count, so that many at once do not pass a bound together.
        if budget.calls.is_some_and(|calls| tally.begun - tally.failed >= calls) {
            return Err(ModelError::Budget(format!("{} calls", tally.begun - tally.failed)));
        }
        if budget.tokens.is_some_and(|tokens| used >= tokens) {
            return Err(ModelError::Budget(format!("{used} tokens")));
        }
        if budget.cost.is_some_and(|cost| tally.cost >= cost) {
            return Err(ModelError::Budget(format!("${:.4}", tally.cost)));
        }
        tally.begun += 1;
        drop(tally);
        Ok(Open { session: self.clone(), request: None, closed: false })
    }
}

/// A call under way. If it is dropped, the client or the session gave it up.
pub(crate) struct Open {
    session: Arc<Inner>,
    request: Option<Arc<Request>>,
    closed: bool,
}

impl Open {
    /// Says what is asked, for the record of a failure.
    pub(crate) fn asks(&mut self, request: Arc<Request>) {
        self.request = Some(request);
    }

    /// Records an answer. Blocks.
    pub(crate) fn answered(
        mut self,
        request: &Request,
        answer: Answer,
        hook: Option<&Hook>,
    ) -> Result<Arc<Answer>, ModelError> {
        let session = self.session.clone();
        let answer = Arc::new(answer);
        let mut recorder = session.recorder.lock().unwrap_or_else(PoisonError::into_inner);
        let recorded = match recorder.record(request, &answer, now()) {
            Ok(recorded) => recorded,
            Err(error) => {
                // What follows could not be joined to it.
                session.stop(format!("the record cannot be written: {error}"));
                return Err(ModelError::File(error.to_string()));
            }
        };
        self.closed = true;
        let mut tally = session.tally();
        tally.answered += 1;
        tally.usage += answer.reply.usage;
        tally.cost += answer.effort.cost.unwrap_or(0.0);
        tally.tries += u64::from(answer.effort.tries);
        tally.waited += answer.effort.waited;
        tally.counters = recorder.counters();
        drop(tally);
        let recording =
            Recording { session: &session.id, request, answer: &answer, recorded: &recorded };
        hook.into_iter().chain(&session.hook).for_each(|hook| hook(&recording));
        drop(recorder);
        Ok(answer)
    }

    /// Records a failure. Blocks.
    pub(crate) fn failed(mut self, error: &ModelError) {
        self.fail(error);
    }

    fn fail(&mut self, error: &ModelError) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        self.session.tally().failed += 1;
        if let Some(request) = &self.request {
            let mut recorder = self.session.recorder.lock().unwrap_or_else(PoisonError::into_inner);
            // The failure is told to the client; that it is not in the record harms nobody.
            let _ = recorder.failed(request, error, now());
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.fail(&ModelError::Cancelled);
    }
}

/// Whether a name can name a session, and a directory.
pub(crate) fn check_name(id: &str) -> Result<()> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if (1..=128).contains(&id.len()) && !id.starts_with('.') && id.bytes().all(fits) {
        return Ok(());
    }
    Err(GatewayError::Name(id.chars().take(128).collect()))
}
