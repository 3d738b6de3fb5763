//! Numbers about a commit that filters can bound.

use serde::{Deserialize, Serialize};

macro_rules! features {
    ($($(#[doc = $doc:expr])* $name:ident,)*) => {
        /// Numbers about a commit. A yes is 1 and a no is 0; `None` means that the commit was
        /// too large to look into.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Features {
            $($(#[doc = $doc])* pub $name: Option<u64>,)*
        }

        impl Features {
            /// The names of all features.
            pub const NAMES: &[&str] = &[$(stringify!($name)),*];

            /// The feature called `name`; the outer `None` if there is no such feature.
            pub fn get(&self, name: &str) -> Option<Option<u64>> {
                match name {
                    $(stringify!($name) => Some(self.$name),)*
                    _ => None,
                }
            }
        }
    };
}

features! {
    /// Parents of the commit.
    parents,
    /// Changed paths.
    files,
    /// Paths that are renamed.
    renames,
    /// Changed paths that are tests and exist after the commit.
    test_files,
    /// Of these, Python files.
    python_test_files,
    /// Changed paths that are code and no tests.
    source_files,
    /// Lines added and deleted.
    lines,
    /// Of these, in code that is no test.
    source_lines,
    /// Changed paths whose content is binary.
    binary_files,
    /// Changed submodules.
    submodules,
    /// Changed symbolic links.
    symlinks,
    /// Changed paths that are pointers of Git LFS.
    lfs_pointers,
    /// Whether the patch exceeds 16 MiB; what follows from its text is then unknown.
    patch_cut,
    /// Changed Python files that only Python 2 reads, on either side.
    python2_files,
    /// Changed Python files with syntax errors, on either side.
    unreadable_files,
    /// Touched functions, classes, methods and imports outside the tests.
    source_entities,
    /// Touched functions, classes, methods and imports of the tests.
    test_entities,
    /// Whether R2E-Gym could read the commit: UTF-8 throughout, and Python 3 on both sides.
    r2e_readable,
    /// R2E-Gym: changed files that are no tests.
    r2e_non_test_files,
    /// R2E-Gym: hunks.
    r2e_hunks,
    /// R2E-Gym: lines added and deleted outside the tests.
    r2e_non_test_lines,
    /// R2E-Gym: characters of the patch of the Python files.
    r2e_patch_chars,
    /// R2E-Gym: whether some file is Python and the others are of a few known types.
    r2e_python,
    /// R2E-Gym: whether code outside the tests changes, and not only its comments.
    r2e_nondoc,
    /// R2E-Gym: entities outside the tests that go; statements do not count.
    r2e_deleted_entities,
    /// R2E-Gym: entities outside the tests that come.
    r2e_added_entities,
    /// R2E-Gym: entities outside the tests that come, go or change.
    r2e_edited_entities,
    /// R2E-Gym: touched statements and import-from lines, in tests and outside.
    r2e_statements,
    /// R2E-Gym: entities of the tests that come or change.
    r2e_test_entities,
    /// R2E-Gym: whether a changed entity occurs in a touched test by name.
    r2e_test_match,
}
