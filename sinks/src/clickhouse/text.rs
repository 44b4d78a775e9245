//! Names and strings in SQL.

/// A name as an SQL identifier, whatever word it is.
pub(super) fn quote(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// `` `a`, `b` ``.
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(quote).collect::<Vec<_>>().join(", ")
}

/// Bytes as an SQL string.
pub(super) fn literal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2 + 2);
    text.push('\'');
    for byte in bytes {
        match byte {
            b'\'' | b'\\' => {
                text.push('\\');
                text.push(char::from(*byte));
            }
            b' '..=b'~' => text.push(char::from(*byte)),
            // Keys are long, and formatting is slow.
            _ => text.extend(['\\', 'x', hex(byte >> 4), hex(byte & 0xf)]),
        }
    }
    text.push('\'');
    text
}

fn hex(digit: u8) -> char {
    char::from_digit(digit.into(), 16).expect("less than 16")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_name_or_a_string_early() {
        assert_eq!(quote("a`b\\"), "`a\\`b\\\\`");
        assert_eq!(list(["a", "order"]), "`a`, `order`");
        assert_eq!(literal(b"it's \\ \0\xff~"), "'it\\'s \\\\ \\x00\\xff~'");
    }
}
