//! Packs and bundles, written byte for byte by us.
//!
//! `git pack-objects` reuses whatever deltas and compressed bytes a repository happens to
//! hold, so its packs of equal objects differ from clone to clone. These do not.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// What hashes name objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ObjectFormat {
    Sha1,
    Sha256,
}

impl ObjectFormat {
    /// The format whose names look like `oid`.
    pub(crate) fn of(oid: &str) -> Self {
        if oid.len() == 64 { Self::Sha256 } else { Self::Sha1 }
    }

    /// Bytes of a name.
    pub(crate) fn raw_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    fn digest(self, parts: &[&[u8]]) -> Vec<u8> {
        fn of<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
            let mut digest = D::new();
            parts.iter().for_each(|p| digest.update(p));
            digest.finalize().to_vec()
        }
        match self {
            Self::Sha1 => of::<Sha1>(parts),
            Self::Sha256 => of::<Sha256>(parts),
        }
    }

    /// The name of an object.
    pub(crate) fn name(self, kind: Kind, content: &[u8]) -> String {
        let header = format!("{} {}\0", kind.word(), content.len());
        hex(&self.digest(&[header.as_bytes(), content]))
    }
}

/// The kinds of object that a tree needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Commit,
    Tree,
    Blob,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::Commit => 1,
            Self::Tree => 2,
            Self::Blob => 3,
        }
    }
}

/// Collects objects in the order in which they are to stand in the pack.
pub(crate) struct PackWriter {
    format: ObjectFormat,
    bytes: Vec<u8>,
    count: u32,
}

impl PackWriter {
    pub(crate) fn new(format: ObjectFormat) -> Self {
        Self { format, bytes: b"PACK\0\0\0\x02\0\0\0\0".to_vec(), count: 0 }
    }

    /// How many objects there are so far.
    pub(crate) fn count(&self) -> usize {
        self.count as usize
    }

    /// Appends one object, compressed on its own.
    pub(crate) fn add(&mut self, kind: Kind, content: &[u8]) -> io::Result<()> {
        let mut size = content.len();
        let mut byte = (kind.number() << 4) | (size & 0xf) as u8;
        size >>= 4;
        while size > 0 {
            self.bytes.push(byte | 0x80);
            byte = (size & 0x7f) as u8;
            size >>= 7;
        }
        self.bytes.push(byte);
        let mut encoder = ZlibEncoder::new(&mut self.bytes, Compression::new(LEVEL));
        encoder.write_all(content)?;
        encoder.finish()?;
        self.count += 1;
        Ok(())
    }

    /// The pack with its count and checksum.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.bytes[8..12].copy_from_slice(&self.count.to_be_bytes());
        let sum = self.format.digest(&[&self.bytes]);
        self.bytes.extend(sum);
        self.bytes
    }
}

/// Compression level of packs. Part of their identity: do not change it lightly.
const LEVEL: u32 = 4;

/// The header of a bundle of one commit as branch `main` and `HEAD`.
pub(crate) fn bundle_header(format: ObjectFormat, commit: &str) -> String {
    let start = match format {
        ObjectFormat::Sha1 => "# v2 git bundle\n",
        ObjectFormat::Sha256 => "# v3 git bundle\n@object-format=sha256\n",
    };
    format!("{start}{commit} refs/heads/main\n{commit} HEAD\n\n")
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |n: u8| char::from(DIGITS[usize::from(n)]);
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}
