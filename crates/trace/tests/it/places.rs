//! Where a call goes, and why.

use std::sync::Arc;

use palestra_model::Message;
use palestra_trace::{Graph, Incomplete, NodeId, Why};

use crate::common::{answer, request, tool};

fn say(text: &str) -> Message {
    Message::assistant(text)
}

fn user(text: &str) -> Message {
    Message::user(text)
}

#[test]
fn a_conversation_is_one_chain() {
    let mut graph = Graph::new();
    let first = [Message::system("s"), user("u")];
    let one = graph.record(&request(&first), &answer(say("a"), Some((&[1, 2, 3], &[4, 5]))), 1.0);
    assert_eq!(one.new_nodes, [NodeId(0), NodeId(1), NodeId(2)]);
    assert_eq!(one.branched, None);
    let second = [&first[..], &[say("a"), Message::tool("c", "t"), user("more")]].concat();
    let ids: &[u32] = &[1, 2, 3, 4, 5, 6, 7, 8];
    let two = graph.record(&request(&second), &answer(say("b"), Some((ids, &[9]))), 2.0);
    assert_eq!(two.branched, None);
    assert_eq!(two.new_nodes.len(), 3);

    let samples = graph.branches();
    assert_eq!(samples.len(), 1);
    assert_eq!(samples[0].token_ids, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(samples[0].mask, [0, 0, 0, 1, 1, 0, 0, 0, 1]);
    let logprobs = samples[0].logprobs.as_ref().expect("given for each id");
    assert_eq!(logprobs[3..6], [-4.0 / 7.0, -5.0 / 7.0, 0.0]);
    assert_eq!(samples[0].sampled, [false, false, true, false, false, true]);
    // The ids of a group stand at its last message.
    assert_eq!(graph.nodes()[3].group, Some(NodeId(4)));
    assert_eq!(graph.nodes()[4].tokens.as_ref().expect("ids").ids, [6, 7, 8]);
    assert_eq!(graph.counters().calls, 2);
    assert_eq!(graph.counters().nodes, 6);
    assert_eq!(graph.counters().branches_tokens, 0);
}

#[test]
fn ids_that_differ_begin_a_branch() {
    let mut graph = Graph::new();
    let first = [user("u")];
    graph.record(&request(&first), &answer(say("a"), Some((&[1, 2], &[3, 4]))), 1.0);
    // The completion 3 4 comes back as 34.
    let second = [user("u"), say("a"), user("v")];
    let two = graph.record(&request(&second), &answer(say("b"), Some((&[1, 2, 34, 5], &[6]))), 2.0);
    let branch = two.branched.expect("a branch");
    assert_eq!(branch.why, Why::Tokens { at: 2, of: 4 });
    assert_eq!(branch.after, Some(NodeId(0)));
    assert_eq!(graph.counters().branches_tokens, 1);
    let samples = graph.branches();
    assert_eq!(samples.len(), 2);
    assert_eq!(samples[0].token_ids, [1, 2, 3, 4]);
    assert_eq!(samples[1].token_ids, [1, 2, 34, 5, 6]);
    assert_eq!(samples[1].mask, [0, 0, 0, 0, 1]);
    assert_eq!(samples[1].sampled, [false, false, false, true]);
    // From here on the server is consistent: no further branch.
    let third = [&second[..], &[say("b"), user("w")]].concat();
    let ids: &[u32] = &[1, 2, 34, 5, 6, 7];
    let three = graph.record(&request(&third), &answer(say("c"), Some((ids, &[8]))), 3.0);
    assert_eq!(three.branched, None);
}

#[test]
fn ids_that_differ_from_the_start_begin_a_root() {
    let mut graph = Graph::new();
    graph.record(&request(&[user("u")]), &answer(say("a"), Some((&[1, 2], &[3]))), 1.0);
    let second = [user("u"), say("a"), user("v")];
    let two = graph.record(&request(&second), &answer(say("b"), Some((&[9, 2, 3, 5], &[6]))), 2.0);
    let branch = two.branched.expect("a branch");
    assert_eq!((branch.why, branch.after), (Why::Tokens { at: 0, of: 3 }, None));
    assert_eq!(graph.branches()[1].token_ids, [9, 2, 3, 5, 6]);
}

#[test]
fn a_prompt_that_is_shorter_than_what_was_said_begins_a_branch() {
    let mut graph = Graph::new();
    graph.record(&request(&[user("u")]), &answer(say("a"), Some((&[1, 2], &[3, 4, 5]))), 1.0);
    let second = [user("u"), say("a"), user("v")];
    let two = graph.record(&request(&second), &answer(say("b"), Some((&[1, 2, 3], &[6]))), 2.0);
    assert_eq!(two.branched.expect("a branch").why, Why::Tokens { at: 2, of: 5 });
    assert_eq!(graph.branches()[1].token_ids, [1, 2, 3, 6]);
}

#[test]
fn an_edited_history_begins_a_branch() {
    let mut graph = Graph::new();
    let history = [user("u"), say("a"), user("v")];
    graph.record(&request(&history[..1]), &answer(say("a"), Some((&[1, 2], &[3]))), 1.0);
    graph.record(&request(&history), &answer(say("b"), Some((&[1, 2, 3, 4], &[5]))), 2.0);
    let edited = [user("u"), say("a"), user("else")];
    let ids: &[u32] = &[1, 2, 3, 7];
    let three = graph.record(&request(&edited), &answer(say("c"), Some((ids, &[8]))), 3.0);
    let branch = three.branched.expect("a branch");
    assert_eq!((branch.why, branch.after), (Why::History, Some(NodeId(1))));
    // The shared completion stays sampled on both paths.
    let samples = graph.branches();
    assert_eq!(samples[1].token_ids, [1, 2, 3, 7, 8]);
    assert_eq!(samples[1].mask, [0, 0, 1, 0, 1]);
    assert_eq!(graph.counters().branches_history, 1);
    assert_eq!(graph.counters().branches_tokens, 0);
}

#[test]
fn another_answer_in_the_history_is_another_history() {
    let mut graph = Graph::new();
    // The prompt ends with 9, which invites an answer.
    graph.record(&request(&[user("u")]), &answer(say("a"), Some((&[1, 9], &[3]))), 1.0);
    let other = [user("u"), user("v")];
    let two = graph.record(&request(&other), &answer(say("b"), Some((&[1, 2, 9], &[5]))), 2.0);
    assert_eq!(two.branched.expect("a branch").why, Why::History);
    assert_eq!(graph.counters().branches_tokens, 0);
    assert_eq!(graph.branches()[1].token_ids, [1, 2, 9, 5]);
}

#[test]
fn the_same_prompt_again_is_another_sample() {
    let mut graph = Graph::new();
    let prompt = [user("u")];
    graph.record(&request(&prompt), &answer(say("a"), Some((&[1, 2], &[3]))), 1.0);
    let two = graph.record(&request(&prompt), &answer(say("a"), Some((&[1, 2], &[4, 5]))), 2.0);
    let branch = two.branched.expect("a branch");
    assert_eq!((branch.why, branch.after), (Why::Resampled, Some(NodeId(0))));
    // Both said the same in other tokens. The next prompt tells which of them goes on.
    let next = [user("u"), say("a"), user("v")];
    let go = answer(say("b"), Some((&[1, 2, 3, 7], &[8])));
    assert_eq!(graph.record(&request(&next), &go, 3.0).branched, None);
    let samples = graph.branches();
    assert_eq!(samples.len(), 2);
    assert_eq!(samples[0].token_ids, [1, 2, 4, 5]);
    assert_eq!(samples[1].token_ids, [1, 2, 3, 7, 8]);
    assert_eq!(samples[1].mask, [0, 0, 1, 0, 1]);
}

#[test]
fn other_tools_are_another_root() {
    let mut graph = Graph::new();
    let prompt = [user("u")];
    graph.record(&request(&prompt), &answer(say("a"), None), 1.0);
    let mut with = request(&prompt);
    with.tools = Arc::from([tool("bash")]);
    let two = graph.record(&with, &answer(say("a"), None), 2.0);
    let branch = two.branched.expect("a branch");
    assert_eq!((branch.why, branch.after), (Why::Tools, None));
    assert_eq!(graph.branches()[1].tools[0].name, "bash");
    let sub = graph.record(&request(&[user("another task")]), &answer(say("a"), None), 3.0);
    assert_eq!(sub.branched.expect("a branch").why, Why::History);
}

#[test]
fn a_call_without_ids_leaves_a_hole_that_is_not_filled() {
    let mut graph = Graph::new();
    graph.record(&request(&[user("u")]), &answer(say("a"), Some((&[1], &[2]))), 1.0);
    let second = [user("u"), say("a"), user("v")];
    graph.record(&request(&second), &answer(say("b"), None), 2.0);
    let third = [&second[..], &[say("b"), user("w")]].concat();
    let ids: &[u32] = &[1, 2, 3, 4, 5];
    let three = graph.record(&request(&third), &answer(say("c"), Some((ids, &[6]))), 3.0);
    let branch = three.branched.expect("a branch");
    assert_eq!((branch.why, branch.after), (Why::Missing, Some(NodeId(1))));
    let samples = graph.branches();
    assert!(matches!(samples[0].incomplete, Some(Incomplete::Missing(_))));
    assert!(samples[0].token_ids.is_empty() && samples[0].mask.is_empty());
    assert_eq!(samples[1].token_ids, [1, 2, 3, 4, 5, 6]);
    // What the middle call said was not seen as ids, so nobody may train on it here.
    assert_eq!(samples[1].mask, [0, 1, 0, 0, 0, 1]);
    assert_eq!(graph.counters().missing_tokens, 1);
}

#[test]
fn an_empty_prompt_is_no_ids_and_an_empty_completion_is() {
    let mut graph = Graph::new();
    graph.record(&request(&[user("u")]), &answer(say("a"), Some((&[], &[2]))), 1.0);
    assert_eq!(graph.counters().missing_tokens, 1);
    graph.record(&request(&[user("w")]), &answer(say(""), Some((&[1], &[]))), 2.0);
    assert_eq!(graph.branches()[1].token_ids, [1]);
    assert!(graph.branches()[1].complete());
    graph.record(&request(&[]), &answer(say(""), Some((&[1], &[2]))), 3.0);
    assert_eq!(graph.counters().missing_tokens, 2);
}

#[test]
fn wrong_logprobs_are_left_out_and_counted() {
    let mut graph = Graph::new();
    let mut wrong = answer(say("a"), Some((&[1], &[2, 3])));
    wrong.reply.tokens.as_mut().expect("ids").logprobs.pop();
    graph.record(&request(&[user("u")]), &wrong, 1.0);
    assert_eq!(graph.counters().wrong_logprobs, 1);
    assert!(graph.calls()[0].wrong_logprobs);
    let sample = &graph.branches()[0];
    assert_eq!((sample.logprobs.as_ref(), &*sample.token_ids), (None, &[1, 2, 3][..]));
}
