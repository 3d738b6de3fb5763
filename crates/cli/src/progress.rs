//! Progress on standard error: a bar on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use palestra_engine::event::{Event, Sink};

use crate::outcome::CliError;

/// Shows events.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    style: Style,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Bar,
    Lines,
    Quiet,
}

impl Progress {
    pub(crate) fn new(quiet: bool) -> Self {
        let style = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Style::Quiet,
            (false, true) => Style::Bar,
            (false, false) => Style::Lines,
        };
        let bar = ProgressBar::with_draw_target(
            None,
            if style == Style::Bar {
                ProgressDrawTarget::stderr()
            } else {
                ProgressDrawTarget::hidden()
            },
        );
        if let Ok(style) = ProgressStyle::with_template(
            "{bar:30} {pos}/{len}  {elapsed} elapsed, {eta} left  {wide_msg}",
        ) {
            bar.set_style(style);
        }
        Self { bar, style }
    }

    fn say(&self, line: &str) {
        match self.style {
            Style::Bar => self.bar.println(line),
            Style::Lines => note(line),
            Style::Quiet => {}
        }
    }

    /// Takes the bar away.
    pub(crate) fn done(&self) {
        self.bar.finish_and_clear();
    }
}

impl Sink for Progress {
    fn event(&self, event: &Event) {
        match event {
            Event::Mined { commits, eligible, candidates, seconds } => self.say(&format!(
                "mined {commits} commits in {seconds:.1} s: {eligible} change source and tests, \
                 {candidates} candidates"
            )),
            Event::Planned { candidates, done } => {
                self.bar.set_length(*candidates as u64);
                self.bar.set_position(*done as u64);
                if *done > 0 {
                    self.say(&format!("{done} of {candidates} were decided before"));
                }
            }
            Event::Started { subject, .. } => self.bar.set_message(subject.clone()),
            Event::Repaired { commit, repair } => {
                self.say(&format!("  {}  repair: {repair}", short(commit)));
            }
            Event::Decided { commit, outcome, detail, seconds } => {
                self.say(&format!("{} {outcome:<18} {seconds:>6.1} s  {detail}", short(commit)));
                self.bar.inc(1);
            }
            Event::Judged { instance_id, verdict, detail, seconds, reused } => {
                let before = if *reused { " (run before)" } else { "" };
                self.say(&format!(
                    "{instance_id:<36} {verdict:<10} {seconds:>6.1} s{before}  {detail}"
                ));
                self.bar.inc(1);
            }
            Event::Attempted { trial, outcome, detail, steps, seconds, .. } => {
                self.say(&format!(
                    "{trial:<40} {outcome:<10} {seconds:>6.1} s  {steps:>3} steps  {detail}"
                ));
                self.bar.inc(1);
            }
            Event::Warning { message } => self.say(&format!("warning: {message}")),
        }
    }
}

/// A commit's name is cut, any other is not.
fn short(commit: &str) -> &str {
    let name = commit.len() >= 40 && commit.bytes().all(|b| b.is_ascii_hexdigit());
    if name { &commit[..12] } else { commit }
}

/// Writes a line to standard error. A closed standard error is nobody's problem.
pub(crate) fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Writes an error and its hint.
pub(crate) fn error(error: &CliError) {
    note(&format!("error: {error}"));
}

/// Writes a result to standard output; a closed pipe ends the program quietly.
pub(crate) fn result(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
