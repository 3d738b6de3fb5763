//! A repository from a bundle, such as the one a task carries.

use std::path::Path;

use fs_err as fs;
use palestra_core::CommitId;

use crate::command;
use crate::error::GitError;
use crate::pack::ObjectFormat;
use crate::repo::Repo;
use crate::scrub::read_header;

impl Repo {
    /// Unpacks `bundle` into a bare repository below `workdir` (made if missing). Its `HEAD` is
    /// the first branch that the bundle names. Git checks every object on the way.
    pub fn from_bundle(bundle: &Path, workdir: &Path) -> Result<Self, GitError> {
        let (_, format) = read_header(bundle)?;
        let git_dir = workdir.join("bundle.git");
        for dir in ["objects/info", "objects/pack", "refs/heads"] {
            fs::create_dir_all(git_dir.join(dir))?;
        }
        let config = match format {
            ObjectFormat::Sha1 => "[core]\n\trepositoryformatversion = 0\n\tbare = true\n",
            ObjectFormat::Sha256 => {
                "[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectformat = sha256\n"
            }
        };
        fs::write(git_dir.join("config"), config)?;
        fs::write(git_dir.join("HEAD"), "ref: refs/heads/main\n")?;
        let git_dir = fs::canonicalize(git_dir)?;
        let bundle = fs::canonicalize(bundle)?;
        let mut git = command::on(&git_dir);
        git.args(["bundle", "unbundle"]).arg(&bundle);
        let listing = command::output(&mut git)?;
        let listing = String::from_utf8_lossy(&listing).into_owned();
        let head = listing
            .lines()
            .find_map(|line| line.split_once(' ').filter(|(_, name)| name.starts_with("refs/")))
            .and_then(|(oid, _)| CommitId::new(oid).ok())
            .ok_or_else(|| GitError::malformed("the list of a bundle", listing.clone()))?;
        let objects = git_dir.join("objects");
        let name = "bundle".to_owned();
        Ok(Self { git_dir, objects, name, head })
    }
}
