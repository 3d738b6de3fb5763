//! `palestra doctor`.

use palestra_engine::doctor;

use crate::args::Cli;
use crate::context;
use crate::outcome::{CliError, Code};
use crate::progress::result;

pub(crate) fn run(cli: &Cli) -> Result<Code, CliError> {
    let report = doctor::examine(&context::surroundings(cli)?);
    if cli.json {
        let mut json = serde_json::to_string_pretty(&report).map_err(std::io::Error::other)?;
        json.push('\n');
        result(&json)?;
    } else {
        let mut text = String::new();
        for check in &report.checks {
            let mark = match (check.ok, check.needed) {
                (true, _) => "ok     ",
                (false, true) => "MISSING",
                (false, false) => "absent ",
            };
            text.push_str(&format!("{mark}  {:<22}  {}\n", check.name, check.detail));
        }
        text.push_str(if report.ready() {
            "\neverything that is needed is here\n"
        } else {
            "\nsomething that is needed is missing\n"
        });
        result(&text)?;
    }
    Ok(if report.ready() { Code::Done } else { Code::Found })
}
