//! `palestra rank` on jobs of scripted attempts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use palestra_model::scripted::{Say, Scripted, ScriptedOptions, ScriptedServer};
use palestra_model::{Request, Role};
use serde_json::{Value, json as object};

use super::{json, text};
use crate::run::{Gym, attempts};
use crate::support::Palestra;

/// Statement, fix and hidden tests of every task.
pub(super) struct Known {
    id: String,
    statement: String,
    gold: String,
    tests: Vec<String>,
}

pub(super) fn known(gym: &Gym) -> Vec<Known> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(&gym.tasks).expect("tasks").flatten() {
        let dir = entry.path();
        if !dir.join("task.toml").is_file() {
            continue;
        }
        all.push(Known {
            id: entry.file_name().to_string_lossy().into_owned(),
            statement: text(&dir.join("instruction.md")).trim().to_owned(),
            gold: text(&dir.join("solution/gold.patch")),
            tests: python(&dir.join("tests/files")),
        });
    }
    all
}

/// The contents of the Python files below a directory that hold tests.
fn python(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => found.extend(python(&path)),
            path => found.extend(std::fs::read_to_string(path).ok()),
        }
    }
    found.retain(|text| text.contains("def test"));
    found
}

fn said(request: &Request) -> String {
    let users = request.messages.iter().filter(|message| message.role == Role::User);
    users.map(|message| message.content_text()).collect()
}

/// A server whose first attempt at a task breaks the code, whose second one changes nothing that
/// matters, and whose third one is right. Asked for tests, it gives the hidden ones.
pub(super) fn server(known: Vec<Known>, asked: Arc<Mutex<Vec<String>>>) -> ScriptedServer {
    let counts: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());
    let play = move |request: &Request| -> Scripted {
        let said = said(request);
        let found = known.iter().find(|k| said.contains(&k.statement));
        let found = found.expect("a statement that is known");
        if request.tools.is_empty() {
            let lines = request.messages.iter().map(|m| m.content_text()).collect();
            asked.lock().unwrap_or_else(PoisonError::into_inner).push(lines);
            return Say::text(format!("```python\n{}\n```", found.tests[0])).into();
        }
        if request.messages.iter().any(|m| m.role == Role::Assistant) {
            return Say::call("submit", "{}").into();
        }
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(found.id.clone()).or_default();
        *count += 1;
        let source = found.gold.lines().find_map(|line| line.strip_prefix("--- a/"));
        let command = match *count % 3 {
            1 => format!("echo 'raise RuntimeError' >> {}", source.expect("a file")),
            2 => "echo '# seen' >> README.md".to_owned(),
            _ => format!("git apply <<'END_OF_PATCH'\n{}\nEND_OF_PATCH", found.gold),
        };
        let arguments = object!({ "command": format!("cd /testbed && {command}") });
        Say::call("bash", arguments.to_string()).into()
    };
    ScriptedServer::start(play, ScriptedOptions::default()).expect("a server")
}

/// A ranking without what differs from run to run: times.
fn lasting(job: &Path) -> Value {
    let mut ranking: Value =
        serde_json::from_str(&text(&job.join("ranking.json"))).expect("a ranking");
    for task in ranking["tasks"].as_object_mut().expect("tasks").values_mut() {
        task.as_object_mut().expect("a task").remove("cost");
        for attempt in task["attempts"].as_array_mut().expect("attempts") {
            attempt["ran"]["seconds"] = Value::Null;
        }
    }
    ranking
}

/// By task: the attempt that was chosen.
fn chosen(ranking: &Value) -> BTreeMap<String, Option<String>> {
    let tasks = ranking["tasks"].as_object().expect("tasks").iter();
    let of = |task: &Value| task["choice"]["chosen"].as_str().map(str::to_owned);
    tasks.map(|(id, task)| (id.clone(), of(task))).collect()
}

fn rank(gym: &Gym, job: &Path, more: &[&str]) -> crate::support::Ran {
    let job = job.to_string_lossy();
    let mut all = vec!["rank", &*job, "--json"];
    all.extend(more);
    gym.palestra.run(&all)
}

#[test]
fn tests_choose_the_right_attempt_and_verdicts_change_nothing() {
    let Some(gym) = Gym::open() else { return };
    let tasks = known(&gym);
    let gold: Vec<(String, String)> =
        tasks.iter().map(|k| (k.statement.clone(), k.gold.clone())).collect();
    let tests_dir = gym.palestra.dir().join("generated");
    for task in &tasks {
        let dir = tests_dir.join(&task.id);
        std::fs::create_dir_all(&dir).expect("a directory");
        std::fs::write(dir.join("hidden.py"), &task.tests[0]).expect("a file");
    }
    let asked = Arc::new(Mutex::new(Vec::new()));
    let server = server(tasks, Arc::clone(&asked));
    let url = server.url();
    let more = ["-a", "editor", "-m", "m", "--base-url", &url, "-k", "3", "-n", "1"];
    let report = gym.report("j", &more);
    assert_eq!(report["variants"][0]["resolved"].as_u64(), Some(gym.count), "{report}");
    let job = gym.job("j");
    let right: Vec<String> = attempts(&job)
        .into_iter()
        .filter(|(_, record)| record["verdict"]["verdict"] == "resolved")
        .map(|(name, _)| name)
        .collect();

    // Regression tests tell what is broken from what is not.
    let ran = rank(&gym, &job, &["--preset", "execution-based"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for (task, found) in json(&ran)["tasks"].as_object().expect("tasks") {
        let score = |name: &str| {
            let all = found["attempts"].as_array().expect("attempts").iter();
            let own = |a: &&Value| a["candidate"]["id"] == *name;
            all.clone().find(own).expect("an attempt")["candidate"]["scores"]["regression"].as_f64()
        };
        let best = right.iter().find(|name| name.starts_with(task.as_str())).expect("a right one");
        let broken = format!("{task}__1");
        assert!(score(best) > score(&broken), "{task}: {found}");
        assert_ne!(found["choice"]["chosen"], broken.as_str());
    }
    // Tests that show the issue choose the right attempt; so they do when a model writes them.
    let given = tests_dir.to_string_lossy().into_owned();
    let by_files = ["--preset", "ours", "--tests", &given];
    let by_model = ["--samples", "1", "-m", "m", "--base-url", &url];
    for how in [&by_files[..], &by_model[..]] {
        let ran = rank(&gym, &job, how);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        for (task, attempt) in chosen(&json(&ran)) {
            let attempt = attempt.expect("a choice");
            assert!(right.contains(&attempt), "{task}: {attempt} of {right:?}: {}", ran.stdout);
        }
    }
    // Whoever writes tests is not shown the fix.
    let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(!asked.is_empty());
    for text in asked.iter() {
        let (_, gold) = gold.iter().find(|(s, _)| text.contains(s.as_str())).expect("a statement");
        let added = gold.lines().filter_map(|line| line.strip_prefix('+'));
        for line in added.filter(|line| line.trim().len() > 24 && !line.starts_with("++")) {
            assert!(!text.contains(line.trim()), "{line}");
        }
    }
    let before = {
        assert_eq!(rank(&gym, &job, &by_files).code, Some(0));
        lasting(&job)
    };
    let predictions = text(&job.join("predictions.jsonl"));
    assert_eq!(predictions.lines().count() as u64, gym.count);

    // Neither verdicts nor hidden tests nor fixes are read: with others, or none, all is the same.
    for (name, mut record) in attempts(&job) {
        let resolved = object!({ "verdict": "resolved" });
        let unresolved = object!({ "verdict": "unresolved", "reason": "" });
        let was = record["verdict"]["verdict"] == "resolved";
        record["verdict"] = if was { unresolved } else { resolved };
        std::fs::write(job.join(&name).join("attempt.json"), record.to_string()).expect("a file");
        let _ = std::fs::remove_file(job.join(&name).join("result.json"));
        let _ = std::fs::remove_dir_all(job.join(&name).join("verifier"));
    }
    for entry in std::fs::read_dir(&gym.tasks).expect("tasks").flatten() {
        let _ = std::fs::remove_dir_all(entry.path().join("tests/files"));
        let _ = std::fs::remove_dir_all(entry.path().join("solution"));
    }
    let cache: PathBuf = job.join(".verify");
    for cached in [true, false] {
        if !cached {
            std::fs::remove_dir_all(&cache).expect("a cache");
        }
        let ran = rank(&gym, &job, &by_files);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(lasting(&job), before, "cached: {cached}");
        assert_eq!(text(&job.join("predictions.jsonl")), predictions);
    }
    // One job at a time has its scores; the number of threads is none of them.
    assert_eq!(rank(&gym, &job, &[&by_files[..], &["--jobs", "1"]].concat()).code, Some(0));
    assert_eq!(lasting(&job), before);
    assert_eq!(gym.sandboxes(), 0);
}

#[test]
fn equal_broken_and_missing_attempts_are_told_apart_in_words() {
    let Some(gym) = Gym::open() else { return };
    let report = gym.report("j", &["-a", "nop", "-k", "3", "-l", "2"]);
    assert_eq!(report["over"], 6, "{report}");
    let job = gym.job("j");
    let none = |more: &[&str]| rank(&gym, &job, &[&["--no-execution"], more].concat());
    // All are equal: the seed decides, and the same seed decides the same.
    let by = |seed: &str| chosen(&json(&none(&["--seed", seed])));
    assert_eq!(by("1"), by("1"));
    let seen: Vec<_> = (0..20).map(|seed: u32| by(&seed.to_string())).collect();
    assert!(seen.iter().any(|one| *one != seen[0]), "{seen:?}");
    let ranking = json(&none(&[]));
    // Nobody named a critic: the built-in one scores.
    let mut tasks = ranking["tasks"].as_object().expect("tasks").values();
    let scored = |task: &Value| {
        let attempts = task["attempts"].as_array().expect("attempts");
        attempts.iter().all(|one| one["candidate"]["scores"]["critic"].is_f64())
    };
    assert!(tasks.all(scored), "{ranking}");
    // Two patches that change nothing are no reason to run anything twice; nothing is chosen by it.
    let ran = rank(&gym, &job, &["--seed", "1"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(chosen(&json(&ran)), by("1"));

    let names: Vec<String> = attempts(&job).into_keys().collect();
    let (first, second) = names.split_at(3);
    // Of one task: a record that is none, an attempt that was not made, and one without a trajectory.
    std::fs::write(job.join(&first[0]).join("attempt.json"), "{").expect("a file");
    std::fs::remove_dir_all(job.join(&first[1])).expect("an attempt");
    std::fs::remove_file(job.join(&first[2]).join("agent/trajectory.json")).expect("a trajectory");
    // Of the other: nothing.
    for name in second {
        std::fs::remove_file(job.join(name).join("attempt.json")).expect("a record");
    }
    let ran = none(&[]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let ranking = json(&ran);
    let tasks: Vec<&Value> = ranking["tasks"].as_object().expect("tasks").values().collect();
    assert_eq!(tasks[0]["choice"]["chosen"], first[2].as_str(), "{ranking}");
    let invalid = &tasks[0]["choice"]["invalid"];
    assert!(invalid[&first[0]].as_str().expect("why").contains("record is broken"), "{invalid}");
    assert!(invalid[&first[1]].as_str().expect("why").contains("was not made"), "{invalid}");
    assert!(ranking["notes"].to_string().contains("no trajectory"), "{ranking}");
    assert_eq!(tasks[1]["choice"]["chosen"], Value::Null);
    assert_eq!(tasks[1]["choice"]["why"], "none of 3 attempts is valid");
    assert_eq!(text(&job.join("predictions.jsonl")).lines().count(), 1);
    // A critic cannot be trained on that, and it says why.
    let (path, out) = (job.to_string_lossy(), gym.palestra.dir().join("critic.json"));
    let ran = gym.palestra.run(&["critic", "train", &path, "-o", &out.to_string_lossy()]);
    assert!(ran.code == Some(2) && ran.stderr.contains("cannot be trained"), "{ran:?}");
    assert!(!out.exists());
}

#[test]
fn what_is_no_job_no_preset_and_no_critic_is_refused() {
    let palestra = Palestra::new();
    let dir = palestra.dir().to_string_lossy().into_owned();
    let file = palestra.dir().join("critic.json");
    std::fs::write(&file, "{}").expect("a file");
    let file = file.to_string_lossy().into_owned();
    let pool = palestra.dir().join("pool.jsonl");
    std::fs::write(&pool, "{\n").expect("a file");
    let pool = pool.to_string_lossy().into_owned();
    for (arguments, words) in [
        (vec!["rank", &dir, "--no-execution"], "is no job"),
        (vec!["rank", &dir, "--preset", "best"], "no preset of that name"),
        (vec!["rank", &dir, "--critic", &file], "no critic that can be used"),
        (vec!["rank", &dir, "--preset", "missing.toml"], "missing.toml"),
        (vec!["critic", "eval", &file, &dir], "no critic that can be used"),
        (vec!["critic", "train", &dir, "-o", "x", "--without", "luck"], "luck"),
        (vec!["bench", "verifier", &pool], "nothing to measure"),
        (vec!["bench", "verifier", "--tasks", &dir], "palestra"),
        (vec!["bench", "verifier", "--tasks", &dir, "--stand-in", "2"], "--stand-in"),
    ] {
        let ran = palestra.run(&arguments);
        assert_eq!(ran.code, Some(2), "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(words), "{arguments:?}: {ran:?}");
    }
}
