//! `palestra rank --judge`: a model's probability that an attempt is right.

use palestra_model::Request;
use palestra_model::scripted::{Say, Scripted, ScriptedOptions, ScriptedServer, TokenIds};
use serde_json::Value;

use super::{json, text};
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
