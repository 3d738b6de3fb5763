//! What is chosen, and that nothing but the attempts and the seed decides it.

use palestra_export::{
    Band, Barred, ExportError, FileForm, Reason, Selection, Target, Verdicts, export,
};

use crate::support::{Attempt, Job, TASKS, lines, request};

fn attempts_of(job: &Job, name: &str) -> Vec<String> {
    let rows = lines(&job.out(name).join("train.jsonl"));
    rows.iter().map(|row| row["attempt"].as_str().expect("a name").to_owned()).collect()
}

fn jsonl(name: &str, selection: Selection) -> palestra_export::ExportRequest {
    let mut request = request(name, Target::Trl);
    request.file = Some(FileForm::Jsonl);
    request.selection = selection;
    request
}

#[test]
fn every_reason_is_counted() {
    let mut all: Vec<Attempt> = (1..=8).map(|n| Attempt::new("a__b-1", n, true)).collect();
    all[1].resolved = Some(false);
    all[2].failure = Some("model_server");
    all[3].tampering = true;
    all[4].resolved = None;
    all[5].exit = "step_limit";
    all[6].calls = 9;
    all[7].word = all[0].word.clone();
    all.push(Attempt::new("django__django-11", 1, true));
    all.push(Attempt::new("e__f-1", 1, true));
    let job = Job::new(&all);
    let mut selection = Selection { finished: true, steps: Some(5), ..Selection::default() };
    let barred = Barred { repository: "e/f".into(), from: None, to: None };
    selection.decontamination.repositories.push(barred);
    let card = job.export(&jsonl("set", selection)).expect("a set");
    for reason in [
        Reason::OtherVerdict,
        Reason::Invalid,
        Reason::Tampering,
        Reason::Ungraded,
        Reason::NotFinished,
        Reason::TooLong,
        Reason::Duplicate,
    ] {
        assert_eq!(card.count(reason), 1, "{reason:?}: {card:?}");
    }
    assert_eq!(card.count(Reason::Contaminated), 2);
    assert_eq!((card.found, card.kept, card.rows), (10, 1, 1));
    assert_eq!(attempts_of(&job, "set").len(), 1);
    let page = std::fs::read_to_string(job.out("set").join("CARD.md")).expect("a card");
    assert!(page.contains("| tampering | 1 | job/a__b-1__4"), "{page}");
}

#[test]
fn a_cap_keeps_the_fewest_calls_and_a_band_the_middling_tasks() {
    let mut all = Vec::new();
    for (number, calls) in [(1, 5), (2, 2), (3, 4), (4, 3)] {
        all.push(Attempt { calls, ..Attempt::new("a__b-1", number, true) });
    }
    all.push(Attempt::new("a__b-1", 5, false));
    all.push(Attempt::new("always__x-1", 1, true));
    all.push(Attempt::new("never__x-1", 1, false));
    let job = Job::new(&all);
    let selection = Selection {
        per_task: Some(2),
        difficulty: Some(Band::OPEN),
        verdicts: Verdicts::Resolved,
        ..Selection::default()
    };
    let card = job.export(&jsonl("set", selection)).expect("a set");
    let mut names = attempts_of(&job, "set");
    names.sort();
    assert_eq!(names, ["job/a__b-1__2", "job/a__b-1__4"]);
    assert_eq!((card.count(Reason::PerTask), card.count(Reason::Difficulty)), (2, 1));
}

#[test]
fn classes_and_repositories_are_balanced() {
    let mut all: Vec<Attempt> = (1..=6).map(|n| Attempt::new("a__b-1", n, true)).collect();
    all.extend((7..=8).map(|n| Attempt::new("a__b-1", n, false)));
    all.extend((1..=3).map(|n| Attempt::new("c__d-1", n, true)));
    let job = Job::new(&all);
    let both = Selection { verdicts: Verdicts::Both, ..Selection::default() };
    let balanced = Selection { balance_classes: true, ..both.clone() };
    let card = job.export(&jsonl("balanced", balanced)).expect("a set");
    assert_eq!((card.outcomes["resolved"], card.outcomes["unresolved"]), (2, 2));
    let capped = Selection { per_repository: Some(3), ..both };
    let card = job.export(&jsonl("capped", capped)).expect("a set");
    assert_eq!((card.repositories["a/b"], card.repositories["c/d"]), (3, 3));
}

#[test]
fn reading_order_changes_nothing_and_the_seed_does() {
    let (one, two) = (Job::mixed(&TASKS), Job::mixed(&["e__f-1", "e__f-2"]));
    let set = |name: &str, jobs: &[std::path::PathBuf], seed: u64| {
        let selection = Selection { limit: Some(7), seed, ..Selection::default() };
        let request = jsonl(name, selection);
        let out = one.out(&format!("{name}-{seed}"));
        let card = export(jobs, &request, &out, &mut |_| {}).expect("a set");
        (card.plan, std::fs::read(out.join("train.jsonl")).expect("rows"))
    };
    let (a, b) = (one.path(), two.path());
    let first = set("x", &[a.clone(), b.clone()], 1);
    let again = export(
        &[b.clone(), a.clone()],
        &jsonl("x", Selection { limit: Some(7), seed: 1, ..Selection::default() }),
        &one.out("y"),
        &mut |_| {},
    )
    .expect("a set");
    assert_eq!(again.plan, first.0);
    assert_eq!(std::fs::read(one.out("y").join("train.jsonl")).expect("rows"), first.1);
    assert_ne!(set("x", &[a.clone(), b], 2).1, first.1);
    // The same job given twice is one.
    let card =
        export(&[a.clone(), a], &jsonl("z", Selection::default()), &one.out("z"), &mut |_| {});
    assert_eq!(card.expect("a set").count(Reason::GivenTwice), 12);
}

#[test]
fn what_is_there_is_kept_or_refused() {
    let job = Job::mixed(&TASKS);
    let plain = jsonl("set", Selection::default());
    let first = job.export(&plain).expect("a set");
    assert_eq!(job.export(&plain).expect("the same"), first);
    let other = jsonl("set", Selection { seed: 7, ..Selection::default() });
    assert!(matches!(job.export(&other), Err(ExportError::Exists(_))));
    let nothing = Selection { steps: Some(0), ..Selection::default() };
    let refused = job.export(&jsonl("none", nothing)).expect_err("nothing is left");
    assert!(refused.to_string().contains("6 too_long"), "{refused}");
    assert!(!job.out("none").exists());
    let left = std::fs::read_dir(job.out("set").parent().expect("a parent")).expect("a directory");
    assert_eq!(left.count(), 1, "no partial directory stays");
}
