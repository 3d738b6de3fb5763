//! Best-first search, and attempts that nobody needs any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use palestra_model::Request;
use palestra_model::scripted::{Say, Scripted, ScriptedOptions, ScriptedServer};
use palestra_verify::Candidate;
use palestra_verify::bench::{Labelled, Pool};
use serde_json::{Value, json};

use super::scripted::{Fixes, turn};
use super::{Gym, attempts, harbor_reads};

/// A critic by which an attempt without errors is right, and any other is wrong.
fn critic(gym: &Gym) -> String {
    let mut pool = Pool::default();
    for n in 0..400u32 {
        let (errors, group) = (n % 2, n / 2 % 4);
        let mut candidate = Candidate::new(format!("t{}", n / 8), format!("a{n}"));
        candidate.features.set("errors", f64::from(errors));
        pool.rows.push(Labelled {
            candidate,
            group: format!("g{group}"),
            resolved: Some(errors == 0),
            ..Labelled::default()
        });
    }
    let (from, to) =
        (gym.palestra.dir().join("pool.jsonl"), gym.palestra.dir().join("critic.json"));
    std::fs::write(&from, pool.write()).expect("a file");
    let (from, to) = (from.to_string_lossy(), to.to_string_lossy().into_owned());
    let ran = gym.palestra.run(&["critic", "train", &from, "-o", &to]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    to
}

/// A model that goes wrong every second time, and then never finds back; after the fix it submits.
fn wavering(fixes: Fixes) -> ScriptedServer {
    let count = AtomicU64::new(0);
    let script = move |request: &Request| -> Scripted {
        let fix = fixes.commands(request).pop().expect("a fix");
        let said = format!("{:?}", request.messages);
        let n = count.fetch_add(1, Ordering::Relaxed);
        if said.contains("git apply") {
            return Say::call("submit", "{}").into();
        }
        let command = match n.is_multiple_of(2) || said.contains("nonsense") {
            true => format!("nonsense {}", turn(request)),
            false => fix,
        };
        Say::call("bash", json!({ "command": command }).to_string()).into()
    };
    ScriptedServer::start(script, ScriptedOptions::default()).expect("a server")
}

fn one(gym: &Gym, name: &str) -> (std::path::PathBuf, Value) {
    let all = attempts(&gym.job(name));
    assert_eq!(all.len(), 1, "{all:?}");
    let (trial, record) = all.into_iter().next().expect("one");
    (gym.job(name).join(trial), record)
}

#[test]
fn the_best_fork_goes_on() {
    let Some(gym) = Gym::open() else { return };
    let server = wavering(Fixes::of(&gym));
    let (url, critic) = (server.url(), critic(&gym));
    let all = ["-a", "editor", "-m", "m", "--base-url", &url, "-l", "1", "--max-steps", "6"];
    let mut search = all.to_vec();
    search.extend(["--search", "best-first", "--width", "3", "--depth", "2"]);
    search.extend(["--critic", &critic, "--enough", "0.5"]);
    let report = gym.report("searched", &search);
    assert_eq!(report["variants"][0]["resolved"], 1, "{report}");
    let (dir, record) = one(&gym, "searched");
    assert_eq!(record["exit"], "submitted", "{record}");
    let search = &record["search"];
    // Three go on from the beginning; the best of them forks again, and one of these ends it.
    assert_eq!((&search["nodes"], &search["calls"]), (&json!(5), &json!(6)), "{record}");
    assert_eq!(server.requests(), 6);
    assert_eq!(record["steps"], 2, "{record}");
    let tree: Value =
        serde_json::from_slice(&std::fs::read(dir.join("search.json")).expect("a tree"))
            .expect("JSON");
    assert_eq!(tree.as_array().map(Vec::len), Some(5), "{tree}");
    assert_eq!(
        tree.as_array().into_iter().flatten().filter(|n| n["end"] == "submitted").count(),
        3
    );
    assert!(!dir.join(".search").exists());
    let read = palestra_trace::read(&dir.join("agent/trace.jsonl")).expect("a trace");
    assert_eq!(read.graph.calls().len(), 2);
    let text = std::fs::read_to_string(dir.join("agent/trajectory.json")).expect("a trajectory");
    assert!(text.contains("git apply") && !text.contains("nonsense"), "{text}");
    assert!(!text.contains("is_copied_context\":true"), "{text}");
    harbor_reads(&gym.job("searched"));
    assert_eq!(gym.sandboxes(), 0);
    // When the calls are spent, the best one goes on alone to its end.
    let mut short = all.to_vec();
    short.extend(["--search", "best-first", "--critic", &critic, "--search-calls", "1"]);
    gym.report("short", &short);
    let (_, record) = one(&gym, "short");
    assert_eq!(record["search"]["nodes"], 3, "{record}");
    assert!(record["exit"].is_string(), "{record}");
    assert_eq!(gym.sandboxes(), 0);
}

#[test]
fn good_enough_is_enough() {
    let Some(gym) = Gym::open() else { return };
    let fixes = Arc::new(Fixes::of(&gym));
    let known = Arc::clone(&fixes);
    let script = move |request: &Request| -> Scripted {
        let fix = known.commands(request).pop().expect("a fix");
        match turn(request) {
            0 => Say::call("bash", json!({ "command": fix }).to_string()).into(),
            _ => Say::call("submit", "{}").into(),
        }
    };
    let server = ScriptedServer::start(script, ScriptedOptions::default()).expect("a server");
    let (url, critic) = (server.url(), critic(&gym));
    let all = ["-a", "editor", "-m", "m", "--base-url", &url, "-l", "2", "-k", "4", "-n", "1"];
    let mut more = all.to_vec();
    more.extend(["--critic", &critic, "--enough", "0.6"]);
    let report = gym.report("enough", &more);
    assert_eq!((&report["over"], &report["spared"]), (&json!(2), &json!(6)), "{report}");
    // Going on changes nothing: what was seen is seen again.
    let dir = gym.job("enough");
    let ran = gym.palestra.run(&["job", "resume", &dir.to_string_lossy(), "--json"]);
    let again: Value = serde_json::from_str(&ran.stdout).expect("a report");
    assert_eq!((&again["over"], &again["spared"]), (&json!(2), &json!(6)), "{again}");
}

#[test]
fn wrong_words_about_searches_are_named() {
    let Some(gym) = Gym::open() else { return };
    for (more, words) in [
        (vec!["--search", "depth-first"], "best-first"),
        (vec!["--width", "3"], "--search"),
        (vec!["--search", "best-first", "--width", "1"], "at least 2 wide"),
        (vec!["--search", "best-first", "--branch-at", "1:2"], "not both"),
        (vec!["--enough", "2"], "from 0 to 1"),
        (vec!["--critic", "/does/not/exist", "--enough", "0.5"], "/does/not/exist"),
    ] {
        let mut all = vec!["-a", "oracle"];
        all.extend(&more);
        let ran = gym.run("wrong", &all);
        assert_eq!(ran.code, Some(2), "{more:?}: {ran:?}");
        assert!(ran.stderr.contains(words), "{more:?}: {ran:?}");
    }
}
