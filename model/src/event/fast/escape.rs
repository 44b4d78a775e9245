//! The escapes of JSON strings.

/// Reads the escape whose backslash is at `at`: the character, and the place behind the escape. `None`
/// when there is none, or when it is half of a surrogate pair.
pub(super) fn read(bytes: &[u8], at: usize) -> Option<(char, usize)> {
    let plain = match bytes.get(at + 1)? {
        byte @ (b'"' | b'\\' | b'/') => char::from(*byte),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode(bytes, at + 2),
        _ => return None,
    };
    Some((plain, at + 2))
}

/// The character whose four digits begin at `at`; where that is a leading surrogate, the trailing one
/// has to follow.
fn unicode(bytes: &[u8], at: usize) -> Option<(char, usize)> {
    let unit = hex(bytes, at)?;
    if !(0xd800..0xdc00).contains(&unit) {
        // A trailing surrogate alone is no character.
        return Some((char::from_u32(unit)?, at + 4));
    }
    if bytes.get(at + 4..at + 6)? != b"\\u" {
        return None;
    }
    let trailing = hex(bytes, at + 6)?;
    if !(0xdc00..0xe000).contains(&trailing) {
        return None;
    }
    let code = 0x1_0000 + ((unit - 0xd800) << 10 | (trailing - 0xdc00));
    Some((char::from_u32(code)?, at + 10))
}

fn hex(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.iter().try_fold(0, |code, byte| Some(code << 4 | char::from(*byte).to_digit(16)?))
}

/// Appends the text of a string that is written as `raw` and was checked before.
pub(super) fn unescape_onto(out: &mut String, raw: &str) {
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let (character, after) = read(rest.as_bytes(), at).expect("the escape was read once before");
        out.push(character);
        rest = &rest[after..];
    }
    out.push_str(rest);
}

/// Whether a string that is written as `raw`, and was checked before, is `text`.
pub(super) fn is_escaped_form(raw: &str, text: &str) -> bool {
    let mut rest = raw;
    let mut left = text;
    while let Some(at) = rest.find('\\') {
        let (character, after) = read(rest.as_bytes(), at).expect("the escape was read once before");
        match left.strip_prefix(&rest[..at]).and_then(|left| left.strip_prefix(character)) {
            Some(remaining) => left = remaining,
            None => return false,
        }
        rest = &rest[after..];
    }
    rest == left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_name_characters() {
        let mut out = "> ".to_owned();
        unescape_onto(&mut out, r#"a\"\\\/\b\f\n\r\t\u00e9\uD83d\uDe00ü\u0000z"#);
        assert_eq!(out, "> a\"\\/\u{8}\u{c}\n\r\té😀ü\0z");
    }

    #[test]
    fn what_names_no_character_is_no_escape() {
        for text in [
            r"\",
            r"\x",
            r"\U0041",
            r"\u",
            r"\u004",
            r"\u00g1",
            r"\u+041",
            r"\ud83d",
            r"\ud83dx",
            r"\ud83d\n",
        ] {
            assert_eq!(read(text.as_bytes(), 0), None, "{text}");
        }
        for text in [r"\ude00", r"\ud83d\u0041", r"\ud83d\ud83d", r"\ud83d\u", r"\ud83d\ude0"] {
            assert_eq!(read(text.as_bytes(), 0), None, "{text}");
        }
    }
}
