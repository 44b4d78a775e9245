//! Inputs with every mishap, line by line.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::*;
use crate::config::InputFormat;
use crate::import::Options;

const BOM: &str = "\u{feff}";

fn options(pages_only: bool) -> Options {
    Options { format: InputFormat::AccessLog, base_url: "http://localhost".into(), pages_only }
}

fn request(path: &str) -> String {
    format!("192.0.2.1 - - [17/May/2015:10:05:03 +0000] \"GET {path} HTTP/1.1\" 200 1 \"-\" \"a\"")
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).expect("memory does not fail");
    encoder.finish().expect("memory does not fail")
}

/// Each line in a word or two: `url@line`, `!line reason`, `-` for skipped, `ERROR line`.
fn story(contents: &[&[u8]], pages_only: bool) -> Vec<String> {
    let dir = TempDir::new().expect("a directory");
    let mut paths = Vec::new();
    for (index, content) in contents.iter().enumerate() {
        let path = dir.path().join(index.to_string());
        fs::write(&path, content).expect("a file");
        paths.push(path);
    }
    tell(&paths, pages_only)
}

fn tell(paths: &[PathBuf], pages_only: bool) -> Vec<String> {
    let set = InputSet::open(paths, options(pages_only), || unreachable!("files only")).expect("an input");
    let mut events = LineEvents::new(set);
    let mut story = Vec::new();
    loop {
        story.push(match events.next_item() {
            Ok(None) => return story,
            Ok(Some(Item::Event(event))) => {
                let json: serde_json::Value = serde_json::from_slice(event.json).expect("JSON");
                let url = json["context"]["url"].as_str().expect("a URL").replace("http://localhost", "");
                format!("{url}@{}:{}", event.file, event.line)
            }
            Ok(Some(Item::Malformed(malformed))) => {
                format!("!{} {}", malformed.line, malformed.reason)
            }
            Ok(Some(Item::Skipped(reason))) => format!("-{reason:?}"),
            Err(error) => format!("ERROR {} {}", error.line, error.reason),
        });
    }
}

#[test]
fn every_line_is_something() {
    let long = format!("{}{}\r\n", request("/"), "x".repeat(LINE_BYTES_MAX));
    let text = format!(
        "{BOM}{}\r\n\n{}\nnonsense\n{long}{BOM}{}\n{}",
        request("/first"),
        request("/style.css"),
        request("/second-mark"),
        request("/last"),
    );
    let bytes = long.len() - 1;
    assert_eq!(
        story(&[text.as_bytes()], true),
        [
            "/first@0:1".to_owned(),
            "-Blank".to_owned(),
            "-StaticFile".to_owned(),
            "!4 no time in brackets, such as [17/May/2015:10:05:03 +0000]".to_owned(),
            format!("!5 the line is {bytes} bytes long; at most {LINE_BYTES_MAX} are read"),
            "!6 \"\\u{feff}192.0.2.1\" is neither an IP address nor a host name".to_owned(),
            "/last@0:7".to_owned(),
        ]
    );
}

#[test]
fn members_of_a_gzip_file_follow_each_other() {
    let mut both = gzip(format!("{}\n", request("/1")).as_bytes());
    both.extend(gzip(request("/2").as_bytes()));
    assert_eq!(story(&[&both], false), ["/1@0:1", "/2@0:2"]);
}

#[test]
fn a_file_that_is_cut_off_counts_up_to_there_and_the_next_one_is_read() {
    let mut noise = String::new();
    for n in 0..2_000_u64 {
        noise.push_str(&request(&format!("/{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))));
        noise.push('\n');
    }
    let whole = gzip(noise.as_bytes());
    let cut = &whole[..whole.len() / 2];
    let story = story(&[cut, request("/other").as_bytes()], false);
    let error = story.iter().position(|item| item.starts_with("ERROR")).expect("an error");
    assert!(error > 100, "the lines before it count");
    assert_eq!(
        story[error],
        format!("ERROR {} the gzip data ends too early; the file is cut off", error + 1)
    );
    assert_eq!(story[error + 1..], ["/other@1:1"]);
}

#[test]
fn damage_inside_a_gzip_file_is_an_error_of_that_file() {
    let mut whole = gzip(format!("{}\n", request("/1")).as_bytes());
    let crc = whole.len() - 6;
    whole[crc] ^= 0xff;
    let story = story(&[&whole], false);
    let last = story.last().expect("an item");
    assert!(last.starts_with("ERROR") && last.contains("the gzip data is damaged"), "{story:?}");
}

#[test]
fn a_file_that_grows_meanwhile_is_read_as_it_was() {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("growing.log");
    fs::write(&path, request("/1") + "\n").expect("a file");
    let set = InputSet::open(std::slice::from_ref(&path), options(false), || unreachable!("files only"));
    let mut events = LineEvents::new(set.expect("an input"));
    fs::write(&path, request("/1") + "\n" + &request("/2") + "\n").expect("a file");
    let mut count = 0;
    while events.next_item().expect("readable").is_some() {
        count += 1;
    }
    assert_eq!(count, 1);

    let set = InputSet::open(std::slice::from_ref(&path), options(false), || unreachable!("files only"));
    let mut events = LineEvents::new(set.expect("an input"));
    fs::write(&path, request("/1") + "\n").expect("a file");
    assert!(matches!(events.next_item(), Ok(Some(Item::Event(_)))));
    assert!(matches!(events.next_item(), Err(error) if error.reason.contains("became shorter")));
    assert!(matches!(events.next_item(), Ok(None)));
}

#[test]
fn the_same_file_gives_the_same_bytes_again() {
    let text = format!("{}\n{}\n", request("/1"), request("/2"));
    let dir = TempDir::new().expect("a directory");
    let read = |name: &str| {
        let path = dir.path().join(name);
        fs::write(&path, &text).expect("a file");
        let set = InputSet::open(&[path], options(false), || unreachable!("files only")).expect("an input");
        let mut events = LineEvents::new(set);
        let mut all = Vec::new();
        while let Some(item) = events.next_item().expect("readable") {
            if let Item::Event(event) = item {
                all.push(event.json.to_vec());
            }
        }
        all
    };
    let first = read("a");
    assert_eq!(first, read("b"));
    assert_ne!(first[0], first[1], "each has an id of its own");
}

#[test]
fn an_excerpt_is_safe_to_print() {
    assert_eq!(excerpt(b"a\x1b[31m\0\"b\xff"), "\"a\\u{1b}[31m\\0\\\"b\u{fffd}\"");
    assert!(excerpt(&[b'x'; 500]).ends_with("\"…"));
}
