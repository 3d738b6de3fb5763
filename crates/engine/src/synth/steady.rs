//! What programs print, without what differs from run to run.

use std::sync::LazyLock;

use regex::Regex;

/// What is printed, without what differs from run to run: addresses and durations. Otherwise an
/// equal question would never be asked twice, and no cassette would answer it.
pub(crate) fn steady(printed: &str) -> String {
    static ADDRESS: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"\b0x[0-9A-Fa-f]{5,}\b").ok());
    static DURATION: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"\b\d+\.\d+ ?s(?:econds)?\b").ok());
    let mut text = printed.to_owned();
    for (pattern, by) in [(&ADDRESS, "0x..."), (&DURATION, "...s")] {
        if let Some(pattern) = &**pattern {
            text = pattern.replace_all(&text, by).into_owned();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::steady;

    #[test]
    fn what_differs_from_run_to_run_is_left_out() {
        let one = "<Token at 0x7FA6B691C4A0> is 0x1F\n1 failed in 0.04s (0.31 seconds)";
        let two = "<Token at 0x7f46e3e960b0> is 0x1F\n1 failed in 0.11s (0.29 seconds)";
        assert_eq!(steady(one), steady(two));
        assert_eq!(steady(one), "<Token at 0x...> is 0x1F\n1 failed in ...s (...s)");
    }
}
