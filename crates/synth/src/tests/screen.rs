//! Looking at proposed tests before they are run.
//!
//! This is no wall: tests run in a sandbox without a network, and nothing here has to hold against
//! an enemy. It is what saves runs, and what keeps tests out that would pass the runs and still be
//! worthless.

mod asserts;
mod rules;
mod temporary;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tree_sitter::Node;

use super::TestRequest;
use super::style::{Framework, is_test_file};
use crate::python::{Source, line, named, undecorated};
use crate::reject::{Reason, Rejection};

/// What proposed tests are held against.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScreenRules {
    /// What will run them.
    pub framework: Framework,
    /// Directories in which the file may stand; an empty name is the top of the repository.
    pub directories: Vec<String>,
    /// Paths that are taken.
    pub existing: BTreeSet<String>,
    /// Last parts of the names of what was changed.
    pub changed: BTreeSet<String>,
    /// Packages of the repository itself: using them is no use of the network.
    pub own_packages: BTreeSet<String>,
    /// Bytes of the file.
    pub max_bytes: usize,
    /// Tests in it.
    pub max_tests: usize,
}

impl ScreenRules {
    /// The rules for a request.
    pub fn of(request: &TestRequest) -> Self {
        let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
        let names = request.code.iter().flat_map(|code| {
            let class = code.name.split('.').next().unwrap_or_default().to_owned();
            // The methods that Python itself calls are called through their class.
            [last(&code.name), class]
        });
        let dunder = |name: &String| name.starts_with("__");
        let package = |path: &str| {
            let path = path.strip_prefix("src/").or(path.strip_prefix("lib/")).unwrap_or(path);
            path.split('/').next().unwrap_or_default().trim_end_matches(".py").to_owned()
        };
        let parent = request.path.rsplit_once('/').map_or("", |(directory, _)| directory);
        let mut directories = vec![request.style.directory.clone(), parent.to_owned()];
        directories.dedup();
        Self {
            framework: request.style.framework,
            directories,
            existing: request.existing.clone(),
            changed: names.filter(|name| !name.is_empty() && !dunder(name)).collect(),
            own_packages: request.code.iter().map(|code| package(&code.path)).collect(),
            max_bytes: 64 << 10,
            max_tests: 60,
        }
    }
}

/// A test function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestFunction {
    /// `path::Class::name`, without parameters.
    pub id: String,
    /// Its first line, from 1.
    pub line: usize,
    /// Whether it only looks whether something can be imported, exists or can be called.
    pub weak: bool,
}

/// What the screening saw.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Screened {
    /// The tests, in the order of the file.
    pub tests: Vec<TestFunction>,
}

impl Screened {
    /// Whether a test, with or without parameters, is weak. One that nobody saw is.
    pub fn is_weak(&self, id: &str) -> bool {
        let plain = without_parameters(id);
        self.tests.iter().find(|test| test.id == plain).is_none_or(|test| test.weak)
    }
}

/// The id of the test function.
pub(super) fn without_parameters(id: &str) -> &str {
    id.split('[').next().unwrap_or(id)
}

/// Screens a file of tests.
///
/// # Errors
/// The first rule that it breaks: its place, its form, what it may not do, what it has to do.
pub fn screen(path: &str, content: &str, rules: &ScreenRules) -> Result<Screened, Rejection> {
    place(path, rules)?;
    if content.len() > rules.max_bytes {
        let detail = format!("{} bytes; at most {}", content.len(), rules.max_bytes);
        return Err(Rejection::new(Reason::FileTooLong, detail));
    }
    if let Some((line, what)) = Source::broken_line(content) {
        return Err(Rejection::at(Reason::SyntaxError, line, what));
    }
    let source = Source::parse(content)
        .ok_or_else(|| Rejection::new(Reason::SyntaxError, "the parser gave up"))?;
    rules::check(&source, rules)?;
    let found = test_functions(&source, rules.framework);
    if found.is_empty() {
        let detail = match rules.framework {
            Framework::Pytest => {
                "there is no function `test_…`, nor a method of that name in a class `Test…`"
            }
            Framework::Unittest => {
                "there is no method `test…` in a class that derives from `TestCase`"
            }
        };
        return Err(Rejection::new(Reason::NoTests, detail));
    }
    if found.len() > rules.max_tests {
        let detail = format!("{}; at most {}", found.len(), rules.max_tests);
        return Err(Rejection::new(Reason::TooManyTests, detail));
    }
    let looker = asserts::Looker::new(&source, &rules.changed);
    let (mut tests, mut asserting) = (Vec::new(), 0);
    for function in found {
        let seen = looker.look(function.node);
        asserting += usize::from(seen.asserts > 0 || seen.calls_changed);
        tests.push(TestFunction {
            id: format!("{path}::{}", function.id),
            line: line(function.node),
            weak: !seen.strong && !seen.calls_changed,
        });
    }
    if asserting == 0 {
        let detail = "no test asserts anything or calls what was changed";
        return Err(Rejection::at(Reason::NoAssertion, tests[0].line, detail));
    }
    if tests.iter().all(|test| test.weak) {
        let detail = "every test only looks whether something can be imported, exists or can be \
                      called; call it, and compare what it does";
        return Err(Rejection::at(Reason::OnlyImports, tests[0].line, detail));
    }
    Ok(Screened { tests })
}

fn place(path: &str, rules: &ScreenRules) -> Result<(), Rejection> {
    let outside = |detail: String| Err(Rejection::new(Reason::PathOutsideTests, detail));
    if let Err(why) = palestra_diff::check_path(path.as_bytes()) {
        return outside(format!("{path:?} {why}"));
    }
    let odd = |c: char| c.is_control() || c.is_whitespace() || c == '\\';
    if path.chars().any(odd) || path.split('/').any(|part| matches!(part, "." | ".." | "")) {
        return outside(format!("{path:?} is no plain path"));
    }
    let inside = |directory: &String| match directory.as_str() {
        "" => !path.contains('/'),
        directory => path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/')),
    };
    if !rules.directories.iter().any(inside) {
        return outside(format!("{path:?} is not in {}", rules.directories.join(" or ")));
    }
    if !is_test_file(path) {
        let detail = format!("{path:?} is not called `test_….py`");
        return Err(Rejection::new(Reason::NotATestFile, detail));
    }
    if rules.existing.contains(path) {
        return Err(Rejection::new(Reason::PathExists, format!("{path:?} exists")));
    }
    Ok(())
}

/// A test function of a file.
pub(super) struct Found<'t> {
    /// `Class::name`, without the path.
    pub(super) id: String,
    pub(super) node: Node<'t>,
}

/// The test functions that the runner would find, in their order.
pub(super) fn test_functions<'t>(source: &'t Source<'_>, framework: Framework) -> Vec<Found<'t>> {
    let mut found = Vec::new();
    for node in named(source.root()) {
        add_tests(source, undecorated(node), "", framework, &mut found);
    }
    found
}

fn add_tests<'t>(
    source: &Source<'_>,
    node: Node<'t>,
    within: &str,
    framework: Framework,
    found: &mut Vec<Found<'t>>,
) {
    let name =
        node.child_by_field_name("name").map(|name| source.text_of(name)).unwrap_or_default();
    match node.kind() {
        "function_definition"
            if name.starts_with("test")
                && (framework == Framework::Pytest || !within.is_empty()) =>
        {
            found.push(Found { id: format!("{within}{name}"), node });
        }
        "class_definition" => {
            let bases = node.child_by_field_name("superclasses");
            let bases = bases.map(|bases| source.text_of(bases)).unwrap_or_default();
            let case = bases.contains("TestCase") || bases.contains("Test");
            let plain = framework == Framework::Pytest && name.starts_with("Test");
            if !(case || plain) {
                return;
            }
            let Some(body) = node.child_by_field_name("body") else { return };
            let methods: Vec<Node<'t>> = named(body).into_iter().map(undecorated).collect();
            let named_init = |method: &Node<'t>| {
                let name = method.child_by_field_name("name");
                name.is_some_and(|name| source.text_of(name) == "__init__")
            };
            // pytest passes over such classes.
            if !case && methods.iter().any(named_init) {
                return;
            }
            for method in methods {
                add_tests(source, method, &format!("{within}{name}::"), framework, found);
            }
        }
        _ => {}
    }
}
