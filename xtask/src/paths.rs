//! Which paths (`std::fs::read`) a Rust source file names, `use` trees spelled out.
//!
//! Not a parser: a lexer that knows comments, strings and lifetimes, and follows the braces of `use`. It
//! sees every path that is written down; what a macro makes up or a glob import brings in stays hidden.
//! Code under `#[cfg(test)] mod … { … }` is left out.

mod lexer;

use lexer::{Token, tokens};

/// A path and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The path, with `::` between its segments; a glob ends in `*`.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
}

/// Every path in `source`, in order; those of one segment included.
pub fn paths_in(source: &str) -> Vec<Named> {
    let tokens = tokens(source);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if let Some(end) = test_module(&tokens[at..]) {
            at += end;
        } else if tokens[at].0 == Token::Word("use") {
            at = use_tree(&tokens, at + 1, "", &mut found);
        } else if let (Token::Word(first), line) = tokens[at] {
            let mut path = first.to_owned();
            at += 1;
            while let [(Token::PathSeparator, _), (Token::Word(next), _), ..] = tokens[at..] {
                path.push_str("::");
                path.push_str(next);
                at += 2;
            }
            found.push(Named { path, line });
        } else {
            at += 1;
        }
    }
    found
}

/// Reads one branch of a `use` tree from `at` on; returns where it ends.
fn use_tree(tokens: &[(Token<'_>, usize)], mut at: usize, prefix: &str, found: &mut Vec<Named>) -> usize {
    let mut path = prefix.to_owned();
    let mut line = 0;
    while let Some(&(token, here)) = tokens.get(at) {
        match token {
            Token::PathSeparator => {}
            Token::Word("as") => at += 1,
            Token::Word(word) if word != "self" || path.is_empty() => {
                line = here;
                if !path.is_empty() {
                    path.push_str("::");
                }
                path.push_str(word);
            }
            Token::Word(_) => line = here,
            Token::Other('*') => {
                line = here;
                path.push_str("::*");
            }
            Token::Other('{') => {
                at += 1;
                while tokens.get(at).is_some_and(|(token, _)| *token != Token::Other('}')) {
                    // A branch ends at its comma or before the brace; anything else is no Rust, and
                    // stepping over it keeps us from standing still.
                    at = use_tree(tokens, at, &path, found);
                    let closed = tokens.get(at).is_some_and(|(token, _)| *token == Token::Other('}'));
                    at += usize::from(!closed);
                }
                return at + 1;
            }
            Token::Other(_) => break,
        }
        at += 1;
    }
    if line > 0 {
        found.push(Named { path, line });
    }
    at
}

/// When an inline test module begins here: how many tokens it takes.
fn test_module(tokens: &[(Token<'_>, usize)]) -> Option<usize> {
    use Token::{Other, Word};
    let opening =
        [Other('#'), Other('['), Word("cfg"), Other('('), Word("test"), Other(')'), Other(']'), Word("mod")];
    let begins = tokens.len() > opening.len() + 1
        && opening.iter().zip(tokens).all(|(expected, (token, _))| expected == token);
    if !begins || tokens[opening.len() + 1].0 != Other('{') {
        return None;
    }
    let mut depth = 0_usize;
    for (at, (token, _)) in tokens.iter().enumerate().skip(opening.len() + 1) {
        match token {
            Other('{') => depth += 1,
            Other('}') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at + 1);
        }
    }
    Some(tokens.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(source: &str) -> Vec<String> {
        paths_in(source).into_iter().map(|named| named.path).filter(|path| path.contains("::")).collect()
    }

    #[test]
    fn use_trees_are_spelled_out() {
        assert_eq!(
            paths("use std::{fs, io::{self, Read as R}, time::*};\nuse a::b;"),
            ["std::fs", "std::io", "std::io::Read", "std::time::*", "a::b"]
        );
        assert_eq!(
            paths("use {::std::{fs,}, a::{b::{c, d}, e},};\nfn f() { g::h() }"),
            ["std::fs", "a::b::c", "a::b::d", "a::e", "g::h"]
        );
    }

    #[test]
    fn broken_source_comes_to_an_end() {
        for source in
            ["use a::{b; c", "use {{", "use", "fn f() { \"", "'", "r#\"", "/*", "#[cfg(test)] mod t {"]
        {
            paths_in(source);
        }
    }

    #[test]
    fn paths_in_code_are_found_with_their_lines() {
        let found = paths_in("fn f() {\n    ::std::thread\n        ::spawn(x);\n}");
        assert!(found.contains(&Named { path: "std::thread::spawn".to_owned(), line: 2 }), "{found:?}");
    }

    #[test]
    fn code_after_an_import_is_still_read() {
        assert_eq!(paths("pub use a::{b};\nfn f<'a>() { c::d(); }"), ["a::b", "c::d"]);
    }

    #[test]
    fn comments_strings_and_characters_name_nothing() {
        let source = r##"
            // std::fs
            /* std::net /* std::net */ std::net */
            const A: &str = "std::env \" std::env";
            const B: &str = r#"std::env " std::env"#;
            const C: [char; 3] = ['"', '\'', 'a'];
            fn f<'a>(x: &'a str) { real::path(x) }
        "##;
        assert_eq!(paths(source), ["real::path"]);
    }

    #[test]
    fn test_modules_are_left_out_and_what_follows_is_not() {
        let source = "#[cfg(test)]\nmod tests { fn f() { std::fs::read(); { } } }\nuse std::net::TcpStream;";
        assert_eq!(paths(source), ["std::net::TcpStream"]);
    }

    #[test]
    fn a_test_module_in_a_file_of_its_own_hides_nothing_here() {
        assert_eq!(paths("#[cfg(test)]\nmod tests;\nfn f() { std::fs::read(); }"), ["std::fs::read"]);
    }
}
