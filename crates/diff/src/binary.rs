//! Binary hunks: base 85, zlib and git's deltas.

use std::io::Read;

use flate2::read::ZlibDecoder;

/// Content above this size is refused: 1 GiB. A few bytes of a patch can claim any size.
const MAX_BYTES: usize = 1 << 30;

/// One direction of a binary change, as it stands in the patch: decoded but still compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinaryHunk {
    /// Whether the data is a delta against the other side; otherwise it is the content itself.
    pub delta: bool,
    /// Bytes after decompression, as the patch announces them.
    pub size: usize,
    /// Compressed data.
    pub(crate) deflated: Vec<u8>,
}

impl BinaryHunk {
    /// The content that follows from `base`.
    pub(crate) fn apply(&self, base: &[u8]) -> Result<Vec<u8>, &'static str> {
        if self.size > MAX_BYTES {
            return Err("announces more than 1 GiB");
        }
        // One byte more than announced shows that the announcement is too small.
        let mut data = Vec::new();
        let decoder = ZlibDecoder::new(&self.deflated[..]);
        decoder
            .take(self.size as u64 + 1)
            .read_to_end(&mut data)
            .map_err(|_| "has compressed data that is damaged")?;
        if data.len() != self.size {
            return Err("does not have the size it announces");
        }
        if self.delta { apply_delta(base, &data) } else { Ok(data) }
    }
}

/// Decodes a line of base 85: a letter for the number of bytes, then five digits for every four
/// bytes. `None` if it is not one.
pub(crate) fn decode_line(line: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (&letter, digits) = line.split_first()?;
    let length = match letter {
        b'A'..=b'Z' => letter - b'A' + 1,
        b'a'..=b'z' => letter - b'a' + 27,
        _ => return None,
    };
    let length = usize::from(length);
    if digits.len() != length.div_ceil(4) * 5 {
        return None;
    }
    let start = out.len();
    for group in digits.chunks(5) {
        let mut value: u32 = 0;
        for digit in group {
            let digit = ALPHABET.iter().position(|a| a == digit)?;
            value = value.checked_mul(85)?.checked_add(digit as u32)?;
        }
        out.extend(value.to_be_bytes());
    }
    out.truncate(start + length);
    Some(())
}

const ALPHABET: &[u8; 85] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";

/// Applies a delta in the format of git's packs.
fn apply_delta(base: &[u8], mut delta: &[u8]) -> Result<Vec<u8>, &'static str> {
    const SHORT: &str = "has a delta that ends too early";
    let old = varint(&mut delta).ok_or(SHORT)?;
    let new = varint(&mut delta).ok_or(SHORT)?;
    if old != base.len() {
        return Err("has a delta against content of another size");
    }
    if new > MAX_BYTES {
        return Err("has a delta that announces more than 1 GiB");
    }
    let mut out = Vec::with_capacity(new.min(1 << 20));
    while let Some((&op, rest)) = delta.split_first() {
        delta = rest;
        if op & 0x80 == 0 {
            let bytes = delta.split_at_checked(usize::from(op)).filter(|_| op != 0);
            let (bytes, rest) = bytes.ok_or(SHORT)?;
            out.extend_from_slice(bytes);
            delta = rest;
        } else {
            let mut number = |mask: u8, count: u32| -> Option<usize> {
                let mut value = 0;
                for n in 0..count {
                    if mask >> n & 1 == 1 {
                        let (&byte, rest) = delta.split_first()?;
                        delta = rest;
                        value |= usize::from(byte) << (8 * n);
                    }
                }
                Some(value)
            };
            let offset = number(op & 0xf, 4).ok_or(SHORT)?;
            let size = number(op >> 4 & 7, 3).ok_or(SHORT)?;
            let size = if size == 0 { 0x10000 } else { size };
            let copied = base.get(offset..offset + size);
            out.extend_from_slice(copied.ok_or("has a delta that copies beyond the old content")?);
        }
        if out.len() > new {
            break;
        }
    }
    if out.len() == new { Ok(out) } else { Err("has a delta that gives another size") }
}

fn varint(bytes: &mut &[u8]) -> Option<usize> {
    let mut value: usize = 0;
    for shift in (0..).step_by(7).take(9) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
