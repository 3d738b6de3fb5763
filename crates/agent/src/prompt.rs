//! Prompts are files with places for values: `{{name}}`.

/// Fills the places of a template, in one pass: what a value holds is never looked at again. A
/// place whose name is not given stays as it is.
pub(crate) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(template.len() + 256);
    let mut rest = template;
    while let Some(start) = rest.find("{{") {
        let after = &rest[start + 2..];
        let found = after.find("}}").and_then(|end| {
            let name = after[..end].trim();
            let value = values.iter().find(|(known, _)| *known == name)?;
            Some((value.1, end))
        });
        match found {
            Some((value, end)) => {
                out.push_str(&rest[..start]);
                out.push_str(value);
                rest = &after[end + 2..];
            }
            None => {
                out.push_str(&rest[..start + 2]);
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::fill;

    #[test]
    fn values_are_not_templates() {
        let values = [("a", "{{b}}"), ("b", "x")];
        assert_eq!(fill("1 {{a}} 2 {{ b }} {{c}} {{ {{b}}", &values), "1 {{b}} 2 x {{c}} {{ x");
        assert_eq!(fill("no places", &values), "no places");
    }
}
