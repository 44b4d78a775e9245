//! What is found out about files before anything is done.

use std::fs;
use std::io::Write as _;

use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::*;

fn options() -> Options {
    Options { format: InputFormat::Auto, base_url: "http://localhost".into(), pages_only: false }
}

fn no_stdin() -> Box<dyn Read + Send> {
    panic!("standard input was not asked for")
}

fn line(second: u32) -> String {
    format!("192.0.2.1 - - [17/May/2015:10:05:{second:02} +0000] \"GET /{second} HTTP/1.1\" 200 1\n")
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).expect("memory does not fail");
    encoder.finish().expect("memory does not fail")
}

struct Dir(TempDir);

impl Dir {
    fn new() -> Self {
        Self(TempDir::new().expect("a directory"))
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).expect("a file");
        path
    }
}

fn open(paths: &[PathBuf]) -> InputSet {
    InputSet::open(paths, options(), no_stdin).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn errors(paths: &[PathBuf]) -> Vec<String> {
    let errors = InputSet::open(paths, options(), no_stdin).expect_err("an error");
    errors.iter().map(OpenError::to_string).collect()
}

fn names(set: &InputSet) -> Vec<&str> {
    set.files().iter().map(|file| file.name.rsplit('/').next().unwrap_or_default()).collect()
}

#[test]
fn files_come_in_the_order_of_their_first_events() {
    let dir = Dir::new();
    let late = dir.put("a.log", line(30));
    let early = dir.put("b.log", format!("nonsense\n{}", line(10)));
    let packed = dir.put("c.log.gz", gzip(&line(20)));
    let empty = dir.put("d.log", "");
    let tie = dir.put("e.log", line(30) + &line(31));
    let set = open(&[empty, tie, late, packed, early]);
    assert_eq!(names(&set), ["b.log", "c.log.gz", "e.log", "a.log", "d.log"]);
    assert_eq!(set.first_event().map(EventTime::to_rfc3339).as_deref(), Some("2015-05-17T10:05:10.000Z"));
}

#[test]
fn the_first_lines_tell_the_format() {
    let dir = Dir::new();
    let formats = |content: &str| {
        let set = open(&[dir.put("file", content)]);
        (set.files()[0].format, set.files()[0].first_event.is_some())
    };
    let json = r#"{"event":{"type":"click"},"user":{"id":"u"},"device":{"user_agent":"a","screen_width":1,"screen_height":2},"context":{"url":"http://a.example","session_id":"s"},"metrics":{},"timestamp":1431857103000}"#;
    assert_eq!(formats(json), (LineFormat::Json, true));
    assert_eq!(formats(&format!("\u{feff}{json}")), (LineFormat::Json, true));
    assert_eq!(formats(&format!("\n \r\n{json}\n")), (LineFormat::Json, true));
    assert_eq!(formats("{\"not\": \"an event\"}\n"), (LineFormat::Json, false));
    assert_eq!(formats(&format!("# a comment\n{}", line(1))), (LineFormat::AccessLog, true));
    assert_eq!(formats("\n\n"), (LineFormat::AccessLog, false));
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let dir = Dir::new();
    let good = dir.put("good.log", line(1));
    let copy = dir.put("copy.log", line(1));
    let other = dir.put("notes.txt", "Dear diary\n");
    let zstd = dir.put("x.zst", b"\x28\xb5\x2f\xfdrest");
    let missing = dir.0.path().join("missing.log");
    let found = errors(&[good, copy, other, zstd, missing, dir.0.path().to_owned()]);
    assert_eq!(found.len(), 5, "{found:?}");
    assert!(found[0].contains("notes.txt") && found[0].contains("\"Dear diary\""), "{}", found[0]);
    assert!(found[1].contains("zstd -dc"), "{}", found[1]);
    assert!(found[2].contains("missing.log"), "{}", found[2]);
    assert!(found[3].contains("is a directory"), "{}", found[3]);
    assert!(found[4].contains("good.log and") && found[4].ends_with("name it once"), "{}", found[4]);
}

#[test]
fn standard_input_comes_alone_and_cannot_be_recognised_again() {
    let dir = Dir::new();
    let file = dir.put("a.log", line(1));
    assert_eq!(errors(&[file, "-".into()])[0], OpenError::StdinAmongFiles.to_string());
    for content in [line(7).into_bytes(), gzip(&line(7))] {
        let set = InputSet::open(&["-".into()], options(), || Box::new(io::Cursor::new(content)));
        let set = set.expect("an input");
        assert_eq!((set.fingerprint(), set.bytes()), (None, None));
        assert!(set.first_event().is_some());
    }
}

#[test]
fn a_set_is_recognised_by_content_and_options_not_by_path() {
    let dir = Dir::new();
    let one = [dir.put("a.log", line(1)), dir.put("b.log", line(2))];
    let moved = [dir.put("z.log", line(2)), dir.put("y.log", line(1))];
    let grown = [dir.put("c.log", line(1)), dir.put("d.log", line(2) + "x")];
    let of = |paths: &[PathBuf], options: Options| {
        InputSet::open(paths, options, no_stdin).expect("an input").fingerprint().expect("files")
    };
    let fingerprint = of(&one, options());
    assert_eq!(of(&moved, options()), fingerprint);
    assert_ne!(of(&grown, options()), fingerprint);
    assert_ne!(of(&one, Options { pages_only: true, ..options() }), fingerprint);
    assert_ne!(of(&one, Options { base_url: "http://x".into(), ..options() }), fingerprint);
    let said = Options { format: InputFormat::AccessLog, ..options() };
    assert_eq!(of(&one, said), fingerprint, "saying what is found out anyway changes nothing");
}
