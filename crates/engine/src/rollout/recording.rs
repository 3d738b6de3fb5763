//! Every call of an attempt goes through here into its trace, whoever makes it.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use palestra_model::{Answer, CallOptions, Model, ModelError, Request};
use palestra_trace::{Counters, Recorder, TraceError};

thread_local! {
    /// The trace of the attempt that this thread is at. An attempt is stepped by one thread at a
    /// time, and a fork of it by another one.
    static TAPE: RefCell<Option<Tape>> = const { RefCell::new(None) };
}

/// The trace of one attempt.
#[derive(Debug)]
pub(crate) struct Tape {
    recorder: Recorder,
    /// A failure to write; the attempt is lost with it.
    broken: Option<String>,
}

impl Tape {
    pub(crate) fn open(path: &Path) -> Result<Self, TraceError> {
        Ok(Self { recorder: Recorder::open(path)?, broken: None })
    }

    /// One that goes on in another file with all that was recorded.
    pub(crate) fn fork(&self, path: &Path) -> Result<Self, TraceError> {
        Ok(Self { recorder: self.recorder.fork(path)?, broken: None })
    }

    pub(crate) fn counters(&self) -> Counters {
        self.recorder.counters()
    }

    /// Runs `work` with every call of this thread going to this trace.
    pub(crate) fn around<T>(self, work: impl FnOnce() -> T) -> (T, Self, Option<String>) {
        TAPE.with_borrow_mut(|slot| *slot = Some(self));
        let result = work();
        // A model that was called wrote to the same slot; nobody else takes it.
        let mut tape = TAPE.with_borrow_mut(Option::take).expect("the tape that was laid in above");
        let broken = tape.broken.take();
        (result, tape, broken)
    }
}

/// A model whose calls are recorded by the thread that makes them.
pub(crate) struct Recording {
    inner: Arc<dyn Model>,
}

impl Recording {
    pub(crate) fn new(inner: Arc<dyn Model>) -> Self {
        Self { inner }
    }
}

impl Model for Recording {
    fn call(&self, request: &Request, options: &CallOptions) -> Result<Answer, ModelError> {
        let result = self.inner.call(request, options);
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let time = time.unwrap_or(Duration::ZERO).as_secs_f64();
        TAPE.with_borrow_mut(|slot| {
            let Some(tape) = slot else { return };
            let written = match &result {
                Ok(answer) => tape.recorder.record(request, answer, time).map(drop),
                Err(error) => tape.recorder.failed(request, error, time),
            };
            if let Err(error) = written {
                tape.broken.get_or_insert(error.to_string());
            }
        });
        result
    }

    fn server(&self) -> String {
        self.inner.server()
    }
}
