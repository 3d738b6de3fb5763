//! Calls recorded in a file, and played again without a server.
//!
//! A recording is found by what is asked, whatever API it was asked through: the model, the messages,
//! the tools and the sampling, without the name of the session and what only one API knows of a
//! message. Equal requests get their recordings in the order in which they were recorded. A file has
//! one line for each call, with the bodies of both directions; headers, and so keys, are not in it.

mod key;
mod line;

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::call::{Answer, CallOptions, Effort, Model};
use crate::error::{ModelError, Result};
use crate::ledger::open_lines;
use crate::message::{Reply, Request};
use crate::wait::lock;
use crate::wire::Api;

use key::Key;
use line::{Line, Outcome};

/// A file of calls.
pub struct Cassette {
    server: String,
    mode: Mode,
}

enum Mode {
    Record { inner: Arc<dyn Model>, state: Mutex<Recorder> },
    Replay(Mutex<Tape>),
}

struct Recorder {
    file: fs_err::File,
    /// Calls with each key so far, those under way included.
    counts: HashMap<String, u64>,
}

struct Tape {
    lines: Vec<Arc<Line>>,
    /// Recordings of each key in their order, and how many of them were played.
    by_key: HashMap<String, (Vec<usize>, usize)>,
}

impl Cassette {
    /// Passes calls on and writes them down, after those that are in the file already. Errors are
    /// written down where they would be the same again.
    ///
    /// # Errors
    /// [`ModelError::File`].
    pub fn record(path: &Path, inner: Arc<dyn Model>) -> Result<Self> {
        let (file, lines) = open_lines::<Line>(path).map_err(failed)?;
        let mut counts = HashMap::new();
        for line in lines {
            *counts.entry(line.key).or_insert(0) += 1;
        }
        let server = inner.server();
        let state = Mutex::new(Recorder { file, counts });
        Ok(Self { server, mode: Mode::Record { inner, state } })
    }

    /// Plays what a file holds, in any order and from any number of threads. A last line that was
    /// cut off is passed over.
    ///
    /// # Errors
    /// [`ModelError::File`] where there is no such file, or a line of it is no recording.
    pub fn replay(path: &Path) -> Result<Self> {
        let text = fs_err::read(path).map_err(failed)?;
        let mut lines = Vec::new();
        let mut rest = text.as_slice();
        let mut number = 0;
        while !rest.is_empty() {
            number += 1;
            let end = rest.iter().position(|byte| *byte == b'\n');
            let (line, after) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
            rest = after;
            match serde_json::from_slice::<Line>(line) {
                Ok(line) => lines.push(Arc::new(line)),
                // A line that was cut off costs only itself, also where the recording went on.
                Err(error) if !error.is_data() => {}
                Err(error) => {
                    let path = path.display();
                    return Err(ModelError::File(format!("cassette {path}:{number}: {error}")));
                }
            }
        }
        let mut by_key: HashMap<String, (Vec<usize>, usize)> = HashMap::new();
        for (place, line) in lines.iter().enumerate() {
            by_key.entry(line.key.clone()).or_default().0.push(place);
        }
        for (places, _) in by_key.values_mut() {
            places.sort_by_key(|place| lines[*place].n);
        }
        let server = format!("cassette {}", path.display());
        Ok(Self { server, mode: Mode::Replay(Mutex::new(Tape { lines, by_key })) })
    }

    /// Calls that a replay holds and nobody has asked for.
    pub fn unplayed(&self) -> usize {
        match &self.mode {
            Mode::Record { .. } => 0,
            Mode::Replay(tape) => {
                lock(tape).by_key.values().map(|(places, played)| places.len() - played).sum()
            }
        }
    }
}

impl Model for Cassette {
    fn call(&self, request: &Request, options: &CallOptions) -> Result<Answer> {
        let key = Key::of(request);
        match &self.mode {
            Mode::Record { inner, state } => record(&**inner, state, key, request, options),
            Mode::Replay(tape) => play(tape, &key, request),
        }
    }

    fn server(&self) -> String {
        self.server.clone()
    }

    fn api(&self) -> Option<Api> {
        match &self.mode {
            Mode::Record { inner, .. } => inner.api(),
            Mode::Replay(_) => None,
        }
    }
}

fn record(
    inner: &dyn Model,
    state: &Mutex<Recorder>,
    key: Key,
    request: &Request,
    options: &CallOptions,
) -> Result<Answer> {
    // Numbered when it is asked: of equal requests under way at once, the first is the first.
    let n = {
        let mut state = lock(state);
        let count = state.counts.entry(key.whole.clone()).or_insert(0);
        *count += 1;
        *count - 1
    };
    let result = inner.call(request, options);
    let Some(line) = Line::of(key, n, request, inner.api(), &result) else { return result };
    let mut bytes = serde_json::to_vec(&line).map_err(|error| failed(error.into()))?;
    bytes.push(b'\n');
    lock(state).file.write_all(&bytes).map_err(failed)?;
    result
}

fn play(tape: &Mutex<Tape>, key: &Key, request: &Request) -> Result<Answer> {
    let line = {
        let mut tape = lock(tape);
        let Tape { lines, by_key } = &mut *tape;
        match by_key.get_mut(&key.whole) {
            Some((places, played)) if *played < places.len() => {
                *played += 1;
                lines[places[*played - 1]].clone()
            }
            Some((places, _)) => {
                return Err(ModelError::NotRecorded(format!(
                    "this request was recorded {} times, and is asked for once more",
                    places.len()
                )));
            }
            None => return Err(ModelError::NotRecorded(key.nearest(lines, request))),
        }
    };
    let reply = match &line.outcome {
        Outcome::Error(error) => return Err(error.clone()),
        Outcome::Reply(reply) => Reply::clone(reply),
        Outcome::Received(api) => api.reply_from_bytes(&line.received.0).map_err(|problem| {
            ModelError::File(format!("cassette: a recorded answer is unreadable: {problem}"))
        })?,
    };
    Ok(Answer {
        reply,
        effort: Effort { tries: 1, waited: 0.0, ..line.effort.clone() },
        sent: line.sent.0.clone(),
        received: line.received.0.clone(),
    })
}

fn failed(error: std::io::Error) -> ModelError {
    ModelError::File(format!("cassette: {error}"))
}
