//! What the tests share.

use std::io::Write;
use std::process::{Command, Stdio};

/// Compiles every text with the Python of this machine; says which do not compile, and why.
/// `None` if there is no Python.
pub(crate) fn refused<'a>(texts: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<String>> {
    const PROGRAM: &str = "\
import struct, sys, warnings
warnings.simplefilter('ignore')
read = sys.stdin.buffer.read
number = 0
while True:
    head = read(8)
    if not head:
        break
    text = read(struct.unpack('<Q', head)[0])
    try:
        compile(text, 'm.py', 'exec', dont_inherit=True)
    except Exception as error:
        print(number, type(error).__name__, error, flush=True)
    number += 1
";
    let mut python = Command::new("python3")
        .args(["-c", PROGRAM])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut pipe = python.stdin.take()?;
    for text in texts {
        pipe.write_all(&(text.len() as u64).to_le_bytes()).ok()?;
        pipe.write_all(text).ok()?;
    }
    drop(pipe);
    let output = python.wait_with_output().ok()?;
    assert!(output.status.success());
    Some(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}
