//! `setup.py`, read without running it: literals, names bound to literals, and the usual ways of
//! reading requirements out of a file.

use std::collections::HashMap;

use tree_sitter::{Node, Parser};

use super::{Manifest, Source, python, requirements};

/// What an expression is known to be.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Text(String),
    List(Vec<Value>),
    Dict(Vec<(String, Value)>),
    /// The lines of a file of the repository.
    File(String),
    True,
    Unknown,
}

struct Reader<'a> {
    code: &'a [u8],
    source: &'a Source<'a>,
    names: HashMap<String, Value>,
    functions: HashMap<String, Node<'a>>,
    setup: Vec<(String, Value)>,
    found: bool,
}

/// Nesting beyond this is not followed.
const DEPTH: usize = 40;

pub(crate) fn read(text: &str, source: &Source<'_>, manifest: &mut Manifest) {
    let mut parser = Parser::new();
    if parser.set_language(&tree_sitter_python::LANGUAGE.into()).is_err() {
        return;
    }
    let Some(tree) = parser.parse(text, None) else { return };
    let mut reader = Reader {
        code: text.as_bytes(),
        source,
        names: HashMap::new(),
        functions: HashMap::new(),
        setup: Vec::new(),
        found: false,
    };
    reader.functions_of(tree.root_node(), 0);
    reader.statements(tree.root_node(), 0);
    let found = reader.found;
    let setup = std::mem::take(&mut reader.setup);
    literals(tree.root_node(), text.as_bytes(), manifest, 0);
    if !found {
        manifest.problems.push("setup.py: no call of setup() found".to_owned());
    }
    for (key, value) in setup {
        take(&key, value, source, manifest);
    }
}

/// Moves one keyword argument of `setup` into the manifest.
fn take(key: &str, value: Value, source: &Source<'_>, manifest: &mut Manifest) {
    match key {
        "name" => {
            if let Value::Text(name) = value {
                manifest.name.get_or_insert(name);
            }
        }
        "python_requires" => {
            if let Value::Text(requires) = value {
                manifest.python.requires.get_or_insert(requires);
            }
        }
        "classifiers" => {
            for line in lines(&value, source) {
                python::classifier(&line, manifest);
            }
        }
        "install_requires" => {
            if value == Value::Unknown {
                manifest.problems.push("setup.py: install_requires is computed".to_owned());
            } else {
                manifest.declares_runtime = true;
            }
            manifest.runtime.extend(lines(&value, source));
        }
        "tests_require" => manifest.test.extend(lines(&value, source)),
        "setup_requires" => {
            let all = lines(&value, source);
            manifest.uses_pbr |= all.iter().any(|r| r.starts_with("pbr"));
            manifest.build.extend(all);
        }
        "extras_require" => {
            let Value::Dict(extras) = value else { return };
            for (name, value) in extras {
                let all = lines(&value, source);
                match name.split_once(':') {
                    Some(("", marker)) => manifest
                        .runtime
                        .extend(all.into_iter().map(|line| format!("{line} ; {marker}"))),
                    Some((name, marker)) => {
                        let all = all.into_iter().map(|line| format!("{line} ; {marker}"));
                        manifest.group(name, all.collect());
                    }
                    None => manifest.group(&name, all),
                }
            }
        }
        "use_scm_version" => manifest.uses_scm = true,
        "pbr" => manifest.uses_pbr |= value == Value::True,
        _ => {}
    }
}

/// A value as requirement or classifier lines.
fn lines(value: &Value, source: &Source<'_>) -> Vec<String> {
    match value {
        Value::Text(text) => {
            let lines = text.lines().map(|l| l.split(" #").next().unwrap_or_default().trim());
            lines.filter(|l| !l.is_empty() && !l.starts_with('#')).map(str::to_owned).collect()
        }
        Value::List(items) => items.iter().flat_map(|item| lines(item, source)).collect(),
        Value::File(path) => requirements::read(source, path).requirements,
        _ => Vec::new(),
    }
}

/// Notes every string literal: some of them name files that `setup.py` opens.
fn literals(node: Node<'_>, code: &[u8], manifest: &mut Manifest, depth: usize) {
    if depth > 200 {
        return;
    }
    if node.kind() == "string_content" {
        let text = node.utf8_text(code).unwrap_or_default();
        if text.len() < 200 && !text.contains('\n') {
            manifest.reads_files.insert(text.to_owned());
        }
        return;
    }
    if matches!(node.kind(), "import_statement" | "import_from_statement") {
        let text = node.utf8_text(code).unwrap_or_default();
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'));
        manifest.imports.extend(words.skip(1).take(1).map(str::to_owned));
    }
    let mut cursor = node.walk();
    for child in node.children(&mut cursor) {
        literals(child, code, manifest, depth + 1);
    }
}

impl<'a> Reader<'a> {
    fn text(&self, node: Node<'_>) -> &'a str {
        std::str::from_utf8(&self.code[node.byte_range()]).unwrap_or_default()
    }

    fn functions_of(&mut self, node: Node<'a>, depth: usize) {
        if depth > DEPTH {
            return;
        }
        let mut cursor = node.walk();
        for child in node.named_children(&mut cursor) {
            if child.kind() == "function_definition"
                && let Some(name) = child.child_by_field_name("name")
            {
                self.functions.insert(self.text(name).to_owned(), child);
            }
            self.functions_of(child, depth + 1);
        }
    }

    /// Goes over statements in order. Branches that depend on the version of Python or on the
    /// platform are left out: they are for others than the newest.
    fn statements(&mut self, node: Node<'a>, depth: usize) {
        if depth > DEPTH {
            return;
        }
        match node.kind() {
            "assignment" => self.assign(node),
            "augmented_assignment" => {
                let parts = (node.child_by_field_name("left"), node.child_by_field_name("right"));
                if let (Some(left), Some(right)) = parts {
                    let more = self.value(right, 0);
                    self.extend(self.text(left), more);
                }
            }
            "with_item" => {
                if let Some(pattern) = node.child_by_field_name("value")
                    && pattern.kind() == "as_pattern"
                    && let Some(alias) = pattern.child_by_field_name("alias")
                    && let Some(call) = pattern.named_child(0)
                {
                    let value = self.value(call, 0);
                    self.names.insert(self.text(alias).to_owned(), value);
                }
            }
            "if_statement" => {
                let condition = node.child_by_field_name("condition");
                let condition = condition.map(|c| self.text(c)).unwrap_or_default();
                let about = |word: &str| condition.contains(word);
                if about("version_info") || about("platform") || about("os.name") || about("PY2") {
                    if let Some(other) = node.child_by_field_name("alternative") {
                        self.children(other, depth);
                    }
                    return;
                }
            }
            "call" => self.call(node),
            _ => {}
        }
        self.children(node, depth);
    }

    fn children(&mut self, node: Node<'a>, depth: usize) {
        let mut cursor = node.walk();
        let all: Vec<Node<'a>> = node.named_children(&mut cursor).collect();
        for child in all {
            self.statements(child, depth + 1);
        }
    }

    fn assign(&mut self, node: Node<'a>) {
        let parts = (node.child_by_field_name("left"), node.child_by_field_name("right"));
        let (Some(left), Some(right)) = parts else { return };
        let value = self.value(right, 0);
        match left.kind() {
            "identifier" => {
                self.names.insert(self.text(left).to_owned(), value);
            }
            "subscript" => {
                let object = left.child_by_field_name("value").map(|n| self.text(n));
                let key = left.child_by_field_name("subscript").map(|n| self.value(n, 0));
                if let (Some(object), Some(Value::Text(key))) = (object, key) {
                    let entry = self.names.entry(object.to_owned());
                    let entry = entry.or_insert_with(|| Value::Dict(Vec::new()));
                    if let Value::Dict(entries) = entry {
                        entries.push((key, value));
                    }
                }
            }
            _ => {}
        }
    }

    fn extend(&mut self, name: &str, more: Value) {
        match (self.names.get_mut(name), more) {
            (Some(Value::List(have)), Value::List(more)) => have.extend(more),
            (Some(Value::List(have)), more @ (Value::Text(_) | Value::File(_))) => have.push(more),
            (Some(Value::Dict(have)), Value::Dict(more)) => have.extend(more),
            _ => {}
        }
    }

    /// Notes a call of `setup`, and what `append`, `extend` and `update` do to known names.
    fn call(&mut self, node: Node<'a>) {
        let Some(function) = node.child_by_field_name("function") else { return };
        let name = self.text(function);
        let arguments = self.arguments(node);
        if matches!(name, "setup" | "setuptools.setup" | "core.setup" | "distutils.core.setup") {
            self.found = true;
            self.setup.extend(arguments.1);
            return;
        }
        if let Some((object, method)) = name.rsplit_once('.')
            && matches!(method, "append" | "extend" | "update")
        {
            let (positional, named) = arguments;
            for value in positional {
                self.extend(object, value);
            }
            if !named.is_empty() {
                self.extend(object, Value::Dict(named));
            }
        }
    }

    fn arguments(&self, call: Node<'a>) -> (Vec<Value>, Vec<(String, Value)>) {
        let (mut positional, mut named) = (Vec::new(), Vec::new());
        let Some(list) = call.child_by_field_name("arguments") else { return (positional, named) };
        let mut cursor = list.walk();
        for argument in list.named_children(&mut cursor) {
            match argument.kind() {
                "keyword_argument" => {
                    let name = argument.child_by_field_name("name").map(|n| self.text(n));
                    let value = argument.child_by_field_name("value").map(|n| self.value(n, 0));
                    if let (Some(name), Some(value)) = (name, value) {
                        named.push((name.to_owned(), value));
                    }
                }
                "dictionary_splat" => {
                    let inner = argument.named_child(0).map(|n| self.value(n, 0));
                    if let Some(Value::Dict(entries)) = inner {
                        named.extend(entries);
                    }
                }
                "comment" => {}
                _ => positional.push(self.value(argument, 0)),
            }
        }
        (positional, named)
    }

    fn value(&self, node: Node<'a>, depth: usize) -> Value {
        if depth > DEPTH {
            return Value::Unknown;
        }
        let inner = |n: Node<'a>| self.value(n, depth + 1);
        let field = |name: &str| node.child_by_field_name(name);
        match node.kind() {
            "string" => self.string(node),
            "concatenated_string" => {
                let mut cursor = node.walk();
                let mut all = String::new();
                for part in node.named_children(&mut cursor) {
                    match inner(part) {
                        Value::Text(text) => all.push_str(&text),
                        _ => return Value::Unknown,
                    }
                }
                Value::Text(all)
            }
            "true" => Value::True,
            "list" | "tuple" | "set" => {
                let mut cursor = node.walk();
                let items = node.named_children(&mut cursor).filter(|c| c.kind() != "comment");
                let items = items.map(|i| match i.kind() {
                    "list_splat" => i.named_child(0).map_or(Value::Unknown, inner),
                    _ => inner(i),
                });
                Value::List(items.collect())
            }
            "parenthesized_expression" => node.named_child(0).map_or(Value::Unknown, inner),
            "dictionary" => self.dictionary(node, depth),
            "identifier" => self.names.get(self.text(node)).cloned().unwrap_or(Value::Unknown),
            "attribute" => field("object").map_or(Value::Unknown, inner),
            "subscript" => {
                let object = field("value").map(inner);
                let key = field("subscript").map(inner);
                match (object, key) {
                    (Some(Value::Dict(entries)), Some(Value::Text(key))) => {
                        let entry = entries.into_iter().rfind(|(k, _)| *k == key);
                        entry.map_or(Value::Unknown, |(_, v)| v)
                    }
                    (Some(file @ Value::File(_)), _) => file,
                    _ => Value::Unknown,
                }
            }
            "binary_operator" => {
                let sides = (field("left").map(inner), field("right").map(inner));
                let plus = field("operator").is_some_and(|o| self.text(o) == "+");
                match sides {
                    (Some(Value::Text(a)), Some(Value::Text(b))) if plus => Value::Text(a + &b),
                    (Some(a @ (Value::List(_) | Value::File(_))), Some(b)) if plus => {
                        Value::List(vec![a, b])
                    }
                    _ => Value::Unknown,
                }
            }
            "conditional_expression" => {
                let condition = node.named_child(1).map(|c| self.text(c)).unwrap_or_default();
                let old = condition.contains("version_info") && condition.contains('<');
                let chosen = node.named_child(if old { 2 } else { 0 });
                chosen.map_or(Value::Unknown, inner)
            }
            "list_comprehension" | "generator_expression" => {
                let mut cursor = node.walk();
                let clause = node.named_children(&mut cursor).find(|c| c.kind() == "for_in_clause");
                let over = clause.and_then(|c| c.child_by_field_name("right")).map(inner);
                over.filter(|v| matches!(v, Value::File(_) | Value::List(_) | Value::Text(_)))
                    .unwrap_or(Value::Unknown)
            }
            "call" => self.call_value(node, depth),
            _ => Value::Unknown,
        }
    }

    fn string(&self, node: Node<'a>) -> Value {
        let mut cursor = node.walk();
        let mut text = String::new();
        for part in node.named_children(&mut cursor) {
            match part.kind() {
                "string_content" => text.push_str(self.text(part)),
                "interpolation" => return Value::Unknown,
                _ => {}
            }
        }
        Value::Text(text.replace("\\\n", "").replace("\\n", "\n").replace("\\'", "'"))
    }

    fn dictionary(&self, node: Node<'a>, depth: usize) -> Value {
        let mut cursor = node.walk();
        let mut entries = Vec::new();
        for pair in node.named_children(&mut cursor) {
            let key = pair.child_by_field_name("key").map(|k| self.value(k, depth + 1));
            let value = pair.child_by_field_name("value").map(|v| self.value(v, depth + 1));
            match (pair.kind(), key, value) {
                ("pair", Some(Value::Text(key)), Some(value)) => entries.push((key, value)),
                ("dictionary_splat", ..) => {
                    if let Some(Value::Dict(more)) =
                        pair.named_child(0).map(|n| self.value(n, depth + 1))
                    {
                        entries.extend(more);
                    }
                }
                _ => {}
            }
        }
        Value::Dict(entries)
    }

    fn call_value(&self, node: Node<'a>, depth: usize) -> Value {
        let Some(function) = node.child_by_field_name("function") else { return Value::Unknown };
        let name = self.text(function);
        if name == "dict" {
            return Value::Dict(self.arguments(node).1);
        }
        // `open(...).read().splitlines()` is what `open(...)` is.
        if function.kind() == "attribute" {
            let object = function.child_by_field_name("object");
            let object = object.map_or(Value::Unknown, |o| self.value(o, depth + 1));
            if matches!(object, Value::File(_) | Value::Text(_) | Value::List(_)) {
                return object;
            }
        }
        if matches!(name, "list" | "sorted" | "tuple" | "set" | "filter" | "map" | "str") {
            let known = |v: &Value| *v != Value::Unknown;
            return self.arguments(node).0.into_iter().rfind(known).unwrap_or(Value::Unknown);
        }
        let whole = node.child_by_field_name("arguments").and_then(|a| self.file_in(a, 0));
        let body = || self.functions.get(name).and_then(|f| self.file_in(*f, 0));
        whole.or_else(body).map_or(Value::Unknown, Value::File)
    }

    /// The first string below `node` that names a requirements file of the repository.
    fn file_in(&self, node: Node<'a>, depth: usize) -> Option<String> {
        if depth > DEPTH {
            return None;
        }
        if node.kind() == "string_content" {
            let text = self.text(node);
            let path = requirements::join("", text);
            let named = path.contains("requirement") || path.contains("deps");
            let kind = path.ends_with(".txt") || path.ends_with(".in") || path.ends_with(".pip");
            return (named && kind && self.source.exists(&path)).then_some(path);
        }
        let mut cursor = node.walk();
        let all: Vec<Node<'a>> = node.named_children(&mut cursor).collect();
        all.into_iter().find_map(|child| self.file_in(child, depth + 1))
    }
}
