//! From a path or a URL to a private repository that shares its objects.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use fs_err as fs;
use palestra_core::{CommitId, Hash, disk};

use crate::command;
use crate::error::GitError;
use crate::refs::{self, Layout};
use crate::repo::Repo;

impl Repo {
    /// Opens `source`: a work tree, a `.git` directory, a bare repository, or a URL.
    ///
    /// `workdir` (made if missing) receives a small private repository per source, which holds
    /// copies of the refs and shares the source's objects; a URL is downloaded there first, or
    /// updated if it was downloaded before. A download that is cut off leaves nothing behind.
    /// Nothing is ever written into a source, and none of its configuration is obeyed.
    pub fn open(source: &str, workdir: &Path) -> Result<Self, GitError> {
        fs::create_dir_all(workdir)?;
        let workdir = &fs::canonicalize(workdir)?;
        if !is_url(source) {
            return open_path(Path::new(source), workdir, None);
        }
        let name = name_from_url(source);
        let clone = workdir.join(format!("{}.clone.git", slug(&name, source)));
        download(source, &clone)?;
        open_path(&clone, workdir, Some(name))
    }
}

fn open_path(path: &Path, workdir: &Path, name: Option<String>) -> Result<Repo, GitError> {
    let layout = refs::locate(path)?;
    let cut = refs::shallow_commits(&layout);
    if cut > 0 {
        return Err(GitError::Shallow { path: path.to_owned(), cut });
    }
    let config = layout.common_dir.join("config");
    let unsupported = |what| GitError::Unsupported { path: path.to_owned(), what };
    if layout.common_dir.join("reftable").is_dir() {
        return Err(unsupported("keeps its refs in a reftable"));
    }
    if setting(&config, "extensions.partialclone")?.is_some() {
        return Err(unsupported("is a partial clone, whose objects are missing"));
    }
    let sha256 = setting(&config, "extensions.objectformat")?.as_deref() == Some("sha256");
    let all = refs::read_all(&layout)?;
    let empty = || GitError::Empty { path: path.to_owned() };
    let head = refs::head(&layout, &all)?.ok_or_else(empty)?;
    let name = match name {
        Some(name) => name,
        None => match setting(&config, "remote.origin.url")? {
            Some(url) if !url.is_empty() => name_from_url(&url),
            _ => name_from_directory(&layout),
        },
    };
    let objects = fs::canonicalize(layout.common_dir.join("objects"))?;
    let key = slug(&name, &objects.to_string_lossy());
    let git_dir = workdir.join(format!("{key}.git"));
    make_private(&git_dir, &objects, &head, &all, sha256)?;
    let repo = Repo {
        git_dir,
        objects,
        name,
        head: CommitId::new(head.clone())
            .map_err(|e| GitError::malformed("HEAD", e.to_string()))?,
    };
    // `HEAD` may name a tag object, or a commit whose objects are gone.
    let head = repo.resolve(&head).map_err(|error| match error {
        GitError::UnknownRevision { .. } => empty(),
        other => other,
    })?;
    Ok(Repo { head, ..repo })
}

/// Writes, or brings up to date, the repository that our processes work in.
fn make_private(
    git_dir: &Path,
    objects: &Path,
    head: &str,
    all: &BTreeMap<String, String>,
    sha256: bool,
) -> Result<(), GitError> {
    let config = if sha256 {
        "[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectformat = sha256\n"
    } else {
        "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"
    };
    let mut packed = String::new();
    for (name, id) in all {
        let _ = writeln!(packed, "{id} {name}");
    }
    let link = alternate_line(objects)?;
    for dir in ["refs/heads", "objects/info", "objects/pack"] {
        fs::create_dir_all(git_dir.join(dir))?;
    }
    let files: [(&str, &[u8]); 4] = [
        ("config", config.as_bytes()),
        ("objects/info/alternates", &link),
        ("packed-refs", packed.as_bytes()),
        ("HEAD", head.as_bytes()),
    ];
    for (file, bytes) in files {
        let path = git_dir.join(file);
        let mut bytes = bytes.to_vec();
        if file == "HEAD" {
            bytes.push(b'\n');
        }
        // An unchanged file is left alone: another process may be reading it.
        if !fs::read(&path).is_ok_and(|old| old == bytes) {
            disk::write_atomic(&path, &bytes)?;
        }
    }
    Ok(())
}

/// A line of `objects/info/alternates`: quoted if it starts with a quote, never with a newline.
fn alternate_line(objects: &Path) -> Result<Vec<u8>, GitError> {
    use std::os::unix::ffi::OsStrExt;
    let bytes = objects.as_os_str().as_bytes();
    if bytes.contains(&b'\n') {
        return Err(GitError::Unsupported {
            path: objects.to_owned(),
            what: "has a line break in its path",
        });
    }
    Ok([bytes, b"\n"].concat())
}

/// Clones `url` to `clone`, or updates the clone that is already there.
fn download(url: &str, clone: &Path) -> Result<(), GitError> {
    let failed = |error| match error {
        GitError::Command { message, .. } => {
            GitError::Download { url: without_credentials(url), message }
        }
        other => other,
    };
    let network = |mut git: std::process::Command| {
        git.env("GIT_ALLOW_PROTOCOL", "https:http:ssh:git:file")
            .env("GIT_SSH_COMMAND", "ssh -oBatchMode=yes");
        git
    };
    if clone.join("HEAD").is_file() {
        let mut git = network(command::on(clone));
        git.args(["fetch", "--quiet", "--prune", "--no-auto-maintenance", "--no-write-fetch-head"]);
        git.args(["--end-of-options", url]);
        git.args(["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]);
        return command::output(&mut git).map(drop).map_err(failed);
    }
    // Pull requests and notes of a forge are not history: only branches and tags are fetched.
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let partial = clone.with_extension(format!("partial-{}-{serial}", std::process::id()));
    let mut git = network(command::bare());
    git.args(["clone", "--quiet", "--bare", "--template=", "--end-of-options", url]).arg(&partial);
    let made = command::output(&mut git).map_err(failed).and_then(|_| {
        match fs::rename(&partial, clone) {
            // Somebody else was faster: theirs is as good.
            Err(_) if clone.join("HEAD").is_file() => Ok(()),
            other => other.map_err(GitError::from),
        }
    });
    let _ = fs::remove_dir_all(&partial);
    made
}

/// A value of a configuration file, read as a file: no includes, nothing obeyed.
fn setting(config: &Path, key: &str) -> Result<Option<String>, GitError> {
    // Most keys are absent; a look at the text saves a process.
    let text = fs::read(config).unwrap_or_default();
    let last = key.rsplit('.').next().unwrap_or(key);
    if !String::from_utf8_lossy(&text).to_ascii_lowercase().contains(last) {
        return Ok(None);
    }
    let mut git = command::bare();
    git.args(["config", "--no-includes", "--file"]).arg(config).args(["--get", key]);
    match command::output(&mut git) {
        Ok(out) => Ok(Some(String::from_utf8_lossy(&out).trim().to_owned())),
        Err(GitError::Command { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `scheme://...`, or `user@host:path` and `host:path` as ssh takes them.
fn is_url(source: &str) -> bool {
    if source.contains("://") {
        return true;
    }
    let scp = source
        .split_once(':')
        .is_some_and(|(host, path)| !host.is_empty() && !host.contains('/') && !path.is_empty());
    scp && !Path::new(source).exists()
}

/// The last two parts of an address.
fn name_from_url(url: &str) -> String {
    let path = match url.split_once("://") {
        Some((scheme, rest)) if scheme != "file" => {
            rest.split_once('/').map_or(rest, |(_, path)| path)
        }
        Some((_, rest)) => rest.rsplit('/').find(|p| !p.is_empty()).unwrap_or(rest),
        None => match url.split_once(':') {
            Some((host, path)) if !host.contains('/') => path,
            _ => url.rsplit('/').find(|p| !p.is_empty()).unwrap_or(url),
        },
    };
    let path = path.split(['?', '#']).next().unwrap_or(path);
    let path = path.trim_end_matches('/').trim_end_matches(".git").trim_end_matches('/');
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
    match parts.as_slice() {
        [] => "repository".to_owned(),
        [.., owner, name] => format!("{owner}/{name}"),
        [name] => (*name).to_owned(),
    }
}

fn name_from_directory(layout: &Layout) -> String {
    let dir = &layout.common_dir;
    let is_inner = dir.file_name().is_some_and(|n| n == ".git");
    let named = if is_inner { dir.parent().unwrap_or(dir) } else { dir };
    let name = named.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let name = name.trim_end_matches(".git");
    if name.is_empty() { "repository".to_owned() } else { name.to_owned() }
}

/// A directory name that tells people the repository and machines the address.
fn slug(name: &str, address: &str) -> String {
    let readable: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "_-".contains(c) { c } else { '_' })
        .take(60)
        .collect();
    format!("{readable}-{}", Hash::of(address.as_bytes()).short())
}

/// The address without `user:password@`.
fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = host.rsplit('@').next().unwrap_or(host);
    format!("{scheme}://{host}/{path}")
}
