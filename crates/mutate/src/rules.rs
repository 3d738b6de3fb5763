//! What Python's compiler refuses although the grammar reads it: empty blocks, lines that are
//! indented in another way, `return` outside a function, `nonlocal` without a name to bind, and
//! the like. Code that was cut and pasted by bytes must be looked at for these.

use std::collections::{HashMap, HashSet};

use tree_sitter::{Node, Tree};

use crate::tree::{child_of_kind, children, field, named};

/// The tree of a statement of a module's top level, or what is wrong with it.
pub(crate) fn check(source: &[u8]) -> Result<Tree, String> {
    let mut parser = tree_sitter::Parser::new();
    let _ = parser.set_language(&tree_sitter_python::LANGUAGE.into());
    let tree = parser.parse(source, None).ok_or("the parser gave up")?;
    let mut checker = Checker {
        source,
        scopes: vec![Scope::default()],
        names: [&b"nonlocal"[..], b"global"].iter().any(|w| contains(source, w)),
    };
    let root = tree.root_node();
    if root.has_error() {
        return Err("has syntax errors".to_owned());
    }
    let context = Context { scope: 0, in_loop: false, binds: false, owner: 0 };
    let mut pending = vec![(root, context)];
    while let Some((node, context)) = pending.pop() {
        checker.node(node, context, &mut pending).map_err(|what| {
            let line = node.start_position().row + 1;
            format!("line {line}: {what}")
        })?;
    }
    checker.scopes_agree()?;
    Ok(tree)
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|w| w == word)
}

/// Where a node stands.
#[derive(Clone, Copy)]
struct Context {
    scope: usize,
    in_loop: bool,
    /// Whether names here are assigned to.
    binds: bool,
    /// Where the statement or clause begins that a block belongs to.
    owner: usize,
}

#[derive(Default)]
struct Scope<'a> {
    parent: usize,
    is_function: bool,
    is_async: bool,
    yields: bool,
    returns_value: bool,
    bound: HashSet<&'a [u8]>,
    nonlocals: Vec<&'a [u8]>,
    /// Names declared `global` or `nonlocal`, and where.
    declared: Vec<(&'a [u8], usize)>,
    first_use: HashMap<&'a [u8], usize>,
}

struct Checker<'a> {
    source: &'a [u8],
    scopes: Vec<Scope<'a>>,
    /// Whether names matter at all.
    names: bool,
}

impl<'a> Checker<'a> {
    fn text(&self, node: Node<'_>) -> &'a [u8] {
        self.source.get(node.byte_range()).unwrap_or_default()
    }

    /// The white space before the line that holds a byte, if nothing else is before the byte.
    fn indent(&self, at: usize) -> (&'a [u8], bool) {
        let before = self.source.get(..at).unwrap_or_default();
        let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        let line = &self.source[start..];
        let length = line.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        (&line[..length], start + length == at)
    }

    fn node<'t>(
        &mut self,
        node: Node<'t>,
        context: Context,
        pending: &mut Vec<(Node<'t>, Context)>,
    ) -> Result<(), &'static str> {
        let scope = context.scope;
        let mut inner = Context { owner: node.start_byte(), ..context };
        match node.kind() {
            "block" | "module" => {
                self.block(node, context)?;
                inner.owner = context.owner;
            }
            "if_statement" | "elif_clause" | "else_clause" | "except_clause" | "finally_clause"
            | "case_clause" | "with_statement" | "match_statement" => {
                self.clause(node, context)?;
            }
            "for_statement" | "while_statement" => {
                self.clause(node, context)?;
                for child in children(node) {
                    let name = ["body", "left"].iter().find(|f| field(node, f) == Some(child));
                    let in_loop = context.in_loop || name == Some(&"body");
                    let binds = name == Some(&"left");
                    pending.push((child, Context { in_loop, binds, ..inner }));
                }
                return Ok(());
            }
            "try_statement" => {
                self.clause(node, context)?;
                let has = |kind| child_of_kind(node, kind).is_some();
                if !has("except_clause") && (!has("finally_clause") || has("else_clause")) {
                    return Err("`try` without `except`");
                }
            }
            "function_definition" => {
                self.clause(node, context)?;
                self.bind(field(node, "name"), scope);
                let is_async = child_of_kind(node, "async").is_some();
                inner.scope = self.open(scope, true, is_async);
                inner.in_loop = false;
            }
            "class_definition" => {
                self.clause(node, context)?;
                self.bind(field(node, "name"), scope);
                inner.scope = self.open(scope, false, false);
                inner.in_loop = false;
            }
            "lambda" => {
                inner.scope = self.open(scope, true, false);
                inner.binds = false;
            }
            "break_statement" | "continue_statement" if !context.in_loop => {
                return Err("`break` or `continue` outside a loop");
            }
            "return_statement" => {
                let value = node.named_child_count() > 0;
                let scope = self.function(scope).ok_or("`return` outside a function")?;
                scope.returns_value |= value;
            }
            "yield" => {
                let from = child_of_kind(node, "from").is_some();
                let scope = self.function(scope).ok_or("`yield` outside a function")?;
                if from && scope.is_async {
                    return Err("`yield from` in an `async` function");
                }
                scope.yields = true;
            }
            "await" | "async"
                if !(node.kind() == "async" && is_definition(node))
                    && self.function(scope).is_none_or(|s| !s.is_async) =>
            {
                return Err("`await` outside an `async` function");
            }
            "global_statement" | "nonlocal_statement" => {
                for name in named(node) {
                    let text = self.text(name);
                    let scope = &mut self.scopes[scope];
                    scope.declared.push((text, node.start_byte()));
                    if node.kind() == "nonlocal_statement" {
                        scope.nonlocals.push(text);
                    }
                }
                return Ok(());
            }
            "argument_list" => arguments(node)?,
            "parameters" | "lambda_parameters" => {
                self.parameters(node)?;
                inner.binds = true;
            }
            "identifier" => {
                if self.names {
                    let text = self.text(node);
                    let scope = &mut self.scopes[scope];
                    scope.first_use.entry(text).or_insert(node.start_byte());
                    let first = scope.first_use.get_mut(text);
                    if let Some(first) = first {
                        *first = node.start_byte().min(*first);
                    }
                    if context.binds {
                        scope.bound.insert(text);
                    }
                }
                return Ok(());
            }
            _ => {}
        }
        if self.names {
            self.with_names(node, inner, pending);
        } else {
            pending.extend(children(node).into_iter().map(|child| (child, inner)));
        }
        Ok(())
    }

    /// Goes on below a node and tells names that are assigned to from those that are read.
    fn with_names<'t>(
        &self,
        node: Node<'t>,
        inner: Context,
        pending: &mut Vec<(Node<'t>, Context)>,
    ) {
        for child in children(node) {
            let is = |name: &str| field(node, name) == Some(child);
            let binds = match node.kind() {
                "assignment" | "augmented_assignment" => is("left"),
                "default_parameter" | "typed_default_parameter" => is("name"),
                "named_expression" => is("name"),
                "for_in_clause" => is("left"),
                "except_clause" => is("alias"),
                "aliased_import" => is("alias"),
                "import_statement" | "import_from_statement" => is("name"),
                "as_pattern_target" | "delete_statement" => true,
                "attribute" if is("attribute") => continue,
                "keyword_argument" if is("name") => continue,
                "attribute" | "subscript" | "call" | "type" | "block" => false,
                _ => inner.binds,
            };
            pending.push((child, Context { binds, ..inner }));
        }
    }

    fn open(&mut self, parent: usize, is_function: bool, is_async: bool) -> usize {
        self.scopes.push(Scope { parent, is_function, is_async, ..Scope::default() });
        self.scopes.len() - 1
    }

    fn bind(&mut self, name: Option<Node<'_>>, scope: usize) {
        if let Some(name) = name {
            let text = self.text(name);
            self.scopes[scope].bound.insert(text);
        }
    }

    /// The scope, if it is a function.
    fn function(&mut self, scope: usize) -> Option<&mut Scope<'a>> {
        self.scopes.get_mut(scope).filter(|s| s.is_function)
    }

    /// A block has statements, and they are indented alike.
    fn block(&self, block: Node<'_>, context: Context) -> Result<(), &'static str> {
        let statements = named(block);
        let is_module = block.kind() == "module";
        let Some(first) = statements.first() else {
            return if is_module { Ok(()) } else { Err("a block without statements") };
        };
        let (owner, _) = self.indent(context.owner);
        let (indent, own_line) = self.indent(first.start_byte());
        if is_module && !indent.is_empty() {
            return Err("unexpected indent");
        }
        if !is_module && own_line && (indent.len() <= owner.len() || !indent.starts_with(owner)) {
            return Err("a block that is not indented");
        }
        let line = first.start_position().row;
        for statement in &statements[1..] {
            let (other, starts_line) = self.indent(statement.start_byte());
            let same_line = statement.start_position().row == line;
            let fits = if own_line { !starts_line || other == indent } else { same_line };
            if !fits {
                return Err("statements of a block that are not indented alike");
            }
        }
        Ok(())
    }

    /// A clause has a block, and stands where its statement does.
    fn clause(&self, node: Node<'_>, context: Context) -> Result<(), &'static str> {
        if child_of_kind(node, "block").is_none() {
            return Err("a clause without a block");
        }
        let is_clause = matches!(
            node.kind(),
            "elif_clause" | "else_clause" | "except_clause" | "finally_clause"
        );
        let aligned = || self.indent(node.start_byte()) == (self.indent(context.owner).0, true);
        if is_clause && !aligned() {
            return Err("a clause that is not indented like its statement");
        }
        Ok(())
    }

    fn parameters(&self, node: Node<'_>) -> Result<(), &'static str> {
        let mut seen = HashSet::new();
        // Behind `*`, parameters with and without a default stand in any order.
        let (mut optional, mut keyword_only) = (false, false);
        for parameter in named(node) {
            let first = parameter.named_child(0).map(|c| c.kind());
            match parameter.kind() {
                "default_parameter" | "typed_default_parameter" => optional = true,
                "list_splat_pattern" | "keyword_separator" => keyword_only = true,
                "typed_parameter" if first != Some("identifier") => keyword_only = true,
                "identifier" | "typed_parameter" if optional && !keyword_only => {
                    return Err("a parameter without a default");
                }
                _ => {}
            }
            let name = field(parameter, "name").unwrap_or(parameter);
            let typed = name.kind() == "typed_parameter";
            let name = if typed { name.named_child(0) } else { Some(name) };
            if let Some(name) = name.filter(|n| n.kind() == "identifier")
                && !seen.insert(self.text(name))
            {
                return Err("two parameters of one name");
            }
        }
        Ok(())
    }

    /// Every `nonlocal` has a function around it that binds the name, and no name is used
    /// before it is declared.
    fn scopes_agree(&self) -> Result<(), String> {
        for scope in &self.scopes {
            for name in &scope.nonlocals {
                let mut at = scope.parent;
                while at != 0 {
                    let outer = &self.scopes[at];
                    if outer.is_function && outer.bound.contains(name) {
                        break;
                    }
                    at = outer.parent;
                }
                if at == 0 {
                    return Err("a `nonlocal` name that no function binds".to_owned());
                }
            }
            let early = |(name, at): &(&[u8], usize)| {
                scope.first_use.get(name).is_some_and(|first| first < at)
            };
            if scope.declared.iter().any(early) {
                return Err("a name that is used before it is declared `global`".to_owned());
            }
            if scope.is_async && scope.yields && scope.returns_value {
                return Err("an `async` generator that returns a value".to_owned());
            }
        }
        Ok(())
    }
}

fn is_definition(node: Node<'_>) -> bool {
    node.parent().is_some_and(|p| p.kind() == "function_definition")
}

fn arguments(node: Node<'_>) -> Result<(), &'static str> {
    let all = named(node);
    let (mut keyword, mut splat) = (false, false);
    for argument in &all {
        match argument.kind() {
            "keyword_argument" => keyword = true,
            "dictionary_splat" => splat = true,
            "list_splat" if splat => return Err("`*` behind `**`"),
            "list_splat" => {}
            _ if keyword || splat => return Err("a positional argument behind a keyword"),
            _ => {}
        }
    }
    Ok(())
}
