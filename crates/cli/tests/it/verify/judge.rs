//! `palestra rank --judge`: a model's probability that an attempt is right.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use palestra_model::Request;
use palestra_model::scripted::{Say, Scripted, ScriptedOptions, ScriptedServer, TokenIds};
use serde_json::Value;

use super::{json, rank, text};
use crate::run::Gym;

/// Says YES to every attempt that shows a change of a Python file.
fn server(tokens: TokenIds) -> ScriptedServer {
    let script = |request: &Request| -> Scripted {
        let said: String = request.messages.iter().map(|m| m.content_text()).collect();
        let word = if said.contains(".py b/") { "YES" } else { "NO" };
        Say::text(format!("<judgement>{word}</judgement>")).into()
    };
    let options = ScriptedOptions { tokens, ..ScriptedOptions::default() };
    ScriptedServer::start(script, options).expect("a server")
}

#[test]
fn a_model_scores_every_attempt_once() {
    let Some(gym) = Gym::open() else { return };
    gym.report("j", &["-a", "nop", "-a", "oracle", "-l", "2"]);
    let job = gym.job("j");
    let path = job.to_string_lossy().into_owned();
    let rank = |server: &ScriptedServer, more: &[&str]| {
        let url = server.url();
        let all = ["rank", &path, "--json", "--no-execution", "--preset", "execution-free"];
        gym.palestra.run(&[&all[..], &["--judge", "m", "--base-url", &url], more].concat())
    };
    let knows = server(TokenIds::Exact);
    for form in ["ours", "r2e", "swe-gym"] {
        let before = knows.requests();
        // SWE-Gym's form shows the conversation alone, in which an oracle says nothing of its patch.
        let ran = rank(&knows, &["--form", form]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let ranking = json(&ran);
        for (id, task) in ranking["tasks"].as_object().expect("tasks") {
            for attempt in task["attempts"].as_array().expect("attempts") {
                let p = attempt["judged"]["score"].as_f64().expect("a probability");
                assert_eq!(attempt["candidate"]["scores"]["execution_free"].as_f64(), Some(p));
                let oracle =
                    attempt["candidate"]["id"].as_str().is_some_and(|id| id.contains("v2"));
                assert!(form == "swe-gym" || (p > 0.5) == oracle, "{id} {form}: {attempt}");
            }
            let chosen = task["choice"]["chosen"].as_str().expect("an attempt");
            assert!(form == "swe-gym" || chosen.contains("__v2-"), "{id} {form}: {task}");
        }
        assert_eq!(knows.requests() - before, 4, "{form}");
        rank(&knows, &["--form", form]);
        assert_eq!(knows.requests() - before, 4, "asked once: {form}");
    }
    assert_eq!(text(&job.join("predictions.jsonl")).lines().count(), 2);
    // Without log-probabilities there is no score, and that is said.
    let silent = server(TokenIds::None);
    let ranking = json(&rank(&silent, &["--view", "patch"]));
    for task in ranking["tasks"].as_object().expect("tasks").values() {
        assert!(task["notes"].to_string().contains("no score to 2 of 2"), "{task}");
        assert_eq!(task["attempts"][0]["candidate"]["scores"]["execution_free"], Value::Null);
    }
    for (more, words) in [
        (["--view", "all"], "patch and trajectory"),
        (["--form", "theirs"], "ours, r2e and swe-gym"),
    ] {
        let ran = rank(&silent, &more);
        assert!(ran.code == Some(2) && ran.stderr.contains(words), "{ran:?}");
    }
}

#[test]
fn a_verifier_is_trained_on_what_it_will_be_asked() {
    let Some(gym) = Gym::open() else { return };
    let agent = rank::server(rank::known(&gym), Arc::default());
    let url = agent.url();
    gym.report("j", &["-a", "editor", "-m", "m", "--base-url", &url, "-k", "2", "-l", "2"]);
    let job = gym.job("j");
    let path = job.to_string_lossy().into_owned();
    let asked: Arc<Mutex<Vec<[String; 2]>>> = Arc::default();
    let heard = Arc::clone(&asked);
    let judge = move |request: &Request| -> Scripted {
        let text = |at: usize| request.messages[at].content_text();
        heard.lock().unwrap_or_else(PoisonError::into_inner).push([text(0), text(1)]);
        Say::text("<judgement>NO</judgement>").into()
    };
    let options = ScriptedOptions { tokens: TokenIds::Exact, ..ScriptedOptions::default() };
    let judge = ScriptedServer::start(judge, options).expect("a server");
    let url = judge.url();
    for (form, view, exported) in [
        ("ours", "both", "ours"),
        ("ours", "patch", "patch"),
        ("r2e", "both", "r2e-gym"),
        ("swe-gym", "both", "swe-gym"),
    ] {
        asked.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let rank = ["rank", &path, "--no-execution", "--judge", "m", "--base-url", &url];
        let ran = gym.palestra.run(&[&rank[..], &["--form", form, "--view", view]].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let (config, out) = (job.with_file_name("verifier.toml"), job.with_file_name(exported));
        std::fs::write(&config, format!("verifier = '{exported}'")).expect("a file");
        let (config, out) = (config.to_string_lossy(), out.to_string_lossy());
        let export = ["export", &path, "--for", "trl", "--form", "verifier", "--all"];
        let more = ["--file", "jsonl", "-c", &config, "-o", &out];
        let ran = gym.palestra.run(&[&export[..], &more].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let rows = text(&Path::new(&*out).join("train.jsonl"));
        let taught = rows.lines().map(|row| {
            let row: Value = serde_json::from_str(row).expect("a row");
            [0, 1].map(|at| row["messages"][at]["content"].as_str().expect("text").to_owned())
        });
        let mut taught: Vec<_> = taught.collect();
        let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        taught.sort();
        asked.sort();
        assert_eq!(taught.len(), 4, "{exported}");
        assert_eq!(taught, asked, "{exported}");
    }
}
