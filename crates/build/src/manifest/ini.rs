//! The dialect of INI that `setup.cfg`, `tox.ini` and `pytest.ini` are written in.

/// The sections of a file, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ini {
    sections: Vec<(String, Vec<(String, String)>)>,
}

impl Ini {
    /// Reads what can be read. A value goes on over the indented lines below it; comment lines
    /// inside it are left out, and so are comments after ` #` or ` ;`.
    pub(crate) fn parse(text: &str) -> Self {
        let mut ini = Self::default();
        for line in text.lines() {
            let content = strip_comment(line);
            let trimmed = content.trim();
            if trimmed.is_empty() {
                continue;
            }
            let indented = content.starts_with([' ', '\t']);
            let section = ini.sections.last_mut().map(|(_, entries)| entries);
            if indented
                && let Some(entries) = section
                && let Some((_, value)) = entries.last_mut()
            {
                value.push('\n');
                value.push_str(trimmed);
                continue;
            }
            if let Some(name) = trimmed.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
                ini.sections.push((name.trim().to_owned(), Vec::new()));
            } else if let Some(at) = trimmed.find(['=', ':'])
                && let Some((_, entries)) = ini.sections.last_mut()
            {
                let (key, value) = (trimmed[..at].trim(), trimmed[at + 1..].trim());
                entries.push((key.to_owned(), value.to_owned()));
            }
        }
        ini
    }

    /// The value of a key; `None` where the section or the key is not there.
    pub(crate) fn get(&self, section: &str, key: &str) -> Option<&str> {
        self.section(section).find(|(k, _)| *k == key).map(|(_, v)| v)
    }

    /// The entries of a section.
    pub(crate) fn section(&self, name: &str) -> impl Iterator<Item = (&str, &str)> {
        let sections = self.sections.iter().filter(move |(n, _)| n == name);
        sections.flat_map(|(_, entries)| entries.iter().map(|(k, v)| (k.as_str(), v.as_str())))
    }

    /// The names of all sections.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.sections.iter().map(|(name, _)| name.as_str())
    }
}

/// The lines of a value that are not empty.
pub(crate) fn lines(value: &str) -> impl Iterator<Item = &str> {
    value.lines().map(str::trim).filter(|l| !l.is_empty())
}

fn strip_comment(line: &str) -> &str {
    if line.trim_start().starts_with(['#', ';']) {
        return "";
    }
    let end = [" #", "\t#", " ; ", " ;#"].iter().filter_map(|mark| line.find(mark)).min();
    match end {
        // A semicolon with a space after it may also open a marker of a requirement.
        Some(at) if line[at..].starts_with(" ; ") => {
            line[at..].find(" #").map_or(line, |hash| &line[..at + hash])
        }
        Some(at) => &line[..at],
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_on_below() {
        let text = "[a]\nx = 1 # one\ndeps =\n    b ; os_name == 'nt'\n# note\n    c>=1  # why\n\
                    [tool:pytest]\naddopts: -q\n";
        let ini = Ini::parse(text);
        assert_eq!(ini.get("a", "x"), Some("1"));
        let deps: Vec<_> = lines(ini.get("a", "deps").unwrap()).collect();
        assert_eq!(deps, ["b ; os_name == 'nt'", "c>=1"]);
        assert_eq!(ini.get("tool:pytest", "addopts"), Some("-q"));
        assert_eq!(ini.names().collect::<Vec<_>>(), ["a", "tool:pytest"]);
    }
}
