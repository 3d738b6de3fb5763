//! The summary of pytest, as SWE-bench reads it: five parsers, each in two editions.
//!
//! A line counts as soon as it *begins* like a status, and its first word is then the status.

use std::borrow::Cow;

use memchr::memmem;

use crate::py::{self, Ahead, lines, split_whitespace};
use crate::registry::{Outcome, Raised};
use crate::status::{LogStatus, StatusMap};

/// What differs between editions.
#[derive(Clone, Copy)]
struct Rules {
    /// The statuses that are known.
    words: &'static [&'static str],
    /// Whether the count of skipped tests is known to be no test.
    skips: bool,
}

const WORDS: &[&str] = &["FAILED", "PASSED", "SKIPPED", "ERROR", "XFAIL"];
const NEW: Rules = Rules { words: WORDS, skips: true };
const OLD: Rules = Rules { words: WORDS, skips: false };
/// SWE-rebench V2 knows no expected failures.
const V2: Rules = Rules { words: &["FAILED", "PASSED", "SKIPPED", "ERROR"], skips: false };

impl Rules {
    fn begins(self, line: &str) -> bool {
        match line.as_bytes().first() {
            Some(b'F' | b'P' | b'S' | b'E' | b'X') => {
                self.words.iter().any(|word| line.starts_with(word))
            }
            _ => false,
        }
    }

    fn ends(self, line: &str) -> bool {
        match line.as_bytes().last() {
            Some(b'D' | b'R' | b'L') => self.words.iter().any(|word| line.ends_with(word)),
            _ => false,
        }
    }

    /// Status and test of a line that begins with a status.
    fn pair(self, line: &str) -> Option<(&str, &str)> {
        status_and_test(line)
            .filter(|(status, test)| !(self.skips && is_skip_summary(status, test)))
    }
}

/// `SKIPPED [3] file.py:7: reason` counts skips and names no test.
fn is_skip_summary(status: &str, name: &str) -> bool {
    let count = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    status == "SKIPPED" && count.is_some_and(|n| !n.is_empty() && n.chars().all(py::is_digit))
}

/// The first two words of a line that begins with a status. In a line of a failure, the first
/// dash between spaces counts as nothing.
fn status_and_test(line: &str) -> Option<(&str, &str)> {
    let (status, mut rest) = line.split_at(py::word_end(line));
    let failed = line.starts_with("FAILED");
    loop {
        if failed && rest.starts_with(" - ") {
            rest = &rest[3..];
        } else {
            match py::after_space(rest) {
                Some(after) => rest = after,
                None => break,
            }
        }
    }
    let test = &rest[..py::word_end(rest)];
    (!test.is_empty()).then_some((status, test))
}

fn summary(log: &str, rules: Rules) -> StatusMap {
    let mut map = StatusMap::of_log(log.len());
    for line in lines(log).filter(|line| rules.begins(line)) {
        if let Some((status, test)) = rules.pair(line) {
            map.insert(test, status.into());
        }
    }
    map
}

/// `parse_log_pytest` since 5.
pub(crate) fn v1(log: &str) -> StatusMap {
    summary(log, NEW)
}

/// `parse_log_pytest` before 5.
pub(crate) fn v1_old(log: &str) -> StatusMap {
    summary(log, OLD)
}

/// SWE-rebench V2's.
pub(crate) fn v1_rebench(log: &str) -> StatusMap {
    summary(log, V2)
}

/// Parameters that are an absolute path are cut to their last part; what stands behind the last
/// bracket is lost.
fn short_option(test: &str) -> Cow<'_, str> {
    let Some((main, rest)) = test.split_once('[') else { return test.into() };
    let Some((option, behind)) = rest.rsplit_once(']') else { return test.into() };
    if option.starts_with('/') && !option.starts_with("//") && !option.contains('*') {
        return format!("{main}[/{}]", py::after_last(option, "/")).into();
    }
    test[..test.len() - behind.len()].into()
}

fn options_of(log: &str, rules: Rules) -> StatusMap {
    let mut map = StatusMap::of_log(log.len());
    for line in lines(log).filter(|line| rules.begins(line)) {
        if let Some((status, test)) = rules.pair(line) {
            map.insert(short_option(test), status.into());
        }
    }
    map
}

/// `parse_log_pytest_options` since 5.
pub(crate) fn options(log: &str) -> StatusMap {
    options_of(log, NEW)
}

/// `parse_log_pytest_options` before 5.
pub(crate) fn options_old(log: &str) -> StatusMap {
    options_of(log, OLD)
}

/// SWE-rebench V2's.
pub(crate) fn options_rebench(log: &str) -> StatusMap {
    options_of(log, V2)
}

/// Two names of an enumeration appear in ids of tests as their values.
fn buttons<'a>(line: &'a str, finder: &memmem::Finder<'_>) -> Cow<'a, str> {
    if finder.find(line.as_bytes()).is_none() {
        return line.into();
    }
    line.replace("MouseButton.LEFT", "1").replace("MouseButton.RIGHT", "3").into()
}

fn matplotlib_of(log: &str, rules: Rules) -> StatusMap {
    let mut map = StatusMap::of_log(log.len());
    let finder = memmem::Finder::new("MouseButton.");
    // No replacement makes a status out of something else, since each ends with a digit.
    for line in lines(log).filter(|line| rules.begins(line)) {
        let line = buttons(line, &finder);
        if let Some((status, test)) = rules.pair(&line) {
            map.insert(test, status.into());
        }
    }
    map
}

/// `parse_log_matplotlib` since 5.
pub(crate) fn matplotlib(log: &str) -> StatusMap {
    matplotlib_of(log, NEW)
}

/// `parse_log_matplotlib` before 5.
pub(crate) fn matplotlib_old(log: &str) -> StatusMap {
    matplotlib_of(log, OLD)
}

/// SWE-rebench V2's.
pub(crate) fn matplotlib_rebench(log: &str) -> StatusMap {
    matplotlib_of(log, V2)
}

/// Without `[32m` and without control characters other than NUL.
pub(crate) fn plain(line: &str) -> Cow<'_, str> {
    let bytes = line.as_bytes();
    let controls = bytes.iter().any(|b| (1..32).contains(b));
    if !controls && memchr::memchr(b'[', bytes).is_none() {
        return line.into();
    }
    let mut out = String::new();
    let mut kept = 0;
    for at in memchr::memchr_iter(b'[', bytes) {
        let after = py::after_digits(&line[at + 1..]).and_then(|rest| rest.strip_prefix('m'));
        if let Some(after) = after {
            out.push_str(&line[kept..at]);
            kept = line.len() - after.len();
        }
    }
    if kept == 0 && !controls {
        return line.into();
    }
    out.push_str(&line[kept..]);
    if controls {
        out.retain(|c| !('\x01'..='\x1f').contains(&c));
    }
    out.into()
}

fn joined<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let mut out = String::new();
    for word in words {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// `parse_log_pytest_v2` since 5: ids keep their spaces.
pub(crate) fn v2(log: &str) -> StatusMap {
    let mut map = StatusMap::of_log(log.len());
    for line in lines(log) {
        let line = plain(line);
        if NEW.begins(&line) {
            let text = if line.starts_with("FAILED") { py::before(&line, " - ") } else { &line };
            let mut words = split_whitespace(text);
            let status = words.next().unwrap_or_default();
            let Some(first) = words.next() else { continue };
            if is_skip_summary(status, first) {
                continue;
            }
            match words.next() {
                None => map.insert(first, status.into()),
                Some(second) => {
                    let words = [first, second].into_iter().chain(words);
                    map.insert(joined(words), status.into());
                }
            }
        } else if NEW.ends(&line) {
            let mut words = split_whitespace(&line);
            let Some(status) = words.next_back() else { continue };
            let test = joined(words);
            if !test.is_empty() {
                map.insert(test, status.into());
            }
        }
    }
    map
}

/// `parse_log_pytest_v2` of 4: the second word is the id, or the first where the status ends the
/// line.
pub(crate) fn v2_old(log: &str) -> StatusMap {
    let mut map = StatusMap::of_log(log.len());
    for line in lines(log) {
        if let Some(Some((test, status))) = pair_of(&plain(line), OLD) {
            map.insert(test, status);
        }
    }
    map
}

/// `parse_log_pytest_v2` before 4, which fails on a line that is one word.
pub(crate) fn v2_oldest(log: &str) -> Outcome {
    v2_strict(log, OLD)
}

/// SWE-rebench V2's.
pub(crate) fn v2_rebench(log: &str) -> Outcome {
    v2_strict(log, V2)
}

fn v2_strict(log: &str, rules: Rules) -> Outcome {
    let mut map = StatusMap::of_log(log.len());
    for line in lines(log) {
        one_word_fails(pair_of(&plain(line), rules), &mut map)?;
    }
    Ok(map)
}

/// SWE-Gym's for pydantic: what stands in brackets behind `FAILED` is dropped.
pub(crate) fn pydantic(log: &str) -> Outcome {
    let mut map = StatusMap::of_log(log.len());
    for line in lines(log) {
        let line = plain(line);
        let line = without_failed_brackets(&line);
        one_word_fails(pair_of(&line, OLD), &mut map)?;
    }
    Ok(map)
}

fn one_word_fails(
    pair: Option<Option<(&str, LogStatus)>>,
    map: &mut StatusMap,
) -> Result<(), Raised> {
    match pair {
        Some(Some((test, status))) => map.insert(test, status),
        Some(None) => return Err(Raised::new("IndexError: a line is a status and nothing else")),
        None => {}
    }
    Ok(())
}

/// Test and status of a line that begins or ends with a status; nothing inside where it is one
/// word only.
fn pair_of(line: &str, rules: Rules) -> Option<Option<(&str, LogStatus)>> {
    if rules.begins(line) {
        return Some(status_and_test(line).map(|(status, test)| (test, status.into())));
    }
    if !rules.ends(line) {
        return None;
    }
    let mut words = split_whitespace(line);
    Some(words.next().zip(words.next()).map(|(test, status)| (test, status.into())))
}

/// `re.sub(r"FAILED\s*\[.*?\]", "FAILED", line)`.
fn without_failed_brackets(line: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut kept = 0;
    for at in memmem::find_iter(line.as_bytes(), "FAILED") {
        if at < kept {
            continue;
        }
        let Some(rest) = py::lstrip(&line[at + 6..]).strip_prefix('[') else { continue };
        // Without a closing bracket behind it, none of the later ones has one either.
        let Some(close) = memchr::memchr(b']', rest.as_bytes()) else { break };
        out.push_str(&line[kept..at + 6]);
        kept = line.len() - rest.len() + close + 1;
    }
    if kept == 0 {
        return line.into();
    }
    out.push_str(&line[kept..]);
    out.into()
}

/// `parse_log_seaborn` since 5.
pub(crate) fn seaborn(log: &str) -> StatusMap {
    let mut map = StatusMap::of_log(log.len());
    let mut passed = Ahead::new(log, " PASSED ");
    for line in lines(log) {
        if let Some(Some((test, status))) = seaborn_pair(line, &mut passed) {
            map.insert(test, status);
        }
    }
    map
}

/// `parse_log_seaborn` before 5, which fails on lines that are one word.
pub(crate) fn seaborn_old(log: &str) -> Outcome {
    let mut map = StatusMap::of_log(log.len());
    let mut passed = Ahead::new(log, " PASSED ");
    for line in lines(log) {
        one_word_fails(seaborn_pair(line, &mut passed), &mut map)?;
    }
    Ok(map)
}

fn seaborn_pair<'a>(line: &'a str, passed: &mut Ahead<'_>) -> Option<Option<(&'a str, LogStatus)>> {
    let second = || split_whitespace(line).nth(1);
    if line.starts_with("FAILED") {
        return Some(second().map(|test| (test, LogStatus::Failed)));
    }
    if passed.is_in(line) {
        let mut words = split_whitespace(line);
        return match (words.next(), words.next()) {
            (Some(test), Some("PASSED")) => Some(Some((test, LogStatus::Passed))),
            (_, Some(_)) => None,
            _ => Some(None),
        };
    }
    line.starts_with("PASSED").then(|| second().map(|test| (test, LogStatus::Passed)))
}
