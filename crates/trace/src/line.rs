//! The lines of `trace.jsonl`.

use palestra_model::{Message, Tool};
use serde::{Deserialize, Serialize};

use crate::chain::{Chain, Delta};
use crate::graph::Call;
use crate::hash::Hash;
use crate::index::{CallId, NodeId};

/// Raised when older programs cannot read what newer ones write.
pub(crate) const FORM: u32 = 1;

/// A line as it is read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    /// The first line: the form of the file.
    Trace(u32),
    /// A set of tools.
    Tools { hash: Hash, tools: Vec<Tool> },
    /// A message, once for each content.
    Message { hash: Hash, message: Box<Message> },
    /// A node. It counts once the line of its call is there.
    Node(NodeLine),
    /// A call. Its new nodes stand before it.
    Call(Box<Call>),
    /// A call that has no reply.
    Failed(Failed),
}

/// A line as it is written.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LineRef<'a> {
    Trace(u32),
    Tools { hash: Hash, tools: &'a [Tool] },
    Message { hash: Hash, message: &'a Message },
    Node(&'a NodeLine),
    Call(&'a Call),
    Failed(&'a Failed),
}

/// A node without its message.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NodeLine {
    pub(crate) id: NodeId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<NodeId>,
    pub(crate) message: Hash,
    pub(crate) sampled: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tokens: Option<Delta>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<NodeId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) chain: Option<Chain>,
    pub(crate) call: CallId,
}

/// A call that has no reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failed {
    /// Seconds since 1970.
    pub time: f64,
    /// The model that was asked for.
    pub model: String,
    /// The hash of the messages that were sent.
    pub prompt: Hash,
    /// What happened.
    pub error: String,
}

/// Numbers to the last bit. JSON has no infinities; they stand as strings.
pub(crate) mod floats {
    use serde::de::{Deserializer, Error};
    use serde::ser::{SerializeSeq, Serializer};
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Float {
        Number(f64),
        Name(String),
    }

    pub(crate) fn serialize<S: Serializer>(floats: &[f64], s: S) -> Result<S::Ok, S::Error> {
        let mut list = s.serialize_seq(Some(floats.len()))?;
        for float in floats {
            if float.is_finite() {
                list.serialize_element(float)?;
            } else {
                list.serialize_element(&float.to_string())?;
            }
        }
        list.end()
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<f64>, D::Error> {
        let list = Vec::<Float>::deserialize(d)?;
        list.into_iter()
            .map(|float| match float {
                Float::Number(number) => Ok(number),
                Float::Name(name) => name.parse().map_err(D::Error::custom),
            })
            .collect()
    }
}
