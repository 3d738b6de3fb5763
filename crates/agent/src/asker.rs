//! How attempts ask their model.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use palestra_model::{Answer, CallOptions, Message, Model, ModelError, Request, Sampling, Tool};

use crate::agent::AgentError;

/// What an attempt asks with.
#[derive(Clone)]
pub(crate) struct Asker {
    pub(crate) model: Arc<dyn Model>,
    pub(crate) model_name: String,
    pub(crate) sampling: Sampling,
    pub(crate) session: String,
    pub(crate) options: CallOptions,
}

impl Asker {
    /// Asks for a reply to a conversation.
    pub(crate) fn ask(
        &self,
        messages: Vec<Arc<Message>>,
        tools: &Arc<[Tool]>,
    ) -> Result<Answer, ModelError> {
        let request = Request {
            model: self.model_name.clone(),
            messages,
            tools: tools.clone(),
            tool_choice: None,
            sampling: self.sampling.clone(),
            session: Some(self.session.clone()),
        };
        self.model.call(&request, &self.options)
    }

    /// Whether the caller wants to stop.
    pub(crate) fn stopped(&self) -> Result<(), AgentError> {
        match self.options.stop.load(Ordering::Relaxed) {
            true => Err(AgentError::Cancelled),
            false => Ok(()),
        }
    }
}
