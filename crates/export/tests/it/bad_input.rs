//! Broken jobs: each file of an attempt cut off, emptied, replaced. Nothing panics, and what is
//! whole comes out.

use palestra_export::{FileForm, Form, Reason, Target, Verdicts};

use crate::support::{Attempt, Job, lines, request};

const FILES: [&str; 3] = ["attempt.json", "config.json", "agent/trace.jsonl"];

#[test]
fn a_broken_attempt_costs_only_itself() {
    for file in FILES {
        for damage in ["cut", "empty", "noise", "gone", "null"] {
            let all = [Attempt::new("a__b-1", 1, true), Attempt::new("c__d-1", 1, true)];
            let job = Job::new(&all);
            let path = job.path().join(&all[0].name).join(file);
            let bytes = std::fs::read(&path).expect("a file");
            let written = match damage {
                "cut" => std::fs::write(&path, &bytes[..bytes.len() - 40]),
                "empty" => std::fs::write(&path, ""),
                "noise" => std::fs::write(&path, [0xff, 0xfe, 0, b'\n', b'{']),
                "null" => std::fs::write(&path, "null\n"),
                _ => std::fs::remove_file(&path),
            };
            written.expect("damaged");
            let mut request = request("set", Target::Trl);
            request.file = Some(FileForm::Jsonl);
            let card = job.export(&request).unwrap_or_else(|e| panic!("{file} {damage}: {e}"));
            assert_eq!(card.found, card.kept + card.dropped.values().map(|d| d.count).sum::<u64>());
            let rows = lines(&job.out("set").join("train.jsonl"));
            let whole = rows.iter().any(|row| row["instance_id"] == "c__d-1");
            assert!(whole, "{file} {damage}: {card:?}");
            if file != "config.json" {
                assert_eq!(rows.len(), 1, "{file} {damage}: {card:?}");
            }
        }
    }
}

#[test]
fn every_prefix_of_a_trace_is_read_or_refused() {
    let attempt = Attempt::new("a__b-1", 1, true);
    let job = Job::new(std::slice::from_ref(&attempt));
    let path = job.path().join(&attempt.name).join("agent/trace.jsonl");
    let bytes = std::fs::read(&path).expect("a file");
    let place = palestra_export::Place {
        path: job.path().join(&attempt.name),
        line: None,
        origin: palestra_export::Origin::Palestra,
    };
    let whole = palestra_export::read(&place).expect("whole");
    for length in (0..bytes.len()).step_by(97) {
        std::fs::write(&path, &bytes[..length]).expect("cut");
        match palestra_export::read(&place) {
            Ok(part) => assert!(part.messages.len() < whole.messages.len(), "{length}"),
            Err(refused) => assert_eq!(refused.reason, Reason::Corrupt, "{length}: {refused:?}"),
        }
    }
}

#[test]
fn lines_that_are_cut_off_or_wrong() {
    let dir = tempfile::TempDir::new().expect("a directory");
    let path = dir.path().join("output.jsonl");
    let good = r#"{"trajectory_steps": [{"thought": "t", "action": "a", "observation": "o"}], "docker_image": "x:1", "problem_statement": "p", "reward": 1}"#;
    let odd = r#"{"trajectory_steps": 3, "docker_image": "x:1"}"#;
    let nameless = r#"{"trajectory_steps": [], "reward": 1}"#;
    let other = r#"{"some": "thing"}"#;
    let text = format!("{good}\n\n{odd}\n{nameless}\n{other}\n[1, 2\n\u{0}\n{}", &good[..60]);
    std::fs::write(&path, text).expect("written");
    let mut request = request("set", Target::Trl);
    request.form = Form::Agent;
    request.selection.verdicts = Verdicts::Any;
    let out = dir.path().join("out");
    let card = palestra_export::export(&[path], &request, &out, &mut |_| {}).expect("a set");
    assert_eq!((card.found, card.rows), (7, 1), "{card:?}");
    assert_eq!(card.count(Reason::Corrupt), 4, "{card:?}");
    assert_eq!(card.count(Reason::UnknownForm), 2, "{card:?}");
}

#[test]
fn a_job_under_way_and_one_without_a_model() {
    let job = Job::new(&[Attempt::new("a__b-1", 1, true), Attempt::new("a__b-1", 2, true)]);
    let attempt = job.path().join("a__b-1__1/attempt.json");
    let text = std::fs::read_to_string(&attempt).expect("a record");
    std::fs::write(&attempt, text.replace("finished_at", "other")).expect("written");
    // An agent without a model leaves a trajectory and no trace.
    let dir = job.path().join("a__b-1__2/agent");
    std::fs::remove_file(dir.join("trace.jsonl")).expect("gone");
    crate::support::put(
        &dir.join("trajectory.json"),
        &serde_json::json!({"schema_version": "ATIF-v1.8", "agent": {"name": "nop", "version": "1"},
            "steps": [{"step_id": 1, "source": "system", "message": "nothing was done"}]}),
    );
    let refused = job.export(&request("set", Target::Trl)).expect_err("nothing is left");
    assert!(refused.to_string().contains("1 not_over, 1 no_turns"), "{refused}");
}
