//! From a commit's changes to a candidate and its features.

use std::rc::Rc;

use palestra_core::{Candidate, ChangeKind, EntityChanges, EntityKind, FileChange};
use palestra_diff::{FilePatch, Patch};
use palestra_git::{CommitChanges, PathChange, Walked};

use crate::cache::{Modules, Version};
use crate::entities::{Fate, FileEntities, Touched};
use crate::features::Features;
use crate::filters::TestRule;

/// Patches are read up to this size.
pub(crate) const MAX_PATCH_BYTES: usize = 16 << 20;

/// Commits with more changed Python files are not parsed.
const MAX_PYTHON_FILES: usize = 150;

/// A changed path with its part of the patch.
struct File<'a> {
    change: &'a PathChange,
    patch: Option<&'a FilePatch<'a>>,
    /// By our rule and by R2E-Gym's.
    test: bool,
    r2e_test: bool,
    added: usize,
    deleted: usize,
}

impl File<'_> {
    fn is_python(&self) -> bool {
        self.change.path.ends_with(b".py")
    }

    fn binary(&self) -> bool {
        self.patch.is_some_and(FilePatch::is_binary)
    }
}

/// Looks at one commit.
pub(crate) fn analyse(
    walked: &Walked,
    commit: &CommitChanges,
    rule: TestRule,
    modules: &mut Modules,
) -> std::io::Result<(Candidate, Features)> {
    let patch =
        if commit.truncated { Patch::default() } else { palestra_diff::parse(&commit.patch).0 };
    let files = join(commit, &patch);
    let mut features = counted(walked, commit, &files);
    let python = files.iter().filter(|f| f.is_python()).count();
    let mut source_entities = EntityChanges::default();
    let mut test_entities = EntityChanges::default();
    if !commit.truncated {
        sized_by_r2e(commit, &files, &mut features);
        if python <= MAX_PYTHON_FILES {
            let entities = parse(&files, modules)?;
            read_by_r2e(&files, &entities, &mut features);
            let by_rule = |f: &File<'_>| if rule == TestRule::R2e { f.r2e_test } else { f.test };
            for (file, found) in files.iter().zip(&entities) {
                let side = if by_rule(file) { &mut test_entities } else { &mut source_entities };
                if let Some(found) = found {
                    add_changes(file, found, side);
                }
            }
            let entities = |changes: &EntityChanges| {
                let all = [&changes.added, &changes.deleted, &changes.modified];
                let all = all.into_iter().flatten();
                Some(all.filter(|e| e.kind != EntityKind::Statement).count() as u64)
            };
            features.source_entities = entities(&source_entities);
            features.test_entities = entities(&test_entities);
        }
    }
    let candidate = candidate(walked, commit, &files, rule, source_entities, test_entities);
    Ok((candidate, features))
}

/// Joins paths and patches. Both come in git's order; only damaged patches lack a path.
fn join<'a>(commit: &'a CommitChanges, patch: &'a Patch<'a>) -> Vec<File<'a>> {
    let mut parts = patch.files.iter().peekable();
    let mut files = Vec::with_capacity(commit.changes.len());
    for change in &commit.changes {
        let part = parts.next_if(|p| *p.new_path == *change.path);
        // A path that changes its type (file to link) has two parts: it goes and comes.
        let second = parts.next_if(|p| *p.new_path == *change.path);
        let (mut added, mut deleted) = part.map_or((0, 0), FilePatch::stat);
        if let Some(second) = second {
            let stat = second.stat();
            added += stat.0;
            deleted += stat.1;
        }
        files.push(File {
            change,
            patch: part,
            test: palestra_syntax::is_test_path(&change.path),
            r2e_test: palestra_syntax::is_r2e_test_path(&change.path),
            added,
            deleted,
        });
    }
    files
}

/// What can be counted without looking into files.
fn counted(walked: &Walked, commit: &CommitChanges, files: &[File<'_>]) -> Features {
    let count =
        |test: &dyn Fn(&File<'_>) -> bool| Some(files.iter().filter(|f| test(f)).count() as u64);
    let mode = |f: &File<'_>, mode: u32| f.change.old_mode == mode || f.change.new_mode == mode;
    let stays = |f: &File<'_>| f.change.kind != ChangeKind::Deleted;
    let source = |f: &File<'_>| !f.test && palestra_syntax::is_source_code_path(&f.change.path);
    let lines = |test: &dyn Fn(&File<'_>) -> bool| {
        let lines = files.iter().filter(|f| test(f)).map(|f| f.added + f.deleted).sum::<usize>();
        (!commit.truncated).then_some(lines as u64)
    };
    let in_patch = |test: &dyn Fn(&File<'_>) -> bool| count(test).filter(|_| !commit.truncated);
    Features {
        parents: Some(walked.parents as u64),
        files: Some(files.len() as u64),
        renames: count(&|f| f.change.kind == ChangeKind::Renamed),
        test_files: count(&|f| f.test && stays(f)),
        python_test_files: count(&|f| f.test && stays(f) && f.is_python()),
        source_files: count(&source),
        lines: lines(&|_| true),
        source_lines: lines(&source),
        binary_files: in_patch(&|f| f.binary()),
        submodules: count(&|f| mode(f, 0o160000)),
        symlinks: count(&|f| mode(f, 0o120000)),
        lfs_pointers: in_patch(&is_lfs_pointer),
        patch_cut: Some(u64::from(commit.truncated)),
        ..Features::default()
    }
}

/// Whether the first lines of a file, which a change of a pointer always shows, are those of a
/// pointer.
fn is_lfs_pointer(file: &File<'_>) -> bool {
    let first = file.patch.and_then(|p| p.hunks().first()).filter(|h| h.new_start <= 1);
    first.is_some_and(|h| {
        h.lines.iter().take(2).any(|l| l.text.starts_with(b"version https://git-lfs."))
    })
}

/// R2E-Gym's measures of size.
fn sized_by_r2e(commit: &CommitChanges, files: &[File<'_>], features: &mut Features) {
    let lines = |f: &&File<'_>| !f.r2e_test;
    let mut chars = 0;
    for file in files.iter().filter(|f| f.is_python()) {
        let bytes = file.patch.map_or(&b""[..], |p| p.bytes);
        // It writes paths without the quotes that git puts around unusual ones.
        let quotes = if bytes.starts_with(b"diff --git \"") { 4 } else { 0 };
        chars += bytes.iter().filter(|b| **b & 0xc0 != 0x80).count().saturating_sub(quotes);
    }
    // It takes the end of the text for one more empty line of context: a space and a line feed.
    let last = files.last().filter(|f| f.is_python()).and_then(|f| f.patch);
    if last.is_some_and(|p| !p.hunks().is_empty()) {
        chars += 2;
    }
    let extension = |f: &File<'_>| {
        let path = &f.change.path;
        let dot = path.iter().rposition(|b| *b == b'.').map_or(0, |at| at + 1);
        path[dot..].to_vec()
    };
    let known = |f: &File<'_>| R2E_EXTENSIONS.contains(&extension(f).as_slice());
    let python = files.iter().all(known) && files.iter().any(|f| extension(f) == b"py");
    let hunks: usize = files.iter().filter_map(|f| f.patch).map(|p| p.hunks().len()).sum();
    let edited: usize = files.iter().filter(lines).map(|f| f.added + f.deleted).sum();
    features.r2e_non_test_files = Some(files.iter().filter(lines).count() as u64);
    features.r2e_hunks = Some(hunks as u64);
    features.r2e_non_test_lines = Some(edited as u64);
    features.r2e_patch_chars = Some(chars as u64);
    features.r2e_python = Some(u64::from(python));
    let text = std::str::from_utf8(&commit.patch).is_ok() && !files.iter().any(File::binary);
    features.r2e_readable = Some(u64::from(text));
}

const R2E_EXTENSIONS: &[&[u8]] = &[
    b"py",
    b"rst",
    b"yml",
    b"toml",
    b"sh",
    b"md",
    b"txt",
    b"test",
    b"gitignore",
    b"feature",
    b"removal",
    b"bugfix",
    b"cfg",
    b"misc",
    b"doc",
    b"dat",
    b"ini",
    b"Makefile",
    b"pip",
    b"treerc",
    b"xml",
    b"pylintrc",
    b"html",
    b"in",
    b"css",
];

/// Both versions of every changed Python file.
fn parse(files: &[File<'_>], modules: &mut Modules) -> std::io::Result<Vec<Option<FileEntities>>> {
    let is_file = |mode: u32| mode & 0o170000 == 0o100000;
    let mut wanted = Vec::new();
    for file in files.iter().filter(|f| f.is_python()) {
        let change = file.change;
        if is_file(change.old_mode) {
            wanted.push(change.old_oid.as_str());
        }
        if is_file(change.new_mode) {
            wanted.push(change.new_oid.as_str());
        }
    }
    let mut versions = modules.get(&wanted)?.into_iter();
    let mut side = |mode: u32, modules: &Modules| -> Rc<Version> {
        let version = if is_file(mode) { versions.next() } else { None };
        version.unwrap_or_else(|| modules.nothing())
    };
    let parsed = files.iter().map(|file| {
        let patch = file.is_python().then_some(file.patch?)?;
        let old = side(file.change.old_mode, modules);
        let new = side(file.change.new_mode, modules);
        Some(FileEntities::of(old, new, patch))
    });
    Ok(parsed.collect())
}

/// R2E-Gym's measures that need entities.
fn read_by_r2e(files: &[File<'_>], entities: &[Option<FileEntities>], features: &mut Features) {
    let both = || files.iter().zip(entities).filter_map(|(f, e)| Some((f, e.as_ref()?)));
    let any = |test: &dyn Fn(&Version) -> bool| {
        Some(both().filter(|(_, e)| test(&e.old) || test(&e.new)).count() as u64)
    };
    features.python2_files = any(&|v| v.module.is_python2());
    features.unreadable_files = any(&|v| !v.module.problems().is_empty());
    let strange = any(&|v| !v.utf8 || !v.module.is_python3()) != Some(0);
    let links = features.symlinks != Some(0)
        && files.iter().any(|f| {
            f.is_python() && (f.change.old_mode == 0o120000 || f.change.new_mode == 0o120000)
        });
    features.r2e_readable = features.r2e_readable.map(|r| r & u64::from(!strange && !links));

    // It asks git for a path with quotes and escapes in it, and gets nothing.
    let seen = || both().filter(|(f, _)| !is_quoted(&f.change.path));
    let count = |test: bool, fates: &[Fate]| {
        let files = seen().filter(|(f, _)| f.r2e_test == test);
        let named = files.flat_map(|(_, e)| e.touched.iter().map(move |t| (e, t)));
        let named = named.filter(|(e, t)| e.item(t).kind != EntityKind::Statement);
        Some(named.filter(|(_, t)| fates.contains(&t.fate)).count() as u64)
    };
    features.r2e_deleted_entities = count(false, &[Fate::Deleted]);
    features.r2e_added_entities = count(false, &[Fate::Added]);
    features.r2e_edited_entities = count(false, &[Fate::Added, Fate::Deleted, Fate::Modified]);
    features.r2e_test_entities = count(true, &[Fate::Added, Fate::Modified]);
    let statements = seen()
        .flat_map(|(_, e)| e.touched.iter().map(move |t| e.item(t)))
        .filter(|item| item.kind == EntityKind::Statement);
    features.r2e_statements = Some(statements.count() as u64);
    let nondoc = seen().any(|(f, e)| !f.r2e_test && e.changes_code());
    features.r2e_nondoc = Some(u64::from(nondoc));

    let tests: Vec<(&str, &[u8])> = seen()
        .filter(|(f, _)| f.r2e_test)
        .flat_map(|(_, e)| e.touched.iter().map(move |t| (e, t)))
        .filter(|(e, t)| t.fate != Fate::Deleted && e.item(t).kind != EntityKind::Statement)
        .map(|(e, t)| (e.item(t).name.as_str(), e.content(t)))
        .collect();
    let matched = tests.iter().any(|(name, _)| name.contains("issue"))
        || seen()
            .filter(|(f, _)| !f.r2e_test)
            .flat_map(|(_, e)| e.touched.iter().map(move |t| (e.item(t), t)))
            .filter(|(_, t)| t.fate == Fate::Modified)
            .filter(|(i, _)| !matches!(i.kind, EntityKind::Class | EntityKind::Statement))
            .any(|(item, _)| is_tested(last_part(&item.name), &tests));
    features.r2e_test_match = Some(u64::from(matched));
}

/// Whether a name occurs in the name of a test, or is called in its text.
fn is_tested(name: &str, tests: &[(&str, &[u8])]) -> bool {
    let call = format!("{name}(");
    let finder = memchr::memmem::Finder::new(call.as_bytes());
    tests.iter().any(|(test, text)| last_part(test).contains(name) || finder.find(text).is_some())
}

fn last_part(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// Whether git writes the path in quotes.
fn is_quoted(path: &[u8]) -> bool {
    path.iter().any(|b| matches!(b, 0..=0x1f | b'"' | b'\\' | 0x7f..))
}

fn add_changes(file: &File<'_>, found: &FileEntities, changes: &mut EntityChanges) {
    let path = display(&file.change.path);
    for touched in &found.touched {
        let list = match touched.fate {
            Fate::Added => &mut changes.added,
            Fate::Deleted => &mut changes.deleted,
            Fate::Modified => &mut changes.modified,
        };
        list.push(entity(found, touched, &path));
    }
}

fn entity(found: &FileEntities, touched: &Touched, path: &str) -> palestra_core::Entity {
    found.item(touched).entity(path)
}

fn candidate(
    walked: &Walked,
    commit: &CommitChanges,
    files: &[File<'_>],
    rule: TestRule,
    source_entities: EntityChanges,
    test_entities: EntityChanges,
) -> Candidate {
    let (subject, body) = commit.message.split_once('\n').unwrap_or((&commit.message, ""));
    let files = files.iter().map(|f| FileChange {
        path: display(&f.change.path),
        old_path: f.change.old_path.as_deref().map(display),
        kind: f.change.kind,
        test: if rule == TestRule::R2e { f.r2e_test } else { f.test },
        binary: f.binary(),
        added: f.added,
        deleted: f.deleted,
    });
    Candidate {
        commit: walked.commit.clone(),
        base: walked.parent.clone(),
        parents: walked.parents,
        date: commit.date.clone(),
        timestamp: walked.timestamp,
        subject: subject.trim_end().to_owned(),
        body: body.trim().to_owned(),
        files: files.collect(),
        source_entities,
        test_entities,
    }
}

/// The path as text; bytes that are not UTF-8 as `\xNN`.
fn display(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02X}"));
        }
    }
    text
}
