//! Features of a trajectory, whole or as far as it has come.

use std::collections::BTreeSet;

use palestra_core::atif::{Step, ToolCall, Trajectory};
use serde_json::Value;

use super::{Critic, Features, of_patch};
use crate::free::text_of;

/// How an attempt came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The agent said that it is done.
    Submitted,
    /// A limit of steps, tokens, context, time or money.
    Limit,
    /// The agent did nothing, or the same again and again, or refused.
    Stuck,
}

impl Ending {
    /// From the word under which the ending stands in a trajectory's `extra.exit`.
    pub fn of(exit: &Value) -> Option<Self> {
        let word = match exit {
            Value::String(word) => word.as_str(),
            Value::Object(fields) => fields.get("kind").and_then(Value::as_str)?,
            _ => return None,
        };
        let word = word.to_ascii_lowercase();
        if word.contains("limit") {
            return Some(Self::Limit);
        }
        match word.as_str() {
            "submitted" | "agent" | "finished" => Some(Self::Submitted),
            "noaction" | "no_action" | "loop" | "refused" => Some(Self::Stuck),
            _ => None,
        }
    }
}

/// What an agent did with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    View,
    Search,
    Edit,
    Test,
    Script,
    Other,
}

/// What can be counted in a trajectory. Where `ending` is unknown, its own `extra.exit` is asked; an
/// attempt under way has neither.
pub fn of_trajectory(trajectory: &Trajectory, ending: Option<Ending>) -> Features {
    let mut features = Features::default();
    let steps: Vec<&Step> = trajectory.steps.iter().filter(|s| s.source == "agent").collect();
    if steps.is_empty() {
        return features;
    }
    let mut tally = Tally::default();
    for (place, step) in steps.iter().enumerate() {
        tally.add(step, place);
    }
    tally.write(steps.len() as f64, &mut features);
    let mean = |bytes: usize| bytes as f64 / steps.len() as f64;
    features.set("said_bytes", mean(steps.iter().map(|s| text_of(&s.message).len()).sum()));
    let thoughts = steps.iter().filter_map(|s| s.reasoning_content.as_ref()).map(String::len);
    features.set("thought_bytes", mean(thoughts.sum()));
    if let Some(metrics) = &trajectory.final_metrics {
        let number = |n: Option<u64>| n.map_or(f64::NAN, |n| n as f64);
        features.set("prompt_tokens", number(metrics.total_prompt_tokens));
        features.set("completion_tokens", number(metrics.total_completion_tokens));
        features.set("cost_usd", metrics.total_cost_usd.unwrap_or(f64::NAN));
    }
    let ending = ending.or_else(|| trajectory.extra.get("exit").and_then(Ending::of));
    if let Some(ending) = ending {
        let is = |other| f64::from(u8::from(ending == other));
        features.set("submitted", is(Ending::Submitted));
        features.set("limit", is(Ending::Limit));
        features.set("stuck", is(Ending::Stuck));
    }
    features
}

/// The critic's probability that an attempt under way will come out right: what a best-first search
/// orders its attempts by. What is not known yet is missing.
pub fn score_step(critic: &Critic, trajectory: &Trajectory, patch: Option<&[u8]>) -> Option<f64> {
    let mut features = of_trajectory(trajectory, None);
    if let Some(patch) = patch {
        features.extend(of_patch(patch));
    }
    critic.predict(&features).get()
}

#[derive(Default)]
struct Tally {
    calls: usize,
    observed: usize,
    observed_bytes: usize,
    errors: Vec<bool>,
    seen: BTreeSet<String>,
    repeated: usize,
    views: usize,
    searches: usize,
    edits: usize,
    failed_edits: usize,
    first_edit: Option<usize>,
    last_edit: Option<usize>,
    files: BTreeSet<String>,
    tests: usize,
    scripts: usize,
    ran_after_edit: bool,
    outcomes: Vec<bool>,
}

impl Tally {
    fn add(&mut self, step: &Step, place: usize) {
        let results = step.observation.iter().flat_map(|all| &all.results);
        let results: Vec<(Option<&str>, String, bool)> = results
            .map(|result| {
                let text = result.content.as_ref().map(text_of).unwrap_or_default();
                let failed = result.extra.get("failed") == Some(&Value::Bool(true));
                let status = result.extra.get("status").and_then(Value::as_i64);
                let wrong = failed || status.is_some_and(|s| s != 0) || shows_error(&text);
                (result.source_call_id.as_deref(), text, wrong)
            })
            .collect();
        for (_, text, wrong) in &results {
            self.observed += 1;
            self.observed_bytes += text.len();
            self.errors.push(*wrong);
        }
        for (number, call) in step.tool_calls.iter().enumerate() {
            self.calls += 1;
            let by_id = results.iter().find(|r| r.0 == Some(&call.tool_call_id));
            let result = by_id.or_else(|| results.get(number));
            let written = serde_json::to_string(&call.arguments).unwrap_or_default();
            if !self.seen.insert(format!("{} {written}", call.function_name)) {
                self.repeated += 1;
            }
            self.deed(call, result.map(|(_, text, wrong)| (text.as_str(), *wrong)), place);
        }
    }

    fn deed(&mut self, call: &ToolCall, result: Option<(&str, bool)>, place: usize) {
        let (text, wrong) = result.unwrap_or_default();
        match deed_of(call) {
            Deed::View => self.views += 1,
            Deed::Search => self.searches += 1,
            Deed::Other => {}
            Deed::Edit => {
                self.edits += 1;
                self.failed_edits += usize::from(wrong);
                self.first_edit.get_or_insert(place);
                self.last_edit = Some(place);
                self.ran_after_edit = false;
                let path = ["path", "file_path", "file", "filename"];
                let path = path.iter().find_map(|name| call.arguments.get(*name)?.as_str());
                self.files.extend(path.map(str::to_owned));
            }
            Deed::Script => {
                self.scripts += 1;
                self.ran_after_edit = true;
            }
            Deed::Test => {
                self.tests += 1;
                self.ran_after_edit = true;
                self.outcomes.push(tests_passed(text).unwrap_or(!wrong));
            }
        }
    }

    fn write(&self, steps: f64, features: &mut Features) {
        let yes = |is: bool| f64::from(u8::from(is));
        let share = |part: usize, of: usize| part as f64 / of as f64;
        let errors = |of: &[bool]| of.iter().filter(|e| **e).count();
        features.set("steps", steps);
        features.set("calls", self.calls as f64);
        features.set("observed_bytes", self.observed_bytes as f64);
        features.set("errors", errors(&self.errors) as f64);
        features.set("error_share", share(errors(&self.errors), self.observed));
        let last = &self.errors[self.errors.len().saturating_sub(5)..];
        features.set("errors_at_end", share(errors(last), last.len()));
        features.set("last_error", last.last().map_or(f64::NAN, |e| yes(*e)));
        features.set("repeated", share(self.repeated, self.calls));
        features.set("views", self.views as f64);
        features.set("searches", self.searches as f64);
        features.set("edits", self.edits as f64);
        features.set("failed_edits", share(self.failed_edits, self.edits));
        features.set("first_edit", self.first_edit.map_or(f64::NAN, |at| at as f64 / steps));
        let after = self.last_edit.map_or(f64::NAN, |at| steps - 1.0 - at as f64);
        features.set("after_edit", after);
        features.set("edited_files", self.files.len() as f64);
        features.set("test_runs", self.tests as f64);
        features.set("script_runs", self.scripts as f64);
        features.set("tested_after_edit", yes(self.ran_after_edit && self.last_edit.is_some()));
        features.set("last_test_passed", self.outcomes.last().map_or(f64::NAN, |p| yes(*p)));
        if !self.outcomes.is_empty() {
            features.set("best_test_passed", yes(self.outcomes.contains(&true)));
            let failed = self.outcomes.iter().position(|passed| !passed);
            let mended = failed.is_some_and(|at| self.outcomes[at..].contains(&true));
            features.set("failures_mended", yes(mended));
        }
    }
}

fn deed_of(call: &ToolCall) -> Deed {
    let argument = |name: &str| call.arguments.get(name).and_then(Value::as_str);
    let name = call.function_name.to_ascii_lowercase();
    let command = argument("command").or_else(|| argument("cmd")).or_else(|| argument("code"));
    match command {
        Some("view") => return Deed::View,
        Some("create" | "str_replace" | "insert" | "undo_edit") => return Deed::Edit,
        _ => {}
    }
    let edits = ["new_str", "new_string", "file_text", "insert_text", "replace", "patch", "diff"];
    if edits.iter().any(|name| call.arguments.contains_key(*name)) {
        return Deed::Edit;
    }
    if ["search", "grep", "find", "glob"].iter().any(|word| name.contains(word)) {
        return Deed::Search;
    }
    if ["view", "read", "open", "cat"].iter().any(|word| name.contains(word)) {
        return Deed::View;
    }
    if ["edit", "write", "replace", "apply_patch"].iter().any(|word| name.contains(word)) {
        return Deed::Edit;
    }
    command.map_or(Deed::Other, shell_deed)
}

/// What a line for a shell does, by its weightiest part.
fn shell_deed(command: &str) -> Deed {
    const TESTS: [&str; 9] = [
        "pytest",
        "py.test",
        "unittest",
        "nosetests",
        "runtests",
        "run_tests",
        "manage.py test",
        "tox",
        "-m test",
    ];
    const EDITS: [&str; 7] =
        ["sed -i", "git apply", "patch -p", "cat >", "cat <<", "tee ", "git checkout"];
    let has = |words: &[&str]| words.iter().any(|word| command.contains(word));
    let program = command.contains("python");
    if has(&TESTS) || program && command.contains("test_") && command.contains(".py") {
        return Deed::Test;
    }
    if has(&EDITS) {
        return Deed::Edit;
    }
    if program {
        return Deed::Script;
    }
    if has(&["grep", "find ", "rg ", "ack "]) {
        return Deed::Search;
    }
    if has(&["cat ", "head ", "tail ", "ls", "sed -n", "less ", "nl "]) {
        return Deed::View;
    }
    Deed::Other
}

fn shows_error(text: &str) -> bool {
    let end = tail(text, 4096);
    end.contains("Traceback (most recent call last)")
        || end.contains("command not found")
        || end.contains("No such file or directory")
        || text.trim_start().to_ascii_lowercase().starts_with("error")
}

/// What a runner of tests says at the end of its output.
fn tests_passed(text: &str) -> Option<bool> {
    for line in tail(text, 4096).lines().rev() {
        let line = line.trim().trim_matches('=').trim();
        let counted = |word: &str| {
            let mut words = line.split([' ', ',']).filter(|w| !w.is_empty()).peekable();
            let mut before = "";
            words.any(|w| {
                let found = w.starts_with(word) && before.parse::<u64>().is_ok_and(|n| n > 0);
                before = w;
                found
            })
        };
        if counted("failed") || counted("error") || line.starts_with("FAILED (") {
            return Some(false);
        }
        if counted("passed") || line == "OK" || line.starts_with("OK (") {
            return Some(true);
        }
    }
    None
}

fn tail(text: &str, bytes: usize) -> &str {
    let mut from = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runners_are_understood() {
        let passed = |text: &str| tests_passed(text);
        assert_eq!(passed("==== 3 passed, 1 warning in 0.1s ====\n"), Some(true));
        assert_eq!(passed("==== 1 failed, 3 passed in 0.1s ===="), Some(false));
        assert_eq!(passed("2 errors in 0.1s"), Some(false));
        assert_eq!(passed("Ran 3 tests in 0.0s\n\nOK"), Some(true));
        assert_eq!(passed("Ran 3 tests in 0.0s\n\nFAILED (failures=1)"), Some(false));
        assert_eq!(passed("all is well, nothing failed"), None);
    }

    #[test]
    fn commands_are_told_apart() {
        assert_eq!(shell_deed("cd /testbed && python -m pytest tests -q"), Deed::Test);
        assert_eq!(shell_deed("python tests/test_a.py"), Deed::Test);
        assert_eq!(shell_deed("python repro.py"), Deed::Script);
        assert_eq!(shell_deed("sed -i s/a/b/ x.py"), Deed::Edit);
        assert_eq!(shell_deed("grep -rn foo ."), Deed::Search);
        assert_eq!(shell_deed("cat setup.cfg"), Deed::View);
    }
}
