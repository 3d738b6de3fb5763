//! What parsers of logs say of a test, and the ordered map that they make.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use ahash::RandomState;
use hashbrown::{HashTable, hash_table};
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The word that a parser gave to a test.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LogStatus {
    /// `PASSED`
    Passed,
    /// `FAILED`
    Failed,
    /// `SKIPPED`
    Skipped,
    /// `ERROR`
    Error,
    /// `XFAIL`
    Xfail,
    /// Any other word. Several parsers of the field take the first word of a line for the status
    /// as soon as it begins like one, so `PASSED[gw0]` is a value that they can give.
    Other(Box<str>),
}

impl LogStatus {
    /// The word as the parser writes it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Passed => "PASSED",
            Self::Failed => "FAILED",
            Self::Skipped => "SKIPPED",
            Self::Error => "ERROR",
            Self::Xfail => "XFAIL",
            Self::Other(word) => word,
        }
    }
}

impl fmt::Display for LogStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<&str> for LogStatus {
    fn from(word: &str) -> Self {
        match word {
            "PASSED" => Self::Passed,
            "FAILED" => Self::Failed,
            "SKIPPED" => Self::Skipped,
            "ERROR" => Self::Error,
            "XFAIL" => Self::Xfail,
            other => Self::Other(other.into()),
        }
    }
}

impl FromStr for LogStatus {
    type Err = Infallible;

    fn from_str(word: &str) -> Result<Self, Infallible> {
        Ok(word.into())
    }
}

impl Serialize for LogStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for LogStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(String::deserialize(deserializer)?.as_str().into())
    }
}

/// Statuses by test. As in a Python `dict`, the first insertion of a test gives its place and the
/// last one its status.
///
/// Two maps are equal when they hold the same pairs in the same order.
///
/// The names stand one behind the other in one text: a log names a hundred thousand tests, and
/// to allocate each of them would take longer than to read the log.
#[derive(Clone, Default)]
pub struct StatusMap {
    text: String,
    entries: Vec<Entry>,
    /// Indices of entries, by the hash of their names.
    table: HashTable<u32>,
    hasher: RandomState,
}

#[derive(Clone)]
struct Entry {
    /// Where the name begins in the text. It ends where the next one begins.
    start: usize,
    hash: u64,
    status: LogStatus,
}

/// The name of an entry.
fn name<'a>(text: &'a str, entries: &[Entry], index: usize) -> &'a str {
    let end = entries.get(index + 1).map_or(text.len(), |next| next.start);
    &text[entries[index].start..end]
}

impl StatusMap {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty map with room for the tests that a log of so many bytes may name, so that it need not
    /// grow. Memory that stays empty is not touched.
    pub(crate) fn of_log(bytes: usize) -> Self {
        let tests = bytes / 128;
        Self {
            text: String::with_capacity(bytes / 2),
            entries: Vec::with_capacity(tests),
            table: HashTable::with_capacity(tests),
            hasher: RandomState::default(),
        }
    }

    /// How many tests are named.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no test is named.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The status of a test.
    pub fn get(&self, test: &str) -> Option<&LogStatus> {
        self.find(test).map(|index| &self.entries[index].status)
    }

    /// Whether a test is named.
    pub fn contains(&self, test: &str) -> bool {
        self.find(test).is_some()
    }

    /// Sets the status of a test, which keeps its place if it is named already.
    pub fn insert(&mut self, test: impl AsRef<str>, status: LogStatus) {
        self.insert_at(None, test.as_ref(), status);
    }

    /// Sets the status of a test that is not named yet, as Python's `setdefault` does.
    pub fn insert_new(&mut self, test: impl AsRef<str>, status: LogStatus) {
        self.insert_new_at(test.as_ref(), status);
    }

    /// Sets the status of a test whose place may be known already; gives the place.
    pub(crate) fn insert_at(
        &mut self,
        place: Option<usize>,
        test: &str,
        status: LogStatus,
    ) -> usize {
        if let Some(place) = place {
            self.entries[place].status = status;
            return place;
        }
        match self.place(test) {
            (place, None) => {
                self.entries[place].status = status;
                place
            }
            (place, Some(hash)) => self.push(place, hash, test, status),
        }
    }

    /// The same for a test that is not named yet.
    pub(crate) fn insert_new_at(&mut self, test: &str, status: LogStatus) -> usize {
        match self.place(test) {
            (place, None) => place,
            (place, Some(hash)) => self.push(place, hash, test, status),
        }
    }

    /// The place of a name that is known.
    fn find(&self, test: &str) -> Option<usize> {
        let hash = self.hasher.hash_one(test);
        let is = |index: &u32| {
            let index = *index as usize;
            self.entries[index].hash == hash && name(&self.text, &self.entries, index) == test
        };
        self.table.find(hash, is).map(|index| *index as usize)
    }

    /// The place of a name. With a hash, it is new: the table knows it, and it is to be pushed.
    fn place(&mut self, test: &str) -> (usize, Option<u64>) {
        let hash = self.hasher.hash_one(test);
        let (text, entries) = (&self.text, &self.entries);
        let is = |index: &u32| {
            let index = *index as usize;
            entries[index].hash == hash && name(text, entries, index) == test
        };
        match self.table.entry(hash, is, |index| entries[*index as usize].hash) {
            hash_table::Entry::Occupied(known) => (*known.get() as usize, None),
            hash_table::Entry::Vacant(free) => {
                let place = entries.len();
                free.insert(place as u32);
                (place, Some(hash))
            }
        }
    }

    fn push(&mut self, place: usize, hash: u64, test: &str, status: LogStatus) -> usize {
        let start = self.text.len();
        self.text.push_str(test);
        self.entries.push(Entry { start, hash, status });
        place
    }

    /// Tests and statuses in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &LogStatus)> + ExactSizeIterator {
        let name = |index| name(&self.text, &self.entries, index);
        self.entries.iter().enumerate().map(move |(index, entry)| (name(index), &entry.status))
    }
}

impl IntoIterator for StatusMap {
    type Item = (String, LogStatus);
    type IntoIter = std::vec::IntoIter<(String, LogStatus)>;

    fn into_iter(self) -> Self::IntoIter {
        let pairs: Vec<_> =
            self.iter().map(|(test, status)| (test.to_owned(), status.clone())).collect();
        pairs.into_iter()
    }
}

impl fmt::Debug for StatusMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl PartialEq for StatusMap {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for StatusMap {}

impl<T: AsRef<str>> FromIterator<(T, LogStatus)> for StatusMap {
    fn from_iter<I: IntoIterator<Item = (T, LogStatus)>>(pairs: I) -> Self {
        let mut map = Self::new();
        map.extend(pairs);
        map
    }
}

impl<T: AsRef<str>> Extend<(T, LogStatus)> for StatusMap {
    fn extend<I: IntoIterator<Item = (T, LogStatus)>>(&mut self, pairs: I) {
        for (test, status) in pairs {
            self.insert(test, status);
        }
    }
}

impl Serialize for StatusMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (test, status) in self.iter() {
            map.serialize_entry(test, status)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for StatusMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = StatusMap;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of statuses by test")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<StatusMap, A::Error> {
                let mut map = StatusMap::new();
                while let Some((test, status)) = pairs.next_entry::<String, LogStatus>()? {
                    map.insert(test, status);
                }
                Ok(map)
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_insertion_places_and_the_last_one_decides() {
        let map: StatusMap = [("b", "PASSED"), ("a", "SKIPPED"), ("b", "PASSED[gw0]")]
            .map(|(t, s)| (t, s.into()))
            .into_iter()
            .collect();
        let text = serde_json::to_string(&map).unwrap();
        assert_eq!(text, r#"{"b":"PASSED[gw0]","a":"SKIPPED"}"#);
        assert_eq!(serde_json::from_str::<StatusMap>(&text).unwrap(), map);
        let other: StatusMap = map.iter().rev().map(|(t, s)| (t, s.clone())).collect();
        assert_ne!(other, map);
    }
}
