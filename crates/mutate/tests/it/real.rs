//! Real files: a tree named by `PALESTRA_MUTATE_TREE`, and the history of the repository named by
//! `PALESTRA_MUTATE_REPOSITORY`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use palestra_diff::{apply_all, parse};
use palestra_mutate::{
    InjectOptions, Modifier, MutantKind, MutantOptions, Source, inject, mutants,
};

use crate::common::refused;

fn collect(root: &Path, directory: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, found);
        } else if path.extension().is_some_and(|e| e == "py") {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            found.push((name, std::fs::read(&path).unwrap()));
        }
    }
}

#[test]
fn every_bug_of_a_real_tree_compiles() {
    let Some(root) = std::env::var_os("PALESTRA_MUTATE_TREE") else {
        eprintln!("skipped: PALESTRA_MUTATE_TREE names no tree");
        return;
    };
    let mut files = Vec::new();
    collect(Path::new(&root), Path::new(&root), &mut files);
    let sources: Vec<Source<'_>> =
        files.iter().map(|(path, content)| Source { path, content, executable: false }).collect();
    let start = Instant::now();
    let (bugs, problems) = inject(&sources, &InjectOptions::default());
    let took = start.elapsed();
    let mut count: BTreeMap<Modifier, usize> = BTreeMap::new();
    for bug in &bugs {
        *count.entry(bug.modifiers[0]).or_default() += 1;
    }
    eprintln!("{} files, {} bugs, {took:?}, {count:#?}", files.len(), bugs.len());
    eprintln!("{problems:#?}");
    let texts: Vec<Vec<u8>> =
        bugs.iter().flat_map(|bug| bug.apply(&sources).unwrap().into_values()).collect();
    let Some(refused) = refused(texts.iter().map(|t| &t[..])) else {
        eprintln!("skipped: no python3");
        return;
    };
    for line in &refused {
        let number: usize = line.split(' ').next().unwrap().parse().unwrap();
        eprintln!("{line}\n{}", String::from_utf8_lossy(&bugs[number].patch(&sources).unwrap()));
    }
    assert_eq!(refused, Vec::<String>::new());
}

fn git(repository: &std::ffi::OsStr, arguments: &[&str]) -> Option<Vec<u8>> {
    let mut git = std::process::Command::new("git");
    let output = git.arg("--git-dir").arg(repository).args(arguments).output().ok()?;
    output.status.success().then_some(output.stdout)
}

#[test]
fn every_mutant_of_real_fixes_compiles() {
    let Some(repository) = std::env::var_os("PALESTRA_MUTATE_REPOSITORY") else {
        eprintln!("skipped: PALESTRA_MUTATE_REPOSITORY names no repository");
        return;
    };
    let log = ["log", "--no-merges", "--format=%H", "-n", "150", "HEAD", "--", "*.py"];
    let commits = String::from_utf8(git(&repository, &log).unwrap()).unwrap();
    let mut count: BTreeMap<MutantKind, usize> = BTreeMap::new();
    let (mut golds, mut made_all) = (0, 0);
    let mut took = std::time::Duration::ZERO;
    let mut texts: Vec<(String, String, Vec<u8>)> = Vec::new();
    for commit in commits.lines() {
        let parent = format!("{commit}^");
        let diff = ["diff", "--binary", "--full-index", "-M", &parent, commit];
        let Some(patch) = git(&repository, &diff) else { continue };
        if patch.len() > 20_000 {
            continue;
        }
        let known = std::cell::RefCell::new(BTreeMap::new());
        let base = |path: &str| -> Option<Vec<u8>> {
            let show = || git(&repository, &["show", &format!("{parent}:{path}")]);
            known.borrow_mut().entry(path.to_owned()).or_insert_with(show).clone()
        };
        let start = Instant::now();
        let (made, problems) = mutants(&base, &patch, &MutantOptions::default()).unwrap();
        took += start.elapsed();
        for problem in problems {
            eprintln!("{commit} {}: {}", problem.path, problem.what);
        }
        golds += usize::from(!made.is_empty());
        made_all += made.len();
        for mutant in made {
            *count.entry(mutant.kind).or_default() += 1;
            let (parsed, problems) = parse(&mutant.patch);
            assert_eq!(problems, []);
            let read = |path: &[u8]| base(std::str::from_utf8(path).unwrap());
            for written in apply_all(&parsed, read).unwrap() {
                let path = String::from_utf8(written.path).unwrap();
                if let Some(text) = written.content.filter(|_| path.ends_with(".py")) {
                    texts.push((commit.to_owned(), mutant.description.clone(), text));
                }
            }
        }
        if golds >= 12 {
            break;
        }
    }
    eprintln!("{golds} golds, {made_all} mutants, {took:?}, {count:#?}");
    for (_, description, _) in texts.iter().step_by(texts.len() / 40 + 1) {
        eprintln!("  {description}");
    }
    let Some(refused) = refused(texts.iter().map(|t| &t.2[..])) else {
        eprintln!("skipped: no python3");
        return;
    };
    for line in &refused {
        let number: usize = line.split(' ').next().unwrap().parse().unwrap();
        eprintln!("{line}: {} {}", texts[number].0, texts[number].1);
    }
    assert_eq!(refused, Vec::<String>::new());
}
