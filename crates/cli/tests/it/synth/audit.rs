//! Wrong fixes, graded for real.

use serde_json::Value;

use super::tasks;
use crate::run::Gym;

#[test]
fn wrong_fixes_show_how_much_tests_see() {
    let Some(gym) = Gym::open() else { return };
    let dataset = gym.tasks.to_string_lossy();
    let arguments = ["audit", &dataset, "--max", "8", "--json"];
    let ran = gym.palestra.run(&arguments);
    let report: Value =
        serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    let audited = report["tasks"].as_array().expect("tasks");
    assert_eq!(audited.len() as u64, gym.count, "{report}");
    let mut killed = 0;
    for task in audited {
        let id = task["instance_id"].as_str().expect("an id");
        let strength = &task["strength"];
        assert!(strength["mutants"].as_u64().is_some_and(|n| (3..=8).contains(&n)), "{task}");
        killed += strength["killed"].as_u64().expect("a number");
        let toml = std::fs::read_to_string(gym.tasks.join(id).join("task.toml")).expect("a task");
        let toml: toml::Table = toml.parse().expect("TOML");
        let ours = &toml["metadata"]["palestra"];
        assert_eq!(ours["mutation_score"].as_float(), strength["score"].as_f64(), "{ours}");
        assert_eq!(ours["weak"].as_bool(), strength["weak"].as_bool(), "{ours}");
        let pool = gym.tasks.join(".palestra/candidates").join(format!("{id}.jsonl"));
        let pool = std::fs::read_to_string(pool).expect("candidates");
        let verdicts: Vec<Value> =
            pool.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(verdicts.len() as u64, strength["mutants"].as_u64().expect("a number"));
        let dead = verdicts.iter().filter(|one| one["verdict"]["verdict"] != "resolved").count();
        assert_eq!(dead as u64, strength["killed"].as_u64().expect("a number"), "{task}");
        assert!(verdicts.iter().all(|one| {
            let failed = one["failed"].as_array().expect("a list").is_empty();
            failed == (one["verdict"]["verdict"] == "resolved")
        }));
    }
    assert!(killed > 0, "{report}");
    // The tasks are what they were: they still hold.
    let ran = gym.palestra.run(&["gate", &dataset, "--rerun", "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    // A bar that none can reach makes all of them weak, which is told by the status.
    let ran = gym.palestra.run(&["audit", &dataset, "--max", "2", "--weak-below", "1.1"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("  weak"), "{ran:?}");
    let ran = gym.palestra.run(&["audit", &dataset, "-i", "nothing-like-this"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert_eq!(tasks(&gym.tasks).len() as u64, gym.count);
}
