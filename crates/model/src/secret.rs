//! A key that shows itself to nobody but the server.

use std::fmt;
use std::sync::Arc;

/// A key or another secret. Neither `Debug` nor `Display` show it, and it cannot be serialised.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Keeps a secret.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The secret itself, to be sent to the server and nowhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// A text without the secret. Servers quote wrong keys in their errors.
    pub(crate) fn scrub(&self, text: &str) -> String {
        // A shorter text is no key, and may be part of any word.
        if self.0.len() < 8 { text.to_owned() } else { text.replace(&*self.0, "[key]") }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[key]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[key]")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}
