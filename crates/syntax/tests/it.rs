//! Entities of Python 2 and 3, and comparison by meaning.

use palestra_core::EntityKind::{self, Class, Function, Import, Method, Statement};
use palestra_syntax::{Parser, entities};
use proptest::prelude::*;

/// Kind, name, first and last line of every entity, and how many problems there are.
fn listed(source: &str) -> (Vec<(EntityKind, String, usize, usize)>, usize) {
    let (found, problems) = entities("m.py", source.as_bytes());
    let listed = found
        .into_iter()
        .map(|e| e.entity)
        .map(|e| (e.kind, e.name, e.start_line, e.end_line))
        .collect();
    (listed, problems.len())
}

fn check(source: &str, want: &[(EntityKind, &str, usize, usize)]) {
    let (found, problems) = listed(source);
    let found: Vec<_> = found.iter().map(|(k, n, s, e)| (*k, n.as_str(), *s, *e)).collect();
    assert_eq!(found, want, "{source}");
    assert_eq!(problems, 0, "{source}");
}

#[test]
fn the_top_level_is_listed() {
    let source = "\
\"\"\"Doc.\"\"\"
import os, a.b as c
from x import y
import z

@decorator(
    1,
)
async def f(x):
    if x:
        return 1
    # a comment at the end

    # another

class C(B):

    attribute = 1

    @property
    def m(self): return 1; # c
    def n(self):
        def inner(): pass

x = 1; y = (
    2)
if x:
    def hidden(): pass
else:
    pass
";
    check(
        source,
        &[
            (Statement, "", 1, 1),
            (Import, "os", 2, 2),
            (Import, "a.b", 2, 2),
            (Statement, "", 3, 3),
            (Import, "z", 4, 4),
            (Function, "f", 9, 11),
            (Class, "C", 16, 23),
            (Method, "C.m", 21, 21),
            (Method, "C.n", 22, 23),
            (Statement, "", 25, 25),
            (Statement, "", 25, 26),
            (Statement, "", 27, 30),
        ],
    );
}

#[test]
fn python_2_is_read() {
    check(
        "print 'a', b\nprint >>f, x\nexec code in ns\n",
        &[(Statement, "", 1, 1), (Statement, "", 2, 2), (Statement, "", 3, 3)],
    );
    check("def f((a, b), c):\n    raise E, 'x'\n", &[(Function, "f", 1, 2)]);
    check("try:\n    pass\nexcept E, e:\n    x = 0777L <> 1\n", &[(Statement, "", 1, 4)]);
    check("def f(x):\n    return '`' + `x` # `\n", &[(Function, "f", 1, 2)]);
    check("x = ur'a'\n", &[(Statement, "", 1, 1)]);
}

#[test]
fn the_two_pythons_are_told_apart() {
    let mut parser = Parser::new();
    let mut is = |source: &str| {
        let module = parser.parse(source.as_bytes());
        (module.is_python2(), module.is_python3())
    };
    for old in [
        "print 'a'\n",
        "print\n\nx = 1\nprint >>f\n",
        "exec 'x' in y\n",
        "try:\n    pass\nexcept E, e:\n    pass\n",
        "raise E, 'x'\n",
        "x = 0777\n",
        "x = 10L\n",
        "x = a <> b\n",
        "x = `y`\n",
        "x = ur'y'\n",
        "f = lambda (a, b): a\n",
        "f = lambda(a): a\n",
        "def f(a, (b, c)): pass\n",
    ] {
        assert_eq!(is(old), (true, false), "{old}");
    }
    for new in [
        "print('a')\nprint('a', file=f)\n",
        "x = [0, 00, 0x0L1 if 0 else 0]\n".replace("0x0L1", "0x01").as_str(),
        "try:\n    pass\nexcept (E, F) as e:\n    raise G(1, 2) from e\n",
        "def f[T](x: int, /, *, y=(1, 2)) -> T: ...\n",
        "match x:\n    case [a, *b]:\n        pass\n",
        "s = f'{x!r:>{w}} {y=}'\n",
        "# print 'a' <> `b`\n\"except a, b\"\n",
    ] {
        assert_eq!(is(new), (false, true), "{new}");
    }
    assert_eq!(is("def f(:\n"), (false, false));
}

#[test]
fn line_ends_of_any_kind_count() {
    let unix = "def f():\n    return 1\n\nx = 2\n";
    for end in ["\r\n", "\r"] {
        assert_eq!(listed(&unix.replace('\n', end)), listed(unix));
    }
    let (found, _) = entities("m.py", b"x = 1\r\ny = (\r\n2)\r\n");
    assert_eq!(found[1].content, "y = (\n2)");
}

#[test]
fn cutting_into_statements_changes_nothing() {
    let source = "\
\u{feff}# comment
'''doc
def not_a_function(): pass
'''
@a
# between
@b(
)

class C:
    '''x
y''' if x else \\
'z'

# outside
    # indented
    def m(self):
        return {
1: 2}
if x:
    pass
# still the same statement
elif y:
    pass
else: pass
try:
    pass
finally:
    elsewhere = 1
elsewhere = 2; other = f\"{x['a']}\" # '''
\x0c
def f(): pass
";
    check(
        source,
        &[
            (Statement, "", 2, 4),
            (Class, "C", 10, 19),
            (Method, "C.m", 17, 19),
            (Statement, "", 20, 25),
            (Statement, "", 26, 29),
            (Statement, "", 30, 30),
            (Statement, "", 30, 30),
            (Function, "f", 32, 32),
        ],
    );
}

#[test]
fn a_parser_that_remembers_says_the_same() {
    let mut parser = Parser::new();
    let versions = [
        "import a\n\ndef f():\n    return 1\n\nclass C:\n    def m(self): pass\n",
        "import a\n# more\n\n\nclass C:\n    def m(self): pass\ndef f():\n    return 1\n",
        "def f():\n    return (\n",
        "def f():\n    return 1\n",
    ];
    for source in versions.iter().chain(&versions) {
        let remembered = parser.parse(source.as_bytes());
        let fresh = Parser::new().parse(source.as_bytes());
        assert_eq!(remembered.items(), fresh.items());
        assert_eq!(remembered.problems(), fresh.problems());
        for item in fresh.items() {
            assert_eq!(remembered.canonical(item), fresh.canonical(item));
            assert_eq!(remembered.content(item), fresh.content(item));
        }
    }
}

#[test]
fn problems_name_their_line() {
    let (_, problems) = entities("m.py", b"x = 1\ny = )\n");
    assert!(problems.iter().any(|p| p.line == 2), "{problems:?}");
    let (found, problems) = entities("m.py", b"def f():\n    pass\n\nclass = 3 3 3 )\n");
    assert!(!problems.is_empty());
    assert_eq!(found[0].entity.name, "f", "what can be read is");
    let (_, problems) = entities("m.py", &vec![b'x'; 5 << 20]);
    assert_eq!(problems.len(), 1);
}

fn canonical(source: &str) -> Vec<u8> {
    let module = Parser::new().parse(source.as_bytes());
    assert!(module.problems().is_empty(), "{source} {:?}", module.problems());
    let item = module.items().iter().find(|i| matches!(i.kind, Function | Class)).unwrap();
    module.canonical(item).unwrap()
}

fn same_meaning(one: &str, other: &str) -> bool {
    let [one, other] = [one, other].map(|s| Parser::new().parse(s.as_bytes()));
    one.same_meaning(&one.items()[0], &other, &other.items()[0])
}

fn function(body: &str) -> String {
    let body: String = body.lines().map(|l| format!("    {l}\n")).collect();
    format!("def f(x, y, z):\n{body}")
}

#[test]
fn layout_does_not_count() {
    for (one, other) in [
        ("return x", "'''Doc.'''\n# comment\nreturn x  # more"),
        ("return x", "'a free string'\nreturn (x)\n('b' \"c\")"),
        ("x = 'it'", "x = \"it\""),
        ("x = 'a\\n    b'", "x = '''a\nb'''"),
        ("x = 'ab'", "x = ('a'\n     'b')"),
        ("x = '\\x41\\u00e9'", "x = 'Aé'"),
        ("x = '\\\\d'", "x = r'\\d'"),
        ("x = 255", "x = 0xFF"),
        ("x = 1000.0", "x = 1e3"),
        ("x = .5e0", "x = 0.5"),
        ("x = 1.e3", "x = 1000.0"),
        ("if y: x = f'{z['a']}'", "if y:\n  x = f\"{z['a']}\""),
        ("x = 10000", "x = 10_000"),
        ("f(a, b)", "f(\n    a,\n    b,\n)"),
        ("f(x for x in y)", "f((x for x in y))"),
        ("f(*y, a=1)", "f(a=1, *y)"),
        ("x, y = z", "(x, y) = z"),
        ("return x, y", "return (x, y)"),
        ("for x, y in z: pass", "for (x, y) in z:\n    pass"),
        ("x = 1; y = 2", "x = 1\ny = 2"),
        ("x = y + \\\n  z", "x = y + z"),
        ("x = (x + y) + z", "x = x + y + z"),
        (
            "if x:\n  y\nelif z:\n  x\nelse:\n  z",
            "if x:\n  y\nelse:\n  if z:\n    x\n  else:\n    z",
        ),
        ("x = y[1:2:]", "x = y[1:2]"),
        ("x = y[1, 2]", "x = y[(1, 2)]"),
        ("with a as b, c as d: pass", "with (a as b, c as d):\n    pass"),
        ("class A: pass", "class A():\n    pass"),
        ("from a import b, c", "from a import (b,\n c,)"),
        ("x = f'{y}a'", "x = f\"{ y }a\""),
        ("x = (y if z else x)", "x = y if z else x"),
        ("x = [1, 2,]", "x = [1, 2]"),
        ("x = (yield y)", "x = yield y"),
    ] {
        let (one, other) = (function(one), function(other));
        assert_eq!(canonical(&one), canonical(&other), "{one}\n{other}");
        assert!(same_meaning(&one, &other), "{one}\n{other}");
    }
}

#[test]
fn meaning_counts() {
    for (one, other) in [
        ("return x", "return y"),
        ("return x", "return"),
        ("x = 'a'", "x = b'a'"),
        ("x = 'a'", "x = u'a'"),
        ("x = 'a'", "x = f'a'"),
        ("b'bytes'\npass", "pass"),
        ("x = 1", "x = 1.0"),
        ("x = 1", "x = 1j"),
        ("x = x + (y + z)", "x = x + y + z"),
        ("x = (x and y) and z", "x = x and y and z"),
        ("x = (x < y) < z", "x = x < y < z"),
        ("x = not x in y", "x = x not in y"),
        ("x = (1,)", "x = 1"),
        ("x,", "x"),
        ("x = [1]", "x = {1}"),
        ("x = y[1:]", "x = y[:1]"),
        ("x = y[1,]", "x = y[1]"),
        ("f(*x)", "f(x)"),
        ("f(**x)", "f(*x)"),
        ("x += 1", "x -= 1"),
        ("x: int = 1", "x = 1"),
        ("from . import a", "from .. import a"),
        ("del (x, y)", "del x, y"),
        ("if x:\n  pass\nelse:\n  y\n  if z: pass", "if x:\n  pass\nelif z: pass"),
        ("if x:\n  y\n  z", "if x:\n  y\nz"),
        ("async with x: pass", "with x: pass"),
        ("x = f'{y!r}'", "x = f'{y!s}'"),
        ("x = f'{y:>3}'", "x = f'{y:<3}'"),
        ("x = lambda a: a", "x = lambda a=1: a"),
        ("@d\ndef g(): pass", "def g(): pass"),
        ("try:\n  pass\nexcept A: pass", "try:\n  pass\nexcept A as b: pass"),
        ("x = '\\\\n'", "x = '\\n'"),
    ] {
        let (one, other) = (function(one), function(other));
        assert_ne!(canonical(&one), canonical(&other), "{one}\n{other}");
        assert!(!same_meaning(&one, &other), "{one}\n{other}");
    }
}

#[test]
fn only_functions_and_classes_are_compared() {
    let module = Parser::new().parse(b"import a\nx = 1\n@d\nclass C:\n    def m(self): pass\n");
    let have: Vec<_> = module.items().iter().map(|i| module.canonical(i).is_some()).collect();
    assert_eq!(have, [false, false, true, true], "a method stands for its class");
}

#[test]
fn deep_nesting_is_bounded() {
    let deep = format!("def f():\n    x = {}1{}\n", "(".repeat(3000), ")".repeat(3000));
    let long = format!("def f():\n    x = {}\n", vec!["a"; 20_000].join(" + "));
    for source in [deep, long] {
        let module = Parser::new().parse(source.as_bytes());
        for item in module.items() {
            module.canonical(item);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_fail(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let module = Parser::new().parse(&bytes);
        for item in module.items() {
            let _ = module.canonical(item);
            prop_assert!(item.start_line <= item.end_line);
        }
    }

    #[test]
    fn no_words_make_it_fail(words in prop::collection::vec(prop::sample::select(vec![
        "def ", "class ", "f", "(", ")", ":", "\n", "    ", "@", "if ", "else", "'", "\"\"\"",
        "`", "print ", ",", "=", "\\", "#", "\r", "lambda ", "é", "0x", "f'{", "}",
    ]), 0..60)) {
        let module = Parser::new().parse(words.concat().as_bytes());
        for item in module.items() {
            let _ = module.canonical(item);
            prop_assert!(item.start_line <= item.end_line);
        }
    }
}

#[test]
fn a_module_is_its_statements() {
    let module = Parser::new().parse(b"'''Doc.'''\nimport a  # b\n\n@c\ndef f(x):\n    return 1\n");
    let statements: Vec<&[u8]> = module.statements().collect();
    let want: [&[u8]; 3] = [b"'''Doc.'''\n", b"import a  # b\n", b"@c\ndef f(x):\n    return 1\n"];
    assert_eq!(statements, want);
}
