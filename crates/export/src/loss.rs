//! What is learned of a conversation: the model's turns, less those that failed, with weights.

use std::collections::HashSet;

use palestra_model::{Message, Role};
use serde::{Deserialize, Serialize};

use crate::error::{ExportError, Result};

/// How much a turn counts beside the others.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weights {
    /// Every token counts the same.
    #[default]
    Tokens,
    /// Every turn counts the same: its tokens share a weight of 1.
    Turns,
    /// Every token counts the same, times this for each turn of the model that follows.
    Discount(f64),
}

/// What is learned of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Loss {
    /// Nothing of a turn with a call that failed, or whose arguments are no JSON.
    pub mask_errors: bool,
    /// Only the last so many turns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_turns: Option<u32>,
    /// Weights.
    pub weights: Weights,
}

impl Loss {
    /// Fails on weights that are none.
    pub fn check(&self) -> Result<()> {
        match self.weights {
            Weights::Discount(by) if !(by > 0.0 && by <= 1.0) => {
                Err(ExportError::Request("a discount is above 0 and at most 1".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Whether it is anything but "all turns, the same".
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// The weight of each message; 0 for what is not learned.
    pub fn of(&self, messages: &[Message]) -> Vec<f64> {
        let failed = failed(messages);
        let turns = messages.iter().filter(|m| m.role == Role::Assistant).count();
        let mut turn = 0;
        let weigh = |(at, message): (usize, &Message)| {
            if message.role != Role::Assistant {
                return 0.0;
            }
            let follow = turns - 1 - turn;
            turn += 1;
            let masked = self.mask_errors && failed.contains(&at);
            let early = self.last_turns.is_some_and(|last| follow >= last as usize);
            match self.weights {
                _ if masked || early => 0.0,
                Weights::Discount(by) => by.powf(follow as f64),
                Weights::Tokens | Weights::Turns => 1.0,
            }
        };
        messages.iter().enumerate().map(weigh).collect()
    }

    /// The weight of each token of a turn.
    pub fn of_token(&self, turn: f64, tokens: usize) -> f64 {
        match self.weights {
            Weights::Turns => turn / tokens.max(1) as f64,
            _ => turn,
        }
    }
}

/// Turns with a call that failed.
fn failed(messages: &[Message]) -> HashSet<usize> {
    let mut failed = HashSet::new();
    let mut last = None;
    for (at, message) in messages.iter().enumerate() {
        match message.role {
            Role::Assistant => {
                last = Some(at);
                let broken = |arguments: &str| {
                    !serde_json::from_str::<serde_json::Value>(arguments)
                        .is_ok_and(|value| value.is_object())
                };
                if message.tool_calls.iter().any(|call| broken(&call.arguments)) {
                    failed.insert(at);
                }
            }
            Role::Tool | Role::User if message.is_error() => {
                failed.extend(last);
            }
            _ => {}
        }
    }
    failed
}

#[cfg(test)]
mod tests {
    use palestra_model::ToolCall;

    use super::*;

    fn call(arguments: &str) -> Message {
        let call = ToolCall { id: "1".into(), name: "bash".into(), arguments: arguments.into() };
        Message { tool_calls: vec![call], ..Message::assistant("") }
    }

    #[test]
    fn turns_weigh_what_is_asked() {
        let mut error = Message::tool("1", "no such file");
        error.extra.insert("is_error".to_owned(), true.into());
        let talk = [
            Message::user("do"),
            call("{}"),
            error,
            call("{"),
            Message::tool("1", "bad"),
            call("{}"),
            Message::tool("1", "ok"),
            Message::assistant("done"),
        ];
        let check = |loss: Loss, want: [f64; 4]| {
            let all = loss.of(&talk);
            assert_eq!([all[1], all[3], all[5], all[7]], want, "{loss:?}");
            assert_eq!(all.iter().sum::<f64>(), want.iter().sum::<f64>());
        };
        check(Loss::default(), [1.0; 4]);
        check(Loss { mask_errors: true, ..Loss::default() }, [0.0, 0.0, 1.0, 1.0]);
        check(Loss { last_turns: Some(1), ..Loss::default() }, [0.0, 0.0, 0.0, 1.0]);
        let half = Loss { weights: Weights::Discount(0.5), ..Loss::default() };
        check(half, [0.125, 0.25, 0.5, 1.0]);
        assert_eq!(Loss { weights: Weights::Turns, ..half }.of_token(1.0, 4), 0.25);
        assert!(Loss { weights: Weights::Discount(f64::NAN), ..half }.check().is_err());
    }
}
