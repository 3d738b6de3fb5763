//! Every call on a line, and what all of them cost.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::call::Effort;
use crate::error::{ModelError, Result};
use crate::message::{Reply, Request, Usage};
use crate::wait::lock;

/// One line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// When the call ended: seconds since 1970.
    pub time: f64,
    /// Name of the conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The model that was asked for.
    pub model: String,
    /// The server.
    pub server: String,
    /// `ok`, or a word for the error.
    pub status: String,
    /// Tokens; nothing where the call failed.
    pub usage: Usage,
    /// Dollars, where a price is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// Tries.
    pub tries: u32,
    /// Seconds of the try that succeeded.
    pub seconds: f64,
    /// Seconds of failed tries and of waiting.
    pub waited: f64,
}

impl Entry {
    /// The line of a call that ended now.
    pub fn of(
        request: &Request,
        server: &str,
        effort: &Effort,
        result: Result<&Reply, &ModelError>,
    ) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            time: (now.as_secs_f64() * 1000.0).round() / 1000.0,
            session: request.session.clone(),
            model: request.model.clone(),
            server: server.to_owned(),
            status: result.map_or_else(ModelError::word, |_| "ok").to_owned(),
            usage: result.map(|reply| reply.usage).unwrap_or_default(),
            cost: effort.cost,
            tries: effort.tries,
            seconds: effort.seconds,
            waited: effort.waited,
        }
    }
}

/// Sums over all calls.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Totals {
    /// Calls that succeeded.
    pub calls: u64,
    /// Calls that failed.
    pub failed: u64,
    /// Tokens.
    pub usage: Usage,
    /// Dollars of calls with a known price.
    pub cost: f64,
    /// Calls that succeeded and whose price is not known.
    pub unpriced: u64,
    /// Tries beyond the first of each call.
    pub retries: u64,
    /// Seconds waited.
    pub waited: f64,
}

impl Totals {
    fn add(&mut self, entry: &Entry) {
        if entry.status == "ok" {
            self.calls += 1;
            self.unpriced += u64::from(entry.cost.is_none());
        } else {
            self.failed += 1;
        }
        self.usage += entry.usage;
        self.cost += entry.cost.unwrap_or(0.0);
        self.retries += u64::from(entry.tries.saturating_sub(1));
        self.waited += entry.waited;
    }
}

/// A file of calls that only grows, with a bound on money.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    budget: Option<f64>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: Option<fs_err::File>,
    totals: Totals,
}

impl Ledger {
    /// Opens a file, or begins one. What earlier runs spent counts against the budget; a line that
    /// was cut off is passed over.
    ///
    /// # Errors
    /// [`ModelError::File`].
    pub fn open(path: impl Into<PathBuf>, budget: Option<f64>) -> Result<Self> {
        let path = path.into();
        let failed = |error: std::io::Error| ModelError::File(format!("ledger: {error}"));
        let (file, entries) = open_lines::<Entry>(&path).map_err(failed)?;
        let mut totals = Totals::default();
        entries.iter().for_each(|entry| totals.add(entry));
        Ok(Self { path, budget, state: Mutex::new(State { file: Some(file), totals }) })
    }

    /// A ledger without a file, for its sums and its budget.
    pub fn in_memory(budget: Option<f64>) -> Self {
        let state = State { file: None, totals: Totals::default() };
        Self { path: PathBuf::new(), budget, state: Mutex::new(state) }
    }

    /// Where it is; empty where it has no file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The sums.
    pub fn totals(&self) -> Totals {
        lock(&self.state).totals
    }

    /// Whether another call of this model may be made. Calls under way are not counted: as many as
    /// go on at once may go beyond the budget.
    ///
    /// # Errors
    /// [`ModelError::Budget`] where the money is spent, or where nobody knows what the call costs.
    pub fn check(&self, model: &str, priced: bool) -> Result<()> {
        let Some(budget) = self.budget else { return Ok(()) };
        if !priced {
            return Err(ModelError::Budget(format!(
                "no price of `{model}` is known, so ${budget} cannot be kept to; name one in the \
                 file of prices"
            )));
        }
        let spent = self.totals().cost;
        if spent >= budget {
            return Err(ModelError::Budget(format!("${spent:.4} of ${budget}")));
        }
        Ok(())
    }

    /// Writes a line.
    ///
    /// # Errors
    /// [`ModelError::File`]. The sums count the call nevertheless.
    pub fn add(&self, entry: &Entry) -> Result<()> {
        let failed = |error: std::io::Error| ModelError::File(format!("ledger: {error}"));
        let mut line = serde_json::to_vec(entry).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        let mut state = lock(&self.state);
        state.totals.add(entry);
        match &mut state.file {
            Some(file) => file.write_all(&line).map_err(failed),
            None => Ok(()),
        }
    }
}

/// Opens a file of lines for appending, and reads those that are there. A line that was cut off at
/// the end is closed, so that it costs only itself.
pub(crate) fn open_lines<T: serde::de::DeserializeOwned>(
    path: &Path,
) -> std::io::Result<(fs_err::File, Vec<T>)> {
    let (mut lines, mut whole) = (Vec::new(), true);
    match fs_err::File::open(path) {
        Ok(file) => {
            let mut file = BufReader::new(file);
            let mut line = Vec::new();
            while file.read_until(b'\n', &mut line)? > 0 {
                whole = line.ends_with(b"\n");
                lines.extend(serde_json::from_slice(&line).ok());
                line.clear();
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = fs_err::OpenOptions::new().create(true).append(true).open(path)?;
    if !whole {
        file.write_all(b"\n")?;
    }
    Ok((file, lines))
}
