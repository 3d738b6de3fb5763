//! `oracle`, which resolves everything, and `nop`, which resolves nothing.

use super::{Gym, attempts, harbor_reads};

#[test]
fn oracle_resolves_and_nop_fails_however_many_at_a_time() {
    let Some(gym) = Gym::open() else { return };
    for (agent, key) in [("oracle", "resolved"), ("nop", "unresolved")] {
        for jobs in ["1", "8", "64"] {
            let name = format!("{agent}-{jobs}");
            let report = gym.report(&name, &["-a", agent, "-n", jobs, "-k", "2"]);
            let variant = &report["variants"][0];
            assert_eq!(variant[key].as_u64(), Some(2 * gym.count), "{report}");
            assert_eq!(variant["attempts"], variant[key], "{report}");
            harbor_reads(&gym.job(&name));
        }
        let verdicts = |jobs: &str| -> Vec<_> {
            let all = attempts(&gym.job(&format!("{agent}-{jobs}")));
            all.into_iter().map(|(name, one)| (name, one["verdict"].clone())).collect()
        };
        assert_eq!(verdicts("1"), verdicts("8"));
        assert_eq!(verdicts("1"), verdicts("64"));
    }
    assert_eq!(gym.sandboxes(), 0);
}

#[test]
fn a_job_goes_on_is_graded_again_and_is_never_mixed_with_another() {
    let Some(gym) = Gym::open() else { return };
    let job = gym.job("j").to_string_lossy().into_owned();
    let ran = gym.run("j", &["-a", "oracle", "--dry-run"]);
    assert!(ran.code == Some(0) && !gym.job("j").exists(), "{ran:?}");
    let report = gym.report("j", &["-a", "oracle", "-l", "2"]);
    assert_eq!(report["over"], 2, "{report}");
    // The same again does nothing.
    let before = attempts(&gym.job("j"));
    let report = gym.report("j", &["-a", "oracle", "-l", "2"]);
    assert_eq!(report["over"], 2, "{report}");
    assert_eq!(attempts(&gym.job("j")), before);
    // Another plan is refused.
    let ran = gym.run("j", &["-a", "nop", "-l", "2"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("nop against oracle") || ran.stderr.contains("oracle against nop"));
    // An attempt that is lost is made again, and no other.
    let lost = before.keys().next().expect("an attempt").clone();
    std::fs::remove_file(gym.job("j").join(&lost).join("attempt.json")).expect("a record");
    let ran = gym.palestra.run(&["job", "resume", &job, "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let after = attempts(&gym.job("j"));
    assert_eq!(after.len(), 2);
    for (name, record) in &after {
        assert_eq!(record == &before[name], *name != lost, "{name}");
        assert_eq!(record["verdict"], before[name]["verdict"]);
    }
    // One that was not graded yet is only graded.
    let path = gym.job("j").join(&lost);
    std::fs::remove_file(path.join("result.json")).expect("a result");
    let mut record = after[&lost].clone();
    record.as_object_mut().expect("an object").remove("verdict");
    std::fs::write(path.join("attempt.json"), record.to_string()).expect("a record");
    let ran = gym.palestra.run(&["job", "resume", &job, "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let now = attempts(&gym.job("j"));
    assert_eq!(now[&lost]["started_at"], after[&lost]["started_at"]);
    assert_eq!(now[&lost]["verdict"], after[&lost]["verdict"]);
    // All of them are graded once more, from what was left.
    std::fs::write(path.join("artifacts/patch.diff"), "").expect("a patch");
    let ran = gym.palestra.run(&["job", "regrade", &job, "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(attempts(&gym.job("j"))[&lost]["verdict"]["verdict"], "unresolved");
    let ran = gym.palestra.run(&["job", "show", &job, "--json"]);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).expect("a report");
    assert_eq!(report["variants"][0]["resolved"], 1, "{report}");
    harbor_reads(&gym.job("j"));
}

#[test]
fn globs_choose_tasks() {
    let Some(gym) = Gym::open() else { return };
    let all = std::fs::read_dir(&gym.tasks).expect("tasks").flatten();
    let mut names: Vec<String> = all
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("demo__"))
        .collect();
    names.sort();
    let tail = &names[0][names[0].len() - 5..];
    let planned = |more: &[&str]| -> Vec<String> {
        let mut args = vec!["-a", "nop", "--dry-run"];
        args.extend(more);
        let plan = gym.report("x", &args);
        let tasks = plan["tasks"].as_array().expect("tasks").iter();
        tasks.map(|task| task["id"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(planned(&["-i", &format!("*{tail}")]), names[..1]);
    assert_eq!(planned(&["-x", &format!("*{tail}")]), names[1..]);
    assert_eq!(planned(&["-l", "2"]), names[..2]);
    let ran = gym.run("x", &["-a", "nop", "-i", "no-such-*"]);
    assert!(ran.code == Some(2) && ran.stderr.contains("no task is left"), "{ran:?}");
}
