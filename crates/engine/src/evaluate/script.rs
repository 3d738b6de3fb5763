//! The script that runs the tests of a row.

use std::path::Path;

use palestra_dataset::{Instance, Kind};
use palestra_dialect::{Dialect, language, markers, script, smith_profile, spec, swe_gym_spec};

use super::environment::from_config;

/// The script that runs the tests of a row: its own, or that which its dataset makes.
pub(crate) fn script_of(row: &Instance, dialect: Dialect) -> Result<String, String> {
    if dialect == Dialect::R2eGym {
        return Ok(String::new());
    }
    if let Some(script) = &row.eval_script {
        return Ok(match row.kind {
            Kind::SweBench5 => markers::record_exit_code(script),
            _ => script.clone(),
        });
    }
    if row.kind == Kind::SweSmith {
        return smith(row);
    }
    let version = row.version.as_deref().unwrap_or_default();
    let test_patch = row.test_patch.as_deref().unwrap_or_default();
    let made = script::Row {
        instance_id: row.instance_id.as_str(),
        repo: &row.repo,
        version,
        base_commit: &row.base_commit,
        test_patch,
        image_assets: None,
        language: language(&row.repo).unwrap_or(palestra_dialect::Language::Python),
    };
    let (style, spec) = match (row.kind, &row.install) {
        (Kind::SweRebenchV2, Some(config)) => {
            let folder = dialect.rules().place.patch;
            let folder = Path::new(folder).parent().unwrap_or(Path::new("/")).to_string_lossy();
            return Ok(script::swe_rebench_v2(&folder, &config.test_cmd));
        }
        (_, Some(config)) => (script::Style::SweRebench, from_config(config)),
        (Kind::SweGym, None) => match swe_gym_spec(&row.repo, version) {
            Some(spec) => (script::Style::SweGym, spec.clone()),
            None => {
                return Err(format!("SWE-Gym has no specification of {} {version:?}", row.repo));
            }
        },
        (_, None) => match spec(&row.repo, version) {
            Some(spec) => (script::Style::SweBench4, spec.clone()),
            None => {
                return Err(format!(
                    "the row has no eval_script, and there is no specification of {} {version:?}",
                    row.repo
                ));
            }
        },
    };
    script::eval_script(style, &spec, &made).map_err(|error| error.to_string())
}

/// The script of SWE-smith: the command of the row, or of the profile.
fn smith(row: &Instance) -> Result<String, String> {
    if let Some(config) = &row.install {
        return Ok(script::swe_smith(&config.test_cmd.join("\n")));
    }
    let profile = smith_profile(&row.repo, &row.base_commit).ok_or_else(|| {
        format!(
            "the row has no install_config, and SWE-smith has no profile of {} at {} that says in \
             words how its tests are run",
            row.repo, row.base_commit
        )
    })?;
    Ok(script::swe_smith(&profile.command(&row.fail_to_pass, &row.pass_to_pass)))
}
