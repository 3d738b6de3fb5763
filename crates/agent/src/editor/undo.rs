//! How to take an edit back: only what differs is kept.

use palestra_core::Hash;

/// One edit.
#[derive(Debug)]
pub(super) struct Undo {
    /// What the file was after it.
    after: Hash,
    /// What to put back; `None` where no file was.
    change: Option<Change>,
}

/// Bytes `at..at + new` were `old`.
#[derive(Debug)]
struct Change {
    at: usize,
    new: usize,
    old: Box<[u8]>,
}

impl Undo {
    /// Of a file that was made.
    pub(super) fn created(after: &[u8]) -> Self {
        Self { after: Hash::of(after), change: None }
    }

    /// Of a file that was changed.
    pub(super) fn changed(before: &[u8], after: &[u8]) -> Self {
        let same = |pair: &(&u8, &u8)| pair.0 == pair.1;
        let head = before.iter().zip(after).take_while(same).count();
        let (old, new) = (&before[head..], &after[head..]);
        let tail = old.iter().rev().zip(new.iter().rev()).take_while(same).count();
        let change =
            Change { at: head, new: new.len() - tail, old: old[..old.len() - tail].into() };
        Self { after: Hash::of(after), change: Some(change) }
    }

    /// The content before the edit; `Some(None)` where no file was, `None` if `now` is not what the
    /// edit left.
    pub(super) fn before(&self, now: &[u8]) -> Option<Option<Vec<u8>>> {
        if Hash::of(now) != self.after {
            return None;
        }
        let Some(change) = &self.change else { return Some(None) };
        let mut before = now.to_vec();
        before.splice(change.at..change.at + change.new, change.old.iter().copied());
        Some(Some(before))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Undo;

    proptest! {
        #[test]
        fn any_edit_is_undone(before in "[ab\n]{0,12}", after in "[ab\n]{0,12}") {
            let undo = Undo::changed(before.as_bytes(), after.as_bytes());
            prop_assert_eq!(undo.before(after.as_bytes()), Some(Some(before.clone().into_bytes())));
            prop_assert_eq!(undo.before(b"something else"), None);
        }
    }

    #[test]
    fn little_is_kept_of_a_large_file() {
        let before = vec![b'x'; 1 << 20];
        let mut after = before.clone();
        after[1000] = b'y';
        let undo = Undo::changed(&before, &after);
        assert_eq!(undo.change.as_ref().map(|change| change.old.len()), Some(1));
        assert_eq!(Undo::created(b"x").before(b"x"), Some(None));
    }
}
