//! A git patch into changes of a sandbox's files. Strict: all of it applies, or none.

use palestra_core::ChangeKind;
use palestra_diff::{ApplyError, Problem, apply_all, parse};
use palestra_sandbox::FileOp;

use crate::paths::bytes_in_testbed;
use crate::run::file_op;

const SYMLINK: u32 = 0o120000;
const DIRECTORY: u32 = 0o040000;

/// What stands at a path of the base tree: git's mode, and the content.
pub type BaseFile = (u32, Vec<u8>);

/// Why a patch is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// There is text, and no patch in it.
    #[error("the text is not a git patch{}", .0.as_ref().map_or(String::new(), |p| format!(": line {}: {}", p.line, p.what)))]
    Unreadable(Option<Problem>),
    /// It does not fit the base tree.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// A path that leads out of the repository, or into git's own files.
    #[error("the patch writes to {path:?}, which {why}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it, as a verb phrase.
        why: &'static str,
    },
    /// A file below a symlink would be written somewhere else.
    #[error("the patch writes to {path:?}, but {link:?} is a symlink")]
    BeyondSymlink {
        /// The path.
        path: String,
        /// The symlink on the way.
        link: String,
    },
    /// Something that is neither a file nor a symlink, such as a submodule.
    #[error("the patch gives {path:?} the mode {mode:o}; expected 100644, 100755 or 120000")]
    Mode {
        /// The path.
        path: String,
        /// The mode.
        mode: u32,
    },
}

/// The changes that `patch` makes to the tree that `base` gives access to: mode and content of a
/// path, where there is something. Deletions come first.
pub fn to_ops(
    patch: &[u8],
    base: &dyn Fn(&str) -> Option<BaseFile>,
) -> Result<Vec<FileOp>, PatchError> {
    let (parsed, problems) = parse(patch);
    if parsed.files.is_empty() && !patch.trim_ascii().is_empty() {
        return Err(PatchError::Unreadable(problems.into_iter().next()));
    }
    let look = |path: &[u8]| std::str::from_utf8(path).ok().and_then(base);
    let written = apply_all(&parsed, |path| look(path).map(|(_, content)| content))?;
    // What will be a symlink, or will no longer be one.
    let mode_after = |path: &[u8]| {
        let by_patch = written.iter().find(|w| w.path == path);
        match by_patch {
            Some(w) if w.content.is_none() => None,
            Some(w) if w.mode.is_some() => w.mode,
            // Without a mode in the patch, a file keeps the one it had, under its old name.
            Some(_) => {
                let renamed = parsed.files.iter().find(|f| {
                    f.new_path == path && matches!(f.kind, ChangeKind::Renamed | ChangeKind::Copied)
                });
                look(renamed.map_or(path, |f| &f.old_path)).map(|(mode, _)| mode)
            }
            None => look(path).map(|(mode, _)| mode),
        }
    };
    let (mut removals, mut writes) = (Vec::new(), Vec::new());
    for file in &written {
        let name = || String::from_utf8_lossy(&file.path).into_owned();
        let path =
            bytes_in_testbed(&file.path).map_err(|why| PatchError::Path { path: name(), why })?;
        let Some(content) = &file.content else {
            removals.push(FileOp::Remove { path });
            continue;
        };
        let slashes = file.path.iter().enumerate().filter(|(_, b)| **b == b'/');
        for (end, _) in slashes {
            let parent = &file.path[..end];
            if mode_after(parent).is_some_and(|mode| mode == SYMLINK) {
                let link = String::from_utf8_lossy(parent).into_owned();
                return Err(PatchError::BeyondSymlink { path: name(), link });
            }
        }
        let mode = mode_after(&file.path).filter(|mode| *mode != DIRECTORY).unwrap_or(0o100644);
        let op = file_op(path, mode, content.clone());
        writes.push(op.ok_or_else(|| PatchError::Mode { path: name(), mode })?);
    }
    removals.append(&mut writes);
    Ok(removals)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn base(path: &str) -> Option<BaseFile> {
        match path {
            "a.py" => Some((0o100644, b"one\ntwo\n".to_vec())),
            "run.sh" => Some((0o100755, b"#!/bin/sh\n".to_vec())),
            "link" => Some((SYMLINK, b"/opt/env".to_vec())),
            _ => None,
        }
    }

    const CHANGE: &str = "\
diff --git a/a.py b/a.py
--- a/a.py
+++ b/a.py
@@ -1,2 +1,2 @@
 one
-two
+three
";

    #[test]
    fn a_change_and_a_renamed_program() {
        let rename = "\
diff --git a/run.sh b/bin/run
similarity index 100%
rename from run.sh
rename to bin/run
";
        let patch = format!("{CHANGE}{rename}");
        let path = |p: &str| PathBuf::from("/testbed").join(p);
        let want = vec![
            FileOp::Remove { path: path("run.sh") },
            FileOp::Write { path: path("a.py"), mode: 0o644, bytes: b"one\nthree\n".to_vec() },
            FileOp::Write { path: path("bin/run"), mode: 0o755, bytes: b"#!/bin/sh\n".to_vec() },
        ];
        assert_eq!(to_ops(patch.as_bytes(), &base), Ok(want));
        assert_eq!(to_ops(b"\n", &base), Ok(vec![]));
    }

    fn new_file(path: &str, mode: &str) -> String {
        format!(
            "diff --git a/{path} b/{path}\nnew file mode {mode}\nindex 0000000..1\n--- /dev/null\n\
             +++ b/{path}\n@@ -0,0 +1 @@\n+x\n"
        )
    }

    #[test]
    fn what_does_not_belong_is_refused() {
        let check = |patch: &str| to_ops(patch.as_bytes(), &base).unwrap_err();
        assert!(matches!(check("hello\n"), PatchError::Unreadable(_)));
        assert!(matches!(
            check(&CHANGE.replace("-two", "-2")),
            PatchError::Apply(ApplyError::Mismatch { .. })
        ));
        for path in ["../x", ".git/hooks/post-checkout", "a/../../x"] {
            let error = check(&new_file(path, "100644"));
            assert!(
                matches!(
                    error,
                    PatchError::Path { .. } | PatchError::Apply(ApplyError::Path { .. })
                ),
                "{path}: {error}"
            );
        }
        let error = check(&new_file("link/lib/x.py", "100644"));
        assert!(matches!(error, PatchError::BeyondSymlink { link, .. } if link == "link"));
        // The symlink may come from the same patch.
        let both = new_file("d", "120000") + &new_file("d/x.py", "100644");
        assert!(matches!(check(&both), PatchError::BeyondSymlink { .. }));
        assert!(matches!(check(&new_file("m", "160000")), PatchError::Mode { .. }));
    }
}
