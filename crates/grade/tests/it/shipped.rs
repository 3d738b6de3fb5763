//! The shipped `test.sh`, run as a container would run it, agrees with the sandbox.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use palestra_core::environment::TESTBED;
use palestra_core::harbor::{TASK_FORM, TaskForm};
use palestra_core::{CommitId, Hash, InstanceId, Task, TestFile};
use palestra_grade::docker::shipped;
use palestra_grade::{RunLimits, run_tests};
use palestra_sandbox::{Exec, FileOp};

use crate::model::PATHS;
use crate::setup::{fixture, host, some_env, strings, tree_ops};

#[test]
fn the_shipped_grader_agrees() {
    let (Some(host), Some(env)) = (host(), some_env(8)) else { return };
    let tree = tree_ops(&fixture());
    let mut paths = strings(&PATHS);
    paths.push("tests/hostile/test_exit.py".to_owned());
    paths.push("tests/hostile/test_z_after.py".to_owned());
    let limits = RunLimits { seconds: 60, ..RunLimits::default() };
    let ours = run_tests(host, &env.spec, &env.environment, &tree, &paths, &limits).unwrap();
    let want: BTreeMap<String, String> = ours
        .report
        .tests
        .iter()
        .map(|(id, result)| (id.clone(), format!("{:?}", result.status).to_lowercase()))
        .collect();

    let check = |fail_to_pass: &[&str], reward: &[u8], paths: &[String]| {
        let mut ops = Vec::new();
        let mut form = TaskForm {
            form: TASK_FORM,
            task: task(&env.environment, paths, fail_to_pass),
            stored: BTreeMap::new(),
        };
        for (number, op) in tree.iter().enumerate() {
            let FileOp::Write { path, bytes, .. } = op else { continue };
            let path = path.strip_prefix(TESTBED).unwrap().to_string_lossy().into_owned();
            let stored = format!("{number}");
            ops.push(write(&format!("files/{stored}"), 0o644, bytes.clone()));
            let hash = Some(Hash::of(bytes));
            form.task.test_files.push(TestFile { path: path.clone(), mode: 0o100644, hash });
            form.stored.insert(path, stored);
        }
        let gone = TestFile { path: "tests/gone.py".to_owned(), mode: 0o100644, hash: None };
        form.task.test_files.push(gone);
        for file in shipped(60) {
            ops.push(write(&file.path, file.mode, file.bytes));
        }
        ops.push(write("task.json", 0o644, serde_json::to_vec(&form).unwrap()));
        // What an agent may have left where the hidden files go.
        ops.push(FileOp::Symlink { path: "/testbed/tests".into(), target: "/usr/lib".into() });

        let sandbox = host.create(&env.spec).unwrap();
        sandbox.apply(&ops).unwrap();
        let exec = Exec::new(["/bin/sh", "/tests/test.sh"]).timeout(Duration::from_secs(120));
        let result = sandbox.exec(&exec.env("PATH", "/usr/bin:/bin")).unwrap();
        let log = result.stdout.text() + &result.stderr.text();
        assert!(result.outcome.success(), "{log}");
        let found = sandbox.read("/logs/verifier/reward.txt", 100).unwrap().unwrap();
        assert_eq!(found, reward, "{log}");
        let report = sandbox.read("/logs/verifier/report.json", 1 << 20).unwrap().unwrap();
        serde_json::from_slice::<serde_json::Value>(&report).unwrap()
    };
    let passes = ["tests/test_plain.py::test_pass"];
    let report = check(&passes, b"0\n", &paths);
    let tests: BTreeMap<String, String> = serde_json::from_value(report["tests"].clone()).unwrap();
    assert_eq!(tests, want);
    assert_eq!(report["finished"], ours.report.finished);
    assert_eq!(report["died_in"].as_str(), ours.died_in.as_deref());
    // Without the file that ends the run, the same test resolves.
    check(&passes, b"1\n", &strings(&PATHS));
    check(&["tests/test_plain.py::test_fail"], b"0\n", &strings(&PATHS));
}

fn write(path: &str, mode: u32, bytes: Vec<u8>) -> FileOp {
    FileOp::Write { path: PathBuf::from("/tests").join(path), mode, bytes }
}

fn task(environment: &palestra_core::Environment, paths: &[String], f2p: &[&str]) -> Task {
    let commit = CommitId::new("0".repeat(40)).unwrap();
    Task {
        instance_id: InstanceId::for_commit("a/b", &commit),
        repository: "a/b".to_owned(),
        base_commit: commit.clone(),
        fix_commit: commit,
        created_at: String::new(),
        environment: environment.clone(),
        test_paths: paths.to_vec(),
        test_files: Vec::new(),
        fail_to_pass: strings(f2p),
        pass_to_pass: Vec::new(),
        statement_source: "template".to_owned(),
        opinion: None,
        synthesis: None,
        strength: None,
        gate: Default::default(),
        leak: Default::default(),
    }
}
