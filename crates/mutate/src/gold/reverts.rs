//! Parts of gold that are missing.

use std::collections::{BTreeMap, BTreeSet};

use super::{Gold, Role, Run, Touched};
use crate::mutants::{Action, Idea, MutantKind};
use crate::splice::Splice;
use crate::tree::shown;

/// Runs are cut in halves from this number of lines on.
const LONG: usize = 4;

pub(crate) fn ideas(gold: &Gold, ideas: &mut Vec<Idea>) {
    // First, for of two ideas that do the same the first one stays.
    similar(gold, ideas);
    for (index, touched) in gold.files.iter().enumerate() {
        if touched.role == Role::Fixed {
            continue;
        }
        ideas.push(Idea {
            kind: MutantKind::FileDropped,
            description: format!("no change of {}", touched.path),
            place: (index, 0),
            action: Action::Drop(vec![index]),
        });
        of_file(index, touched, ideas);
    }
    all_but_one(gold, ideas);
}

/// Undoes a run.
fn undo(touched: &Touched, run: &Run) -> Splice {
    let text = touched.before().get(run.old.clone()).unwrap_or_default();
    Splice::new(run.new.clone(), text)
}

fn line(touched: &Touched, at: usize) -> usize {
    touched.after().iter().take(at).filter(|b| **b == b'\n').count() + 1
}

fn of_file(index: usize, touched: &Touched, ideas: &mut Vec<Idea>) {
    let mut add = |kind, run: &Run, what: &str, splices: Vec<Splice>| {
        let at = splices.iter().map(|s| s.range.start).min().unwrap_or(run.new.start);
        ideas.push(Idea {
            kind,
            description: format!("{what} at {}:{}", touched.path, line(touched, at)),
            place: (index, run.hunk),
            action: Action::Edit(vec![(index, splices)]),
        });
    };
    let hunks = touched.runs.last().map_or(0, |run| run.hunk + 1);
    for hunk in 0..hunks {
        let runs: Vec<&Run> = touched.runs.iter().filter(|run| run.hunk == hunk).collect();
        let Some(first) = runs.first() else { continue };
        let all = runs.iter().map(|run| undo(touched, run)).collect();
        if hunks > 1 {
            // The only hunk of a file is the file.
            add(MutantKind::HunkDropped, first, &format!("hunk {} undone", hunk + 1), all);
        }
        for run in &runs {
            if runs.len() > 1 {
                let what = format!("{} undone", said(touched, run));
                add(MutantKind::PartialRevert, run, &what, vec![undo(touched, run)]);
            }
            for (what, splice) in parts(touched, run) {
                add(MutantKind::PartialRevert, run, &what, vec![splice]);
            }
        }
    }
}

/// What a run does, in words.
fn said(touched: &Touched, run: &Run) -> String {
    let new = touched.after().get(run.new.clone()).unwrap_or_default();
    let old = touched.before().get(run.old.clone()).unwrap_or_default();
    match (old.is_empty(), new.is_empty()) {
        (_, true) => format!("deletion of `{}`", shown(old)),
        (true, _) => format!("addition of `{}`", shown(new)),
        _ => format!("change to `{}`", shown(new)),
    }
}

/// Parts of a run undone: a line where as many lines came as went, a half, or the old lines
/// left beside the new ones.
fn parts(touched: &Touched, run: &Run) -> Vec<(String, Splice)> {
    let old: Vec<&[u8]> = lines(touched.before(), run.old.clone());
    let new: Vec<&[u8]> = lines(touched.after(), run.new.clone());
    let mut at = run.new.start;
    let mut ranges = Vec::new();
    for line in &new {
        ranges.push(at..at + line.len());
        at += line.len();
    }
    let mut found = Vec::new();
    if new.len() > 1 {
        // Each new line as the old line that it was made from.
        let mut next = 0;
        for line in &old {
            let alike = (next..new.len())
                .find(|at| old.len() == new.len() && *at == next || are_alike(line, new[*at]));
            let Some(at) = alike else { continue };
            next = at + 1;
            let what = format!("change to `{}` undone", shown(new[at]));
            found.push((what, Splice::new(ranges[at].clone(), *line)));
        }
    }
    let ended = |text: &[&[u8]]| {
        let mut text = text.concat();
        let more = run.new.end < touched.after().len() || !text.ends_with(b"\n");
        if more && !text.is_empty() && !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        text
    };
    if old.is_empty() && new.len() >= LONG {
        let middle = new.len() / 2;
        for (what, half) in [("first", 0..middle), ("second", middle..new.len())] {
            let range = ranges[half.start].start..ranges[half.end - 1].end;
            let what = format!("{what} half of {} new lines undone", new.len());
            found.push((what, Splice::delete(range)));
        }
    }
    if new.is_empty() && old.len() >= LONG {
        let middle = old.len() / 2;
        for (what, half) in [("first", 0..middle), ("second", middle..old.len())] {
            let what = format!("{what} half of {} deleted lines stays", old.len());
            found.push((what, Splice::new(run.new.clone(), ended(&old[half]))));
        }
    }
    if !old.is_empty() && !new.is_empty() {
        let what = format!("`{}` stays before the new lines", shown(&old.concat()));
        found.push((what, Splice::new(run.new.start..run.new.start, ended(&old))));
        let what = format!("`{}` stays behind the new lines", shown(&old.concat()));
        if new.last().is_some_and(|line| line.ends_with(b"\n")) {
            found.push((what, Splice::new(run.new.end..run.new.end, ended(&old))));
        }
    }
    found
}

fn lines(text: &[u8], range: std::ops::Range<usize>) -> Vec<&[u8]> {
    let text = text.get(range).unwrap_or_default();
    text.split_inclusive(|b| *b == b'\n').collect()
}

/// One hunk of several.
fn all_but_one(gold: &Gold, ideas: &mut Vec<Idea>) {
    let mut hunks: Vec<(usize, usize)> = Vec::new();
    for (index, touched) in gold.files.iter().enumerate() {
        hunks.extend(
            touched.runs.iter().filter(|_| touched.role != Role::Fixed).map(|r| (index, r.hunk)),
        );
    }
    hunks.dedup();
    if hunks.len() < 3 {
        // Of two, each is left alone by dropping the other.
        return;
    }
    for (number, &(index, hunk)) in hunks.iter().enumerate() {
        let keep = |file: usize, run: &Run| (file, run.hunk) == (index, hunk);
        let kind = if number == 0 { MutantKind::FirstOnly } else { MutantKind::PartialRevert };
        let path = &gold.files[index].path;
        ideas.push(Idea {
            kind,
            description: format!("only hunk {} of {path} was made", hunk + 1),
            place: (index, hunk),
            action: Action::Edit(undone(gold, &|file, run| !keep(file, run))),
        });
    }
}

/// The runs that `which` takes, undone.
fn undone(gold: &Gold, which: &dyn Fn(usize, &Run) -> bool) -> Vec<(usize, Vec<Splice>)> {
    let files = gold.files.iter().enumerate().filter(|(_, t)| t.role != Role::Fixed);
    files
        .map(|(index, touched)| {
            let runs = touched.runs.iter().filter(|run| which(index, run));
            (index, runs.map(|run| undo(touched, run)).collect::<Vec<_>>())
        })
        .filter(|(_, splices)| !splices.is_empty())
        .collect()
}

/// The same change in several places, made in the first of them only.
fn similar(gold: &Gold, ideas: &mut Vec<Idea>) {
    type Words = BTreeSet<Vec<u8>>;
    let mut groups: BTreeMap<(Words, Words), Vec<(usize, usize)>> = BTreeMap::new();
    for (index, touched) in gold.files.iter().enumerate() {
        for (number, run) in touched.runs.iter().enumerate() {
            let old = words(touched.before().get(run.old.clone()).unwrap_or_default());
            let new = words(touched.after().get(run.new.clone()).unwrap_or_default());
            let (gone, come): (Words, Words) =
                (old.difference(&new).cloned().collect(), new.difference(&old).cloned().collect());
            if touched.role != Role::Fixed && !(gone.is_empty() && come.is_empty()) {
                groups.entry((gone, come)).or_default().push((index, number));
            }
        }
    }
    for group in groups.into_values().filter(|group| group.len() > 1) {
        let Some((&(file, number), rest)) = group.split_first() else { continue };
        let is_rest = |index: usize, run: &Run| {
            rest.iter().any(|(file, number)| {
                *file == index && gold.files[index].runs[*number].new == run.new
            })
        };
        let touched = &gold.files[file];
        let run = &touched.runs[number];
        ideas.push(Idea {
            kind: MutantKind::FirstOnly,
            description: format!(
                "only the first of {} similar changes was made, at {}:{}",
                group.len(),
                touched.path,
                line(touched, run.new.start),
            ),
            place: (file, run.hunk),
            action: Action::Edit(undone(gold, &is_rest)),
        });
    }
}

/// Whether two lines share most of their words.
fn are_alike(one: &[u8], two: &[u8]) -> bool {
    let (one, two) = (words(one), words(two));
    2 * one.intersection(&two).count() > one.union(&two).count()
}

fn words(text: &[u8]) -> BTreeSet<Vec<u8>> {
    let is_word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_' || *b >= 0x80;
    let words = text.split(|b| !is_word(b)).filter(|w| !w.is_empty());
    words.map(<[u8]>::to_vec).collect()
}
