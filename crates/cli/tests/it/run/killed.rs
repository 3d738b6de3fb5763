//! `kill -9` at any moment, and `job resume` until all is over.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use super::{Gym, attempts};

/// What of a finished attempt must not change: the file that makes it be over.
fn finished(job: &Path) -> BTreeMap<String, (u64, i64, i64)> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(job).into_iter().flatten().flatten() {
        if let Ok(meta) = std::fs::metadata(entry.path().join("result.json"))
            && entry.path().is_dir()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            all.insert(name, (meta.ino(), meta.mtime(), meta.mtime_nsec()));
        }
    }
    all
}

#[test]
fn twenty_kills_lose_nothing() {
    let Some(gym) = Gym::open() else { return };
    let job = gym.job("j");
    let path = job.to_string_lossy().into_owned();
    let attempts_each = "6";
    let start = ["-a", "oracle", "-k", attempts_each, "-n", "3"];
    let mut before = BTreeMap::new();
    for kill in 0..20u64 {
        let mut command = if job.join("palestra.json").exists() {
            gym.palestra.command(&["job", "resume", &path, "--json"])
        } else {
            gym.command("j", &start)
        };
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut child = child.expect("palestra runs");
        // Moments that no two runs share, from the first file to the middle of grading.
        std::thread::sleep(Duration::from_millis(40 + kill * 7919 % 400));
        child.kill().expect("a kill");
        child.wait().expect("an end");
        let now = finished(&job);
        for (name, seen) in &before {
            assert_eq!(now.get(name), Some(seen), "{name} was finished and is not as it was");
        }
        before = now;
    }
    let ran = gym.palestra.run(&["job", "resume", &path, "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).expect("a report");
    let all = gym.count * 6;
    assert_eq!(report["planned"].as_u64(), Some(all), "{report}");
    assert_eq!(report["variants"][0]["resolved"].as_u64(), Some(all), "{report}");
    assert_eq!(attempts(&job).len() as u64, all);
    for (name, seen) in &before {
        assert_eq!(finished(&job).get(name), Some(seen), "{name}");
    }
    // No attempt is counted twice, and no more directories are there than attempts.
    let ledger = std::fs::read_to_string(job.join("ledger.jsonl")).expect("a ledger");
    for name in attempts(&job).keys() {
        assert!(ledger.contains(&format!("\"trial\":\"{name}\"")), "{name}");
    }
    assert_eq!(gym.sandboxes(), 0);
}
