//! The whole chain on ten real commits that touch no tests, from a cassette.
//!
//! `PALESTRA_SQLPARSE` names a clone of github.com/andialbrecht/sqlparse. Nothing of it is kept here: the
//! cassette has hashes of what was asked, and what was answered.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::tasks;
use crate::support::{Palestra, can_build, skip};

/// Where the answers are.
const CASSETTE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/ten-commits.jsonl");

/// One second of the history each, in which the commits were made: there is no other way to name
/// single ones.
const SECONDS: [(&str, &str); 10] = [
    ("2025-11-25T17:41:52Z", "2025-11-25T17:41:53Z"),
    ("2024-12-10T08:38:02Z", "2024-12-10T08:38:03Z"),
    ("2024-03-16T15:45:41Z", "2024-03-16T15:45:42Z"),
    ("2024-03-16T09:10:19Z", "2024-03-16T09:10:20Z"),
    ("2024-03-16T06:45:04Z", "2024-03-16T06:45:05Z"),
    ("2022-08-24T19:38:03Z", "2022-08-24T19:38:04Z"),
    ("2022-08-24T18:42:01Z", "2022-08-24T18:42:02Z"),
    ("2020-01-06T16:36:01Z", "2020-01-06T16:36:02Z"),
    ("2019-10-09T09:24:22Z", "2019-10-09T09:24:23Z"),
    ("2018-07-08T10:32:47Z", "2018-07-08T10:32:48Z"),
];

/// What comes of each commit: the reason where it is no task. One second has two commits; the one
/// besides the ten changes nothing but the layout of a line.
const OUTCOMES: [(&str, &str); 11] = [
    ("ab0f85c6", "task"),
    ("e37ea5b4", "no_code"),
    ("bbd8f51d", "task"),
    ("db1ebe21", "task"),
    ("8c24779e", "task"),
    ("5bb129d3", "task"),
    ("c1a597ee", "task"),
    ("0bbfd5f8", "task"),
    ("165095be", "task"),
    ("aa0b85e3", "task"),
    ("71fb5560", "task"),
];

/// What came of each commit.
fn outcomes(out: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(out.join(".palestra/ledger.jsonl")).expect("a ledger");
    text.lines()
        .map(|line| {
            let entry: Value = serde_json::from_str(line).expect("JSON");
            let commit = entry["commit"].as_str().expect("a commit")[..8].to_owned();
            (commit, entry["rejected"].as_str().unwrap_or("task").to_owned())
        })
        .collect()
}

#[test]
fn ten_real_commits_from_the_cassette() {
    let Some(repo) = std::env::var_os("PALESTRA_SQLPARSE") else {
        return skip("PALESTRA_SQLPARSE names no clone of sqlparse");
    };
    if !can_build() {
        return;
    }
    let repo = repo.to_string_lossy();
    let palestra = Palestra::new();
    let out = palestra.dir().join("out");
    let out_text = out.to_string_lossy();
    for (since, until) in SECONDS {
        let ran = palestra.run(&[
            "curate",
            &repo,
            "--name",
            "andialbrecht/sqlparse",
            "--out",
            &out_text,
            "--since",
            since,
            "--until",
            until,
            "--synth",
            "tests,issues",
            "--no-commits",
            "--jobs",
            "1",
            "-m",
            "scripted",
            "--replay",
            CASSETTE,
        ]);
        assert_eq!(ran.code, Some(0), "{since}: {ran:?}");
    }
    let want: BTreeMap<String, String> =
        OUTCOMES.iter().map(|(commit, end)| ((*commit).to_owned(), (*end).to_owned())).collect();
    assert_eq!(outcomes(&out), want);
    let made = tasks(&out);
    let count = OUTCOMES.iter().filter(|(_, end)| *end == "task").count();
    assert_eq!(made.len(), count);
    for task in &made {
        let form = std::fs::read(task.join("tests/task.json")).expect("a file");
        let form: Value = serde_json::from_slice(&form).expect("JSON");
        let form = &form["task"];
        assert_eq!(form["statement_source"], "model", "{form}");
        assert_eq!(form["synthesis"]["kind"], "tests", "{form}");
        assert_eq!(form["opinion"]["is_task"], true, "{form}");
    }
    let ran = palestra.run(&["gate", &out_text, "--rerun", "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let seen: Value = serde_json::from_str(&ran.stdout).expect("a report");
    assert_eq!((&seen["gold_resolved"], &seen["empty_resolved"]), (&count.into(), &0.into()));
}
