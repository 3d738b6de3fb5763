//! Names of things: commits, instances, environments, content.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a string is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} is not valid: {why}")]
pub struct IdError {
    what: &'static str,
    text: String,
    why: &'static str,
}

/// A git object name: 40 (SHA-1) or 64 (SHA-256) lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitId(String);

impl CommitId {
    /// Checks and takes `text`.
    pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
        let text = text.into();
        let hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if hex && matches!(text.len(), 40 | 64) {
            return Ok(Self(text));
        }
        Err(IdError {
            what: "commit",
            text,
            why: "expected 40 or 64 lower-case hexadecimal digits",
        })
    }

    /// All digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, as used in instance names.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for CommitId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        Self::new(text)
    }
}

impl From<CommitId> for String {
    fn from(id: CommitId) -> Self {
        id.0
    }
}

/// The BLAKE3 hash of some content, as 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hash(String);

impl Hash {
    /// Hashes `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes).to_hex().to_string())
    }

    /// Hashes a sequence of parts. Each part is preceded by its length, so that
    /// `["ab", "c"]` and `["a", "bc"]` differ.
    pub fn of_parts<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            let part = part.as_ref();
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self(hasher.finalize().to_hex().to_string())
    }

    /// All digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 16 digits: enough to name a directory of a store.
    pub fn short(&self) -> &str {
        &self.0[..self.0.len().min(16)]
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of an environment: the short hash of its lock, interpreter and recipe version.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EnvironmentId(String);

impl EnvironmentId {
    /// Names an environment by the hash of what it is made from.
    pub fn from_hash(hash: &Hash) -> Self {
        Self(hash.short().to_owned())
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EnvironmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a task: `owner__repo-<first 12 digits of the fix commit>`.
///
/// Characters are limited to `[A-Za-z0-9._-]`, so that the name is also a safe file name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId(String);

impl InstanceId {
    /// Checks and takes `text`.
    pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
        let text = text.into();
        let safe = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if text.is_empty() || text.starts_with('.') || !safe {
            return Err(IdError {
                what: "instance id",
                text,
                why: "expected letters, digits, '.', '_' and '-', not starting with '.'",
            });
        }
        Ok(Self(text))
    }

    /// The name of the task that `commit` of `repository` (as `owner/name` or `name`) becomes.
    pub fn for_commit(repository: &str, commit: &CommitId) -> Self {
        let clean: String = repository
            .trim_matches('/')
            .replace('/', "__")
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' })
            .collect();
        // Harbor refuses names with `..`.
        let clean = clean.replace("..", "-");
        let clean = clean.trim_start_matches('.');
        let clean = if clean.is_empty() { "repository" } else { clean };
        Self(format!("{clean}-{}", commit.short()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for InstanceId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        Self::new(text)
    }
}

impl From<InstanceId> for String {
    fn from(id: InstanceId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_repository_name_gives_a_safe_file_name() {
        let commit = CommitId::new("0123456789abcdef0123456789abcdef01234567").unwrap();
        let check = |name: &str, want: &str| {
            let id = InstanceId::for_commit(name, &commit);
            assert_eq!(id.as_str(), want);
            assert_eq!(InstanceId::new(want), Ok(id));
        };
        check("tornadoweb/tornado", "tornadoweb__tornado-0123456789ab");
        check("../../etc", "-__-__etc-0123456789ab");
        check("a b\n/c", "a-b-__c-0123456789ab");
        check("...", "-.-0123456789ab");
        check("/", "repository-0123456789ab");
    }

    #[test]
    fn parts_are_delimited() {
        assert_ne!(Hash::of_parts(["ab", "c"]), Hash::of_parts(["a", "bc"]));
    }

    #[test]
    fn commits_are_checked() {
        assert!(CommitId::new("HEAD").is_err());
        assert!(CommitId::new("A".repeat(40)).is_err());
        assert!(CommitId::new("a".repeat(64)).is_ok());
    }
}
