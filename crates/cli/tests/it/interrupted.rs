//! Ctrl-C and `kill -9` at any moment, and then the same command again.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{GOOD_TEST, Palestra, Ran, Repository, can_build, skip};

/// Starts `curate` on the demo's repository, sends `signal` after each of the delays, and runs it
/// again.
fn interrupt(signal: i32, delays: &[u64]) {
    let palestra = Palestra::new();
    let demo = palestra.dir().join("demo").to_string_lossy().into_owned();
    let ran = palestra.run(&["demo", "--out", &demo, "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let whole: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let repo = format!("{demo}/repository");
    for delay in delays {
        let out = palestra.dir().join(format!("out-{delay}"));
        let delay = Duration::from_millis(*delay);
        interrupt_once(&palestra, &repo, &out, signal, delay, &whole);
    }
}

fn interrupt_once(
    palestra: &Palestra,
    repo: &str,
    out: &Path,
    signal: i32,
    delay: Duration,
    whole: &serde_json::Value,
) {
    let out_text = out.to_string_lossy().into_owned();
    let arguments = ["curate", repo, "--name", "demo/tinytab", "--out", &out_text, "--json"];
    let mut child = palestra
        .command(&arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("palestra runs");
    std::thread::sleep(delay);
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).expect("a process id");
    let signal = rustix::process::Signal::from_named_raw(signal).expect("a signal");
    let _ = rustix::process::kill_process(pid, signal);
    let deadline = Instant::now() + Duration::from_secs(20);
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        assert!(Instant::now() < deadline, "it does not stop");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(!status.success() || out.join("report.json").exists());
    // Whatever task stands there is whole.
    for entry in fs::read_dir(out).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !entry.file_name().to_string_lossy().starts_with('.') {
            assert!(path.join("tests/task.json").is_file(), "{} is not whole", path.display());
        }
    }
    let ran = palestra.run(&arguments);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let again: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(again["tasks"], whole["tasks"], "{again}");
    let sandboxes = palestra.dir().join("home/state/sandboxes");
    let left = fs::read_dir(&sandboxes).map_or(0, Iterator::count);
    assert_eq!(left, 0, "sandboxes are left in {}", sandboxes.display());
}

#[test]
fn control_c_and_again() {
    if can_build() {
        interrupt(libc_signal::INT, &[700]);
    }
}

#[test]
fn kill_9_and_again() {
    if can_build() {
        interrupt(libc_signal::KILL, &[30, 150, 400, 900, 1600]);
    }
}

#[test]
fn a_ledger_that_was_cut_costs_one_decision() {
    if !can_build() {
        return;
    }
    let palestra = Palestra::new();
    let repository = Repository::with_fix(palestra.dir().join("r"), GOOD_TEST);
    let repo = repository.path.to_string_lossy().into_owned();
    let out = palestra.dir().join("out");
    let out_text = out.to_string_lossy().into_owned();
    let arguments = ["curate", repo.as_str(), "--out", out_text.as_str(), "--json"];
    let ran = palestra.run(&arguments);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ledger = out.join(".palestra/ledger.jsonl");
    let whole = fs::read(&ledger).unwrap();
    fs::write(&ledger, &whole[..whole.len() - 20]).unwrap();
    let ran = palestra.run(&arguments);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("a line of the ledger is cut"), "{ran:?}");
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["tasks"], 1, "{report}");
}

/// A full disk stops the run with a clear message, and the next run goes on.
#[test]
fn a_full_disk_and_again() {
    if !can_build() {
        return;
    }
    let palestra = Palestra::new();
    let repository = Repository::with_fix(palestra.dir().join("r"), GOOD_TEST);
    let repo = repository.path.to_string_lossy().into_owned();
    let out = palestra.dir().join("out").to_string_lossy().into_owned();
    let small = palestra.dir().join("small");
    fs::create_dir(&small).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=12m tmpfs {small} && exec {palestra} curate {repo} --out {out} \
         --home {small}/home",
        small = small.display(),
        palestra = env!("CARGO_BIN_EXE_palestra"),
    );
    let output =
        std::process::Command::new("unshare").args(["--mount", "sh", "-c", &script]).output();
    let ran = match output {
        Ok(output) => Ran::from(output),
        Err(error) => {
            skip(&format!("unshare cannot be run: {error}"));
            return;
        }
    };
    if ran.stderr.contains("unshare:") || ran.stderr.contains("mount:") {
        skip(&format!("a small file system cannot be mounted here: {}", ran.stderr));
        return;
    }
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.stderr.contains("No space left on device"), "{ran:?}");
    let ran = palestra.run(&["curate", &repo, "--out", &out, "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["tasks"], 1, "{report}");
}

mod libc_signal {
    pub(super) const INT: i32 = 2;
    pub(super) const KILL: i32 = 9;
}
