//! The environment of a row: from the image that it names, or from its specification.

use std::path::PathBuf;

use palestra_build::rows::{AsOf, Packages, RowEnvironment, RowSpec, SourceRepo, row_requirements};
use palestra_core::CommitId;
use palestra_dataset::{InstallConfig, Instance, Kind};
use palestra_dialect::{OneOrMany, Spec, environment, smith_profile, spec, swe_gym_spec};

use super::Work;
use crate::error::EngineError;

/// Where repositories and environments come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sources {
    /// Directories of mirrors (`owner/name`, `owner__name`, …), looked through in this order.
    pub mirrors: Vec<PathBuf>,
    /// Where a repository is cloned from that has no mirror; `{repo}` stands for `owner/name`.
    pub url: Option<String>,
    /// Images by row, already in the store; what their names led to.
    pub images: bool,
}

/// Why there is no environment, and what was said on the way.
pub(crate) struct Lacking {
    pub(crate) why: String,
    pub(crate) log: String,
}

impl Lacking {
    fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), log: String::new() }
    }
}

/// How the environment of a row is made.
pub(crate) enum Plan {
    /// By its specification, with packages as of one of these days.
    Specification { spec: Box<RowSpec>, source: Box<SourceRepo>, days: Vec<AsOf> },
    /// It is an image.
    Image(Box<RowEnvironment>),
}

impl Work<'_> {
    /// How the environment of a row is made; `Err` inside tells why it cannot be.
    pub(crate) fn plan(&self, row: &Instance) -> Result<Result<Plan, Lacking>, EngineError> {
        if self.request.sources.images
            && let Some(name) = row.published_image()
        {
            return Ok(self.image(&name));
        }
        let source = match self.source(&row.repo)? {
            Ok(source) => source,
            Err(lacking) => return Ok(Err(lacking)),
        };
        Ok(specification(row, &source).map(|spec| {
            let days = self.builder.policy(&spec);
            Plan::Specification { spec: Box::new(spec), source: Box::new(source), days }
        }))
    }

    fn image(&self, name: &str) -> Result<Plan, Lacking> {
        match self.tools.image(name) {
            Ok(image) => Ok(Plan::Image(Box::new(RowEnvironment::from_image(&image)))),
            Err(error) => Err(Lacking::new(format!("the image {name}: {error}"))),
        }
    }

    fn source(&self, repo: &str) -> Result<Result<SourceRepo, Lacking>, EngineError> {
        let sources = &self.request.sources;
        let work = self.tools.home().repositories();
        for dir in &sources.mirrors {
            if let Some(found) = SourceRepo::mirror(dir, repo, &work)? {
                return Ok(Ok(found));
            }
        }
        let Some(url) = &sources.url else {
            return Ok(Err(Lacking::new(format!(
                "no mirror of {repo} in {}: bring it there (`git clone --mirror`), or allow cloning",
                list(&sources.mirrors)
            ))));
        };
        Ok(SourceRepo::url(&url.replace("{repo}", repo), &work)
            .map_err(|error| Lacking::new(format!("{repo} cannot be cloned: {error}"))))
    }
}

fn list(dirs: &[PathBuf]) -> String {
    if dirs.is_empty() {
        return "any directory (none was given)".to_owned();
    }
    dirs.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The specification of a row: the dataset's own, or that of its repository and version.
pub(crate) fn specification(row: &Instance, source: &SourceRepo) -> Result<RowSpec, Lacking> {
    let base = source
        .repo()
        .resolve(&row.base_commit)
        .map_err(|error| Lacking::new(format!("its base commit: {error}")))?;
    let made = match (&row.install, row.kind) {
        (Some(config), Kind::SweRebench | Kind::SweSmith) => from_config(config),
        (None, Kind::SweSmith) => profile(row)?,
        (_, Kind::SweBench4 | Kind::SweBench5 | Kind::SweGym) => {
            let version = row.version.as_deref().unwrap_or_default();
            let known = match row.kind {
                Kind::SweGym => swe_gym_spec(&row.repo, version),
                _ => spec(&row.repo, version),
            };
            known.cloned().ok_or_else(|| {
                Lacking::new(format!(
                    "there is no specification of {} {version:?}: use its image",
                    row.repo
                ))
            })?
        }
        (_, kind) => {
            return Err(Lacking::new(format!(
                "rows of {kind} do not say how their environment is made: use their images"
            )));
        }
    };
    let setup = row.environment_setup_commit.as_deref().filter(|commit| !commit.is_empty());
    let setup = match setup.map(CommitId::new).transpose() {
        Ok(setup) => setup.unwrap_or_else(|| base.clone()),
        Err(error) => return Err(Lacking::new(format!("its environment_setup_commit: {error}"))),
    };
    let file = |yml: bool| {
        // The lists that the dataset pins for this row come before those of its repository.
        let pinned = environment::pinned(row.instance_id.as_str()).filter(|_| yml);
        if let Some(text) = pinned {
            return Ok(text.to_owned());
        }
        row_requirements(source, &setup, yml)
            .map_err(|error| Lacking::new(error.to_string()))?
            .ok_or_else(|| Lacking::new(format!("{} has no list of packages at {setup}", row.repo)))
    };
    let packages = match made.packages.as_deref().unwrap_or_default() {
        "" => Packages::None,
        "requirements.txt" => match row.install.as_ref().and_then(|i| i.requirements.clone()) {
            Some(text) => Packages::Requirements(text),
            None => Packages::Requirements(file(false)?),
        },
        "environment.yml" => match row.install.as_ref().and_then(|i| i.environment.clone()) {
            Some(text) => Packages::EnvironmentYml(text),
            None => Packages::EnvironmentYml(file(true)?),
        },
        words => Packages::Conda(vec![words.to_owned()]),
    };
    let commands =
        |all: &Option<OneOrMany>| all.as_ref().map_or(Vec::new(), |c| c.as_slice().to_vec());
    let config = row.install.as_ref();
    Ok(RowSpec {
        version: row.version.clone().unwrap_or_default(),
        python: made.python.clone(),
        packages,
        pip_packages: made.pip_packages.clone().unwrap_or_default(),
        pre_install: made.pre_install.clone().unwrap_or_default(),
        install: commands(&made.install),
        build: made.build.clone().unwrap_or_default(),
        env: config.map(|c| c.env_vars.iter().cloned().collect()).unwrap_or_default(),
        created_at: row.created_at.clone(),
        no_use_env: made.no_use_env.unwrap_or_default(),
        ..RowSpec::new(row.repo.clone(), base)
    })
}

/// What SWE-smith's profile says, in the form of a specification. Its images have packages that
/// no profile names; pytest is the least of them.
fn profile(row: &Instance) -> Result<Spec, Lacking> {
    let found = smith_profile(&row.repo, &row.base_commit);
    let found = found.filter(|profile| profile.python.is_some()).ok_or_else(|| {
        Lacking::new(format!(
            "SWE-smith has no profile in Python of {} at {}: use its image",
            row.repo, row.base_commit
        ))
    })?;
    Ok(Spec {
        python: found.python.clone(),
        pip_packages: Some(vec!["pytest".to_owned()]),
        install: Some(OneOrMany::Many(found.install.clone())),
        ..Spec::default()
    })
}

/// A row's own instructions in the form of a specification.
pub(crate) fn from_config(config: &InstallConfig) -> Spec {
    let some = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
    Spec {
        python: config.python.clone(),
        packages: config.packages.clone(),
        pip_packages: some(&config.pip_packages),
        pre_install: some(&config.pre_install),
        install: some(&config.install).map(OneOrMany::Many),
        test_cmd: some(&config.test_cmd).map(OneOrMany::Many),
        reqs_path: some(&config.reqs_path),
        env_yml_path: some(&config.env_yml_path),
        log_parser: config.log_parser.clone(),
        no_use_env: Some(config.no_use_env),
        ..Spec::default()
    }
}
