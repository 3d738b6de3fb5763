//! How a long history is shortened: functions of the history alone.

use std::sync::Arc;

use palestra_model::{Message, Part, Role};

/// A message of a history, with what the policies must know of it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The message.
    pub message: Arc<Message>,
    /// Whether it is what tools answered, be it of the role `tool` or `user`.
    pub observation: bool,
    /// What stands in its place once it is masked.
    pub(crate) masked: Option<Arc<Message>>,
}

impl Entry {
    /// A message that somebody said.
    pub fn said(message: Arc<Message>) -> Self {
        Self { message, observation: false, masked: None }
    }

    /// A message that tools answered.
    pub fn observed(message: Arc<Message>) -> Self {
        Self { message, observation: true, masked: None }
    }
}

/// The history with all observations but the last `keep` replaced by a line that says so, and
/// whether any was. Which call a result belongs to stays.
pub fn mask(history: &mut [Entry], keep: usize) -> (Vec<Arc<Message>>, bool) {
    let observations = history.iter().filter(|entry| entry.observation).count();
    let mut to_mask = observations.saturating_sub(keep);
    let any = to_mask > 0;
    let sent = history
        .iter_mut()
        .map(|entry| {
            if !entry.observation || to_mask == 0 {
                return entry.message.clone();
            }
            to_mask -= 1;
            let message = &entry.message;
            entry.masked.get_or_insert_with(|| Arc::new(left_out(message))).clone()
        })
        .collect();
    (sent, any)
}

fn left_out(message: &Message) -> Message {
    let bytes = size(message);
    let text = format!(
        "[this result of {bytes} bytes is left out to save context; call the tool again if it is needed]"
    );
    Message {
        role: message.role,
        content: vec![Part::Text(text)],
        reasoning: None,
        tool_calls: Vec::new(),
        tool_call_id: message.tool_call_id.clone(),
        extra: message.extra.clone(),
    }
}

/// Bytes of a message that become tokens, more or less.
pub fn size(message: &Message) -> u64 {
    let parts = message.content.iter().map(|part| match part {
        Part::Text(text) => text.len(),
        _ => 0,
    });
    let calls = message.tool_calls.iter().map(|call| call.name.len() + call.arguments.len());
    parts.chain(calls).sum::<usize>() as u64
}

/// Which messages a summary is to replace: from after the instructions and the first message of the
/// user to before the last `keep`. Results of tools stay with the calls that they answer, so a few
/// more may stay. `None` where fewer than two would be replaced.
pub fn to_summarise(history: &[Entry], keep: usize) -> Option<std::ops::Range<usize>> {
    let first = history.iter().position(|entry| entry.message.role != Role::System)?;
    let start = if history[first].message.role == Role::User { first + 1 } else { first };
    let mut end = history.len().saturating_sub(keep);
    // What stays begins with what the model said, since the summary is said by the user.
    while end > start && history.get(end).is_some_and(|entry| entry.message.role != Role::Assistant)
    {
        end -= 1;
    }
    (end >= start + 2).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use palestra_model::ToolCall;
    use proptest::prelude::*;

    use super::*;

    /// A history with `calls[i]` tool calls in the i-th reply.
    fn history(calls: &[usize]) -> Vec<Entry> {
        let mut all = vec![
            Entry::said(Arc::new(Message::system("s"))),
            Entry::said(Arc::new(Message::user("u"))),
        ];
        for (turn, count) in calls.iter().enumerate() {
            let mut message = Message::assistant("a");
            let id = |call: usize| format!("{turn}.{call}");
            message.tool_calls = (0..*count)
                .map(|call| ToolCall {
                    id: id(call),
                    name: "t".to_owned(),
                    arguments: "{}".to_owned(),
                })
                .collect();
            all.push(Entry::said(Arc::new(message)));
            if *count == 0 {
                all.push(Entry::said(Arc::new(Message::user("hint"))));
            }
            for call in 0..*count {
                all.push(Entry::observed(Arc::new(Message::tool(id(call), "result"))));
            }
        }
        all
    }

    /// Each call is followed by its results, and by nothing else.
    fn paired(messages: &[Arc<Message>]) -> bool {
        let mut wanted: Vec<String> = Vec::new();
        for message in messages {
            if let Some(id) = &message.tool_call_id {
                if wanted.is_empty() || wanted.remove(0) != *id {
                    return false;
                }
                continue;
            }
            if !wanted.is_empty() {
                return false;
            }
            wanted = message.tool_calls.iter().map(|call| call.id.clone()).collect();
        }
        wanted.is_empty()
    }

    #[test]
    fn old_observations_are_masked() {
        let mut all = history(&[1, 2, 1]);
        let (sent, any) = mask(&mut all, 2);
        assert!(any);
        let texts: Vec<_> = sent.iter().map(|message| message.content_text()).collect();
        let masked = "[this result of 6 bytes is left out to save context; call the tool again if it is needed]";
        assert_eq!(texts, ["s", "u", "a", masked, "a", masked, "result", "a", "result"]);
        assert!(paired(&sent));
        let (again, _) = mask(&mut all, 2);
        assert!(Arc::ptr_eq(&sent[3], &again[3]));
        assert!(!mask(&mut all, 4).1);
    }

    proptest! {
        #[test]
        fn calls_and_results_stay_together(
            calls in proptest::collection::vec(0usize..4, 0..8),
            keep in 0usize..20,
        ) {
            let mut all = history(&calls);
            prop_assert!(paired(&mask(&mut all, keep).0));
            if let Some(range) = to_summarise(&all, keep) {
                prop_assert!(range.start == 2 && range.len() >= 2);
                prop_assert!(all.len() - range.end >= keep.min(all.len() - 2));
                let mut left: Vec<_> = all.iter().map(|entry| entry.message.clone()).collect();
                let out: Vec<_> = left.splice(range, [Arc::new(Message::user("summary"))]).collect();
                prop_assert!(paired(&left) && paired(&out));
            } else {
                prop_assert!(all.len() < keep + 2 + 2 + 5);
            }
        }
    }
}
