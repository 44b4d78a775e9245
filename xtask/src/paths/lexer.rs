//! Tokens of Rust, as far as paths need them: words, `::` and single characters. Comments are gone, and
//! so are strings, characters and lifetimes.

/// A token that paths are made of, or that ends one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// An identifier, a keyword or a number.
    Word(&'a str),
    /// `::`
    PathSeparator,
    /// Any other character.
    Other(char),
}

/// The tokens of `source`, each with its line, from 1.
pub(super) fn tokens(source: &str) -> Vec<(Token<'_>, usize)> {
    let mut tokens = Vec::new();
    let mut rest = source;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let (length, token) = next(rest, first);
        if let Some(token) = token {
            tokens.push((token, line));
        }
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

/// How many bytes to take off `rest`, and the token that they are.
fn next(rest: &str, first: char) -> (usize, Option<Token<'_>>) {
    if first.is_whitespace() {
        (first.len_utf8(), None)
    } else if rest.starts_with("//") {
        (rest.find('\n').unwrap_or(rest.len()), None)
    } else if rest.starts_with("/*") {
        (block_comment(rest), None)
    } else if first == '"' {
        (quoted(rest, '"'), None)
    } else if let Some(length) = raw_string(rest) {
        (length, None)
    } else if first == '\'' {
        (character_or_lifetime(rest), None)
    } else if rest.starts_with("::") {
        (2, Some(Token::PathSeparator))
    } else if first.is_alphanumeric() || first == '_' {
        let length = word(rest);
        (length, Some(Token::Word(&rest[..length])))
    } else {
        (first.len_utf8(), Some(Token::Other(first)))
    }
}

fn word(rest: &str) -> usize {
    rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// The length of a literal that begins with `quote`.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + 1;
        }
    }
    rest.len()
}

/// The length of a raw or byte string (`r"…"`, `br#"…"#`, `b"…"`), if one begins here.
fn raw_string(rest: &str) -> Option<usize> {
    if rest.starts_with("b\"") || rest.starts_with("c\"") {
        return Some(1 + quoted(&rest[1..], '"'));
    }
    let prefix = ["r", "br", "cr"].into_iter().find(|prefix| {
        let after = rest.strip_prefix(prefix).map(|after| after.trim_start_matches('#'));
        after.is_some_and(|after| after.starts_with('"'))
    })?;
    let hashes = rest[prefix.len()..].find('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let body = prefix.len() + hashes + 1;
    Some(rest[body..].find(&end).map_or(rest.len(), |at| body + at + end.len()))
}

fn character_or_lifetime(rest: &str) -> usize {
    let mut inside = rest[1..].chars();
    match (inside.next(), inside.next()) {
        (Some('\\'), _) => quoted(rest, '\''),
        (Some(c), Some('\'')) => c.len_utf8() + 2,
        _ => 1 + word(&rest[1..]),
    }
}
