//! Features of a patch.

use palestra_core::ChangeKind;
use palestra_diff::{FilePatch, Side};
use palestra_syntax::{Parser, is_source_code_path, is_test_path};

use super::Features;

/// What can be counted in a patch.
pub fn of_patch(patch: &[u8]) -> Features {
    let (parsed, _) = palestra_diff::parse(patch);
    let files = &parsed.files;
    let mut features = Features::default();
    let count = |is: &dyn Fn(&FilePatch<'_>) -> bool| files.iter().filter(|f| is(f)).count() as f64;
    let source =
        |file: &FilePatch<'_>| is_source_code_path(file.path()) && !is_test_path(file.path());
    let (mut added, mut removed, mut source_lines) = (0, 0, 0);
    let (mut plain, mut of) = (0, 0);
    for file in files {
        let (a, r) = file.stat();
        added += a;
        removed += r;
        if source(file) {
            source_lines += a + r;
            let lines = file.hunks().iter().flat_map(|hunk| &hunk.lines);
            for line in lines.filter(|line| line.side == Side::Added) {
                let text = line.text.trim_ascii();
                of += 1;
                plain += usize::from(text.is_empty() || text.starts_with(b"#"));
            }
        }
    }
    let new = |file: &FilePatch<'_>| file.kind == ChangeKind::Added;
    features.set("patch_bytes", patch.len() as f64);
    features.set("patch_empty", f64::from(u8::from(files.is_empty())));
    features.set("patch_files", files.len() as f64);
    features.set("patch_hunks", files.iter().map(|f| f.hunks().len()).sum::<usize>() as f64);
    features.set("lines_added", added as f64);
    features.set("lines_removed", removed as f64);
    features.set("source_files", count(&source));
    features.set("source_lines", source_lines as f64);
    features.set("test_files", count(&|file| is_test_path(file.path())));
    features.set("new_files", count(&new));
    features.set("stray_files", count(&|file| new(file) && !file.path().contains(&b'/')));
    features.set("deleted_files", count(&|file| file.kind == ChangeKind::Deleted));
    if of > 0 {
        features.set("comment_share", plain as f64 / of as f64);
    }
    features
}

/// The feature `patch_valid` from the changed Python files as they are with the patch: 1 if Python 2
/// or 3 can read all of them, 0 if not; not a number without files, which is to say unknown.
pub fn valid<'a>(sources: impl IntoIterator<Item = &'a [u8]>) -> f64 {
    let mut parser = Parser::new();
    let mut files = sources.into_iter().map(|source| parser.parse(source).problems().is_empty());
    match files.next() {
        None => f64::NAN,
        Some(first) => f64::from(u8::from(first && files.all(|valid| valid))),
    }
}
