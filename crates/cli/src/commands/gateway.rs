//! `palestra gateway`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use palestra_gateway::{Admin, Gateway, GatewayOptions, SessionOptions, Upstream};
use palestra_model::{Prices, Usage};

use super::models;
use crate::args::Cli;
use crate::args_run::Gateway as Args;
use crate::context;
use crate::outcome::{CliError, Code};
use crate::progress::{note, result};

pub(crate) fn run(cli: &Cli, args: &Args) -> Result<Code, CliError> {
    let api = models::api(Some(&args.api))?;
    let key = models::key(api, args.key_env.as_deref())?;
    let key = key.map(|name| models::secret(&name)).transpose()?;
    let upstreams = args.upstream.iter().map(|url| Upstream::Http {
        name: url.clone(),
        base_url: url.clone(),
        api,
        key: key.clone(),
        headers: Vec::new(),
    });
    let mut options = GatewayOptions::new(upstreams.collect());
    options.bind = args.bind;
    options.directory = Some(args.out.clone());
    options.implicit = (!args.no_implicit).then(|| SessionOptions {
        model: args.model.clone(),
        tokens: args.token_ids,
        ..SessionOptions::default()
    });
    options.admin = match &args.admin_env {
        None => Admin::Open,
        Some(name) => Admin::Key(models::secret(name)?),
    };
    if let Some(path) = &args.prices {
        let prices = Prices::read(path).map_err(|error| CliError::usage(error.to_string()))?;
        options.price = Some(Arc::new(move |model: &str, usage: &Usage| {
            prices.of(model).map(|price| price.cost(usage))
        }));
    }
    if !args.bind.ip().is_loopback() && args.admin_env.is_none() && !cli.quiet {
        note("warning: others can reach this address, and manage sessions: see --admin-env");
    }
    let gateway = Gateway::start(options).map_err(|error| CliError::usage(error.to_string()))?;
    let url = gateway.url();
    if cli.json {
        result(&format!("{}\n", serde_json::json!({ "url": url })))?;
    } else {
        result(&format!(
            "{url}\n  agents: {url}/sessions/NAME/v1 (chat completions, responses, messages)\n  \
             records: {}/NAME/trace.jsonl\n",
            args.out.display()
        ))?;
    }
    let stop = context::interrupt()?;
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(50));
    }
    drop::<Gateway>(gateway);
    Ok(Code::Done)
}
