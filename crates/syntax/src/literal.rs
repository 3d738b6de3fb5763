//! The values of numbers and strings, so that other spellings of the same value are equal.

/// Appends the value of an integer or a float to `out`.
pub(crate) fn number(text: &[u8], out: &mut Vec<u8>) {
    let clean: Vec<u8> = text.iter().filter(|b| **b != b'_').map(u8::to_ascii_lowercase).collect();
    let (clean, imaginary) = match clean.strip_suffix(b"j") {
        Some(rest) => (rest, true),
        None => (&clean[..], false),
    };
    let clean = clean.strip_suffix(b"l").unwrap_or(clean);
    let digits = std::str::from_utf8(clean).unwrap_or_default();
    let radix = match digits.get(..2) {
        Some("0x") => 16,
        Some("0o") => 8,
        Some("0b") => 2,
        _ => 10,
    };
    let old_octal =
        digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    if radix == 16 || radix == 8 || radix == 2 {
        match u128::from_str_radix(&digits[2..], radix) {
            Ok(value) => out.extend(format!("i{value}").bytes()),
            Err(_) => out.extend(format!("r{digits}").bytes()),
        }
    } else if imaginary || digits.contains(['.', 'e']) {
        let value: f64 = digits.parse().unwrap_or(f64::NAN);
        out.extend(format!("f{:016x}", value.to_bits()).bytes());
    } else if old_octal && let Ok(value) = u128::from_str_radix(digits, 8) {
        out.extend(format!("i{value}").bytes());
    } else {
        let plain = digits.trim_start_matches('0');
        out.extend(format!("i{}", if plain.is_empty() { "0" } else { plain }).bytes());
    }
    if imaginary {
        out.push(b'j');
    }
}

/// What the letters before a string's quotes say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub(crate) raw: bool,
    pub(crate) bytes: bool,
    pub(crate) format: bool,
    pub(crate) unicode: bool,
}

impl Prefix {
    pub(crate) fn of(start: &[u8]) -> Self {
        let has = |letter: u8| start.iter().any(|b| b.eq_ignore_ascii_case(&letter));
        Self {
            raw: has(b'r'),
            bytes: has(b'b'),
            format: has(b'f') || has(b't'),
            unicode: has(b'u'),
        }
    }
}

/// Appends the value of a piece of a string to `out`.
pub(crate) fn string(text: &[u8], prefix: Prefix, out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'\\' if !prefix.raw => rest = escape(rest, prefix, out),
            b'{' | b'}' if prefix.format && rest.first() == Some(&byte) => {
                out.push(byte);
                rest = &rest[1..];
            }
            _ => out.push(byte),
        }
    }
}

/// Reads what follows a backslash and returns what follows that.
fn escape<'a>(rest: &'a [u8], prefix: Prefix, out: &mut Vec<u8>) -> &'a [u8] {
    let Some((&letter, after)) = rest.split_first() else {
        out.push(b'\\');
        return rest;
    };
    let simple = match letter {
        b'\n' => return after,
        b'\\' | b'\'' | b'"' => letter,
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        b'0'..=b'7' => {
            let digits = rest.iter().take(3).take_while(|b| matches!(b, b'0'..=b'7')).count();
            let value = rest[..digits].iter().fold(0, |v, d| v * 8 + u32::from(d - b'0'));
            code_point(value, prefix, out);
            return &rest[digits..];
        }
        b'x' | b'u' | b'U' if letter == b'x' || !prefix.bytes => {
            let count = match letter {
                b'x' => 2,
                b'u' => 4,
                _ => 8,
            };
            let digits = after.get(..count).and_then(|d| std::str::from_utf8(d).ok());
            if let Some(value) = digits.and_then(|d| u32::from_str_radix(d, 16).ok()) {
                code_point(value, prefix, out);
                return &after[count..];
            }
            out.push(b'\\');
            return rest;
        }
        // Named characters are compared by their name.
        _ => {
            out.push(b'\\');
            return rest;
        }
    };
    out.push(simple);
    after
}

fn code_point(value: u32, prefix: Prefix, out: &mut Vec<u8>) {
    if prefix.bytes {
        out.push(value as u8);
        return;
    }
    match char::from_u32(value) {
        Some(character) => {
            let mut buffer = [0; 4];
            out.extend(character.encode_utf8(&mut buffer).bytes());
        }
        // A lone surrogate, or beyond Unicode: any bytes that no character has.
        None => {
            out.push(0xff);
            out.extend(value.to_be_bytes());
        }
    }
}
