//! Any conversation with any server: no mismatch is silent.

use palestra_model::Message;
use palestra_trace::{Graph, Recorder, Why, read};
use proptest::prelude::*;

use crate::common::{answer, calls, request};

/// What the agent and the server do next.
#[derive(Debug, Clone)]
struct Turn {
    /// Which of the conversations so far goes on.
    from: usize,
    kind: Kind,
    /// The server tokenises what it said before anew.
    again: bool,
    /// The server gives no ids.
    silent: bool,
    /// The client writes what the model said otherwise.
    rewritten: bool,
    text: u8,
}

#[derive(Debug, Clone)]
enum Kind {
    GoOn(usize),
    Edit(usize),
    Same,
    Fresh,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let kind = prop_oneof![
        6 => (1usize..4).prop_map(Kind::GoOn),
        1 => (0usize..8).prop_map(Kind::Edit),
        1 => Just(Kind::Same),
        1 => Just(Kind::Fresh),
    ];
    let turn = (
        0usize..4,
        kind,
        prop::bool::weighted(0.15),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.3),
        0u8..4,
    )
        .prop_map(|(from, kind, again, silent, rewritten, text)| Turn {
            from,
            kind,
            again,
            silent,
            rewritten,
            text,
        });
    prop::collection::vec(turn, 1..24)
}

/// A conversation, with the ids that the server has for each of its messages.
#[derive(Debug, Clone, Default)]
struct Talk {
    messages: Vec<(Message, Vec<u32>)>,
}

impl Talk {
    fn push(&mut self, message: Message) {
        let ids = message.content_text().bytes().map(u32::from).collect();
        self.messages.push((message, ids));
    }

    fn prompt(&self) -> Vec<u32> {
        let all = self.messages.iter().flat_map(|(_, ids)| [&[1], &ids[..]].concat());
        // The invitation to answer, which is also how an answer begins when it is history.
        all.chain([1]).collect()
    }

    fn sent(&self) -> Vec<Message> {
        self.messages.iter().map(|(message, _)| message.clone()).collect()
    }
}

/// What was seen of one call.
struct Seen {
    sent: Vec<Message>,
    said: Message,
    ids: Option<(Vec<u32>, Vec<u32>)>,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn nothing_is_joined_that_does_not_fit(turns in turns()) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("trace.jsonl");
        let mut recorder = Recorder::open(&path).expect("a file");
        let mut graph = Graph::new();
        let mut talks: Vec<Talk> = Vec::new();
        let mut seen: Vec<Seen> = Vec::new();
        for (number, turn) in turns.iter().enumerate() {
            let mut talk = match turn.kind {
                Kind::Fresh => Talk::default(),
                _ => talks.iter().rev().nth(turn.from).cloned().unwrap_or_default(),
            };
            match turn.kind {
                Kind::GoOn(_) | Kind::Fresh => {}
                Kind::Same => { talk.messages.pop(); }
                Kind::Edit(keep) => talk.messages.truncate(keep),
            }
            if let (true, Some((_, ids))) = (turn.again, talk.messages.last_mut()) {
                *ids = vec![500, 501];
            }
            if let (true, Some((message, _))) = (turn.rewritten, talk.messages.last_mut()) {
                for call in &mut message.tool_calls {
                    call.arguments = call.arguments.replace(' ', "");
                }
            }
            let new = match turn.kind { Kind::GoOn(new) => new, Kind::Same => 0, _ => 1 };
            for place in 0..new {
                talk.push(Message::user(format!("u{}{place}", turn.text)));
            }
            if talk.messages.is_empty() {
                talk.push(Message::user("u"));
            }
            let said = calls(&format!("a{}", turn.text), r#"{ "x": 1 }"#);
            // The server samples other ids than it would tokenise.
            let completion = vec![300 + u32::from(turn.text), 400 + number as u32 % 3];
            let prompt = talk.prompt();
            let ids = (!turn.silent).then(|| (prompt.clone(), completion.clone()));
            let borrowed = ids.as_ref().map(|(prompt, completion)| (&prompt[..], &completion[..]));
            let made = answer(said.clone(), borrowed);
            let sent = request(&talk.sent());

            let before = graph.clone();
            let recorded = recorder.record(&sent, &made, 1.0).expect("a call");
            prop_assert_eq!(&graph.record(&sent, &made, 1.0), &recorded);

            let sample = graph.sample(recorded.head);
            let whole = [&prompt[..], &completion].concat();
            prop_assert_eq!(sample.complete(), ids.is_some());
            if ids.is_some() {
                prop_assert_eq!(&sample.token_ids, &whole);
                prop_assert!(sample.mask[prompt.len()..].iter().all(|mask| *mask == 1));
                // Whatever counts as sampled was sampled, at this very place.
                for (node, id) in graph.path(recorded.head).iter().zip(&sample.nodes) {
                    prop_assert_eq!(node.id, *id);
                    let Some(delta) = node.tokens.as_ref().filter(|delta| delta.mask == 1) else { continue };
                    let call = match node.call.0 as usize {
                        call if call == number => continue,
                        call => &seen[call],
                    };
                    let (earlier, said) = call.ids.as_ref().expect("ids");
                    prop_assert_eq!(said, &delta.ids);
                    prop_assert!(whole.starts_with(&[&earlier[..], said].concat()));
                }
            }
            // What was sent is the path, but for what was written otherwise.
            let messages = sample.messages.iter().zip(&talk.messages);
            prop_assert_eq!(sample.messages.len(), talk.messages.len() + 1);
            for (stored, (sent, _)) in messages {
                prop_assert_eq!(stored.role, sent.role);
                prop_assert_eq!(&stored.content, &sent.content);
            }
            prop_assert_eq!(&**sample.messages.last().expect("messages"), &said);

            match recorded.branched.map(|branch| branch.why) {
                Some(Why::Tokens { at, of }) => {
                    // There is an earlier call that this prompt contains and does not begin with.
                    let broken = seen.iter().any(|call| {
                        let Some((earlier, said)) = &call.ids else { return false };
                        let chain = [&earlier[..], said].concat();
                        chain.len() == of && !prompt.starts_with(&chain)
                            && call.sent.len() < talk.messages.len()
                    });
                    prop_assert!(broken);
                    // What agrees may be of another call that said the same in other ids.
                    let agrees = seen.iter().filter_map(|call| call.ids.as_ref()).any(|(earlier, said)| {
                        let chain = [&earlier[..], said].concat();
                        [earlier.len(), chain.len()].contains(&at) && prompt.starts_with(&chain[..at])
                    });
                    prop_assert!(at == 0 || agrees);
                }
                None if number > 0 && !before.nodes().is_empty() => {
                    // It goes on from a leaf, with its ids if it has any.
                    let parent = graph.node(recorded.new_nodes[0]).and_then(|node| node.parent);
                    let parent = before.node(parent.expect("not a root")).expect("known");
                    prop_assert!(parent.sampled);
                    let call = &seen[parent.call.0 as usize];
                    prop_assert_eq!(&*parent.message, &call.said);
                    if let (Some((earlier, said)), true) = (&call.ids, ids.is_some()) {
                        prop_assert!(prompt.starts_with(&[&earlier[..], said].concat()));
                    }
                }
                _ => {}
            }
            seen.push(Seen { sent: talk.sent(), said: said.clone(), ids });
            talk.messages.push((said, completion));
            talks.push(talk);
        }
        let back = read(&path).expect("a trace");
        prop_assert!(back.problems.is_empty());
        prop_assert_eq!(back.graph.nodes(), graph.nodes());
        prop_assert_eq!(back.graph.calls(), graph.calls());
        prop_assert_eq!(back.graph.branches(), graph.branches());
        prop_assert_eq!(back.graph.counters(), graph.counters());
        prop_assert_eq!(recorder.counters(), graph.counters());
    }

    #[test]
    fn a_faithful_server_gives_one_chain(turns in prop::collection::vec((1usize..4, 0usize..9), 1..30)) {
        let mut graph = Graph::new();
        let mut talk = Talk::default();
        let mut last = Vec::new();
        for (new, length) in turns {
            for place in 0..new {
                talk.push(Message::tool("c1", format!("t{place}")));
            }
            let completion: Vec<u32> = (0..length as u32).map(|id| 300 + id).collect();
            let prompt = talk.prompt();
            let said = calls("", r#"{"x": 1}"#);
            let made = answer(said.clone(), Some((&prompt, &completion)));
            let recorded = graph.record(&request(&talk.sent()), &made, 1.0);
            prop_assert_eq!(recorded.branched, None);
            last = [&prompt[..], &completion].concat();
            talk.messages.push((said, completion));
        }
        let samples = graph.branches();
        prop_assert_eq!(samples.len(), 1);
        prop_assert_eq!(&samples[0].token_ids, &last);
    }
}
