//! From an audited dataset to a benchmark of verifiers, and a critic from the same.

use super::{json, text};
use crate::run::Gym;

#[test]
fn one_command_and_one_seed_make_one_benchmark() {
    let Some(gym) = Gym::open() else { return };
    let tasks = gym.tasks.to_string_lossy().into_owned();
    let run = |more: &[&str]| gym.palestra.run(more);
    // Without an audit there is nothing to measure, and that is said.
    let ran = run(&["bench", "verifier", "--tasks", &tasks]);
    assert!(ran.code == Some(1) && ran.stderr.contains("palestra audit"), "{ran:?}");
    let ran = run(&["audit", &tasks, "--max", "5", "--quiet"]);
    assert!(matches!(ran.code, Some(0 | 1)), "{ran:?}");

    let bench = |out: &str, seed: &str, more: &[&str]| {
        let out = gym.palestra.dir().join(out).to_string_lossy().into_owned();
        let all = ["bench", "verifier", "--tasks", &tasks, "--seed", seed, "-o", &out];
        let ran = run(&[&all[..], &["--json", "--quiet", "--resamples", "200"], more].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        json(&ran)
    };
    let stand_in = ["--stand-in", "0.7", "--toxic", "0.3"];
    let report = bench("a", "1", &stand_in);
    let measured = &report["bench"];
    assert_eq!(measured["tasks"].as_u64(), Some(gym.count), "{measured}");
    assert_eq!(measured["attempts"].as_u64(), Some(8 * gym.count));
    let right = measured["right"].as_u64().expect("a count");
    assert!(0 < right && right < 8 * gym.count, "{right}");
    let dir = gym.palestra.dir().join("a");
    let pool = text(&dir.join("pool.jsonl"));
    assert_eq!(pool.lines().count() as u64, 8 * gym.count);
    for file in ["report.json", "report.md", "made.json", "best-at-k.svg", "best-at-k.png"] {
        assert!(dir.join(file).is_file(), "{file}");
    }
    let words = text(&dir.join("report.md"));
    assert!(words.contains("Agents are simulated") && words.contains("one repository only"));
    let names: Vec<&str> = measured["cascades"]
        .as_array()
        .expect("cascades")
        .iter()
        .filter_map(|cascade| cascade["name"].as_str())
        .collect();
    for name in ["ours", "critic", "execution-based", "execution-free"] {
        assert!(names.contains(&name), "{names:?}");
    }
    // Whether a patch is right stands in no score: a fix and a wrong fix may be equal.
    for line in pool.lines() {
        let row: serde_json::Value = serde_json::from_str(line).expect("a row");
        let features = row["candidate"]["features"].as_object().expect("features");
        assert!(features.contains_key("steps") && !features.contains_key("agreement"), "{row}");
    }
    // The same seed makes the same, where nothing was run before too; another one does not.
    let seconds = |pool: &str| -> Vec<serde_json::Value> {
        let rows = pool.lines().map(|line| {
            let mut row: serde_json::Value = serde_json::from_str(line).expect("a row");
            row["verification"] = serde_json::Value::Null;
            row
        });
        rows.collect()
    };
    bench("b", "1", &stand_in);
    let again = text(&gym.palestra.dir().join("b/pool.jsonl"));
    assert_eq!(seconds(&pool), seconds(&again));
    bench("c", "2", &[]);
    let other = text(&gym.palestra.dir().join("c/pool.jsonl"));
    assert_ne!(seconds(&pool), seconds(&other));
    // The pool alone gives the same numbers.
    let path = dir.join("pool.jsonl").to_string_lossy().into_owned();
    let ran = run(&["bench", "verifier", &path, "--seed", "1", "--resamples", "200", "--json"]);
    assert_eq!(json(&ran)["bench"], *measured, "{ran:?}");

    // A critic of the patches alone: it can be trained, read again, and measured.
    let critic = gym.palestra.dir().join("critic.json").to_string_lossy().into_owned();
    let ran = run(&["critic", "train", &tasks, "-o", &critic, "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(json(&ran)["validation"]["auc"].is_f64(), "{ran:?}");
    let ran = run(&["critic", "eval", &critic, &tasks, "--json"]);
    let found = json(&ran);
    assert!(found["evaluation"]["brier"].is_f64() && found["evaluation"]["rows"] != 0, "{found}");
    assert_eq!(found["trained_on"].as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(gym.sandboxes(), 0);
}
