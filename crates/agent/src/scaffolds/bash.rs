//! Commands, as several scaffolds run them.

use std::time::Duration;

use crate::agent::AgentError;
use crate::hands::{Hands, Said};
use crate::scaffold::Observed;

/// Runs a command in the shell; its output with notes and, where it failed, its status.
pub(crate) fn run(
    hands: &mut Hands,
    command: &str,
    timeout: Option<f64>,
) -> Result<Observed, AgentError> {
    let timeout = timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let limit = hands.observation;
    let said = hands.bash(command, timeout.unwrap_or(Duration::MAX), false, limit)?;
    Ok(Observed { status: said.status, ..Observed::answer(plain(&said)) })
}

/// Output, notes and status, one below the other.
pub(crate) fn plain(said: &Said) -> String {
    let mut text = said.text.clone();
    let mut line = |note: &str| {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(note);
    };
    said.notes.iter().for_each(|note| line(note));
    match said.status {
        Some(0) if said.text.is_empty() => line("[no output, exit status 0]"),
        Some(0) | None => {}
        Some(status) => line(&format!("[exit status {status}]")),
    }
    text
}
