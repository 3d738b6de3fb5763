//! What tokens cost.

use std::path::Path;

use globset::{Glob, GlobMatcher};
use serde::Deserialize;

use crate::error::{ModelError, Result};
use crate::message::Usage;

/// Dollars for a million tokens of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Tokens of the prompt that no cache had.
    pub prompt: f64,
    /// Tokens read from a cache; as `prompt` where nothing is said.
    pub cached: Option<f64>,
    /// Tokens written to a cache; as `prompt` where nothing is said.
    pub cache_written: Option<f64>,
    /// Tokens of the completion, reasoning included.
    pub completion: f64,
}

impl Price {
    /// Dollars for one call.
    pub fn cost(&self, usage: &Usage) -> f64 {
        let plain = usage.prompt.saturating_sub(usage.cached.saturating_add(usage.cache_written));
        let part = |tokens: u64, price: f64| tokens as f64 * price / 1e6;
        part(plain, self.prompt)
            + part(usage.cached, self.cached.unwrap_or(self.prompt))
            + part(usage.cache_written, self.cache_written.unwrap_or(self.prompt))
            + part(usage.completion, self.completion)
    }

    fn is_sound(&self) -> bool {
        [Some(self.prompt), self.cached, self.cache_written, Some(self.completion)]
            .into_iter()
            .flatten()
            .all(|price| price.is_finite() && price >= 0.0)
    }
}

/// Prices by the names of models. A file has one table for each name or pattern:
///
/// ```toml
/// ["anthropic/claude-*"]
/// prompt = 3.0
/// cached = 0.3
/// cache_written = 3.75
/// completion = 15.0
/// ```
///
/// The name itself counts before patterns, and of patterns the one with the most letters.
#[derive(Debug, Clone, Default)]
pub struct Prices {
    /// The most telling first.
    entries: Vec<(GlobMatcher, Price)>,
}

impl Prices {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ModelError::File`] where it cannot be read, or says something that is no price.
    pub fn read(path: &Path) -> Result<Self> {
        let wrong = |what: &dyn std::fmt::Display| ModelError::File(format!("prices: {what}"));
        let text = fs_err::read_to_string(path).map_err(|error| wrong(&error))?;
        Self::parse(&text).map_err(|error| wrong(&format!("{}: {error}", path.display())))
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// Where it says something that is no price.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let tables: std::collections::BTreeMap<String, Price> =
            toml::from_str(text).map_err(|error| error.to_string())?;
        let mut entries = Vec::with_capacity(tables.len());
        for (name, price) in tables {
            if !price.is_sound() {
                return Err(format!("`{name}`: a price is a number that is not below zero"));
            }
            let glob = Glob::new(&name).map_err(|error| format!("`{name}`: {error}"))?;
            entries.push((glob.compile_matcher(), price));
        }
        let rank = |matcher: &GlobMatcher| {
            let glob = matcher.glob().glob();
            let wild = |c: char| matches!(c, '*' | '?' | '[' | '{');
            (glob.contains(wild), std::cmp::Reverse(glob.chars().filter(|c| !wild(*c)).count()))
        };
        entries.sort_by_key(|(matcher, _)| rank(matcher));
        Ok(Self { entries })
    }

    /// The price of a model, where one is known.
    pub fn of(&self, model: &str) -> Option<Price> {
        let found = self.entries.iter().find(|(matcher, _)| matcher.is_match(model));
        found.map(|(_, price)| *price)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        ["*"]
        prompt = 1.0
        completion = 1.0
        ["gpt-5*"]
        prompt = 1.25
        cached = 0.125
        completion = 10.0
        ["gpt-5-mini"]
        prompt = 0.25
        completion = 2.0
        ["anthropic/claude-*"]
        prompt = 3.0
        cached = 0.3
        cache_written = 3.75
        completion = 15.0
    "#;

    #[test]
    fn the_most_telling_name_counts() {
        let prices = Prices::parse(TEXT).unwrap();
        let prompt = |model| prices.of(model).unwrap().prompt;
        assert_eq!(prompt("gpt-5-mini"), 0.25);
        assert_eq!(prompt("gpt-5-nano"), 1.25);
        assert_eq!(prompt("anthropic/claude-opus"), 3.0);
        assert_eq!(prompt("qwen"), 1.0);
        assert!(Prices::default().of("qwen").is_none());
    }

    #[test]
    fn each_kind_has_its_price() {
        let price = Prices::parse(TEXT).unwrap().of("anthropic/claude-x").unwrap();
        let usage = Usage {
            prompt: 1_000_000,
            completion: 100_000,
            cached: 600_000,
            cache_written: 200_000,
            reasoning: 50_000,
        };
        assert!((price.cost(&usage) - (0.6 + 0.18 + 0.75 + 1.5)).abs() < 1e-9);
    }

    #[test]
    fn wrong_files() {
        for text in ["[a]\nprompt = -1\ncompletion = 0", "[a]\nprompt = 1", "[a]\npromt = 1", "x"] {
            assert!(Prices::parse(text).is_err(), "{text}");
        }
    }
}
