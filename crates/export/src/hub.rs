//! The head of a dataset card as the Hub reads it.

use std::fmt::Write as _;

use crate::card::Card;
use crate::request::{ExportRequest, Form};

/// YAML between two rules. Every text in it is quoted as JSON, which YAML reads.
pub(crate) fn front_matter(request: &ExportRequest, card: &Card) -> String {
    let quoted = |text: &str| serde_json::to_string(text).unwrap_or_default();
    let mut text = String::from("---\n");
    if let Some(license) = &request.license {
        let _ = writeln!(text, "license: {}", quoted(license));
    }
    let _ = writeln!(text, "pretty_name: {}", quoted(&request.name));
    text.push_str("language:\n- en\ntask_categories:\n");
    let category = match request.form {
        Form::Verifier => "text-classification",
        Form::Preference | Form::Kto | Form::Rl | Form::Tokens => "reinforcement-learning",
        _ => "text-generation",
    };
    let _ = writeln!(text, "- {category}");
    text.push_str("tags:\n- agent\n- code\n- software-engineering\n- tool-use\n- palestra\n");
    let _ = writeln!(text, "size_categories:\n- {}", size(card.rows));
    text.push_str("configs:\n- config_name: default\n  data_files:\n  - split: train\n");
    text.push_str("    path: data/train-*\n---\n\n");
    text
}

fn size(rows: u64) -> &'static str {
    match rows {
        0..1_000 => "n<1K",
        1_000..10_000 => "1K<n<10K",
        10_000..100_000 => "10K<n<100K",
        100_000..1_000_000 => "100K<n<1M",
        _ => "1M<n<10M",
    }
}
