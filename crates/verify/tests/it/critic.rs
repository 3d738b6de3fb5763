//! The built-in critic: features, training, its file.

use std::collections::BTreeSet;

use palestra_stats::SplitMix;
use palestra_verify::critic::{
    Critic, Ending, FEATURES, Features, Method, Options, Peer, Row, TrainOptions, compare,
    of_patch, of_trajectory, score_step, train, valid,
};
use palestra_verify::{CRITIC, Candidate, EXECUTION_FREE, Score};
use serde_json::json;

use crate::{patch, plain, trajectory, turn};

/// Attempts of which the tests that they ran and the size of their patch say something, in three
/// repositories.
fn rows(count: usize, seed: u64) -> Vec<Row> {
    let mut random = SplitMix::new(seed);
    (0..count)
        .map(|i| {
            let mut features = Features::default();
            let passed = random.below(2) as f64;
            let lines = random.unit() * 100.0;
            let noise = random.unit();
            let odds = 2.5 * passed - lines / 40.0 + 1.5 * noise - 0.75;
            if random.below(5) > 0 {
                features.set("last_test_passed", passed);
            }
            features.set("source_lines", lines);
            features.set("steps", random.below(30) as f64);
            Row {
                id: format!("a{i}"),
                task: format!("t{}", i / 8),
                group: format!("r{}", i / 8 % 3),
                features,
                right: random.unit() < 1.0 / (1.0 + (-odds).exp()),
            }
        })
        .collect()
}

fn quick() -> TrainOptions {
    TrainOptions {
        trees: Options { trees: 40, rate: 0.15, ..Options::default() },
        ..TrainOptions::default()
    }
}

#[test]
fn it_learns_what_there_is_to_learn_and_is_calibrated() {
    let critic = train(&rows(800, 1), &quick()).unwrap();
    let unseen = critic.evaluate(&rows(800, 2));
    let own = critic.validation.clone();
    assert!(own.auc.unwrap() > 0.75 && unseen.auc.unwrap() > 0.75, "{own:?} {unseen:?}");
    assert!(unseen.ece.unwrap() < 0.08, "{unseen:?}");
    assert!(unseen.auc_within_tasks.unwrap() > 0.7 && unseen.groups.len() == 3);
    let importance = critic.importance();
    let of = |name: &str| importance.get(name).copied().unwrap_or_default();
    assert!(of("source_lines") > 0.2 && of("last_test_passed") > 0.05, "{importance:?}");
    let isotonic = TrainOptions { calibration: Method::Isotonic, ..quick() };
    let isotonic = train(&rows(800, 1), &isotonic).unwrap();
    assert!(isotonic.evaluate(&rows(800, 2)).ece.unwrap() < 0.1);
}

#[test]
fn one_seed_gives_one_critic_whatever_the_order() {
    let all = rows(240, 3);
    let critic = train(&all, &quick()).unwrap();
    let mut moved = all.clone();
    SplitMix::new(9).shuffle(&mut moved);
    assert_eq!(train(&moved, &quick()).unwrap().to_json(), critic.to_json());
    let other = TrainOptions { trees: Options { seed: 1, ..quick().trees }, ..quick() };
    assert_ne!(train(&all, &other).unwrap().ensemble, critic.ensemble);
    let mut changed = all.clone();
    changed[0].right = !changed[0].right;
    assert_ne!(train(&changed, &quick()).unwrap().data, critic.data);
}

#[test]
fn its_file_is_read_again_to_the_last_bit() {
    let all = rows(160, 4);
    let critic = train(&all, &quick()).unwrap();
    let again = Critic::from_json(&critic.to_json()).unwrap();
    assert_eq!(again, critic);
    for row in &all {
        assert_eq!(again.predict(&row.features), critic.predict(&row.features));
    }
    assert_eq!(critic.groups.values().sum::<usize>(), 160);
    let newer = critic.to_json().replacen("\"form\":1", "\"form\":2", 1);
    assert!(Critic::from_json(&newer).unwrap_err().to_string().contains("form 2"));
    assert!(Critic::from_json("{}").is_err() && Critic::from_json("no").is_err());
}

#[test]
fn what_cannot_be_trained_on_says_so() {
    let message = |rows: &[Row]| train(rows, &quick()).unwrap_err().to_string();
    assert!(message(&[]).contains("0 attempts"));
    let mut same = rows(100, 5);
    same.iter_mut().for_each(|row| row.right = true);
    assert!(message(&same).contains("100 of them right"));
    let mut twice = rows(100, 5);
    twice[1] = twice[0].clone();
    assert!(message(&twice).contains("named a0"));
    // One repository: tasks take the place of groups.
    let mut one = rows(160, 6);
    one.iter_mut().for_each(|row| row.group = "only".to_owned());
    assert!(train(&one, &quick()).unwrap().validation.auc.unwrap() > 0.6);
    // Nothing is known of an attempt.
    let critic = train(&rows(160, 6), &quick()).unwrap();
    assert!(critic.predict(&Features::default()).is_none());
    let mut known = Candidate { features: rows(1, 1)[0].features.clone(), ..Candidate::default() };
    critic.score(&mut known);
    assert!(!known.score(CRITIC).is_none());
    assert_eq!(known.score(EXECUTION_FREE), known.score(CRITIC));
    // Where a model was asked, its answer stands, and also that it had none.
    let mut asked = Candidate { features: known.features.clone(), ..Candidate::default() };
    asked.scores.insert(EXECUTION_FREE.to_owned(), Score::NONE);
    critic.score(&mut asked);
    assert!(asked.score(EXECUTION_FREE).is_none() && !asked.score(CRITIC).is_none());
    let mut odd = Features::default();
    odd.set("steps", f64::NAN);
    odd.set("source_lines", f64::INFINITY);
    assert!(odd.is_empty());
    odd.set("source_lines", 1e300);
    assert!((0.0..=1.0).contains(&critic.predict(&odd).get().unwrap()));
    let noise: Vec<Row> = rows(160, 8)
        .into_iter()
        .enumerate()
        .map(|(i, row)| Row { right: i % 2 == 0, ..row })
        .collect();
    let evaluation = train(&noise, &quick()).unwrap().validation;
    assert!(evaluation.ece.unwrap() < 0.2, "{evaluation:?}");
}

#[test]
fn features_are_those_that_are_documented() {
    let names: BTreeSet<&str> = FEATURES.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), FEATURES.len());
    let edit = json!({"command": "str_replace", "path": "a.py", "old_str": "x", "new_str": "y"});
    let mut all = trajectory(vec![
        plain("system", "s"),
        plain("user", "u"),
        turn("look", "bash", json!({"command": "cat a.py"}), "x", false),
        turn("grep", "bash", json!({"command": "grep -n x a.py"}), "1:x", false),
        turn("edit", "editor", edit.clone(), "No match", true),
        turn("edit", "editor", edit, "done", false),
        turn(
            "test",
            "bash",
            json!({"command": "pytest -q"}),
            "= 1 failed, 2 passed in 1s =",
            false,
        ),
        turn("edit", "bash", json!({"command": "sed -i s/a/b/ b.py"}), "", false),
        turn("test", "bash", json!({"command": "pytest -q"}), "= 3 passed in 1s =", false),
        turn("end", "submit", json!({}), "", false),
    ]);
    all.extra.insert("exit".to_owned(), json!("submitted"));
    let mut features = of_trajectory(&all, None);
    features.extend(of_patch(patch("src/a.py", "x", "# y").as_bytes()));
    for (name, _) in features.iter() {
        assert!(names.contains(name), "{name} is not documented");
    }
    let is = |name: &str, value: f64| assert_eq!(features.get(name), Some(value), "{name}");
    is("steps", 8.0);
    is("calls", 8.0);
    is("errors", 1.0);
    is("views", 1.0);
    is("searches", 1.0);
    is("edits", 3.0);
    is("edited_files", 1.0);
    is("repeated", 2.0 / 8.0);
    is("test_runs", 2.0);
    is("last_test_passed", 1.0);
    is("best_test_passed", 1.0);
    is("failures_mended", 1.0);
    is("tested_after_edit", 1.0);
    is("after_edit", 2.0);
    is("submitted", 1.0);
    is("patch_files", 1.0);
    is("source_files", 1.0);
    is("comment_share", 1.0);
    is("patch_empty", 0.0);
    assert!(of_trajectory(&trajectory(vec![plain("system", "nothing")]), None).is_empty());
    assert_eq!(of_patch(b"").get("patch_empty"), Some(1.0));
    assert_eq!(of_patch(b"\xff\x00 no patch").get("patch_empty"), Some(1.0));
    assert_eq!(valid([&b"x = 1\n"[..], b"print 'two'\n"]), 1.0);
    assert_eq!(valid([&b"x = 1\n"[..], b"def f(:\n"]), 0.0);
    assert!(valid([]).is_nan());
    let limit = of_trajectory(&all, Some(Ending::Limit));
    assert_eq!((limit.get("limit"), limit.get("submitted")), (Some(1.0), Some(0.0)));
    for (word, ending) in [
        (json!("StepLimit"), Ending::Limit),
        (json!({"kind": "token_limit"}), Ending::Limit),
        (json!("loop"), Ending::Stuck),
        (json!("Submitted"), Ending::Submitted),
    ] {
        assert_eq!(Ending::of(&word), Some(ending), "{word}");
    }
}

#[test]
fn peers_are_compared_and_their_order_does_not_matter() {
    let patches = [
        patch("a.py", "x", "y"),
        patch("a.py", "x", "  y"),
        patch("a.py", "x", "z"),
        patch("b.py", "x", "y"),
        String::new(),
    ];
    let compared = |order: &[usize]| {
        let mut features = vec![Features::default(); patches.len()];
        features.iter_mut().enumerate().for_each(|(i, f)| f.set("steps", i as f64));
        let mut peers: Vec<(usize, Peer<'_>)> = features
            .iter_mut()
            .enumerate()
            .map(|(i, features)| (i, Peer { patch: patches[i].as_bytes(), features }))
            .collect();
        peers.sort_by_key(|(i, _)| order.iter().position(|o| o == i));
        let mut peers: Vec<Peer<'_>> = peers.into_iter().map(|(_, peer)| peer).collect();
        compare(&mut peers);
        drop(peers);
        features
    };
    let features = compared(&[0, 1, 2, 3, 4]);
    // Equal but for white space.
    assert_eq!(features[0].get("agreement"), Some(0.25));
    assert_eq!(features[2].get("agreement"), Some(0.0));
    assert!(features[2].get("similarity").unwrap() > 0.0);
    assert_eq!(features[0].get("same_files"), Some(0.5));
    assert_eq!(features[4].get("steps_rank"), Some(1.0));
    assert_eq!(features[0].get("steps_rank"), Some(0.0));
    assert_eq!(compared(&[4, 2, 0, 1, 3]), features);
    let mut alone = Features::default();
    compare(&mut [Peer { patch: b"", features: &mut alone }]);
    assert!(alone.is_empty());
}

#[test]
fn an_attempt_under_way_has_a_score() {
    let critic = train(&rows(400, 7), &quick()).unwrap();
    let begun = trajectory(vec![plain("user", "Fix it.")]);
    assert_eq!(score_step(&critic, &begun, None), None);
    let run = |text: &str| {
        let step = turn("t", "bash", json!({"command": "pytest"}), text, false);
        score_step(&critic, &trajectory(vec![step]), None).unwrap()
    };
    assert!(run("= 3 passed in 1s =") > run("= 3 failed in 1s ="));
    let small = patch("a.py", "x", "y");
    let step = turn("t", "bash", json!({"command": "pytest"}), "= 3 passed in 1s =", false);
    let with = score_step(&critic, &trajectory(vec![step]), Some(small.as_bytes())).unwrap();
    assert!(with >= run("= 3 failed in 1s ="));
}
