//! Small histories with everything that is awkward, and agreement with R2E-Gym's miner.
#![expect(clippy::print_stderr, reason = "a skipped test says so, and agreement is of interest")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use palestra_core::ChangeKind;
use palestra_git::Repo;
use palestra_mine::{Filters, MineError, MineOptions, MinedCommit, bench, mine, parse_date};
use tempfile::TempDir;

/// A history written for `git fast-import`. Every commit is a day after the one before, the
/// first on 2020-01-01.
#[derive(Default)]
struct History {
    stream: Vec<u8>,
    commits: usize,
}

/// A path that a commit writes (mode and content) or, without content, deletes.
type Edit<'a> = (&'a str, Option<(&'a str, &'a [u8])>);

impl History {
    fn commit(&mut self, message: &str, writes: &[Edit<'_>]) -> &mut Self {
        self.start(message);
        for (path, write) in writes {
            match write {
                None => self.line(&format!("D {path}")),
                Some(("160000", oid)) => {
                    let oid = String::from_utf8_lossy(oid);
                    self.line(&format!("M 160000 {oid} {path}"));
                }
                Some((mode, content)) => {
                    self.line(&format!("M {mode} inline {path}"));
                    self.data(content);
                }
            }
        }
        self
    }

    fn start(&mut self, message: &str) {
        let time = 1_577_836_800 + 86_400 * self.commits;
        self.commits += 1;
        self.line("commit refs/heads/main");
        self.line(&format!("mark :{}", self.commits));
        self.line(&format!("committer A <a@b> {time} +0100"));
        self.data(message.as_bytes());
    }

    fn line(&mut self, line: &str) {
        self.stream.extend(line.bytes());
        self.stream.push(b'\n');
    }

    fn data(&mut self, bytes: &[u8]) {
        self.line(&format!("data {}", bytes.len()));
        self.stream.extend_from_slice(bytes);
        self.stream.push(b'\n');
    }

    fn open(&self) -> (TempDir, Repo) {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("r.git");
        let git = |args: &[&str]| {
            let mut git = Command::new("git");
            git.env("GIT_CONFIG_GLOBAL", "/dev/null").args(args).current_dir(dir.path());
            git
        };
        assert!(git(&["init", "-q", "--bare", "-b", "main", "r.git"]).status().unwrap().success());
        let mut import = git(&["--git-dir=r.git", "fast-import", "--quiet"]);
        let mut child = import.stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&self.stream).unwrap();
        assert!(child.wait().unwrap().success());
        let repo = Repo::open(path.to_str().unwrap(), &dir.path().join("work")).unwrap();
        (dir, repo)
    }
}

/// An ordinary file.
fn file(content: &str) -> Option<(&str, &[u8])> {
    Some(("100644", content.as_bytes()))
}

/// Everything mined with a preset, by subject.
fn mined(repo: &Repo, preset: &str) -> BTreeMap<String, MinedCommit> {
    let filters = Filters::preset(preset).unwrap();
    let mut all = BTreeMap::new();
    mine(repo, &filters, &MineOptions { jobs: 2, ..Default::default() }, |commit| {
        all.insert(commit.candidate.subject.clone(), commit);
        Ok(())
    })
    .unwrap();
    all
}

const BASE: &[Edit<'_>] = &[
    ("pkg/a.py", Some(("100644", b"import os\n\n\ndef f(x):\n    return x\n"))),
    ("tests/test_a.py", Some(("100644", b"def test_f():\n    assert f(1)\n"))),
    ("pkg/old.py", Some(("100644", b"a = 1\nb = 2\nc = 3\n"))),
];

#[test]
fn every_rejection_has_its_reason() {
    let mut history = History::default();
    let test = ("tests/test_a.py", file("def test_f():\n    assert f(1) == 2\n"));
    history.commit("root", BASE);
    history
        .commit("fix", &[("pkg/a.py", file("import os\n\n\ndef f(x):\n    return x + 1\n")), test]);
    history.commit("only source", &[("pkg/a.py", file("import os\n"))]);
    history.commit("only tests", &[("tests/data.json", file("{}\n"))]);
    history.commit("documentation", &[("README.rst", file("x\n")), ("tests/x", file("y\n"))]);
    history.commit(
        "moved",
        &[
            ("pkg/old.py", None),
            ("pkg/new.py", file("a = 1\nb = 2\nc = 3\n")),
            ("tests/y", file("y\n")),
        ],
    );
    history.commit(
        "submodule",
        &[
            ("vendor", Some(("160000", b"0123456789012345678901234567890123456789"))),
            ("pkg/a.py", file("x = 1\n")),
            ("tests/z", file("z\n")),
        ],
    );
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    history.commit("lfs", &[("pkg/a.py", file("x = 2\n")), ("tests/big.bin", file(pointer))]);
    let long = "x = 1\n".repeat(5000);
    history.commit("long", &[("pkg/a.py", file(&long)), ("tests/q", file("q\n"))]);
    history.commit("empty", &[]);
    let (_dir, repo) = history.open();
    let all = mined(&repo, "wide");
    let check = |subject: &str, reason: Option<&str>| {
        let commit = &all[subject];
        assert_eq!(commit.rejected.as_ref().map(|r| r.reason.as_str()), reason, "{subject}");
        assert_eq!(commit.eligible, reason.is_none());
        assert_eq!(commit.decisions.len(), 5);
        let json = serde_json::to_string(commit).unwrap();
        assert!(!json.contains('\n'));
        assert_eq!(&serde_json::from_str::<MinedCommit>(&json).unwrap(), commit);
    };
    check("root", Some("root_commit"));
    check("fix", None);
    check("only source", Some("no_test_change"));
    check("only tests", Some("no_source_change"));
    check("documentation", Some("no_source_change"));
    check("moved", Some("source_only_moved"));
    check("submodule", Some("changes_a_submodule"));
    check("lfs", Some("needs_git_lfs"));
    check("long", Some("number_of_lines"));
    check("empty", Some("number_of_files"));
    let long = all["long"].rejected.as_ref().unwrap();
    assert_eq!((long.value, long.max), (Some(5002), Some(4000)));

    let fix = &all["fix"].candidate;
    assert_eq!((fix.date.as_str(), fix.timestamp), ("2020-01-02T01:00:00+01:00", 1_577_923_200));
    assert_eq!(fix.source_entities.modified[0].name, "f");
    assert_eq!(fix.test_entities.modified[0].name, "test_f");
    assert_eq!(fix.test_paths().collect::<Vec<_>>(), ["tests/test_a.py"]);
    let moved = &all["moved"].candidate.files;
    let renamed = moved.iter().find(|f| f.kind == ChangeKind::Renamed).unwrap();
    assert_eq!(renamed.old_path.as_deref(), Some("pkg/old.py"));

    let all = mined(&repo, "r2e");
    let decided = |subject: &str, filter: &str| {
        all[subject].decisions.iter().find(|d| d.filter == filter).unwrap().pass
    };
    assert!(all["fix"].eligible, "{:?}", all["fix"].rejected);
    assert!(!decided("moved", "readable") && !decided("root", "readable"));
    assert!(!decided("only source", "testent") && decided("only source", "small"));
}

#[test]
fn what_is_awkward_is_survived() {
    let mut history = History::default();
    history.commit("root", BASE);
    history.commit(
        "names",
        &[
            ("\"pkg/n\\351 \\t\\\"x.py\"", file("def g():\n    pass\n")),
            ("tests/caf\u{e9}.py", file("def test_g():\n    pass\n")),
        ],
    );
    history.commit(
        "bytes",
        &[
            ("pkg/a.py", Some(("100644", b"# \xe9\ndef f(x):\n    return 2\n"))),
            ("tests/t.bin", Some(("100644", b"\x00\xff"))),
        ],
    );
    history.commit(
        "old python",
        &[
            ("pkg/a.py", file("def f(x):\n    print x, `x`\n")),
            ("tests/test_a.py", file("def test_f():\n    exec 'f(1)' in {}\n")),
        ],
    );
    history.commit("broken python", &[("pkg/a.py", file("def f(:\n")), ("tests/a", file("\n"))]);
    history.commit("link", &[("pkg/a.py", Some(("120000", b"old.py"))), ("tests/a", file("b\n"))]);
    history.start("many");
    for n in 0..10_000 {
        history.line(&format!("M 100644 inline many/{n}.py"));
        history.data(format!("x = {n}\n").as_bytes());
    }
    history.start("merge");
    history.line("from :1");
    history.line("merge :7");
    history.line("M 100644 inline pkg/m.py");
    history.data(b"m = 1\n");
    let (_dir, repo) = history.open();
    let started = std::time::Instant::now();
    let all = mined(&repo, "wide");
    assert!(started.elapsed().as_secs() < 60);
    assert_eq!(all.len(), 8);
    let names: Vec<&str> = all["names"].candidate.files.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(names, ["pkg/n\\xE9 \t\"x.py", "tests/caf\u{e9}.py"]);
    assert!(all["names"].eligible);
    assert_eq!(all["names"].candidate.source_entities.added[0].name, "g");
    assert_eq!(all["bytes"].candidate.source_entities.modified[0].name, "f");
    assert_eq!(all["bytes"].features.r2e_readable, Some(0));
    assert_eq!(all["bytes"].features.binary_files, Some(1));
    let old = &all["old python"];
    assert!(old.eligible);
    assert_eq!((old.features.python2_files, old.features.unreadable_files), (Some(2), Some(0)));
    assert_eq!(old.candidate.test_entities.modified[0].name, "test_f");
    assert_eq!(all["broken python"].features.unreadable_files, Some(1));
    assert_eq!(all["link"].features.symlinks, Some(1));
    let many = &all["many"];
    assert_eq!(many.features.files, Some(10_000));
    assert_eq!(many.features.r2e_nondoc, None, "not looked into");
    assert_eq!(many.rejected.as_ref().unwrap().reason, "number_of_files");
    let merge = &all["merge"];
    assert_eq!((merge.candidate.parents, merge.candidate.files.len()), (2, 1));
    let r2e = mined(&repo, "r2e");
    let nondoc = r2e["many"].decisions.iter().find(|d| d.filter == "nondoc").unwrap();
    assert_eq!((nondoc.pass, nondoc.values["r2e_nondoc"]), (false, None));
}

#[test]
fn the_order_does_not_depend_on_the_threads() {
    let mut history = History::default();
    for n in 0..300 {
        history.commit(&n.to_string(), &[("a.py", file(&format!("x = {n}\n")))]);
    }
    let (_dir, repo) = history.open();
    let filters = Filters::preset("wide").unwrap();
    let lines = |options: MineOptions| {
        let mut lines = Vec::new();
        let summary = mine(&repo, &filters, &options, |commit| {
            lines.push(serde_json::to_string(&commit).unwrap());
            Ok(())
        });
        assert_eq!(summary.unwrap().commits, lines.len());
        lines
    };
    let one = lines(MineOptions { jobs: 1, ..Default::default() });
    assert_eq!(one.len(), 300);
    assert_eq!(one, lines(MineOptions { jobs: 7, ..Default::default() }));
    let some = MineOptions {
        since: Some(parse_date("2020-01-03").unwrap()),
        until: Some(parse_date("2020-01-05T01:00:00+01:00").unwrap()),
        ..Default::default()
    };
    assert_eq!(lines(some), one[296..298]);
    let newest = MineOptions { limit: Some(5), jobs: 3, ..Default::default() };
    assert_eq!(lines(newest), one[..5]);

    let mut taken = 0;
    let stopped = mine(&repo, &filters, &MineOptions { jobs: 2, ..Default::default() }, |_| {
        taken += 1;
        if taken == 3 { Err(std::io::Error::other("full")) } else { Ok(()) }
    });
    assert!(matches!(stopped, Err(MineError::Sink(_))));
    assert_eq!(taken, 3);
}

#[test]
fn filters_are_checked() {
    for name in Filters::PRESETS {
        assert_eq!(&Filters::preset(name).unwrap().name, name);
    }
    let check = |text: &str, part: &str| {
        let error = Filters::from_toml(text).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    check("name = 1", "invalid type");
    check("name = 'x'\nfilters = 1", "unknown field");
    let one = |condition: &str| format!("name = 'x'\n[[filter]]\nname = 'y'\nall = [{condition}]");
    check(&one("{ feature = 'fils', max = 1 }"), "\"fils\", which does not exist");
    check(&one("{ feature = 'files' }"), "no bound");
    assert!(Filters::from_toml(&one("{ feature = 'files', max = 1 }")).is_ok());
    assert!(Filters::preset("none").unwrap_err().to_string().contains("wide, r2e"));
    assert_eq!(parse_date("2016-01-01").unwrap(), 1_451_606_400);
    for bad in ["yesterday", "2016-13-01", "", "2016-01-01T00:00:00"] {
        assert!(parse_date(bad).is_err(), "{bad}");
    }
}

/// The clone of sqlparse, when `PALESTRA_REPOS` names a directory that has one.
fn sqlparse() -> Option<PathBuf> {
    let path = std::env::var_os("PALESTRA_REPOS").map(|r| Path::new(&r).join("sqlparse"));
    let found = path.filter(|p| p.exists());
    if found.is_none() {
        eprintln!("skipped: PALESTRA_REPOS names no directory with a clone of sqlparse");
    }
    found
}

#[test]
fn decisions_agree_with_r2e_gym() {
    let Some(path) = sqlparse() else { return };
    let data =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/r2e_miner/sqlparse.jsonl");
    let Ok(text) = std::fs::read_to_string(&data) else {
        eprintln!("skipped: {} is absent", data.display());
        return;
    };
    let mut reference: BTreeMap<String, serde_json::Value> = BTreeMap::new();
    for line in text.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        reference.insert(row["commit"].as_str().unwrap().to_owned(), row);
    }
    let dir = TempDir::new().unwrap();
    let repo = Repo::open(path.to_str().unwrap(), dir.path()).unwrap();
    let filters = Filters::preset("r2e").unwrap();
    let options = MineOptions { jobs: 2, ..Default::default() };
    let mut mined: Vec<MinedCommit> = Vec::new();
    mine(&repo, &filters, &options, |c| {
        mined.push(c);
        Ok(())
    })
    .unwrap();

    let (mut compared, mut agreed, mut readable) = (0, 0, 0);
    for commit in &mined {
        let id = commit.candidate.commit.as_str();
        let Some(row) = reference.get(id) else { continue };
        let passes = |name: &str| commit.decisions.iter().find(|d| d.filter == name).unwrap().pass;
        let could_read = row.get("err").is_none();
        if could_read == passes("readable") {
            readable += 1;
        } else {
            eprintln!("{id}: readable {} {}", passes("readable"), row["err"]);
        }
        if !could_read {
            continue;
        }
        compared += 1;
        let differing: Vec<&str> = ["small", "python", "nondoc", "bugedit", "testent", "testmatch"]
            .into_iter()
            .filter(|name| row[*name].as_bool().unwrap() != passes(name))
            .collect();
        if differing.is_empty() {
            agreed += 1;
        } else {
            eprintln!("{id}: {differing:?} {:?}", commit.features);
        }
    }
    eprintln!("{agreed} of {compared} commits agree in all six decisions");
    eprintln!("{readable} of {} agree in what can be read", mined.len());
    assert!(compared >= 1156);
    assert!(agreed * 100 >= compared * 99);
}

#[test]
fn a_whole_history_is_mined_fast() {
    let Some(path) = sqlparse() else { return };
    let dir = TempDir::new().unwrap();
    let result = bench(&path, dir.path(), 2).unwrap();
    eprintln!("{result:?}: {:.0} commits/s", result.rate());
    assert!(result.commits >= 1389);
}
