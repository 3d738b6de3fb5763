//! Inputs for judging models, byte for byte.

use palestra_verify::free::{
    Limit, Prompt, Said, View, existing_files, ours, r2e, said_in, swe_gym,
};
use serde_json::json;

use crate::{patch, plain, trajectory, turn};

const JUDGE: &str = "You are an expert judge evaluating AI assistant interactions. Your task is to \
determine if the assistant successfully resolved the user's request.\n\nKey evaluation criteria:\n\
1. Did the assistant complete the main task requested by the user?\n\
2. Did the assistant handle all edge cases and requirements specified?\n\
3. Were there any errors or issues in the final solution?\n\
4. Did the assistant verify the solution works as intended?\n\n\
Respond only with \"<judgement>YES</judgement>\" or \"<judgement>NO</judgement>\".";

/// A token is a byte.
fn bytes(tokens: usize) -> Limit<'static> {
    Limit { tokens, count: &str::len }
}

fn step(thought: &str, observation: &str) -> r2e::Step {
    let action = "<function=f>\n  <parameter=a>1</parameter>\n</function>".to_owned();
    r2e::Step { thought: thought.to_owned(), action, observation: observation.to_owned() }
}

#[test]
fn r2e_gym_as_it_was_trained() {
    let steps = [step("Look.", "seen"), step("", "done\n")];
    let got = r2e::prompt("It {breaks}.\n", &steps, "diff\n", View::Both, bytes(65_536));
    let want = format!(
        "Please evaluate the following interaction between an AI assistant and a user:\n\n\
         === INTERACTION LOG ===\n\n[SYSTEM]\n{JUDGE}\n[/SYSTEM]\n\n\
         [USER]\nYou are a software engineer working on a repository. A user has submitted an issue, \
         and you need to resolve it.\n\nRepository Issue:\nIt {{breaks}}.\n\n\n\
         Please analyze the issue and implement a solution.\n[/USER]\n\n\
         [STEP]\n0\n[/STEP]\n\n[ASSISTANT]\nLook.\n\n\
         <function=f>\n  <parameter=a>1</parameter>\n</function>\n[/ASSISTANT]\n\n\
         [USER]\nseen\n[/USER]\n\n\
         [STEP]\n1\n[/STEP]\n\n[ASSISTANT]\n\
         <function=f>\n  <parameter=a>1</parameter>\n</function>\n[/ASSISTANT]\n\n\
         [USER]\ndone\n\n[/USER]\n\n=== END INTERACTION ===\n\n=== FINAL PATCH ===\n\n\
         [PATCH]\ndiff\n\n[/PATCH]\n\n=== END FINAL PATCH ===\n\n\
         Based on the above interaction, did the assistant successfully resolve the user's initial \
         request? Respond with YES or NO."
    );
    let system = JUDGE.to_owned();
    assert_eq!(got, Prompt { system, user: want, condensed: 0, too_long: false });
}

#[test]
fn r2e_gym_condenses_the_longest_thought_first() {
    // Characters are counted, not bytes; of equals the first goes first.
    let thoughts = ["aaaaaaaa", "bbbbbbbbbbbb", "éééééééééé", "cccccccccccc"];
    let steps: Vec<r2e::Step> = thoughts.iter().map(|t| step(&t.repeat(20), "o")).collect();
    let whole = r2e::prompt("s", &steps, "p", View::Both, bytes(usize::MAX)).user;
    let own = JUDGE.len() + 1 + "<judgement>YES</judgement>".len() + 500;
    let at =
        |less: usize| r2e::prompt("s", &steps, "p", View::Both, bytes(whole.len() + own - less));
    let gone = |prompt: &Prompt| {
        let there = |t: &&&str| !prompt.user.contains(**t);
        thoughts.iter().filter(there).map(|t| &t[..1]).collect::<String>().replace('\u{fffd}', "")
    };
    assert_eq!((at(0).condensed, gone(&at(0)).as_str()), (0, ""));
    assert_eq!((at(1).condensed, gone(&at(1)).as_str()), (1, "b"));
    assert_eq!((at(250).condensed, gone(&at(250)).as_str()), (2, "bc"));
    let all = at(whole.len());
    assert_eq!((all.condensed, all.too_long), (4, true));
    let condensed = "[ASSISTANT]<Thought condensed for saving context><function=f>";
    assert_eq!(all.user.matches(condensed).count(), 4);
    // With one thought nothing is condensed.
    let one = r2e::prompt("s", &steps[..1], "p", View::Both, bytes(10));
    assert_eq!((one.condensed, one.too_long), (0, true));
}

#[test]
fn r2e_gym_steps_come_from_a_trajectory() {
    let written = "I go.\n<function=bash>\n<parameter=command>ls</parameter>\n</function>";
    let arguments = json!({"command": "view", "view_range": [1, 20], "concise": true});
    let all = trajectory(vec![
        plain("system", "Be good."),
        plain("user", "Fix it."),
        turn("I look.", "file_editor", arguments, "Execution output of [file_editor]:\nx", false),
        turn(written, "bash", json!({"command": "ls"}), "a.py", false),
    ]);
    let steps = r2e::steps(&all);
    assert_eq!(steps.len(), 2);
    assert_eq!(steps[0].thought, "I look.");
    assert_eq!(
        steps[0].action,
        "<function=file_editor>\n  <parameter=command>view</parameter>\n  \
         <parameter=view_range>[1, 20]</parameter>\n  <parameter=concise>True</parameter>\n</function>"
    );
    assert_eq!(steps[0].observation, "Execution output of [file_editor]:\nx");
    assert_eq!(steps[1].thought, "I go.");
    let new = "diff --git a/n.py b/n.py\nnew file mode 100644\n--- /dev/null\n+++ b/n.py\n@@ -0,0 +1 @@\n+x\n";
    let old = patch("a.py", "x", "y");
    assert_eq!(existing_files(format!("{old}{new}").as_bytes()), old);
}

#[test]
fn swe_gym_as_it_was_trained() {
    let example = "Here's a running example of how to perform a task with the provided tools.\n\n\
        --------------------- START OF EXAMPLE ---------------------\n\nUSER: count\n\n\
        --------------------- NEW TASK DESCRIPTION ---------------------\n";
    let reminder = "--------------------- END OF NEW TASK DESCRIPTION ---------------------\n\n\
        PLEASE follow the format strictly! PLEASE EMIT ONE AND ONLY ONE FUNCTION CALL PER MESSAGE.\n";
    let all = trajectory(vec![
        plain("system", "Be good."),
        plain("user", &format!("{example}Fix it.\n{reminder}")),
        plain("user", "Now."),
        turn("I run.", "execute_bash", json!({"command": "a\nb", "n": 3}), "ok", false),
        turn("", "finish", json!({}), "", false),
    ]);
    let said = said_in(&all);
    let got = swe_gym::prompt(&said, bytes(100_000));
    let line = "-".repeat(100);
    let log = format!(
        "*** System Message that describes the assistant's behavior ***\nBe good.\n\
         {line}\n*** Turn 1 - USER ***\nFix it.\n\nNow.\n\
         {line}\n*** Turn 1 - ASSISTANT ***\nI run.\n\n<function=execute_bash>\n\
         <parameter=command>\na\nb\n</parameter>\n<parameter=n>3</parameter>\n</function>\n\
         {line}\n*** Turn 2 - USER ***\nEXECUTION RESULT of [execute_bash]:\nok\n\
         {line}\n*** Turn 2 - ASSISTANT ***\n<function=finish>\n</function>\n\
         {line}\n*** Turn 3 - USER ***\nEXECUTION RESULT of [finish]:\n\n{line}\n"
    );
    let want = format!(
        "Please evaluate the following interaction between an AI assistant and a user:\n\n\
         === INTERACTION LOG ===\n{log}\n=== END INTERACTION ===\n\n\
         Based on the above interaction, did the assistant successfully resolve the user's initial \
         request? Respond with YES or NO."
    );
    assert_eq!((got.system.as_str(), got.user), (JUDGE, want));
    let none: &[Said] = &[];
    assert!(!swe_gym::prompt(none, bytes(100_000)).too_long);
    assert!(swe_gym::prompt(&said, bytes(100)).too_long);
}

#[test]
fn ours_fits_and_keeps_the_end() {
    let long = "x".repeat(3000);
    let steps: Vec<_> = (0..40)
        .map(|i| turn(&format!("step-{i} é"), "bash", json!({"command": "ls"}), &long, false))
        .collect();
    let all = trajectory(steps);
    let patch = patch("a.py", "x", "y");
    let make = |tokens, view| ours::prompt("The issue.", Some(&all), &patch, view, bytes(tokens));
    let whole = make(usize::MAX, View::Both);
    assert_eq!((whole.condensed, whole.too_long), (0, false));
    assert!(whole.user.contains("step-0 ") && whole.user.contains("+y"));
    for tokens in [100_000, 60_000, 30_000, 10_000, 3_000, 1_600] {
        let prompt = make(tokens, View::Both);
        assert!(!prompt.too_long && prompt.condensed > 0, "{tokens}");
        assert!(prompt.system.len() + prompt.user.len() <= tokens, "{tokens}");
        assert!(prompt.user.contains("+y") && prompt.user.contains("The issue."));
        if tokens >= 10_000 {
            assert!(prompt.user.contains("step-39 "), "{tokens}");
        }
    }
    assert!(make(200, View::Both).too_long);
    let only = make(usize::MAX, View::Patch).user;
    assert!(only.contains("+y") && !only.contains("step-1 "));
    let only = make(usize::MAX, View::Trajectory).user;
    assert!(!only.contains("+y") && only.contains("step-1 "));
    let missing = ours::prompt("s", None, "", View::Both, bytes(9_000)).user;
    assert!(missing.contains("No record") && missing.contains("nothing was changed"));
}

#[test]
fn two_hundred_thousand_tokens() {
    let words = "some words of a thought that is long ".repeat(30);
    let steps: Vec<_> = (0..360)
        .map(|i| {
            turn(&format!("{i} {words}"), "bash", json!({"command": "ls"}), &words, i % 9 == 0)
        })
        .collect();
    let all = trajectory(steps);
    let count = |text: &str| text.len() / 4;
    let limit = Limit { tokens: 32_768, count: &count };
    let whole =
        r2e::prompt("s", &r2e::steps(&all), "p", View::Both, Limit { tokens: usize::MAX, ..limit });
    assert!(count(&whole.user) > 200_000, "{}", count(&whole.user));
    // Thoughts alone are not enough here, as the observations stay: it says so.
    let cut = r2e::prompt("s", &r2e::steps(&all), "p", View::Both, limit);
    assert_eq!((cut.condensed, cut.too_long), (360, true));
    let fits =
        r2e::prompt("s", &r2e::steps(&all), "p", View::Both, Limit { tokens: 150_000, ..limit });
    assert!(!fits.too_long && fits.condensed > 100 && fits.condensed < 360);
    let ours = ours::prompt("s", Some(&all), "p", View::Both, limit);
    assert!(!ours.too_long && count(&ours.user) <= 32_768 && count(&ours.user) > 24_000);
    assert!(swe_gym::prompt(&said_in(&all), limit).too_long);
    let features = palestra_verify::critic::of_trajectory(&all, None);
    assert_eq!(features.get("errors"), Some(40.0));
}
