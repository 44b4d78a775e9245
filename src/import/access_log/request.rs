//! The request of a line: `GET /path?query HTTP/1.1` into the path that a URL is made of.

use memchr::{memchr, memrchr};

/// Suffixes of static files, which `--pages-only` leaves out: style sheets and scripts, images, fonts,
/// sound and film.
pub const STATIC_SUFFIXES: [&str; 38] = [
    "css", "js", "mjs", "map", "wasm", "png", "jpg", "jpeg", "gif", "svg", "svgz", "ico", "cur", "webp",
    "avif", "bmp", "tif", "tiff", "woff", "woff2", "ttf", "otf", "eot", "mp3", "mp4", "m4a", "m4v", "ogg",
    "oga", "ogv", "wav", "flac", "webm", "mov", "avi", "mpg", "mpeg", "swf",
];

/// The target of a request, or `None` when the text is no request. The protocol may be missing
/// (HTTP/0.9); blanks in the target are taken as part of it.
pub(super) fn target(request: &[u8]) -> Option<&[u8]> {
    let end = memchr(b' ', request)?;
    let (method, rest) = (&request[..end], request[end + 1..].trim_ascii());
    let is_method = (1..=32).contains(&method.len())
        && method.iter().all(|byte| byte.is_ascii_alphabetic() || b"-_".contains(byte));
    let target = match memrchr(b' ', rest) {
        Some(at) if is_protocol(&rest[at + 1..]) => rest[..at].trim_ascii_end(),
        None if is_protocol(rest) => return None,
        _ => rest,
    };
    (is_method && !target.is_empty()).then_some(target)
}

fn is_protocol(text: &[u8]) -> bool {
    text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"HTTP/"))
}

/// The path with its query. Of an absolute target (`GET http://host/path`) that is what follows the
/// host; a target that does not begin with a slash (`*`, `host:443`) gets one put before it.
pub(super) fn path(target: &[u8]) -> (&'static str, &[u8]) {
    if target.starts_with(b"/") {
        return ("", target);
    }
    let scheme = ["http://", "https://"].into_iter().find(|scheme| {
        target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
    });
    let Some(scheme) = scheme else { return ("/", target) };
    let behind = &target[scheme.len()..];
    let at = behind.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(behind.len());
    let path = &behind[at..];
    (if path.starts_with(b"/") { "" } else { "/" }, path)
}

/// Whether the path, its query left aside, ends in one of [`STATIC_SUFFIXES`], in upper or lower case.
pub(super) fn is_static(path: &[u8]) -> bool {
    let end = path.iter().position(|byte| b"?#;".contains(byte)).unwrap_or(path.len());
    let name = &path[memrchr(b'/', &path[..end]).map_or(0, |at| at + 1)..end];
    let Some(dot) = memrchr(b'.', name) else { return false };
    let suffix = &name[dot + 1..];
    STATIC_SUFFIXES.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(suffix))
}

/// Appends `path` with every byte percent-encoded that may not stand in a URL.
pub(super) fn push_encoded(url: &mut String, path: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut rest = path;
    loop {
        let plain = rest.iter().position(|byte| !MAY_STAND_IN_URL[usize::from(*byte)]).unwrap_or(rest.len());
        let (plain, behind) = rest.split_at(plain);
        url.push_str(std::str::from_utf8(plain).expect("what may stand in a URL is ASCII"));
        let Some((&byte, behind)) = behind.split_first() else { return };
        url.push('%');
        url.push(char::from(HEX[usize::from(byte >> 4)]));
        url.push(char::from(HEX[usize::from(byte & 15)]));
        rest = behind;
    }
}

/// Printable ASCII, but for the characters that RFC 3986 has no place for.
static MAY_STAND_IN_URL: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0x21;
    while byte <= 0x7e {
        #[expect(clippy::cast_possible_truncation)]
        let character = byte as u8;
        table[byte] = !matches!(character, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}');
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_every_form_have_their_path() {
        for (request, expected) in [
            ("GET /a?b HTTP/1.1", Some("/a?b")),
            ("GET /a", Some("/a")),
            ("get / http/1.0", Some("/")),
            ("GET  /a  HTTP/1.1", Some("/a")),
            ("GET /a b c HTTP/1.1", Some("/a%20b%20c")),
            ("POST http://other.example:81/x/y?z HTTP/1.1", Some("/x/y?z")),
            ("GET HTTPS://other.example HTTP/1.1", Some("/")),
            ("GET http://other.example?q HTTP/1.1", Some("/?q")),
            ("OPTIONS * HTTP/1.1", Some("/*")),
            ("CONNECT host:443 HTTP/1.1", Some("/host:443")),
            ("VERSION-CONTROL /r HTTP/1.1", Some("/r")),
            ("GET /ä\x01 HTTP/1.1", Some("/%C3%A4%01")),
            ("GET /a\"<>\\^`{|} HTTP/1.1", Some("/a%22%3C%3E%5C%5E%60%7B%7C%7D")),
            ("-", None),
            ("", None),
            (" ", None),
            ("GET", None),
            ("GET ", None),
            ("GET HTTP/1.1", None),
            ("\x16\x03\x01", None),
            ("\x16\x03 \x01 /", None),
            ("SSH-2.0-Go x", None),
        ] {
            let found = target(request.as_bytes()).map(|target| {
                let (slash, path) = path(target);
                let mut url = slash.to_owned();
                push_encoded(&mut url, path);
                url
            });
            assert_eq!(found.as_deref(), expected, "{request:?}");
        }
    }

    #[test]
    fn static_files_are_told_by_their_suffix_alone() {
        for (path, expected) in [
            ("/a/style.css", true),
            ("/a/STYLE.CSS?v=1", true),
            ("/a.js;x=1#y", true),
            ("/a/font.woff2", true),
            ("/", false),
            ("/css", false),
            ("/.css/page", false),
            ("/a.css/", false),
            ("/page?file=a.css", false),
            ("/robots.txt", false),
            ("/feed.xml", false),
            ("/a.", false),
        ] {
            assert_eq!(is_static(path.as_bytes()), expected, "{path}");
        }
    }
}
