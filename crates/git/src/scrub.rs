//! Repositories for agents: one commit, the base tree, and nothing that could reveal the fix.

use std::collections::HashSet;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use fs_err as fs;
use palestra_core::task::LeakCertificate;
use palestra_core::{CommitId, disk};

use crate::blob::BlobReader;
use crate::command;
use crate::error::GitError;
use crate::pack::{Kind, ObjectFormat, PackWriter, bundle_header, hex};
use crate::refs::is_object_name;
use crate::repo::Repo;

/// A bundle that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentRepository {
    /// Its only commit, the tip of `main`. The same for every repository with this tree.
    pub commit: CommitId,
    /// The tree of the commit, equal to the base commit's.
    pub tree: String,
    /// Objects in the bundle: the commit, its trees and its blobs.
    pub objects: usize,
    /// Size of the bundle, bytes.
    pub bytes: u64,
}

/// Who made the commit, and when; fixed, so that equal trees give equal commits.
const IDENTITY: &str = "palestra <palestra@localhost> 946684800 +0000";

/// Writes a git bundle with a single commit on branch `main` whose tree is the tree of `base`.
///
/// The same tree gives the same bytes, whatever repository it came from. Submodules stay as
/// entries of their tree; their content is not included. Every object is hashed on the way, so
/// a damaged or forged repository is an error and not a wrong bundle.
pub fn agent_repository(
    repo: &Repo,
    base: &CommitId,
    dest_bundle: &Path,
) -> Result<AgentRepository, GitError> {
    let format = ObjectFormat::of(base.as_str());
    let mut reader = repo.blobs()?;
    let tree = root_tree(&mut reader, base)?;
    let commit =
        format!("tree {tree}\nauthor {IDENTITY}\ncommitter {IDENTITY}\n\nbase\n").into_bytes();
    let commit_name = format.name(Kind::Commit, &commit);

    let mut pack = PackWriter::new(format);
    pack.add(Kind::Commit, &commit)?;
    let mut seen = HashSet::from([tree.clone()]);
    let mut blobs = Vec::new();
    let mut level = vec![tree.clone()];
    while !level.is_empty() {
        let mut below = Vec::new();
        for (oid, content) in read_checked(&mut reader, format, Kind::Tree, &level)? {
            pack.add(Kind::Tree, &content)?;
            for (mode, child) in tree_children(&content, format)
                .ok_or_else(|| GitError::malformed("a tree", oid.clone()))?
            {
                if mode == 0o160000 || !seen.insert(child.clone()) {
                    continue;
                }
                if mode == 0o40000 { below.push(child) } else { blobs.push(child) }
            }
        }
        level = below;
    }
    for group in blobs.chunks(64) {
        for (_, content) in read_checked(&mut reader, format, Kind::Blob, group)? {
            pack.add(Kind::Blob, &content)?;
        }
    }
    let objects = pack.count();
    let mut bundle = bundle_header(format, &commit_name).into_bytes();
    bundle.extend(pack.finish());
    disk::write_atomic(dest_bundle, &bundle)?;
    let commit = CommitId::new(commit_name)
        .map_err(|e| GitError::malformed("our own commit", e.to_string()))?;
    Ok(AgentRepository { commit, tree, objects, bytes: bundle.len() as u64 })
}

/// The blobs and trees of `fix` that the tree of `base` does not hold, and the commit `fix`
/// itself: what an agent must never be able to read.
pub fn forbidden_objects(
    repo: &Repo,
    base: &CommitId,
    fix: &CommitId,
) -> Result<HashSet<String>, GitError> {
    let known = repo.tree_objects(base)?;
    let mut forbidden: HashSet<String> = repo.tree_objects(fix)?.into_iter().collect();
    forbidden.retain(|object| !known.contains(object));
    forbidden.insert(fix.as_str().to_owned());
    Ok(forbidden)
}

/// Looks into a bundle: unpacks it beside itself into a repository of its own and lists every
/// object of the pack, reachable or not. A bundle that needs objects from elsewhere, holds a
/// tag object, or holds more or fewer objects than its pack announces is an error.
pub fn scan(bundle: &Path, forbidden: &HashSet<String>) -> Result<LeakCertificate, GitError> {
    let what = || bundle.display().to_string();
    let (start, format) = read_header(bundle)?;
    let mut file = fs::File::open(bundle)?;
    file.seek(SeekFrom::Start(start as u64))?;
    let mut announced = [0; 12];
    file.read_exact(&mut announced)?;
    let announced = u32::from_be_bytes([announced[8], announced[9], announced[10], announced[11]]);
    file.seek(SeekFrom::Start(start as u64))?;

    let beside = bundle.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let work = tempfile::Builder::new().prefix(".scan-").tempdir_in(beside)?;
    let git_dir = fs::canonicalize(work.path())?;
    for dir in ["objects/pack", "refs"] {
        fs::create_dir_all(git_dir.join(dir))?;
    }
    fs::write(git_dir.join("HEAD"), "ref: refs/heads/main\n")?;
    let config = match format {
        ObjectFormat::Sha1 => "[core]\n\trepositoryformatversion = 0\n\tbare = true\n",
        ObjectFormat::Sha256 => {
            "[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectformat = sha256\n"
        }
    };
    fs::write(git_dir.join("config"), config)?;
    let mut index = command::on(&git_dir);
    index.args(["index-pack", "--stdin", "--threads=1"]).stdin(std::fs::File::from(file));
    command::output(&mut index)?;
    let mut list = command::on(&git_dir);
    list.args(["cat-file", "--batch-all-objects", "--unordered", "--buffer"]);
    list.arg("--batch-check=%(objectname) %(objecttype)");
    let listing = command::output(&mut list)?;

    let mut certificate = LeakCertificate { forbidden: forbidden.len(), ..Default::default() };
    for line in String::from_utf8_lossy(&listing).lines() {
        let (name, kind) = line
            .split_once(' ')
            .ok_or_else(|| GitError::malformed("git cat-file --batch-all-objects", line))?;
        certificate.objects += 1;
        certificate.found += usize::from(forbidden.contains(name));
        match kind {
            "commit" => certificate.commits += 1,
            "tag" => return Err(GitError::malformed(what(), "it holds a tag object")),
            _ => {}
        }
    }
    if certificate.objects != announced as usize {
        let detail =
            format!("{} objects were listed of {announced} announced", certificate.objects);
        return Err(GitError::malformed(what(), detail));
    }
    Ok(certificate)
}

/// Where the pack starts in a bundle that needs nothing from elsewhere.
pub(crate) fn read_header(bundle: &Path) -> Result<(usize, ObjectFormat), GitError> {
    let bad = |detail: &str| GitError::malformed(bundle.display().to_string(), detail);
    let mut head = Vec::new();
    fs::File::open(bundle)?.take(64 << 10).read_to_end(&mut head)?;
    let end = memchr::memmem::find(&head, b"\n\n").ok_or_else(|| bad("it has no header"))?;
    let text = std::str::from_utf8(&head[..end]).map_err(|_| bad("its header is not text"))?;
    let mut format = ObjectFormat::Sha1;
    let mut lines = text.lines();
    match lines.next() {
        Some("# v2 git bundle" | "# v3 git bundle") => {}
        _ => return Err(bad("it is not a git bundle")),
    }
    for line in lines {
        if line == "@object-format=sha256" {
            format = ObjectFormat::Sha256;
        } else if line.starts_with('-') {
            return Err(bad("it needs commits that it does not hold"));
        } else if !line.split_once(' ').is_some_and(|(id, _)| is_object_name(id)) {
            return Err(bad("its header has a line that is neither a ref nor known"));
        }
    }
    Ok((end + 2, format))
}

/// The tree of a commit.
fn root_tree(reader: &mut BlobReader, commit: &CommitId) -> Result<String, GitError> {
    let content = reader.read_object(commit.as_str(), "commit")?;
    let bad = || GitError::malformed("a commit", commit.to_string());
    let line = content.split(|b| *b == b'\n').next().and_then(|l| std::str::from_utf8(l).ok());
    let tree = line.and_then(|l| l.strip_prefix("tree ")).filter(|t| is_object_name(t));
    Ok(tree.ok_or_else(bad)?.to_owned())
}

/// Objects whose content hashes to their name.
fn read_checked(
    reader: &mut BlobReader,
    format: ObjectFormat,
    kind: Kind,
    oids: &[String],
) -> Result<Vec<(String, Vec<u8>)>, GitError> {
    let word = if kind == Kind::Tree { "tree" } else { "blob" };
    let contents = reader.read_objects(oids, word)?;
    let mut checked = Vec::with_capacity(oids.len());
    for (oid, content) in oids.iter().zip(contents) {
        let content = content?;
        if format.name(kind, &content) != *oid {
            return Err(GitError::malformed(format!("the {word} {oid}"), "its hash is another"));
        }
        checked.push((oid.clone(), content));
    }
    Ok(checked)
}

/// Mode and name of each entry of a tree object: `MODE PATH\0` and the raw name, repeated.
fn tree_children(content: &[u8], format: ObjectFormat) -> Option<Vec<(u32, String)>> {
    let mut children = Vec::new();
    let mut rest = content;
    while !rest.is_empty() {
        let space = memchr::memchr(b' ', rest)?;
        let mode = u32::from_str_radix(std::str::from_utf8(&rest[..space]).ok()?, 8).ok()?;
        let nul = memchr::memchr(0, rest)?;
        let raw = rest.get(nul + 1..nul + 1 + format.raw_len())?;
        children.push((mode, hex(raw)));
        rest = &rest[nul + 1 + format.raw_len()..];
    }
    Some(children)
}
