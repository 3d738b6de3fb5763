//! `palestra grade` on rows that are made otherwise than SWE-bench's: the patch of SWE-smith makes
//! the bug, and R2E-Gym's environments are images.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{GOOD_TEST, Palestra, Ran, Repository, can_build};

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// What a run says of its only instance: how many are resolved, and the decision.
fn decided(palestra: &Palestra, ran: &Ran, out: &str, id: &str) -> (u64, Value) {
    let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
    let models = palestra.dir().join(out);
    let model = fs::read_dir(&models).unwrap().flatten().find(|e| e.path().is_dir()).unwrap();
    let path = model.path().join(id).join("verdict.json");
    let decision = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    (report["resolved"].as_u64().unwrap(), serde_json::from_slice(&decision).unwrap())
}

#[test]
fn a_patch_that_makes_the_bug_is_taken_back() {
    if !can_build() {
        return;
    }
    let palestra = Palestra::new();
    let mirrors = palestra.dir().join("mirrors");
    let repository = Repository::with_fix(mirrors.join("ada/calc"), GOOD_TEST);
    let bug = repository.git(&["diff", "HEAD", "HEAD~1", "--", "calc.py"]);
    let commit = &repository.git(&["rev-parse", "HEAD"])[..8];
    let id = format!("ada__calc.{commit}.func_pm_op__abcdefgh");
    let row = json!({
        "instance_id": id,
        "repo": format!("swesmith/ada__calc.{commit}"),
        "patch": bug,
        "FAIL_TO_PASS": ["tests/test_calc.py::test_add"],
        "PASS_TO_PASS": [],
        "image_name": format!("nowhere/swesmith.x86_64.ada_1776_calc.{commit}"),
        "problem_statement": "add subtracts",
        "install_config": {
            "python": "3.11",
            "install": "python -m pip install -e .",
            "pip_packages": ["pytest"],
            "test_cmd": "source /opt/miniconda3/bin/activate; conda activate testbed; \
                         pytest --disable-warnings --color=no --tb=no --verbose",
            "log_parser": "parse_log_pytest",
        },
    });
    let rows = palestra.dir().join("rows.jsonl");
    fs::write(&rows, format!("{row}\n")).unwrap();
    let (dataset, mirrors) = (text(&rows), text(&mirrors));
    let grade = |predictions: &str, out: &str, more: &[&str]| {
        let place = text(&palestra.dir().join(out));
        let words = ["grade", "-d", &dataset, "-p", predictions, "--mirrors", &mirrors];
        let end = ["--clone", "none", "--kind", "swe-smith", "--out", &place, "--json"];
        let ran = palestra.run(&[&words[..], &end, more].concat());
        decided(&palestra, &ran, out, &id)
    };
    let (resolved, gold) = grade("gold", "gold", &[]);
    assert_eq!((resolved, &gold["dialect"]), (1, &"swe-smith".into()), "{gold}");
    let (resolved, empty) = grade("empty", "empty", &[]);
    assert_eq!((resolved, &empty["ending"]), (0, &"graded".into()), "{empty}");
    // It is taken back whoever judges.
    let (_, strict) = grade("gold", "strict", &["--dialect", "strict"]);
    assert_eq!((&strict["ending"] == "patch_rejected", &strict["rung"]), (false, &"0".into()));

    let prediction = |name: &str, patch: &str| {
        let line = json!({"instance_id": id, "model_name_or_path": "m", "model_patch": patch});
        let path = palestra.dir().join(name);
        fs::write(&path, format!("{line}\n")).unwrap();
        text(&path)
    };
    // A prediction is a patch on the tree with the bug.
    let fix = repository.git(&["diff", "HEAD~1", "HEAD", "--", "calc.py"]);
    assert_eq!(grade(&prediction("fix.jsonl", &fix), "fix", &[]).0, 1);
    // Its changes to the tests of the row are taken back.
    let cheat = "--- a/tests/test_calc.py\n+++ b/tests/test_calc.py\n@@ -2,4 +2,4 @@\n \n \n \
                 def test_add():\n-    assert add(2, 3) == 5\n+    assert True\n";
    let cheat = format!("diff --git a/tests/test_calc.py b/tests/test_calc.py\n{cheat}");
    let (resolved, cheat) = grade(&prediction("cheat.jsonl", &cheat), "cheat", &[]);
    assert_eq!((resolved, &cheat["ending"]), (0, &"graded".into()), "{cheat}");

    // A bug that cannot be made is nobody's failure.
    let mut broken = row.clone();
    broken["patch"] = bug.replace("return a", "return c").into();
    fs::write(&rows, format!("{broken}\n")).unwrap();
    let (_, broken) = grade("empty", "broken", &[]);
    assert_eq!(broken["verdict"]["verdict"], "invalid", "{broken}");
    assert!(broken["detail"].as_str().unwrap().contains("makes the bug"), "{broken}");

    // Without a profile and without words of its own it says what is missing.
    let mut bare = row.clone();
    bare.as_object_mut().unwrap().remove("install_config");
    fs::write(&rows, format!("{bare}\n")).unwrap();
    let (_, bare) = grade("gold", "bare", &[]);
    assert_eq!(bare["verdict"]["verdict"], "invalid", "{bare}");
    assert!(bare["detail"].as_str().unwrap().contains("no profile of ada/calc"), "{bare}");
}

/// A registry on this machine.
struct Registry {
    child: Child,
    port: u16,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Registry {
    fn start(dir: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: \"127.0.0.1:{port}\"}}\n",
            dir.join("registry").display()
        );
        let path = dir.join("registry.yml");
        fs::write(&path, config).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&path).stdin(Stdio::null());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let registry = Self { child, port };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < Duration::from_secs(30), "the registry does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        registry
    }
}

/// Runs a program of the host; its output.
fn host(dir: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(dir).output().expect(program);
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[expect(clippy::print_stderr, reason = "a test that is skipped says why")]
fn has(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

/// What runs the tests of the image: a summary as pytest prints it.
const RUN_TESTS: &str = "\
cd /testbed
. ./calc.sh
echo '=========================== short test summary info ============================'
if [ \"$(add 2 3)\" = 5 ]
then echo 'PASSED r2e_tests/test_1.py::test_add'
else echo 'FAILED r2e_tests/test_1.py::test_add - AssertionError'
fi
echo 'PASSED r2e_tests/test_1.py::test_nothing'
";

const BROKEN: &str = "add() {\n    echo $(($1 - $2))\n}\n";

/// An image with a shell, git, and a repository before its fix.
fn image(dir: &Path) -> PathBuf {
    let root = dir.join("root");
    for program in ["bash", "git"] {
        let path = host(dir, "sh", &["-c", &format!("command -v {program}")]).trim().to_owned();
        let libraries = host(dir, "ldd", &[&path]);
        let libraries = libraries.split_whitespace().filter(|word| word.starts_with('/'));
        for file in libraries.chain([path.as_str()]) {
            let to = root.join(file.trim_start_matches('/'));
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(file, to).unwrap();
        }
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::copy(&path, root.join("bin").join(program)).unwrap();
    }
    for (path, text) in [("testbed/calc.sh", BROKEN), ("root/run_tests.sh", RUN_TESTS)] {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), text).unwrap();
    }
    fs::create_dir_all(root.join("tmp")).unwrap();
    host(&root.join("testbed"), "git", &["init", "-q"]);
    host(dir, "tar", &["-C", "root", "--owner=0", "--group=0", "-cf", "layer.tar", "."]);
    let digest = |name: &str| host(dir, "sha256sum", &[name])[..64].to_owned();
    let config = json!({
        "os": "linux",
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "config": {"Env": ["PATH=/usr/bin:/bin", "HOME=/root"], "WorkingDir": "/testbed"},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", digest("layer.tar"))]},
    });
    fs::write(dir.join("config.json"), config.to_string()).unwrap();
    let name = format!("{}.json", digest("config.json"));
    fs::rename(dir.join("config.json"), dir.join(&name)).unwrap();
    let manifest = json!([
        {"Config": name, "RepoTags": ["made/here:1"], "Layers": ["layer.tar"]}
    ]);
    fs::write(dir.join("manifest.json"), manifest.to_string()).unwrap();
    host(dir, "tar", &["-cf", "made.tar", "manifest.json", &name, "layer.tar"]);
    dir.join("made.tar")
}

#[test]
fn an_image_of_r2e_gym_is_pulled_and_its_whole_map_has_to_match() {
    if !["docker-registry", "skopeo", "git", "bash"].into_iter().all(has) {
        return;
    }
    let palestra = Palestra::new();
    let work = palestra.dir().join("work");
    fs::create_dir_all(&work).unwrap();
    let archive = image(&work);
    let registry = Registry::start(&work);
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let name = |tag: &str| format!("127.0.0.1:{}/made/tornado_final:{tag}", registry.port);
    host(
        &work,
        "skopeo",
        &[
            "copy",
            "--quiet",
            "--insecure-policy",
            "--dest-tls-verify=false",
            &format!("docker-archive:{}", archive.display()),
            &format!("docker://{}", name(commit)),
        ],
    );
    let line = |content: &str, kind: &str| json!({"content": content, "type": kind});
    let parsed = json!({
        "file_diffs": [{
            "old_file_content": BROKEN,
            "new_file_content": BROKEN.replace('-', "+"),
            "header": {"file": {"path": "calc.sh"}, "misc_line": null},
            "index_line": {"old_commit_hash": "1111111", "new_commit_hash": "2222222", "mode": "100644"},
            "is_binary_file": false,
            "binary_line": null,
            "minus_file": {"path": "a/calc.sh"},
            "plus_file": {"path": "b/calc.sh"},
            "hunks": [{
                "descriptor": {
                    "old_range": {"start": 1, "length": 3},
                    "new_range": {"start": 1, "length": 3},
                    "section": "",
                },
                "line_group": {"all_lines": [
                    line("add() {", "context"),
                    line("    echo $(($1 - $2))", "deleted"),
                    line("    echo $(($1 + $2))", "added"),
                    line("}", "context"),
                ]},
            }],
        }],
        "old_commit_hash": format!("{commit}^"),
        "new_commit_hash": commit,
        "commit_message": "Fix it",
        "commit_date": "2019-05-01T10:00:00",
        "metadata": {},
    });
    let rows = palestra.dir().join("rows.jsonl");
    let write = |image: &str, expected: &Value| {
        let row = json!({
            "repo_name": "tornado",
            "docker_image": image,
            "commit_hash": commit,
            "parsed_commit_content": parsed.to_string(),
            "problem_statement": "[ISSUE]\nadd subtracts\n[/ISSUE]",
            "expected_output_json": expected.to_string(),
        });
        fs::write(&rows, format!("{row}\n")).unwrap();
    };
    let id = "tornadoweb__tornado-0123456789ab";
    let dataset = text(&rows);
    let grade = |predictions: &str, out: &str, more: &[&str]| {
        let place = text(&palestra.dir().join(out));
        let words = ["grade", "-d", &dataset, "-p", predictions, "--out", &place, "--json"];
        let ran = palestra.run(&[&words[..], &["--clone", "none"], more].concat());
        decided(&palestra, &ran, out, id)
    };
    let good = json!({"test_add": "PASSED", "test_nothing": "PASSED"});
    write(&name(commit), &good);
    let (resolved, gold) = grade("gold", "gold", &["--images"]);
    assert_eq!((resolved, &gold["dialect"]), (1, &"r2e-gym".into()), "{gold}");
    let (resolved, empty) = grade("empty", "empty", &["--images"]);
    assert_eq!((resolved, &empty["ending"]), (0, &"graded".into()), "{empty}");
    // A test more or less, and a failure that was to be, decide as well.
    write(&name(commit), &json!({"test_add": "PASSED"}));
    assert_eq!(grade("gold", "fewer", &["--images"]).0, 0);
    write(&name(commit), &json!({"test_add": "FAILED", "test_nothing": "PASSED"}));
    assert_eq!(grade("empty", "failing", &["--images"]).0, 1);

    // What cannot be had is said, and held against nobody.
    write(&name("feedfacefeedface"), &good);
    let (_, missing) = grade("gold", "missing", &["--images"]);
    let said = missing["detail"].as_str().unwrap();
    assert_eq!(missing["verdict"]["verdict"], "invalid", "{missing}");
    assert!(said.contains("tornado_final:feedfacefeedface"), "{missing}");
    let (_, without) = grade("gold", "without", &[]);
    assert_eq!(without["verdict"]["verdict"], "invalid", "{without}");
}
