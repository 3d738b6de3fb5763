//! Changes of bytes.

use std::ops::Range;

/// Bytes that take the place of a range.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Splice {
    pub(crate) range: Range<usize>,
    pub(crate) text: Vec<u8>,
}

impl Splice {
    pub(crate) fn new(range: Range<usize>, text: impl Into<Vec<u8>>) -> Self {
        Self { range, text: text.into() }
    }

    pub(crate) fn delete(range: Range<usize>) -> Self {
        Self::new(range, Vec::new())
    }

    /// Whether both touch the same bytes, or insert at the same place.
    pub(crate) fn overlaps(&self, other: &Splice) -> bool {
        let (one, two) = (&self.range, &other.range);
        one.start < two.end && two.start < one.end || one.start == two.start
    }
}

/// The splices in order, without those that overlap an earlier or a wider one.
pub(crate) fn disjoint(mut splices: Vec<Splice>) -> Vec<Splice> {
    splices.sort_by_key(|s| (s.range.start, std::cmp::Reverse(s.range.end)));
    let mut kept: Vec<Splice> = Vec::new();
    for splice in splices {
        if kept.last().is_none_or(|last| !last.overlaps(&splice)) {
            kept.push(splice);
        }
    }
    kept
}

/// The source with all splices, which must be in order and disjoint; `None` if they are not or
/// reach beyond its end.
pub(crate) fn spliced<'a>(
    source: &[u8],
    splices: impl IntoIterator<Item = (&'a Range<usize>, &'a [u8])>,
) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(source.len() + 64);
    let mut at = 0;
    for (range, text) in splices {
        out.extend_from_slice(source.get(at..range.start)?);
        out.extend_from_slice(text);
        at = range.end.max(range.start);
    }
    out.extend_from_slice(source.get(at..)?);
    Some(out)
}

pub(crate) fn apply(source: &[u8], splices: &[Splice]) -> Option<Vec<u8>> {
    spliced(source, splices.iter().map(|s| (&s.range, &s.text[..])))
}
