//! The Python versions that metadata names.

use crate::python::Minor;

use super::Manifest;

/// Reads `Programming Language :: Python :: 3.8`.
pub(crate) fn classifier(line: &str, manifest: &mut Manifest) {
    let prefix = "Programming Language :: Python :: ";
    let Some(version) = line.trim().trim_matches(['"', '\'', ',']).strip_prefix(prefix) else {
        return;
    };
    if version.starts_with('3') && !version.contains('.') {
        manifest.any_python3 = true;
    }
    if let Ok(minor) = version.parse::<Minor>() {
        manifest.python.declared.insert(minor);
    }
}

/// Reads `py38`, `py3.8`, `python3.8` and `3.8` at the start of a factor or a CI entry.
pub(crate) fn factor(text: &str) -> Option<Minor> {
    let digits = text.trim_start_matches("python").trim_start_matches("py");
    if digits.contains('.') {
        let version = digits.trim_matches(['"', '\'']);
        let clean = version.chars().all(|c| c.is_ascii_digit() || c == '.');
        return version.parse().ok().filter(|m: &Minor| clean && matches!(m.0, 2 | 3));
    }
    let number = digits.bytes().all(|b| b.is_ascii_digit());
    if !number || digits.len() < 2 || digits == text {
        return None;
    }
    let minor = Minor(digits[..1].parse().ok()?, digits[1..].parse().ok()?);
    matches!(minor.0, 2 | 3).then_some(minor)
}

/// The versions that a CI file names: quoted or listed numbers on lines about Python.
pub(crate) fn ci(text: &str, manifest: &mut Manifest) {
    let mut below_python_key = false;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.starts_with('#') {
            continue;
        }
        let about = trimmed.starts_with("python") || trimmed.starts_with("- python");
        let item = trimmed.starts_with('-') || trimmed.starts_with(']') || trimmed.is_empty();
        below_python_key = about || (below_python_key && item);
        if !below_python_key {
            continue;
        }
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '.';
        for word in trimmed.split(|c| !is_part(c)) {
            if word.contains('.')
                && let Some(minor) = factor(word)
                && minor >= Minor(2, 6)
                && minor < Minor(3, 30)
            {
                manifest.ci_pythons.insert(minor);
            }
        }
    }
}

/// Poetry's and npm's way of writing versions (`^3.7`, `~1.2`, `1.*`) as clauses.
pub(crate) fn clauses(text: &str) -> String {
    let alternatives: Vec<&str> = text.split("||").collect();
    // Clauses cannot say "or". The span from the lowest to the highest is close enough.
    let text = match alternatives.as_slice() {
        [one] => one.trim().to_owned(),
        [first, .., last] => {
            let lower = clauses(first.trim());
            let upper = clauses(last.trim());
            let lower = lower.split(',').filter(|c| c.starts_with(['>', '=', '~']));
            let upper = upper.split(',').filter(|c| c.starts_with('<'));
            return lower
                .chain(upper)
                .map(|c| c.replace("==", ">=").replace(".*", ""))
                .collect::<Vec<_>>()
                .join(",");
        }
        [] => String::new(),
    };
    let one = |clause: &str| -> String {
        let clause = clause.trim();
        let numbers =
            |t: &str| -> Vec<u64> { t.split('.').map_while(|p| p.trim().parse().ok()).collect() };
        if let Some(version) = clause.strip_prefix('^') {
            let parts = numbers(version);
            let fixed = parts.iter().position(|p| *p != 0).unwrap_or(parts.len().saturating_sub(1));
            let upper = bumped(&parts, fixed);
            return format!(">={},<{upper}", version.trim());
        }
        if let Some(version) = clause.strip_prefix('~').filter(|v| !v.starts_with('=')) {
            let parts = numbers(version);
            return format!(">={},<{}", version.trim(), bumped(&parts, parts.len().min(2) - 1));
        }
        if clause == "*" || clause.is_empty() {
            return String::new();
        }
        if clause.starts_with(|c: char| c.is_ascii_digit()) {
            return format!("=={clause}");
        }
        clause.replace(' ', "")
    };
    let all: Vec<String> = text.split(',').map(one).filter(|c| !c.is_empty()).collect();
    all.join(",")
}

/// The version after all those that agree up to and including the part at `fixed`.
fn bumped(parts: &[u64], fixed: usize) -> String {
    let mut upper: Vec<u64> = parts.iter().take(fixed + 1).copied().collect();
    match upper.last_mut() {
        Some(last) => *last += 1,
        None => upper.push(1),
    }
    upper.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_and_clauses() {
        assert_eq!(factor("py38"), Some(Minor(3, 8)));
        assert_eq!(factor("py310"), Some(Minor(3, 10)));
        assert_eq!(factor("3.8"), Some(Minor(3, 8)));
        for odd in ["py", "py3", "38", "pypy3", "docs", "1.8", "django32"] {
            assert_eq!(factor(odd), None, "{odd}");
        }
        for (text, expected) in [
            ("^3.7", ">=3.7,<4"),
            ("^0.2.3", ">=0.2.3,<0.3"),
            ("~1.2.3", ">=1.2.3,<1.3"),
            (">=3.6, <4", ">=3.6,<4"),
            ("1.2.3", "==1.2.3"),
            ("*", ""),
            ("~2.7 || ^3.5", ">=2.7,<4"),
            ("~=1.4", "~=1.4"),
        ] {
            assert_eq!(clauses(text), expected, "{text}");
        }
    }

    #[test]
    fn ci_files_name_versions() {
        let mut manifest = Manifest::default();
        ci("python:\n  - \"2.7\"\n  - 3.6-dev\n  - pypy3\nenv:\n  - X=3.9\n", &mut manifest);
        ci("        python-version: ['3.8', '3.10']\n", &mut manifest);
        let found: Vec<String> = manifest.ci_pythons.iter().map(Minor::to_string).collect();
        assert_eq!(found, ["2.7", "3.6", "3.8", "3.10"]);
    }
}
