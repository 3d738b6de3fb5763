//! Against real repositories made by git in temporary directories.
#![expect(clippy::print_stderr, reason = "a skipped test says so, and the timing is of interest")]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use palestra_core::{ChangeKind, CommitId};
use palestra_git::{GitError, HistoryOptions, Repo, agent_repository, forbidden_objects, scan};
use tempfile::TempDir;

/// A repository with a work tree, and a directory for our private ones.
struct Fixture {
    dir: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let fixture = Self { dir: TempDir::new().unwrap() };
        fs::create_dir(fixture.source()).unwrap();
        fixture.git(&["init", "-q", "-b", "main"]);
        fixture
    }

    fn source(&self) -> PathBuf {
        self.dir.path().join("source")
    }

    fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    fn git(&self, args: &[&str]) -> String {
        git_in(&self.source(), args)
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.source().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn commit(&self, message: &str) -> CommitId {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        CommitId::new(self.git(&["rev-parse", "HEAD"])).unwrap()
    }

    fn open(&self) -> Repo {
        Repo::open(self.source().to_str().unwrap(), &self.work()).unwrap()
    }
}

fn git_in(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .args(["-c", "user.name=A", "-c", "user.email=a@b", "-c", "protocol.file.allow=always"])
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn every_form_of_a_repository_opens() {
    let f = Fixture::new();
    f.write("a.py", "x = 1\n");
    let head = f.commit("one");
    f.git(&["remote", "add", "origin", "git@example.org:owner/name.git"]);
    git_in(f.dir.path(), &["clone", "-q", "--bare", "source", "bare.git"]);
    f.git(&["worktree", "add", "-q", "../linked"]);
    let at = |p: &str| f.dir.path().join(p).to_str().unwrap().to_owned();
    for (path, name) in
        [("source", "owner/name"), ("source/.git", "owner/name"), ("linked", "owner/name")]
    {
        let repo = Repo::open(&at(path), &f.work()).unwrap();
        assert_eq!((repo.head(), repo.name()), (&head, name), "{path}");
    }
    assert_eq!(Repo::open(&at("bare.git"), &f.work()).unwrap().head(), &head);
    let url = format!("file://{}", at("bare.git"));
    for _ in 0..2 {
        let repo = Repo::open(&url, &f.work()).unwrap();
        assert_eq!((repo.head(), repo.name()), (&head, "bare"));
    }
}

#[test]
fn a_second_open_sees_new_commits_of_a_url() {
    let f = Fixture::new();
    f.write("a.py", "x = 1\n");
    f.commit("one");
    let url = format!("file://{}", f.source().display());
    Repo::open(&url, &f.work()).unwrap();
    f.write("a.py", "x = 2\n");
    let head = f.commit("two");
    assert_eq!(Repo::open(&url, &f.work()).unwrap().head(), &head);
}

#[test]
fn errors_are_told_apart() {
    let f = Fixture::new();
    let open = |path: &Path| Repo::open(path.to_str().unwrap(), &f.work()).unwrap_err();
    assert!(matches!(open(f.dir.path()), GitError::NotARepository { .. }));
    assert!(matches!(open(Path::new("/nonexistent")), GitError::NotARepository { .. }));
    assert!(matches!(open(&f.source()), GitError::Empty { .. }));
    f.commit("one");
    f.commit("two");
    let source = format!("file://{}", f.source().display());
    git_in(f.dir.path(), &["clone", "-q", "--depth=1", &source, "shallow"]);
    let shallow = open(&f.dir.path().join("shallow"));
    assert!(matches!(shallow, GitError::Shallow { cut: 1, .. }), "{shallow}");
    let gone = Repo::open("file:///nonexistent/x.git", &f.work()).unwrap_err();
    assert!(matches!(gone, GitError::Download { .. }), "{gone}");
    let unknown = f.open().resolve("--help").unwrap_err();
    assert!(matches!(unknown, GitError::UnknownRevision { .. }));
    assert!(
        fs::read_dir(f.work())
            .unwrap()
            .all(|e| { !e.unwrap().file_name().to_string_lossy().contains("partial") })
    );
}

#[test]
fn nothing_of_an_inspected_repository_is_obeyed() {
    let f = Fixture::new();
    f.write("a.txt", "one\n");
    f.write(".gitattributes", "*.txt diff=evil\n*.txt filter=evil\n");
    let base = f.commit("one");
    f.write("a.txt", "two\n");
    let fix = f.commit("two");
    let proof = f.dir.path().join("proof");
    let evil = format!("touch {}; cat", proof.display());
    for key in [
        "diff.evil.textconv",
        "diff.external",
        "diff.evil.command",
        "core.fsmonitor",
        "core.pager",
        "filter.evil.smudge",
        "alias.diff-tree",
    ] {
        f.git(&["config", key, &evil]);
    }
    let other = f.git(&["rev-parse", "HEAD:.gitattributes"]);
    let blob = f.git(&["rev-parse", "HEAD:a.txt"]);
    f.git(&["replace", &blob, &other]);
    let repo = f.open();
    let patch = repo.diff::<&[u8]>(&base, &fix, &[]).unwrap();
    assert!(String::from_utf8_lossy(&patch).contains("-one\n+two\n"));
    assert_eq!(repo.blobs().unwrap().read(&blob).unwrap(), b"two\n");
    let walked = repo.history(&HistoryOptions::default()).unwrap();
    assert_eq!(repo.changes(&walked, 1 << 20).unwrap().count(), 2);
    assert!(!proof.exists());
}

#[test]
fn trees_list_links_modes_and_strange_names() {
    let f = Fixture::new();
    f.write("dir/a b\tc\n\"é.py", "12345");
    std::os::unix::fs::symlink("dir", f.source().join("link")).unwrap();
    let head = f.commit("one");
    let repo = f.open();
    let tree = repo.tree(&head).unwrap();
    let seen: Vec<_> = tree.iter().map(|e| (e.path.as_slice(), e.mode, e.size)).collect();
    let name: &[u8] = "dir/a b\tc\n\"é.py".as_bytes();
    assert_eq!(seen, [(name, 0o100644, Some(5)), (b"link", 0o120000, Some(3))]);
    let mut blobs = repo.blobs().unwrap();
    assert_eq!(blobs.read(&tree[0].oid).unwrap(), b"12345");
    assert_eq!(blobs.read_path(&head, b"link").unwrap().unwrap(), b"dir");
    assert_eq!(blobs.read_path(&head, b"no such file").unwrap(), None);
    assert_eq!(blobs.read_path(&head, b"dir").unwrap(), None);
    let mut small = repo.blobs().unwrap().with_limit(4);
    let refused = small.read(&tree[0].oid).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::FileTooLarge);
    assert_eq!(small.read(&tree[1].oid).unwrap(), b"dir", "the reader goes on");
}

#[test]
fn tags_are_described() {
    let f = Fixture::new();
    let first = f.commit("one");
    let repo = f.open();
    assert_eq!(repo.tags_described(&first).unwrap(), None);
    f.git(&["tag", "-a", "v1.2", "-m", "release"]);
    f.git(&["tag", "latest"]);
    let second = f.commit("two");
    let repo = f.open();
    let described = repo.tags_described(&second).unwrap().unwrap();
    assert!(described.starts_with("v1.2-1-g"), "{described}");
    assert_eq!(repo.resolve("v1.2").unwrap(), first);
    assert_eq!(repo.resolve("HEAD~1").unwrap(), first);
    f.commit("three");
    assert_eq!(repo.resolve("HEAD").unwrap(), second, "as it was when the repository was opened");
}

#[test]
fn changes_are_what_git_diff_prints() {
    let f = Fixture::new();
    let lines: String = (0..50).map(|n| format!("line {n}\n")).collect();
    f.write("a.py", &lines);
    f.write("nul.txt", [&[b'x'; 9000][..], b"\n\0\0mark\n"].concat());
    f.commit("root\n\nbody é");
    f.git(&["mv", "a.py", "b.py"]);
    f.write("b.py", lines.replace("line 7\n", "seven\n"));
    f.write("nul.txt", [&[b'x'; 9000][..], b"\n\0\0other\n"].concat());
    f.write("bin", [0u8, 1, 2]);
    f.commit("rename");
    f.git(&["checkout", "-q", "-b", "side", "HEAD~1"]);
    f.write("side.py", "s\n");
    f.commit("side");
    f.git(&["checkout", "-q", "main"]);
    f.git(&["merge", "-q", "--no-ff", "-m", "merge", "side"]);
    f.git(&["mv", "side.py", "dir.py"]);
    f.commit("only a rename");
    f.commit("empty");
    let repo = f.open();
    let walked = repo.history(&HistoryOptions::default()).unwrap();
    assert_eq!(walked.len(), 6);
    let all: Vec<_> = repo.changes(&walked, 1 << 20).unwrap().map(Result::unwrap).collect();
    assert_eq!(all.len(), 6);
    for (commit, changes) in walked.iter().zip(&all) {
        assert_eq!(commit.commit, changes.commit);
        let parent = commit
            .parent
            .as_ref()
            .map_or("4b825dc642cb6eb9a060e54bf8d69288fbee4904", |p| p.as_str());
        let output = Command::new("git")
            .args(["--no-pager", "diff", "-p", parent, commit.commit.as_str()])
            .current_dir(f.source())
            .output()
            .unwrap();
        assert_eq!(changes.patch, output.stdout, "{}", changes.message);
        assert!(!changes.truncated);
    }
    let kinds = |n: usize| all[n].changes.iter().map(|c| c.kind).collect::<Vec<_>>();
    assert_eq!(kinds(0), []);
    assert_eq!(kinds(1), [ChangeKind::Renamed]);
    assert_eq!(all[1].changes[0].old_path.as_deref(), Some(&b"side.py"[..]));
    assert_eq!((kinds(2), walked[2].parents), (vec![ChangeKind::Added], 2));
    assert_eq!(all.last().unwrap().message, "root\n\nbody é\n");
    let cut: Vec<_> = repo.changes(&walked, 10).unwrap().map(Result::unwrap).collect();
    for (whole, cut) in all.iter().zip(&cut) {
        assert_eq!(whole.changes, cut.changes);
    }
}

#[test]
fn a_huge_patch_is_cut_and_the_next_commit_is_whole() {
    let f = Fixture::new();
    f.write("small.txt", "a\n");
    f.commit("one");
    for n in 0..40 {
        f.write(&format!("d/{n}.txt"), format!("{n}\n").repeat(5000));
    }
    f.commit("two");
    f.write("small.txt", "b\n");
    f.commit("three");
    let repo = f.open();
    let mut walked = repo.history(&HistoryOptions::default()).unwrap();
    walked.reverse();
    let all: Vec<_> = repo.changes(&walked, 1000).unwrap().map(Result::unwrap).collect();
    assert_eq!((all[1].truncated, all[1].patch.len(), all[1].changes.len()), (true, 1000, 40));
    assert!(!all[2].truncated);
    assert!(all[2].patch.ends_with(b"@@ -1 +1 @@\n-a\n+b\n"));
}

#[test]
fn dates_and_limits_select() {
    let f = Fixture::new();
    for n in 0..4 {
        let date = format!("@{} +0200", 1_000_000 + n);
        let output = Command::new("git")
            .env("GIT_COMMITTER_DATE", date)
            .args(["-c", "user.name=A", "-c", "user.email=a@b"])
            .args(["commit", "-q", "--allow-empty", "-m", "x"])
            .current_dir(f.source())
            .output()
            .unwrap();
        assert!(output.status.success());
    }
    let repo = f.open();
    let times = |options: HistoryOptions| -> Vec<i64> {
        repo.history(&options).unwrap().iter().map(|c| c.timestamp - 1_000_000).collect()
    };
    assert_eq!(times(HistoryOptions::default()), [3, 2, 1, 0]);
    let between =
        HistoryOptions { since: Some(1_000_001), until: Some(1_000_003), ..Default::default() };
    assert_eq!(times(between), [2, 1]);
    assert_eq!(times(HistoryOptions { limit: Some(1), ..Default::default() }), [3]);
}

#[test]
fn an_agent_gets_one_commit_and_no_trace_of_the_fix() {
    let f = Fixture::new();
    f.write("src/a.py", "x = 1\n");
    f.write("same.py", "x = 1\n");
    f.write("run.sh", "echo\n");
    f.git(&["update-index", "--add", "--chmod=+x", "run.sh"]);
    let sub = "0123456789012345678901234567890123456789";
    f.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{sub},sub")]);
    f.git(&["add", "src", "same.py"]);
    f.git(&["commit", "-q", "-m", "base"]);
    let base = CommitId::new(f.git(&["rev-parse", "HEAD"])).unwrap();
    f.write("src/a.py", "x = 2\n");
    f.write("src/new.py", "y\n");
    f.git(&["add", "src"]);
    f.git(&["commit", "-q", "-m", "fix"]);
    let fix = CommitId::new(f.git(&["rev-parse", "HEAD"])).unwrap();
    let repo = f.open();
    let bundle = f.dir.path().join("agent.bundle");
    let made = agent_repository(&repo, &base, &bundle).unwrap();
    assert_eq!(made.tree, f.git(&["rev-parse", &format!("{base}^{{tree}}")]));
    assert_eq!(made.objects, 5, "commit, two trees, two distinct blobs");

    let forbidden = forbidden_objects(&repo, &base, &fix).unwrap();
    assert_eq!(forbidden.len(), 5, "two blobs, two trees, the commit");
    let certificate = scan(&bundle, &forbidden).unwrap();
    assert_eq!((certificate.commits, certificate.objects), (1, 5));
    assert_eq!((certificate.forbidden, certificate.found), (5, 0));
    let own: HashSet<String> = [made.tree.clone()].into();
    assert_eq!(scan(&bundle, &own).unwrap().found, 1, "what is there is found");

    // The same tree in another repository gives the same bytes.
    let g = Fixture::new();
    git_in(&g.source(), &["pull", "-q", &f.source().display().to_string(), base.as_str()]);
    g.git(&["commit", "-q", "--amend", "-m", "other history"]);
    g.git(&["gc", "-q"]);
    let again = g.dir.path().join("agent.bundle");
    let head = g.open().head().clone();
    agent_repository(&g.open(), &head, &again).unwrap();
    assert_eq!(fs::read(&bundle).unwrap(), fs::read(&again).unwrap());

    let unpacked = Repo::from_bundle(&bundle, &f.dir.path().join("unpacked")).unwrap();
    assert_eq!(unpacked.head(), &made.commit);
    assert_eq!(unpacked.tree(&made.commit).unwrap(), repo.tree(&base).unwrap());

    git_in(f.dir.path(), &["clone", "-q", "agent.bundle", "agent"]);
    let agent = f.dir.path().join("agent");
    git_in(&agent, &["fsck", "--strict", "--no-dangling"]);
    assert_eq!(git_in(&agent, &["rev-list", "--all", "--count"]), "1");
    assert_eq!(git_in(&agent, &["branch", "--show-current"]), "main");
    assert_eq!(fs::read_to_string(agent.join("src/a.py")).unwrap(), "x = 1\n");
    assert_eq!(git_in(&agent, &["ls-files", "-s", "sub"]), format!("160000 {sub} 0\tsub"));
}

#[test]
fn a_scan_sees_what_is_not_reachable() {
    let f = Fixture::new();
    f.write("a", "1\n");
    let base = f.commit("base");
    f.write("a", "2\n");
    let fix = f.commit("fix");
    let repo = f.open();
    let forbidden = forbidden_objects(&repo, &base, &fix).unwrap();
    f.git(&["bundle", "create", "-q", "../leaky.bundle", "main"]);
    let leaky = scan(&f.dir.path().join("leaky.bundle"), &forbidden).unwrap();
    assert_eq!((leaky.commits, leaky.found), (2, 3));
    f.git(&["bundle", "create", "-q", "../thin.bundle", "main", &format!("^{base}")]);
    assert!(scan(&f.dir.path().join("thin.bundle"), &forbidden).is_err());
}

#[test]
fn a_patch_of_chosen_paths_applies() {
    let f = Fixture::new();
    f.write("a.py", "1\n");
    f.write("data.bin", [0u8, 1, 2, 3]);
    let base = f.commit("base");
    f.write("a.py", "2\n");
    f.write("data.bin", [0u8, 9, 9, 9]);
    f.write("*.py", "star\n");
    let fix = f.commit("fix");
    let repo = f.open();
    let some = repo.diff(&base, &fix, &["*.py", "data.bin"]).unwrap();
    let text = String::from_utf8_lossy(&some);
    assert!(text.contains("GIT binary patch") && text.contains("b/*.py"));
    assert!(!text.contains("b/a.py"), "paths are taken literally");
    fs::write(f.dir.path().join("p"), &some).unwrap();
    f.git(&["checkout", "-q", base.as_str()]);
    f.git(&["apply", "../p"]);
    assert_eq!(fs::read(f.source().join("data.bin")).unwrap(), [0u8, 9, 9, 9]);
}

/// The whole of a real repository, when `PALESTRA_REPOS` names a directory that has one.
#[test]
fn a_real_repository_is_scrubbed() {
    let Some(repos) = std::env::var_os("PALESTRA_REPOS") else {
        eprintln!("skipped: PALESTRA_REPOS does not name a directory of repositories");
        return;
    };
    let path = Path::new(&repos).join("sqlparse");
    let dir = TempDir::new().unwrap();
    let repo = Repo::open(path.to_str().unwrap(), dir.path()).unwrap();
    let walked = repo.history(&HistoryOptions { limit: Some(40), ..Default::default() }).unwrap();
    let started = std::time::Instant::now();
    let bundle = dir.path().join("b");
    for commit in &walked {
        let base = commit.parent.as_ref().unwrap();
        agent_repository(&repo, base, &bundle).unwrap();
        let forbidden = forbidden_objects(&repo, base, &commit.commit).unwrap();
        assert!(!forbidden.is_empty());
        let certificate = scan(&bundle, &forbidden).unwrap();
        assert_eq!((certificate.commits, certificate.found), (1, 0));
    }
    let each = started.elapsed() / walked.len() as u32;
    eprintln!("{each:?} for each scrubbed and scanned repository");
}

#[test]
fn a_pack_holds_what_was_asked_for_and_nothing_else() {
    let fixture = Fixture::new();
    fixture.write("a/one.txt", "one\n");
    fixture.write("two.txt", "two\n");
    let base = fixture.commit("base");
    fixture.write("two.txt", "later\n");
    let later = fixture.commit("later");
    let repo = fixture.open();

    let objects = repo.tree_objects(&base).unwrap();
    // The root, its folder, and two files.
    assert_eq!(objects.len(), 4);
    assert!(objects.contains(&fixture.git(&["rev-parse", &format!("{base}^{{tree}}")])));
    let new = fixture.git(&["rev-parse", &format!("{later}:two.txt")]);
    assert!(!objects.contains(&new) && repo.tree_objects(&later).unwrap().contains(&new));

    // A mirror may lack objects: they are told, and are no reason to fail.
    let lost = "0123456789012345678901234567890123456789".to_owned();
    let mut asked = objects.clone();
    asked.insert(lost.clone());
    assert_eq!(repo.missing_objects(&objects).unwrap().len(), 0);
    assert_eq!(repo.missing_objects(&asked).unwrap().into_iter().collect::<Vec<_>>(), [lost]);

    let files = repo.pack(&asked).unwrap();
    let ends: Vec<&str> = files.iter().filter_map(|f| f.name.rsplit('.').next()).collect();
    assert_eq!(ends, ["idx", "pack"]);
    assert_eq!(repo.pack(&objects).unwrap(), files, "the same objects give the same pack");
    let alone = fixture.dir.path().join("alone");
    git_in(fixture.dir.path(), &["init", "-q", "--bare", alone.to_str().unwrap()]);
    for file in &files {
        fs::write(alone.join("objects/pack").join(&file.name), &file.bytes).unwrap();
    }
    let listed =
        git_in(&alone, &["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"]);
    let listed: std::collections::BTreeSet<String> = listed.lines().map(str::to_owned).collect();
    assert_eq!(listed, objects);
}
