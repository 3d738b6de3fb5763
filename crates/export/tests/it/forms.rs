//! What stands in the rows of each form, for each trainer.

use palestra_export::{
    ExportError, FileForm, Form, Loss, Outcome, Target, Verdicts, VerifierForm, read,
};
use serde_json::{Value, json};

use crate::support::{Attempt, Job, TASKS, lines, request, talk};

fn rows(
    job: &Job,
    target: Target,
    form: Form,
    change: impl Fn(&mut palestra_export::ExportRequest),
) -> Vec<Value> {
    let name = format!("{target:?}-{form:?}");
    let mut request = request(&name, target);
    request.form = form;
    request.file = Some(FileForm::Jsonl);
    request.selection.verdicts = Verdicts::Both;
    change(&mut request);
    job.export(&request).unwrap_or_else(|error| panic!("{name}: {error}"));
    lines(&job.out(&name).join("train.jsonl"))
}

#[test]
fn a_conversation_comes_out_as_the_model_had_it() {
    let attempt = Attempt::new("a__b-1", 1, true);
    let job = Job::new(std::slice::from_ref(&attempt));
    let row = &rows(&job, Target::Trl, Form::Agent, |_| {})[0];
    let want: Vec<Value> = talk(&attempt).iter().map(palestra_export::to_json).collect();
    let got = row["messages"].as_array().expect("messages");
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(&want) {
        let mut want = want.clone();
        want.as_object_mut().expect("an object").remove("thinking");
        assert_eq!(got, &want);
    }
    assert_eq!(row["tools"][1]["function"]["name"], "edit");
    assert_eq!(row["messages"][2]["tool_calls"][1]["function"]["arguments"]["path"], "src/a.py");
    assert_eq!(row["outcome"], "resolved");
    let row = &rows(&job, Target::Axolotl, Form::Agent, |r| r.loss.mask_errors = true)[0];
    let arguments = &row["messages"][2]["tool_calls"][0]["function"]["arguments"];
    assert!(arguments.as_str().is_some_and(|text| text.starts_with("{\"command\"")), "{arguments}");
    let train = |at: usize| row["messages"][at]["train"].as_bool();
    assert_eq!((train(0), train(2), train(5)), (Some(false), Some(false), Some(true)));
    let thoughtless = |r: &mut palestra_export::ExportRequest| {
        r.selection.thoughts = false;
        r.name = "thoughtless".to_owned();
    };
    rows(&job, Target::Trl, Form::Agent, |_| {});
    let mut request = request("thoughtless", Target::Trl);
    request.file = Some(FileForm::Jsonl);
    thoughtless(&mut request);
    job.export(&request).expect("a set");
    let row = &lines(&job.out("thoughtless").join("train.jsonl"))[0];
    assert_eq!(row["messages"][2].get("reasoning_content"), None);
}

#[test]
fn pairs_are_of_one_task_and_one_question() {
    let mut all = Vec::new();
    for task in TASKS {
        all.push(Attempt::new(task, 1, true));
        all.push(Attempt::new(task, 2, false));
        all.push(Attempt::new(task, 3, false));
    }
    let job = Job::new(&all);
    let pairs = rows(&job, Target::Trl, Form::Preference, |_| {});
    assert_eq!(pairs.len(), 3);
    for pair in &pairs {
        assert_eq!(pair["prompt"][1]["role"], "user");
        let task = pair["instance_id"].as_str().expect("a task");
        assert!(pair["prompt"][1]["content"].as_str().expect("text").contains(task));
        assert!(pair["chosen"].to_string().contains("attempt 1"));
        assert!(!pair["rejected"].to_string().contains("attempt 1"));
        assert_eq!(pair["chosen"][0]["role"], "assistant");
    }
    let kto = rows(&job, Target::Trl, Form::Kto, |_| {});
    assert_eq!(kto.iter().filter(|row| row["label"] == true).count(), 3);
    assert_eq!(kto.len(), 9);
    let llama = rows(&job, Target::LlamaFactory, Form::Preference, |_| {});
    assert_eq!(llama.len(), 3);
    assert_eq!(llama[0]["conversations"].as_array().map(Vec::len), Some(2));
    assert_eq!(llama[0]["chosen"]["from"], "function_call");
    let swift = rows(&job, Target::MsSwift, Form::Preference, |_| {});
    assert_eq!(swift[0]["messages"][3]["role"], "tool_call");
    assert_eq!(swift[0]["messages"][5]["role"], "tool_response");
}

#[test]
fn tokens_are_those_of_the_server_under_each_trainers_names() {
    let attempt = Attempt::new("a__b-1", 1, true);
    let job = Job::new(std::slice::from_ref(&attempt));
    let place = palestra_export::Place {
        path: job.path().join(&attempt.name),
        line: None,
        origin: palestra_export::Origin::Palestra,
    };
    let episode = read(&place).expect("an attempt");
    assert_eq!(episode.outcome, Outcome::Resolved);
    let chain = &episode.chains[0];
    assert!(chain.last && chain.logprobs.is_some());
    let names = [
        (Target::Verl, ["prompts", "responses", "response_mask", "rollout_log_probs"]),
        (Target::SkyRl, ["prompt_token_ids", "response_ids", "loss_masks", "rollout_logprobs"]),
        (Target::Trl, ["prompt_ids", "completion_ids", "env_mask", "logprobs"]),
    ];
    for (target, [prompt, response, mask, logprobs]) in names {
        let row = &rows(&job, target, Form::Tokens, |_| {})[0];
        let list = |name: &str| row[name].as_array().unwrap_or_else(|| panic!("{name}")).clone();
        let mut ids = list(prompt);
        let first = ids.len();
        ids.extend(list(response));
        let ids: Vec<u64> = ids.iter().filter_map(Value::as_u64).collect();
        let want: Vec<u64> = chain.ids.iter().map(|id| u64::from(*id)).collect();
        assert_eq!(ids, want);
        assert_eq!(chain.mask[..first].iter().max(), Some(&0));
        let masks: Vec<u64> = list(mask).iter().filter_map(Value::as_u64).collect();
        let want: Vec<u64> = chain.mask[first..].iter().map(|one| u64::from(*one)).collect();
        assert_eq!(masks, want);
        let floats: Vec<f64> = list(logprobs).iter().filter_map(Value::as_f64).collect();
        assert_eq!(floats, chain.logprobs.as_ref().expect("floats")[first..]);
        assert_eq!(masks[0], 1);
    }
    let bare = Job::new(&[Attempt { tokens: false, ..attempt }]);
    let mut request = request("bare", Target::Verl);
    request.form = Form::Tokens;
    let refused = bare.export(&request).expect_err("no tokens");
    assert!(refused.to_string().contains("1 no_tokens"), "{refused}");
}

#[test]
fn tasks_for_reinforcement_learning_name_their_reward() {
    let job = Job::mixed(&TASKS);
    let verl = rows(&job, Target::Verl, Form::Rl, |r| r.reward = "gym".to_owned());
    assert_eq!(verl.len(), 3);
    let keys: Vec<_> = verl[0].as_object().expect("a row").keys().cloned().collect();
    assert_eq!(keys, ["data_source", "prompt", "ability", "reward_model", "extra_info"]);
    assert_eq!(verl[0]["extra_info"]["attempts"], 4);
    assert_eq!(verl[0]["extra_info"]["solved"], 2);
    assert_eq!(verl[0]["reward_model"]["ground_truth"], verl[0]["extra_info"]["instance_id"]);
    let sky = rows(&job, Target::SkyRl, Form::Rl, |r| r.reward = "gym".to_owned());
    assert_eq!(
        (&sky[0]["env_class"], &sky[0]["reward_spec"]["method"]),
        (&json!("gym"), &json!("rule"))
    );
    // An attempt without a model tells the task, and not how hard it is.
    let silent = Attempt::new("x__y-1", 1, true);
    let dir = crate::support::write(&job.path(), &silent);
    std::fs::remove_file(dir.join("agent/trace.jsonl")).expect("gone");
    let trajectory = json!({"schema_version": "ATIF-v1.8", "agent": {"name": "oracle", "version": "1"},
        "steps": [{"step_id": 1, "source": "system", "message": "applied"}]});
    crate::support::put(&dir.join("agent/trajectory.json"), &trajectory);
    let task = job.dir.path().join("task");
    std::fs::create_dir(&task).expect("a directory");
    std::fs::write(task.join("instruction.md"), "Repair it.\n").expect("written");
    let metadata = "[metadata.palestra]\nrepository = 'x/why'\ncreated_at = '2024-01-01'\n";
    std::fs::write(task.join("task.toml"), metadata).expect("written");
    let config = json!({"task": {"path": task}, "agent": {"name": "oracle"}});
    crate::support::put(&dir.join("config.json"), &config);
    let trl = rows(&job, Target::Trl, Form::Rl, |_| {});
    let found = trl.iter().find(|row| row["instance_id"] == "x__y-1").expect("the task");
    assert_eq!(found["prompt"], json!([{"role": "user", "content": "Repair it."}]));
    assert_eq!(
        (&found["extra_info"]["solved"], &found["extra_info"]["repository"]),
        (&json!(0), &json!("x/why"))
    );
    let trl: Vec<_> = trl.into_iter().filter(|row| row["instance_id"] != "x__y-1").collect();
    assert_eq!(trl[0]["prompt"][1]["role"], "user");
}

#[test]
fn verifiers_are_asked_about_both_classes() {
    let job = Job::mixed(&TASKS);
    let forms =
        [VerifierForm::R2eGym, VerifierForm::SweGym, VerifierForm::Ours, VerifierForm::Patch];
    for form in forms {
        let mut request = request(&format!("v-{form:?}"), Target::Trl);
        request.form = Form::Verifier;
        request.verifier = form;
        request.file = Some(FileForm::Jsonl);
        request.selection.verdicts = Verdicts::Both;
        request.selection.balance_classes = true;
        job.export(&request).expect("a set");
        let rows = lines(&job.out(&request.name).join("train.jsonl"));
        assert_eq!(rows.len(), 12);
        let yes =
            rows.iter().filter(|row| row["messages"][2]["content"] == "<judgement>YES</judgement>");
        assert_eq!(yes.count(), 6);
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    let job = Job::mixed(&TASKS);
    let mut odd = request("odd", Target::SkyRl);
    odd.form = Form::Preference;
    assert!(matches!(job.export(&odd), Err(ExportError::Request(_))));
    let mut long = request("long", Target::Trl);
    long.context = Some(100);
    assert!(matches!(job.export(&long), Err(ExportError::Request(_))));
    let bad = ["../x", "", "a/b", "a b"];
    assert!(bad.iter().all(|name| job.export(&request(name, Target::Trl)).is_err()));
    let mut masked = request("masked", Target::Trl);
    masked.loss = Loss { last_turns: Some(0), ..Loss::default() };
    let refused = job.export(&masked).expect_err("nothing to learn");
    assert!(refused.to_string().contains("nothing_to_learn"), "{refused}");
    let mut testing = request("testing", Target::Trl);
    testing.form = Form::TestingAgent;
    let refused = job.export(&testing).expect_err("no tests");
    assert!(refused.to_string().contains("6 no_tests"), "{refused}");
}

#[test]
fn requests_are_toml() {
    let text = "name = 'x'\ntarget = 'llama-factory'\nform = 'kto'\n[selection]\nper_task = 2\n\
                verdicts = 'both'\n[selection.difficulty]\nabove = 0.0\nbelow = 1.0\n\
                [loss]\nmask_errors = true\nweights = { discount = 0.5 }\n";
    let request: palestra_export::ExportRequest = toml::from_str(text).expect("a request");
    assert_eq!(request.selection.per_task, Some(2));
    let again: palestra_export::ExportRequest =
        toml::from_str(&toml::to_string(&request).expect("TOML")).expect("a request");
    assert_eq!(again, request);
    assert!(
        toml::from_str::<palestra_export::ExportRequest>(&format!("typo = 1\n{text}")).is_err()
    );
}
