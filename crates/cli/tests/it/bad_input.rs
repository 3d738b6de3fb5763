//! Input that cannot work ends in a clear message, a status of its own, and nothing half-written.

use std::fs;
use std::time::Duration;

use crate::support::{GOOD_TEST, Palestra, Ran, Repository, can_build};

/// Runs `curate` on `repo` and checks that it fails with `code` and says all of `words`.
fn fails(palestra: &Palestra, repo: &str, code: i32, words: &[&str]) -> Ran {
    let out = palestra.dir().join("out");
    let ran = palestra.run(&["curate", repo, "--out", &out.to_string_lossy()]);
    assert_eq!(ran.code, Some(code), "{ran:?}");
    for word in words {
        assert!(ran.stderr.contains(word), "{word:?} is not said: {}", ran.stderr);
    }
    let tasks = fs::read_dir(&out).map_or(0, |dir| {
        dir.flatten().filter(|e| !e.file_name().to_string_lossy().starts_with('.')).count()
    });
    let report = usize::from(out.join("report.json").exists());
    let manifest = usize::from(out.join("dataset.toml").exists());
    assert_eq!(tasks, report + manifest, "something was left in {}", out.display());
    ran
}

#[test]
fn a_directory_that_is_no_repository() {
    let palestra = Palestra::new();
    let dir = palestra.dir().join("plain");
    fs::create_dir(&dir).unwrap();
    fails(&palestra, &dir.to_string_lossy(), 2, &["not a git repository", "plain"]);
}

#[test]
fn a_path_that_does_not_exist() {
    let palestra = Palestra::new();
    fails(&palestra, "/nowhere/at/all", 2, &["/nowhere/at/all"]);
}

#[test]
fn an_empty_repository() {
    let palestra = Palestra::new();
    let repository = Repository::new(palestra.dir().join("empty"));
    fails(&palestra, &repository.path.to_string_lossy(), 2, &["no commit"]);
}

#[test]
fn a_shallow_repository() {
    let palestra = Palestra::new();
    let repository = Repository::with_fix(palestra.dir().join("full"), GOOD_TEST);
    let url = format!("file://{}", repository.path.display());
    repository.git(&["clone", "--quiet", "--depth=1", &url, "../shallow"]);
    let shallow = palestra.dir().join("shallow");
    fails(&palestra, &shallow.to_string_lossy(), 2, &["shallow", "--unshallow"]);
}

#[test]
fn a_history_without_tests() {
    let palestra = Palestra::new();
    let mut repository = Repository::new(palestra.dir().join("untested"));
    repository.write("a.py", "x = 1\n");
    repository.commit("Begin");
    repository.write("a.py", "x = 2\n");
    repository.commit("Change");
    fails(&palestra, &repository.path.to_string_lossy(), 1, &["no candidate", "2 commits"]);
}

#[test]
fn a_bad_date_and_a_bad_preset() {
    let palestra = Palestra::new();
    let repository = Repository::with_fix(palestra.dir().join("r"), GOOD_TEST);
    let repo = repository.path.to_string_lossy().into_owned();
    let ran = palestra.run(&["mine", &repo, "--since", "yesteryear"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("yesteryear"), "{ran:?}");
    let ran = palestra.run(&["mine", &repo, "--preset", "none-such"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("none-such") && ran.stderr.contains("r2e-paper"), "{ran:?}");
}

#[test]
fn a_bare_repository_is_as_good_as_any() {
    let palestra = Palestra::new();
    let repository = Repository::with_fix(palestra.dir().join("full"), GOOD_TEST);
    repository.git(&["clone", "--quiet", "--bare", ".", "../bare.git"]);
    let bare = palestra.dir().join("bare.git");
    let ran = palestra.run(&["mine", &bare.to_string_lossy(), "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.stdout.lines().count(), 2, "{}", ran.stdout);
}

#[test]
fn the_configuration_of_a_hostile_repository_is_not_obeyed() {
    let palestra = Palestra::new();
    let repository = Repository::with_fix(palestra.dir().join("hostile"), GOOD_TEST);
    let mark = palestra.dir().join("executed");
    let touch = format!("touch {}", mark.display());
    for key in ["core.fsmonitor", "diff.external", "core.pager", "core.sshCommand"] {
        repository.git(&["config", key, &touch]);
    }
    repository.git(&["config", "filter.evil.smudge", &touch]);
    repository.git(&["config", "diff.evil.textconv", &touch]);
    fs::write(repository.path.join(".git/info/attributes"), "* filter=evil diff=evil\n").unwrap();
    for hook in ["post-checkout", "reference-transaction"] {
        let path = repository.path.join(".git/hooks").join(hook);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{touch}\n")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&path, mode).unwrap();
    }
    let _ = fs::remove_file(&mark);
    let ran = palestra.run(&["mine", &repository.path.to_string_lossy(), "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!mark.exists(), "a command of the repository's configuration was executed");
}

#[test]
fn a_commit_with_ten_thousand_files_is_rejected_with_its_size() {
    let palestra = Palestra::new();
    let mut repository = Repository::new(palestra.dir().join("huge"));
    repository.write("a.py", "x = 1\n");
    repository.commit("Begin");
    for index in 0..10_000 {
        repository.write(&format!("data/{}/{index}.py", index % 100), "x = 1\n");
    }
    repository.write("tests/test_a.py", GOOD_TEST);
    repository.commit("Vendor everything");
    let ran = palestra.run(&["mine", &repository.path.to_string_lossy(), "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let first: serde_json::Value =
        serde_json::from_str(ran.stdout.lines().next().unwrap()).unwrap();
    assert!(first["rejected"].is_string() || first["rejected"].is_object(), "{first}");
    assert!(first["rejected"].to_string().contains("files"), "{}", first["rejected"]);
}

#[test]
fn two_runs_on_one_directory() {
    let palestra = Palestra::new();
    let repository = Repository::with_fix(palestra.dir().join("r"), GOOD_TEST);
    let out = palestra.dir().join("out");
    fs::create_dir_all(out.join(".palestra")).unwrap();
    let lock = fs::File::create(out.join(".palestra/lock")).unwrap();
    lock.lock().unwrap();
    let ran = palestra.run(&[
        "curate",
        &repository.path.to_string_lossy(),
        "--out",
        &out.to_string_lossy(),
    ]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("in use by another palestra command"), "{ran:?}");
}

#[test]
fn a_directory_of_another_repository() {
    let palestra = Palestra::new();
    let one = Repository::with_fix(palestra.dir().join("one"), GOOD_TEST);
    let two = Repository::with_fix(palestra.dir().join("two"), GOOD_TEST);
    let out = palestra.dir().join("out").to_string_lossy().into_owned();
    let ran = palestra.run(&["mine", &one.path.to_string_lossy(), "--out", &out]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = palestra.run(&["mine", &two.path.to_string_lossy(), "--out", &out]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("give another --out"), "{ran:?}");
}

#[test]
fn no_python_that_fits() {
    if !can_build() {
        return;
    }
    let palestra = Palestra::new();
    let repository = Repository::with_fix(palestra.dir().join("r"), GOOD_TEST);
    let mut repository = repository;
    let future = crate::support::PYPROJECT
        .replace("version = \"1.0\"", "version = \"1.0\"\nrequires-python = \">=3.99\"");
    repository.write("pyproject.toml", &future);
    repository.write(
        "calc.py",
        "def add(a, b):\n    return b + a\n\n\ndef sub(a, b):\n    return a - b\n",
    );
    repository.write(
        "tests/test_calc.py",
        "from calc import sub\n\n\ndef test_sub():\n    assert sub(3, 2) == 1\n",
    );
    repository.commit("Add sub for the Python to come");
    let out = palestra.dir().join("out").to_string_lossy().into_owned();
    let repo = repository.path.to_string_lossy().into_owned();
    let ran = palestra.run(&["curate", &repo, "--out", &out, "--limit", "1"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("no_python") && ran.stderr.contains("3.99"), "{ran:?}");
}

#[test]
fn an_index_that_cannot_be_reached_is_no_property_of_a_commit() {
    if !can_build() {
        return;
    }
    let palestra = Palestra::new();
    let repository = Repository::with_fix(palestra.dir().join("r"), GOOD_TEST);
    let out = palestra.dir().join("out").to_string_lossy().into_owned();
    let repo = repository.path.to_string_lossy().into_owned();
    let arguments = ["curate", repo.as_str(), "--out", out.as_str()];
    let mut command = palestra.command(&arguments);
    command.env("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple").env("UV_HTTP_RETRIES", "0");
    let ran = Ran::from(command.output().unwrap());
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.stderr.contains("index"), "{ran:?}");
    let ran = palestra.run(&arguments);
    assert_eq!(ran.code, Some(0), "the next run did not continue: {ran:?}");
}

/// Tests that behave badly end their own candidate and nothing else.
#[test]
fn hostile_tests_sink_only_themselves() {
    if !can_build() {
        return;
    }
    let palestra = Palestra::new();
    let mut repository = Repository::new(palestra.dir().join("r"));
    repository.write("pyproject.toml", crate::support::PYPROJECT);
    repository.write("calc.py", "def add(a, b):\n    return a - b\n");
    repository.write("tests/test_calc.py", "def test_nothing():\n    pass\n");
    repository.commit("Begin");
    let hostile = [
        (
            "kills its parent",
            "import os, signal\n\n\ndef test_a():\n    os.kill(os.getppid(), signal.SIGKILL)\n    os.kill(1, signal.SIGKILL)\n    os.kill(-1, signal.SIGKILL)\n",
        ),
        (
            "leaves a daemon",
            "import subprocess\n\n\ndef test_a():\n    subprocess.Popen(['setsid', 'sleep', '7777'])\n",
        ),
        (
            "prints gigabytes",
            "import os\n\n\ndef test_a(capfd):\n    with capfd.disabled():\n        for _ in range(2048):\n            os.write(1, b'x' * 1048576)\n",
        ),
        (
            "fills memory",
            "def test_a():\n    x = []\n    while True:\n        x.append(bytearray(1 << 24))\n",
        ),
        (
            "fills the disk",
            "def test_a():\n    with open('big', 'wb') as f:\n        while True:\n            f.write(b'x' * (1 << 24))\n",
        ),
        ("exits", "import os\n\n\ndef test_a():\n    os._exit(0)\n"),
    ];
    for (index, (name, test)) in hostile.iter().enumerate() {
        repository.write("calc.py", &format!("def add(a, b):\n    return a - b - {index}\n"));
        repository.write(&format!("tests/test_{index}.py"), test);
        repository.commit(&format!("A test that {name}"));
    }
    repository.write("calc.py", "def add(a, b):\n    return a + b\n");
    repository.write("tests/test_calc.py", GOOD_TEST);
    repository.commit("Fix add");
    let out = palestra.dir().join("out");
    let ran = palestra.run(&[
        "curate",
        &repository.path.to_string_lossy(),
        "--out",
        &out.to_string_lossy(),
    ]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let report: serde_json::Value =
        serde_json::from_slice(&fs::read(out.join("report.json")).unwrap()).unwrap();
    assert_eq!(report["tasks"], 1, "{report}\n{}", ran.stderr);
    assert_eq!(report["candidates"], hostile.len() + 1, "{report}");
    // Nothing of the daemon is left.
    std::thread::sleep(Duration::from_millis(100));
    let sleeping = fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        fs::read(entry.path().join("cmdline")).is_ok_and(|line| line == b"sleep\x007777\x00")
    });
    assert!(!sleeping, "a daemon outlived its sandbox");
}

#[test]
fn odd_files_in_a_tree_are_kept_as_they_are() {
    if !can_build() {
        return;
    }
    let palestra = Palestra::new();
    let mut repository = Repository::new(palestra.dir().join("r"));
    let submodule = Repository::with_fix(palestra.dir().join("module"), GOOD_TEST);
    repository.write("pyproject.toml", crate::support::PYPROJECT);
    repository.write("calc.py", "def add(a, b):\n    return a - b\n");
    repository.write("tests/test_calc.py", "def test_nothing():\n    pass\n");
    repository.write("tests/data/new\nline.txt", "x");
    repository.write("tests/data/-rf", "x");
    repository
        .write("big.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
    let link = |target: &str, name: &str| {
        std::os::unix::fs::symlink(target, repository.path.join(name)).unwrap();
    };
    link("/etc/passwd", "outside");
    link("../../../../../../etc/shadow", "tests/outside");
    link("loop", "loop");
    repository.git(&["submodule", "--quiet", "add", &submodule.path.to_string_lossy(), "sub"]);
    repository.commit("Begin");
    repository.write("calc.py", "def add(a, b):\n    return a + b\n");
    repository.write("tests/test_calc.py", GOOD_TEST);
    repository.write("tests/data/übung.txt", "x");
    std::fs::remove_file(repository.path.join("tests/outside")).unwrap();
    std::os::unix::fs::symlink("/etc", repository.path.join("tests/other")).unwrap();
    repository.commit("Fix add");
    let out = palestra.dir().join("out");
    let ran = palestra.run(&[
        "curate",
        &repository.path.to_string_lossy(),
        "--out",
        &out.to_string_lossy(),
    ]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let report: serde_json::Value =
        serde_json::from_slice(&fs::read(out.join("report.json")).unwrap()).unwrap();
    assert_eq!(report["tasks"], 1, "{report}\n{}", ran.stderr);
}
