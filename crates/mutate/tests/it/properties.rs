//! What holds for every source.

use palestra_diff::{apply_all, parse};
use palestra_mutate::{InjectOptions, MutantOptions, Source, inject, mutants};
use proptest::prelude::*;

use crate::common::refused;
use crate::fixture;
use crate::gold::patch;

/// A source of random statements.
fn source() -> impl Strategy<Value = String> {
    let name = || prop::sample::select(vec!["a", "b", "c.d", "e[0]", "f(1)", "'s'", "2", "0x1F"]);
    let operator = prop::sample::select(vec![
        "+", "-", "*", "/", "//", "%", "**", "<<", "&", "|", "^", "and", "or", "<", "==", "is not",
    ]);
    let expression = (name(), operator, name(), any::<bool>()).prop_map(|(x, o, y, paren)| {
        if paren { format!("({x} {o} {y})") } else { format!("{x} {o} {y}") }
    });
    let simple = expression.clone().prop_map(|e| format!("x = {e}"));
    let statement = prop_oneof![
        simple.clone(),
        expression.clone().prop_map(|e| format!("return {e}  # {e}")),
        (expression.clone(), simple.clone()).prop_map(|(e, s)| format!("if {e}:\n    {s}")),
        (expression.clone(), simple.clone(), simple.clone()).prop_map(|(e, s, t)| format!(
            "if {e}:\n    # c\n    {s}\nelif a:\n    pass\nelse:\n    {t}"
        )),
        (expression.clone(), simple.clone())
            .prop_map(|(e, s)| format!("for y in {e}:\n    {s}\n    break")),
        (expression, simple.clone()).prop_map(|(e, s)| format!("with {e} as z:\n    {s}")),
        simple.clone().prop_map(|s| format!("try:\n    {s}\nexcept E:\n    '''\nx'''\n    {s}")),
        simple.prop_map(|s| format!("{s}; x += 1")),
    ];
    let body = prop::collection::vec(statement, 1..6).prop_map(|s| s.join("\n"));
    let function = (body, any::<bool>()).prop_map(|(body, class)| {
        let indent = |text: &str| text.lines().map(|l| format!("    {l}\n")).collect::<String>();
        let function = format!("def f(a, b=1):\n    '''Doc.'''\n{}", indent(&body));
        if class { format!("class C(A, B):\n    y = 1\n\n{}", indent(&function)) } else { function }
    });
    (prop::collection::vec(function, 1..4), any::<bool>(), any::<bool>()).prop_map(
        |(functions, crlf, end)| {
            let text = functions.join("\n");
            let text = if end { text } else { text.trim_end().to_owned() };
            if crlf { text.replace('\n', "\r\n") } else { text }
        },
    )
}

fn options(seed: u64) -> InjectOptions {
    let likelihood = Some(0.4);
    InjectOptions {
        seed,
        likelihood,
        min_complexity: Some(0),
        per_entity: 2,
        ..InjectOptions::default()
    }
}

/// Reads files and proposes nothing.
fn readable() -> InjectOptions {
    InjectOptions { modifiers: vec![], ..InjectOptions::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn bugs_keep_other_bytes_and_can_be_undone(text in source(), seed in any::<u64>()) {
        let files = [Source { path: "p/m.py", content: text.as_bytes(), executable: false }];
        let (bugs, problems) = inject(&files, &options(seed));
        prop_assert_eq!(problems, vec![]);
        prop_assert_eq!(&inject(&files, &options(seed)).0, &bugs);
        let texts = bugs.iter().flat_map(|b| b.apply(&files).unwrap().into_values());
        let texts: Vec<Vec<u8>> = texts.collect();
        prop_assert_eq!(refused(texts.iter().map(|t| &t[..])).unwrap_or_default(), Vec::<String>::new());
        for bug in &bugs {
            let buggy = bug.apply(&files).unwrap().remove("p/m.py").unwrap();
            prop_assert_ne!(&buggy[..], text.as_bytes());
            // Outside the edits every byte is as it was, in its order.
            let (mut old, mut new) = (0, 0);
            for edit in &bug.edits {
                let kept = edit.start - old;
                prop_assert_eq!(&buggy[new..new + kept], &text.as_bytes()[old..edit.start]);
                new += kept;
                prop_assert_eq!(&buggy[new..new + edit.replacement.len()], &edit.replacement[..]);
                new += edit.replacement.len();
                old = edit.end;
            }
            prop_assert_eq!(&buggy[new..], &text.as_bytes()[old..]);
            let applied = |patch: &[u8], to: &[u8]| {
                let (parsed, _) = parse(patch);
                apply_all(&parsed, |_| Some(to.to_vec())).unwrap().remove(0).content.unwrap()
            };
            let patch = bug.patch(&files).unwrap();
            prop_assert_eq!(&applied(&patch, text.as_bytes()), &buggy);
            prop_assert_eq!(&applied(&bug.fix(&files).unwrap(), &buggy)[..], text.as_bytes());
            // The buggy file is one that bugs can be put into again: it parses.
            let again = [Source { path: "p/m.py", content: &buggy, executable: false }];
            prop_assert_eq!(inject(&again, &readable()).1, vec![]);
        }
    }

    #[test]
    fn mutants_of_any_change_apply(one in source(), two in source(), seed in any::<u64>()) {
        let gold = patch(&[("m.py", Some(one.as_bytes()), Some(two.as_bytes()))]);
        let base = |_: &str| Some(one.clone().into_bytes());
        let options = MutantOptions { seed, max: Some(40), ..MutantOptions::default() };
        let (made, problems) = mutants(&base, &gold, &options).unwrap();
        prop_assert_eq!(problems, vec![]);
        prop_assert_eq!(&mutants(&base, &gold, &options).unwrap().0, &made);
        let mut texts = Vec::new();
        for mutant in &made {
            prop_assert_ne!(&mutant.patch, &gold);
            let (parsed, _) = parse(&mutant.patch);
            let text = apply_all(&parsed, |_| Some(one.clone().into_bytes())).unwrap();
            let text = text[0].content.clone().unwrap();
            let again = [Source { path: "m.py", content: &text, executable: false }];
            let parses = inject(&again, &readable()).1;
            prop_assert_eq!(parses, vec![], "{}", String::from_utf8_lossy(&text));
            texts.push(text);
        }
        prop_assert_eq!(refused(texts.iter().map(|t| &t[..])).unwrap_or_default(), Vec::<String>::new());
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400), cut in 0_usize..3000) {
        let files = [Source { path: "m.py", content: &bytes, executable: false }];
        inject(&files, &options(1));
        let cut = &fixture::files()[0].content[..cut.min(fixture::files()[0].content.len())];
        let files = [Source { path: "m.py", content: cut, executable: false }];
        inject(&files, &options(1));
        let gold = patch(&[("m.py", Some(cut), Some(&bytes))]);
        let _ = mutants(&|_| Some(cut.to_vec()), &gold, &MutantOptions { max: Some(20), ..MutantOptions::default() });
        let _ = mutants(&|_| Some(cut.to_vec()), &bytes, &MutantOptions::default());
    }

    #[test]
    fn the_order_of_files_does_not_matter(seed in any::<u64>()) {
        let files = fixture::files();
        let mut reversed = files.clone();
        reversed.reverse();
        let options = InjectOptions { seed, max: Some(20), ..InjectOptions::default() };
        let bugs = inject(&files, &options).0;
        prop_assert_eq!(&inject(&reversed, &options).0, &bugs);
        let alone = InjectOptions { seed, ..InjectOptions::default() };
        let one: Vec<_> = files.iter().flat_map(|f| inject(&[*f], &alone).0).collect();
        prop_assert_eq!(inject(&files, &alone).0, one);
    }
}
