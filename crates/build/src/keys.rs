//! What installing a project reads, so that commits between which none of it changed share the
//! result.

use std::collections::BTreeSet;
use std::io;

use palestra_core::Hash;
use palestra_git::TreeEntry;

use crate::manifest::Manifest;
use crate::tree::Blobs;

/// Extensions of files that are compiled, or that say how.
const COMPILED: &[&str] = &[
    "c", "cc", "cpp", "cxx", "h", "hh", "hpp", "hxx", "pyx", "pxd", "pxi", "rs", "f", "f90", "s",
    "S", "i", "cmake", "asm",
];

/// Build files, wherever they stand.
const BUILD_FILES: &[&str] = &[
    "setup.py",
    "setup.cfg",
    "pyproject.toml",
    "Cargo.toml",
    "Cargo.lock",
    "CMakeLists.txt",
    "meson.build",
    "meson_options.txt",
    "MANIFEST.in",
    "Makefile.in",
    "configure",
    "VERSION",
];

/// Modules that hold a version by convention.
const VERSION_FILES: &[&str] =
    &["_version.py", "version.py", "__version__.py", "__about__.py", "versioneer.py", "release.py"];

/// Whether a change of this path can change what installing the project gives. A patch that
/// touches such a path needs the install step to be run again.
pub fn affects_install(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let depth = path.matches('/').count();
    let in_tests = path.split('/').any(|p| matches!(p, "test" | "tests" | "testing"));
    (COMPILED.contains(&extension) && !in_tests)
        || (BUILD_FILES.contains(&name) && depth <= 2 && !in_tests)
        || (VERSION_FILES.contains(&name) && depth <= 2 && !in_tests)
}

/// Whether the text of a path goes into descriptions and nothing else.
fn is_prose(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    let prose = [
        "readme",
        "change",
        "news",
        "history",
        "license",
        "licence",
        "copying",
        "authors",
        "contribut",
        "notice",
        "release_notes",
        "releases",
    ];
    let code = name.ends_with(".py") || name.ends_with(".toml") || name.ends_with(".cfg");
    prose.iter().any(|p| name.starts_with(p)) && !code
}

/// The hash over everything in the tree that installing the project reads. Prose counts by its
/// presence only.
pub(crate) fn install_key(
    entries: &[TreeEntry],
    manifest: &Manifest,
    blobs: &Blobs,
    version: Option<&str>,
) -> io::Result<Hash> {
    let mut read: BTreeSet<String> = manifest.reads_files.clone();
    for name in modules(manifest) {
        let path = name.replace('.', "/");
        for root in ["", "src/", "lib/"] {
            read.insert(format!("{root}{path}.py"));
            read.insert(format!("{root}{path}/__init__.py"));
        }
    }
    let mut parts: Vec<String> = Vec::new();
    let mut packages = BTreeSet::new();
    for entry in entries {
        let Ok(path) = std::str::from_utf8(&entry.path) else { continue };
        if let Some(package) = path.strip_suffix("/__init__.py") {
            let inner = package.strip_prefix("src/").unwrap_or(package);
            if !inner.contains('/') {
                packages.insert(package.to_owned());
            }
        } else if path.ends_with(".py") && !path.contains('/') {
            packages.insert(path.to_owned());
        }
        let read = read.contains(path);
        if is_prose(path) {
            if read {
                parts.push(path.to_owned());
            }
        } else if read || affects_install(path) {
            parts.push(format!("{path} {}", content(entry, path, blobs)?));
        }
    }
    parts.push(format!("packages {packages:?}"));
    parts.push(format!("version {version:?}"));
    Ok(Hash::of_parts(parts))
}

/// What identifies the content of a file. Of a package's own module only the lines that can
/// carry a version or an import matter, since such files change for many other reasons.
fn content(entry: &TreeEntry, path: &str, blobs: &Blobs) -> io::Result<String> {
    if !path.ends_with("__init__.py") {
        return Ok(entry.oid.clone());
    }
    let text = blobs.read(&entry.oid)?;
    let text = String::from_utf8_lossy(&text);
    let matters = |line: &&str| {
        let start = line.trim_start();
        line.starts_with("__")
            || ["import ", "from ", "VERSION", "version", "\"\"\""]
                .iter()
                .any(|p| start.starts_with(p))
    };
    Ok(Hash::of_parts(text.lines().filter(matters)).short().to_owned())
}

/// Modules that the build asks for a version: those that `setup.py` imports, and those that
/// `attr: package.__version__` or a backend's convention names.
fn modules(manifest: &Manifest) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = manifest.imports.clone();
    for text in &manifest.reads_files {
        let dotted = text.contains('.') && !text.contains('/');
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        if dotted
            && text.chars().all(is_name)
            && let Some((module, _)) = text.rsplit_once('.')
        {
            names.insert(module.to_owned());
            names.extend(module.split_once('.').map(|(top, _)| top.to_owned()));
        }
    }
    let backend = manifest.backend.as_deref().unwrap_or_default();
    if backend.starts_with("flit") {
        names.extend(manifest.name.as_deref().map(|n| n.replace('-', "_")));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_rebuild_follows_from() {
        for path in ["setup.py", "x/_speed.c", "src/x/fast.pyx", "x/_version.py", "rust/Cargo.toml"]
        {
            assert!(affects_install(path), "{path}");
        }
        for path in ["x/core.py", "tests/data/a.c", "docs/conf.py", "README.rst", "x/__init__.py"] {
            assert!(!affects_install(path), "{path}");
        }
        assert!(is_prose("README.rst") && is_prose("docs/CHANGES.txt") && !is_prose("news.py"));
    }
}
