//! What is wrong is said before anything is begun, and what is broken costs only itself.

use super::Gym;
use crate::support::Palestra;

#[test]
fn wrong_words_are_named() {
    let palestra = Palestra::new();
    let dir = palestra.dir().join("tasks");
    std::fs::create_dir_all(dir.join("a")).expect("a directory");
    let tasks = dir.to_string_lossy().into_owned();
    let jobs = palestra.dir().join("jobs").to_string_lossy().into_owned();
    let config = palestra.dir().join("config.toml");
    std::fs::write(&config, "atempts = 3\n").expect("a file");
    let config = config.to_string_lossy().into_owned();
    let says = |more: &[&str], word: &str| {
        let mut args = vec!["run", "-o", &jobs];
        args.extend(more);
        let ran = palestra.run(&args);
        assert_eq!(ran.code, Some(2), "{more:?}: {ran:?}");
        assert!(ran.stderr.contains(word), "{more:?}: {ran:?}");
    };
    says(&[], "-p DIR");
    says(&["-p", &tasks, "-a", "oracle"], "holds no task");
    std::fs::write(dir.join("a/task.toml"), "").expect("a file");
    says(&["-p", &tasks, "-a", "orakel"], "there is no such agent");
    says(&["-p", &tasks, "-a", "oracle", "--ak", "x=1"], "no option x");
    says(&["-p", &tasks, "-a", "editor"], "needs a model");
    says(&["-p", &tasks, "-a", "oracle", "--context", "forget"], "no context policy");
    says(&["-p", &tasks, "-a", "oracle", "--branch-at", "3"], "10:4");
    says(&["-p", &tasks, "-a", "oracle", "-k", "0"], "at least one attempt");
    says(&["-p", &tasks, "-c", &config], "atempts");
    assert!(!palestra.dir().join("jobs").exists());
    let ran = palestra.run(&["job", "resume", &tasks]);
    assert!(ran.code == Some(2) && ran.stderr.contains("is no job"), "{ran:?}");
}

#[test]
fn a_broken_task_is_invalid_and_the_others_are_not() {
    let Some(gym) = Gym::open() else { return };
    let mut tasks: Vec<_> = std::fs::read_dir(&gym.tasks)
        .expect("tasks")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("task.toml").is_file())
        .collect();
    tasks.sort();
    std::fs::write(tasks[0].join("environment/repo.bundle"), "no bundle").expect("a file");
    std::fs::write(tasks[1].join("tests/task.json"), "{").expect("a file");
    std::fs::remove_file(tasks[2].join("instruction.md")).expect("a file");
    let ran = gym.run("j", &["-a", "oracle"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).expect("a report");
    let variant = &report["variants"][0];
    assert_eq!(variant["invalid"], 3, "{report}");
    assert_eq!(variant["resolved"].as_u64(), Some(gym.count - 3), "{report}");
    assert_eq!(variant["exits"]["task_broken"], 3, "{report}");
    super::harbor_reads(&gym.job("j"));
}
