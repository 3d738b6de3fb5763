//! Rows into instances, kind by kind.

use palestra_core::InstanceId;

use super::fields::{Object, Row, nested, text_of, wrong};
use super::{Asset, EvalType, InstallConfig, Instance, Kind, detect, r2e};
use crate::error::{Problem, RowError};
use crate::record::Record;
use crate::value::Value;

type Result<T> = std::result::Result<T, RowError>;

pub(super) fn instance(record: &Record, kind: Option<Kind>) -> Result<Instance> {
    let named = |mut error: RowError, record: &Record| {
        if error.instance_id.is_none() {
            error.instance_id = record.text("instance_id").map(str::to_owned);
        }
        error
    };
    if let Some(inner) = unwrapped(record).map_err(|e| named(e, record))? {
        return instance(&inner, kind);
    }
    let read = || {
        let kind = kind.map_or_else(|| detect(record), Ok)?;
        let row = Row { record, kind };
        match kind {
            Kind::R2eGym => r2e::instance(&row),
            Kind::SweSmith => smith(&row),
            _ => bench(&row),
        }
    };
    read().map_err(|e| named(e, record))
}

/// The row inside a row of NeMo Gym, which carries it as JSON.
fn unwrapped(record: &Record) -> Result<Option<Record>> {
    const COLUMN: &str = "responses_create_params";
    let metadata = record.get(COLUMN).and_then(|params| params.field("metadata"));
    let column = if metadata.is_some() {
        "responses_create_params.metadata.instance_dict"
    } else {
        "instance_dict"
    };
    let inner = match metadata {
        Some(metadata) => metadata.field("instance_dict"),
        None => record.get("instance_dict"),
    };
    let inner = match inner {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Text(json)) => nested(column, json)?,
        Some(value) => value.clone(),
    };
    match inner {
        Value::Struct(fields) => Ok(Some(fields.into_iter().collect())),
        other => Err(wrong(column, "an object, or JSON of one", &other)),
    }
}

/// An id that can be a file name.
pub(super) fn instance_id(text: &str) -> Result<InstanceId> {
    let bad = |what: String| RowError {
        instance_id: Some(text.to_owned()),
        ..RowError::of("instance_id", Problem::Bad(what))
    };
    if text.len() > 200 {
        return Err(bad("has more than 200 bytes; it names files and directories".to_owned()));
    }
    InstanceId::new(text).map_err(|e| bad(format!("{e}; it names files and directories")))
}

/// What all kinds share.
fn common(row: &Row<'_>, id: InstanceId) -> Result<Instance> {
    Ok(Instance {
        instance_id: id,
        kind: row.kind,
        repo: row.required("repo")?.to_owned(),
        base_commit: String::new(),
        version: row.label("version")?,
        environment_setup_commit: row.filled("environment_setup_commit")?,
        problem_statement: row.text("problem_statement")?.unwrap_or_default().to_owned(),
        hints: row.filled("hints_text")?,
        created_at: row.time("created_at")?,
        patch: row.filled("patch")?,
        inverted: false,
        test_patch: row.filled("test_patch")?,
        fail_to_pass: row.tests("FAIL_TO_PASS")?,
        pass_to_pass: row.tests("PASS_TO_PASS")?,
        image: None,
        eval_script: None,
        log_parser: None,
        eval_type: None,
        install: None,
        expected: None,
        r2e: None,
        test_assets: Vec::new(),
        language: row.filled("language")?,
        difficulty: row.label("difficulty")?,
    })
}

/// SWE-bench and those that keep its columns.
fn bench(row: &Row<'_>) -> Result<Instance> {
    let id = instance_id(row.required("instance_id")?)?;
    let mut instance = common(row, id)?;
    instance.base_commit = row.required("base_commit")?.to_owned();
    row.required("test_patch")?;
    match row.kind {
        Kind::SweBench5 => {
            instance.image = Some(row.required("image")?.to_owned());
            instance.eval_script = Some(row.required("eval_script")?.to_owned());
            instance.log_parser = Some(row.required("log_parser")?.to_owned());
            instance.eval_type = Some(eval_type(row.required("eval_type")?)?);
            instance.test_assets = test_assets(row)?;
        }
        Kind::SweRebench | Kind::SweRebenchV2 => {
            let config = row.object("install_config")?;
            let config = install_config(row, &Object { path: "install_config", value: &config })?;
            instance.log_parser = config.log_parser.clone();
            instance.install = Some(config);
            instance.image = match row.filled("image_name")? {
                Some(image) => Some(image),
                None => row.filled("docker_image")?,
            };
        }
        // R2E-Gym keeps images of its own beside SWE-bench's columns.
        _ => instance.image = row.filled("docker_image")?,
    }
    Ok(instance)
}

fn eval_type(name: &str) -> Result<EvalType> {
    match name {
        "pass_and_fail" => Ok(EvalType::PassAndFail),
        "fail_only" => Ok(EvalType::FailOnly),
        other => {
            let what = format!("is {other:?}; there are pass_and_fail and fail_only");
            Err(RowError::of("eval_type", Problem::Bad(what)))
        }
    }
}

fn test_assets(row: &Row<'_>) -> Result<Vec<Asset>> {
    const COLUMN: &str = "image_assets";
    match row.value(COLUMN) {
        None => return Ok(Vec::new()),
        Some(Value::Text(json)) if json.is_empty() => return Ok(Vec::new()),
        Some(_) => {}
    }
    let assets = row.object(COLUMN)?;
    let path = format!("{COLUMN}.test_patch");
    let list = match assets.field("test_patch") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::List(list)) => list,
        Some(other) => return Err(wrong(&path, "a list", other)),
    };
    let asset = |value: &Value| -> Result<Asset> {
        let part = |name: &str| {
            let found = value.field(name).unwrap_or(&Value::Null);
            text_of(&format!("{path}.{name}"), found).map(str::to_owned)
        };
        Ok(Asset { path: part("path")?, url: part("url")? })
    };
    list.iter().map(asset).collect()
}

fn install_config(row: &Row<'_>, config: &Object<'_>) -> Result<InstallConfig> {
    let found = InstallConfig {
        python: config.label("python")?,
        base_image: config.text("base_image_name")?,
        packages: config.text("packages")?,
        pip_packages: config.texts("pip_packages")?,
        pre_install: config.texts("pre_install")?,
        install: config.texts("install")?,
        reqs_path: config.texts("reqs_path")?,
        env_yml_path: config.texts("env_yml_path")?,
        env_vars: config.pairs("env_vars")?,
        no_use_env: config.flag("no_use_env")?,
        test_cmd: config.texts("test_cmd")?,
        log_parser: config.text("log_parser")?,
        docker_specs: config.value("docker_specs").cloned(),
        requirements: row.filled("requirements")?,
        environment: row.filled("environment")?,
    };
    if found.test_cmd.is_empty() {
        let missing = Problem::Missing { kind: row.kind.as_str() };
        return Err(RowError::of("install_config.test_cmd", missing));
    }
    Ok(found)
}

/// SWE-smith: `repo` is a mirror named after the repository and the commit.
fn smith(row: &Row<'_>) -> Result<Instance> {
    let id = instance_id(row.required("instance_id")?)?;
    let mut instance = common(row, id)?;
    let image = row.required("image_name")?;
    let mirror = instance.repo.rsplit_once('/').map_or(&*instance.repo, |(_, name)| name);
    // The id begins with the same name, and in its right case.
    let origin = mirror
        .rsplit_once('.')
        .filter(|(_, commit)| commit.len() >= 7 && commit.bytes().all(|b| b.is_ascii_hexdigit()))
        .and_then(|(name, commit)| Some((name.split_once("__")?, commit)));
    let Some(((owner, name), commit)) = origin else {
        let what = format!("is {:?}; expected swesmith/<owner>__<name>.<commit>", instance.repo);
        return Err(RowError::of("repo", Problem::Bad(what)));
    };
    let (repo, commit) = (format!("{owner}/{name}"), commit.to_owned());
    instance.repo = repo;
    instance.base_commit = commit;
    instance.inverted = true;
    // Whoever makes bugs in a repository of their own says here what a profile would say.
    if row.value("install_config").is_some() {
        let config = row.object("install_config")?;
        let config = install_config(row, &Object { path: "install_config", value: &config })?;
        instance.log_parser = config.log_parser.clone();
        instance.install = Some(config);
    }
    instance.image = Some(image.to_owned());
    if instance.patch.is_none() {
        // Without the patch there is no bug, and so no task.
        return Err(RowError::of("patch", Problem::Missing { kind: row.kind.as_str() }));
    }
    Ok(instance)
}
