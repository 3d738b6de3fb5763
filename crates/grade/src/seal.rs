//! The channel that results come through: lines that only the runner can have written.
//!
//! A pipe of which nobody inside holds the other end, so what was written stays written. Each line
//! carries its number and a seal made with a key that is used once: the next one is its hash. So a
//! line that somebody else wrote shows, and so does one that somebody took out of the pipe. Events
//! that were written together stand in one line, with tabs between them.

use palestra_testlog::structured::bounded;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// How many odd lines are kept.
const KEEP: usize = 20;
/// How far ahead a line is looked for when others are missing. Not any more once [`KEEP`] odd lines
/// were seen: a flood of them must not cost us a hash for each number.
const AHEAD: u64 = 4096;

/// What the guard inside told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) struct Told {
    /// `replaced`, `event` or `hook`.
    pub(crate) kind: String,
    /// Of which function, event or hook.
    pub(crate) name: String,
    /// The file it was traced to, relative to the repository where it is in it.
    pub(crate) file: String,
}

/// What came through the channel.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Opened {
    /// The lines of the record.
    pub(crate) record: Vec<u8>,
    /// What the guard told.
    pub(crate) told: Vec<Told>,
    /// What stood there before the runner began: messages of an interpreter that did not start.
    pub(crate) before: Vec<u8>,
    /// Lines that the runner did not write.
    pub(crate) foreign: Vec<String>,
    /// Whether lines of the runner are missing.
    pub(crate) lost: bool,
}

/// The state of both sides.
struct Seal {
    key: [u8; 32],
    number: u64,
}

impl Seal {
    fn mark(&self, line: &[u8]) -> String {
        let digest = Sha256::new().chain_update(self.key).chain_update(line).finalize();
        digest[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn advance(&mut self) {
        self.key = Sha256::new().chain_update(b"next").chain_update(self.key).finalize().into();
        self.number += 1;
    }
}

/// How the runner begins what the guard has to tell.
const TELLS: &[u8] = br#"{"e":"guard","#;

/// What the guard told, if the event is of the guard.
fn guarded(event: &[u8]) -> Option<Told> {
    event.starts_with(TELLS).then(|| serde_json::from_slice(event).ok()).flatten()
}

/// Reads what was written under `key`.
pub(crate) fn open(bytes: &[u8], key: [u8; 32]) -> Opened {
    let mut opened = Opened::default();
    let mut seal = Seal { key, number: 0 };
    for line in bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let ahead = if opened.foreign.len() < KEEP { AHEAD } else { 0 };
        match accept(&mut seal, line, ahead) {
            Some((text, skipped)) => {
                opened.lost |= skipped;
                for event in text.split(|b| *b == b'\t') {
                    match guarded(event) {
                        Some(told) => opened.told.push(told),
                        None => {
                            opened.record.extend_from_slice(event);
                            opened.record.push(b'\n');
                        }
                    }
                }
            }
            None if seal.number == 0 => {
                opened.before.extend_from_slice(line);
                opened.before.push(b'\n');
            }
            None => {
                if opened.foreign.len() < KEEP {
                    let text = String::from_utf8_lossy(&line[..line.len().min(400)]);
                    opened.foreign.push(bounded(text.into_owned()));
                }
            }
        }
    }
    opened
}

/// The text of a line, if its seal holds, and whether others before it are missing.
fn accept<'a>(seal: &mut Seal, line: &'a [u8], most: u64) -> Option<(&'a [u8], bool)> {
    let (mark, rest) = (line.get(..32)?, line.get(33..)?);
    let end = rest.iter().position(|b| *b == b' ')?;
    let number: u64 = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    let ahead = number.checked_sub(seal.number).filter(|ahead| *ahead <= most)?;
    let mut there = Seal { key: seal.key, number: seal.number };
    for _ in 0..ahead {
        there.advance();
    }
    if there.mark(rest).as_bytes() != mark {
        return None;
    }
    there.advance();
    *seal = there;
    Some((&rest[end + 1..], ahead > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [7; 32];

    /// What the runner writes.
    fn sealed(lines: &[&str]) -> Vec<String> {
        let mut seal = Seal { key: KEY, number: 0 };
        let mut out = Vec::new();
        for line in lines {
            let text = format!("{} {line}", seal.number);
            out.push(format!("{} {text}", seal.mark(text.as_bytes())));
            seal.advance();
        }
        out
    }

    #[test]
    fn what_the_runner_wrote_is_read() {
        let told = r#"{"e":"guard","kind":"event","name":"n","file":"f"}"#;
        let text = sealed(&[r#"{"e":"session"}"#, told, r#"{"e":"exit","status":0}"#]).join("\n");
        let opened = open(format!("said before\n{text}\n").as_bytes(), KEY);
        assert_eq!(opened.record, b"{\"e\":\"session\"}\n{\"e\":\"exit\",\"status\":0}\n");
        assert_eq!(opened.before, b"said before\n");
        assert_eq!(opened.told.len(), 1);
        assert!(opened.foreign.is_empty() && !opened.lost);
        let other = open(text.as_bytes(), [8; 32]);
        assert!(other.record.is_empty() && other.foreign.is_empty());
    }

    #[test]
    fn events_that_were_written_together_are_told_apart() {
        let told = r#"{"e":"guard","kind":"event","name":"a\tb","file":"f"}"#;
        let lines = sealed(&[&format!("{{\"e\":\"a\"}}\t{told}\t{{\"e\":\"b\"}}")]);
        let opened = open(lines[0].as_bytes(), KEY);
        assert_eq!(opened.record, b"{\"e\":\"a\"}\n{\"e\":\"b\"}\n");
        assert_eq!(opened.told[0].name, "a\tb");
        // One seal holds for all of them.
        let cut = lines[0].replace("\t{\"e\":\"b\"}", "");
        let opened = open(cut.as_bytes(), KEY);
        assert!(opened.record.is_empty() && opened.told.is_empty());
    }

    #[test]
    fn lines_of_others_show() {
        let lines = sealed(&["{\"e\":\"a\"}", "{\"e\":\"b\"}", "{\"e\":\"c\"}"]);
        let forged = format!("{} 1 {{\"e\":\"exit\"}}", "0".repeat(32));
        // A line said twice is not the runner's the second time.
        for odd in [forged.as_str(), "x", &lines[0]] {
            let text = [&lines[0], odd, &lines[1], &lines[2]].map(str::to_owned).join("\n");
            let opened = open(text.as_bytes(), KEY);
            assert_eq!(opened.foreign, [odd]);
            assert_eq!(opened.record.split(|b| *b == b'\n').count(), 4);
            assert!(!opened.lost);
        }
    }

    #[test]
    fn lines_that_are_missing_show() {
        let lines = sealed(&["{\"e\":\"a\"}", "{\"e\":\"b\"}", "{\"e\":\"c\"}"]);
        let opened = open(format!("{}\n{}", lines[0], lines[2]).as_bytes(), KEY);
        assert!(opened.lost && opened.foreign.is_empty());
        assert_eq!(opened.record, b"{\"e\":\"a\"}\n{\"e\":\"c\"}\n");
        // Out of order.
        let opened = open(format!("{}\n{}\n{}", lines[0], lines[2], lines[1]).as_bytes(), KEY);
        assert!(opened.lost && opened.foreign.len() == 1);
    }
}
