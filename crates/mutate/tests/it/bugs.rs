//! Every modifier, as texts before and after.

use std::collections::BTreeSet;

use palestra_mutate::{InjectOptions, Modifier, Source, inject};

/// What a modifier makes of a source, over many seeds.
fn results(modifier: Modifier, before: &str) -> BTreeSet<String> {
    let source = [Source { path: "m.py", content: before.as_bytes(), executable: false }];
    let mut found = BTreeSet::new();
    for seed in 0..60 {
        let options = InjectOptions {
            seed,
            modifiers: vec![modifier],
            likelihood: Some(0.5),
            min_complexity: Some(0),
            ..InjectOptions::default()
        };
        let (bugs, problems) = inject(&source, &options);
        assert_eq!(problems, []);
        for bug in bugs {
            let text = bug.apply(&source).unwrap().remove("m.py").unwrap();
            found.insert(String::from_utf8(text).unwrap());
        }
    }
    found
}

fn check(modifier: Modifier, before: &str, after: &[&str]) {
    let want: BTreeSet<String> = after.iter().map(|s| (*s).to_owned()).collect();
    let found = results(modifier, before);
    assert_eq!(found, want, "{modifier} of:\n{before}");
}

#[test]
fn a_base_is_removed() {
    let check = |before, after: &[&str]| check(Modifier::ClassRemoveBase, before, after);
    check("class C(A):\n    x = 1\n", &["class C:\n    x = 1\n"]);
    check(
        "class C(A, B,):\n    x = 1\n",
        &["class C(A,):\n    x = 1\n", "class C(B,):\n    x = 1\n"],
    );
    check("class C(A, metaclass=M):\n    x = 1\n", &["class C(metaclass=M):\n    x = 1\n"]);
    check("class C(object):\n    x = 1\n", &[]);
    check("class C:\n    x = 1\n", &[]);
}

#[test]
fn methods_go_with_their_calls() {
    let check = |before, after: &[&str]| check(Modifier::ClassRemoveFunctions, before, after);
    check(
        "\
class C:
    def a(self):
        return 1

    # About b.
    @decorated
    def b(self):
        self.a()
        if self.x: self.a()
        return self.a(self.a()) + self.a
",
        &[
            "\
class C:

    # About b.
    @decorated
    def b(self):
        if self.x: pass
        return None + self.a
",
            "\
class C:
    def a(self):
        return 1

",
        ],
    );
    // What the body of the class uses stays; a property goes as a whole.
    check(
        "\
class C:
    def a(self): return 1
    b = property(a)
    @property
    def c(self): return 1
    def d(self): return self.d()
",
        &[
            "class C:\n    def a(self): return 1\n    b = property(a)\n    @property\n    def c(self): return 1\n",
            "class C:\n    def a(self): return 1\n    b = property(a)\n    def d(self): return self.d()\n",
            "class C:\n    def a(self): return 1\n    b = property(a)\n",
        ],
    );
    check("class C:\n    def a(self): return 1\n", &["class C:\n    pass\n"]);
}

#[test]
fn methods_are_shuffled_where_their_order_matters() {
    let check = |before, after: &[&str]| check(Modifier::ClassShuffleFunctions, before, after);
    check("class C:\n    def a(self): return 1\n    def b(self): return 2\n", &[]);
    check(
        "\
class C:
    x = 1

    # First.
    @property
    def a(self):
        return 1

    @a.setter
    def a(self, value):
        pass",
        &["\
class C:
    x = 1

    @a.setter
    def a(self, value):
        pass

    # First.
    @property
    def a(self):
        return 1"],
    );
}

#[test]
fn branches_are_exchanged() {
    let check = |before, after: &[&str]| check(Modifier::ControlInvertIf, before, after);
    check(
        "\
def f(x):
    if x:  # yes
        # one
        return 1
    # otherwise
    else:
      # two
      return 2  # no
",
        &["\
def f(x):
    if x:  # yes
      # two
      return 2  # no
    # otherwise
    else:
        # one
        return 1
"],
    );
    check(
        "def f(x):\n    if x: return 1\n    else: return 2",
        &["def f(x):\n    if x: return 2\n    else: return 1"],
    );
    check(
        "def f(x):\n    if x:\n        y()\n    elif z:\n        return 1\n    else:\n        return 2\n",
        &[
            "def f(x):\n    if x:\n        y()\n    elif z:\n        return 2\n    else:\n        return 1\n",
        ],
    );
    check("def f(x):\n    if x:\n        return 1\n    else: return 2\n", &[]);
    check("def f(x):\n    if x:\n        return 1\n", &[]);
}

#[test]
fn statements_are_shuffled() {
    let check = |before, after: &[&str]| check(Modifier::ControlShuffle, before, after);
    check(
        "\
def f(x):
    '''Doc.'''
    # Loop.
    for y in x:
        x.pop()

    return x
",
        &["\
def f(x):
    '''Doc.'''
    return x

    # Loop.
    for y in x:
        x.pop()
"],
    );
    check("def f(x):\n    a = 1\n    return a\n", &[]);
    check("def f(x):\n    global y\n    for y in x: pass\n", &[]);
    check(
        "def f(x):\r\n    global y\r\n    for y in x: pass\r\n    return y",
        &["def f(x):\r\n    global y\r\n    return y\r\n    for y in x: pass"],
    );
}

#[test]
fn assignments_go() {
    let check = |before, after: &[&str]| check(Modifier::RemoveAssign, before, after);
    check(
        "def f(x):\n    # A comment.\n    x = 1  # and another\n\n    return x\n",
        &["def f(x):\n\n    return x\n"],
    );
    check("def f(x):\n    x += 1\n", &["def f(x):\n    pass\n"]);
    check("def f(x): y = x = 1; return x\n", &["def f(x): pass; return x\n"]);
    check("def f(x):\n    x: int\n    return x\n", &[]);
    check("def f(x):\n    x: int = 1\n    return x\n", &["def f(x):\n    return x\n"]);
    // A name that an inner function binds must stay.
    check(
        "def f():\n    x = 1\n    def g():\n        nonlocal x\n        x = 2\n    return g\n",
        &["def f():\n    x = 1\n    def g():\n        nonlocal x\n    return g\n"],
    );
    // What only type checkers read is not changed.
    check("def f():\n    if TYPE_CHECKING:\n        x = 1\n    return 1\n", &[]);
    check("if typing.TYPE_CHECKING:\n    def f():\n        x = 1\n", &[]);
}

#[test]
fn conditions_go() {
    let check = |before, after: &[&str]| check(Modifier::RemoveCondition, before, after);
    check(
        "def f(x):\n    if x:\n        y = '''\nz'''\n        g(y,\n  x)\n    return 2\n",
        &[
            "def f(x):\n    return 2\n",
            "def f(x):\n    y = '''\nz'''\n    g(y,\n  x)\n    return 2\n",
        ],
    );
    check(
        "def f(x):\n    if x: return 1\n",
        &["def f(x):\n    pass\n", "def f(x):\n    return 1\n"],
    );
    check(
        "def f(x):\n    if x:\n        return 1\n    elif y:\n        return 2\n    else:\n        return 3\n    return 4\n",
        &["def f(x):\n    return 4\n", "def f(x):\n    if x:\n        return 1\n    return 4\n"],
    );
}

#[test]
fn loops_go() {
    let check = |before, after: &[&str]| check(Modifier::RemoveLoop, before, after);
    check(
        "async def f(x):\n\tasync for y in x:\n\t\twhile y: break\n\telse:\n\t\tz()\n\treturn x\n",
        &[
            "async def f(x):\n\treturn x\n",
            "async def f(x):\n\tasync for y in x:\n\t\tpass\n\telse:\n\t\tz()\n\treturn x\n",
        ],
    );
}

#[test]
fn wrappers_go() {
    let check = |before, after: &[&str]| check(Modifier::RemoveWrapper, before, after);
    check(
        "def f(x):\n    with lock:\n        x += 1\n    return x\n",
        &["def f(x):\n    return x\n", "def f(x):\n    x += 1\n    return x\n"],
    );
    check(
        "def f(x):\n    with open(x) as y:\n        x = y.read()\n    return x\n",
        &["def f(x):\n    return x\n"],
    );
    check(
        "def f(x):\n    try:\n        return x[0]\n    # Nothing there.\n    except IndexError:\n        return None\n",
        &["def f(x):\n    pass\n", "def f(x):\n    return x[0]\n"],
    );
}

#[test]
fn chains_are_broken() {
    let check = |before: &str, after: &[&str]| {
        let body = |e: &str| format!("def f(a, b, c, d):\n    return {e}\n");
        let after: Vec<String> = after.iter().map(|e| body(e)).collect();
        let after: Vec<&str> = after.iter().map(String::as_str).collect();
        self::check(Modifier::OperationBreakChains, &body(before), &after);
    };
    check("a + b", &[]);
    check("a + b + c", &["a + c"]);
    check("a * (b + c)", &["a * c"]);
    check("(a - d + b) * c", &["(a - d) * c", "(a + b) * c", "(a) * c"]);
    check("a ** b ** c", &["a ** c"]);
    check("f'{a + b + c}'", &[]);
}

#[test]
fn constants_are_one_off() {
    let check = |before: &str, after: &[&str]| {
        let body = |e: &str| format!("def f(a: 1 + 2 = 3):\n    '''1 + 1'''\n    return {e}\n");
        let after: Vec<String> = after.iter().map(|e| body(e)).collect();
        let after: Vec<&str> = after.iter().map(String::as_str).collect();
        self::check(Modifier::OperationChangeConstants, &body(before), &after);
    };
    check("a + 1", &["a + 2", "a + 0"]);
    check("a < 0", &["a < 1"]);
    check("a // 1", &["a // 2"]);
    check("a & 0xFF", &["a & 0x100", "a & 0xFE"]);
    check("a | 1_000", &["a | 1001", "a | 999"]);
    check("a[1]", &[]);
}

#[test]
fn operators_change_within_their_family() {
    let check = |before: &str, after: &[&str]| {
        let body = |e: &str| format!("def f(a, b):\n    return {e}\n");
        let after: Vec<String> = after.iter().map(|e| body(e)).collect();
        let after: Vec<&str> = after.iter().map(String::as_str).collect();
        self::check(Modifier::OperationChange, &body(before), &after);
    };
    check("a + b", &["a - b"]);
    check("a * b", &["a / b", "a // b", "a % b"]);
    check("a ** b", &["a * b"]);
    check("a << b", &["a >> b"]);
    check("a ^ b", &["a & b", "a | b"]);
    check("'%s' % a", &[]);
    check("a @ b", &[]);
    check("a and b", &[]);
}

#[test]
fn operands_are_exchanged_with_parentheses() {
    let check = |before: &str, after: &[&str]| {
        let body = |e: &str| format!("def f(a, b, c):\n    return {e}\n");
        let after: Vec<String> = after.iter().map(|e| body(e)).collect();
        let after: Vec<&str> = after.iter().map(String::as_str).collect();
        self::check(Modifier::OperationSwap, &body(before), &after);
    };
    check("a - b", &["b - a"]);
    check("a - b - c", &["b - a - c", "c - (a - b)"]);
    check("a ** -b", &["(-b) ** a"]);
    check("a or b.c", &["b.c or a"]);
    check("a and b or c", &["b and a or c", "c or a and b"]);
    check("a * b", &[]);
    check("'%s' % a", &[]);
    check("1 if a and b else 2", &["1 if b and a else 2"]);
}

#[test]
fn conditions_whose_sides_do_not_depend_keep_their_order() {
    check(Modifier::OperationSwap, "def f(a, b):\n    if a and b:\n        return 1\n", &[]);
    check(
        Modifier::OperationSwap,
        "def f(a):\n    if a and a.b:\n        return 1\n",
        &["def f(a):\n    if a.b and a:\n        return 1\n"],
    );
}

#[test]
fn as_many_as_there_are() {
    let content = b"def f(a, b):\n    return a - b * a\n";
    let source = [Source { path: "m.py", content, executable: false }];
    let modifiers = vec![Modifier::OperationChange];
    let min_complexity = Some(1);
    let per_entity = usize::MAX;
    let options =
        InjectOptions { modifiers, min_complexity, per_entity, ..InjectOptions::default() };
    // There are two signs and four operators of the other family: seven others.
    let found = inject(&source, &options).0.len();
    assert!((2..=7).contains(&found), "{found}");
}

#[test]
fn complexity_decides_what_is_tried() {
    let source = |content: &'static [u8]| [Source { path: "m.py", content, executable: false }];
    let simple = source(b"def f(a, b):\n    return a - b\n");
    let count = |files: &[Source<'_>], options: InjectOptions| inject(files, &options).0.len();
    assert_eq!(count(&simple, InjectOptions::default()), 0);
    let least = InjectOptions { min_complexity: Some(1), ..InjectOptions::default() };
    assert!(count(&simple, least.clone()) > 0);
    assert_eq!(count(&simple, InjectOptions { likelihood: Some(0.0), ..least.clone() }), 0);
    assert_eq!(count(&simple, InjectOptions { max_complexity: Some(0), ..least }), 0);
    let code = b"def f(a):\n    for b in a:\n        if a < b < 3 and b:\n            return b\n";
    let (bugs, _) = inject(&source(code), &InjectOptions::default());
    // 1, the loop, the `if`, two comparisons, and one `and`.
    assert!(bugs.iter().all(|b| b.complexity == 6) && !bugs.is_empty());
    assert_eq!(bugs[0].entities[0].name, "f");
    assert_eq!(bugs[0].entities[0].line, 1);
}
