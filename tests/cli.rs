//! The command line as scripts and people meet it: help, exit codes, configuration.

mod common;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use common::{Ran, run, sample, tidegate};
use tempfile::TempDir;

fn in_dir(dir: &Path, args: &[&str]) -> Ran {
    run(tidegate(dir).args(args))
}

fn empty() -> TempDir {
    TempDir::new().expect("a directory")
}

#[test]
fn help_names_the_commands_and_the_exit_codes() {
    let dir = empty();
    let help = in_dir(dir.path(), &["--help"]);
    assert_eq!(help.code, Some(0));
    for word in [
        "topics",
        "import",
        "query",
        "ledger",
        "load",
        "healthcheck",
        "config",
        "completions",
        "Exit codes:",
        "  5  a strict import",
    ] {
        assert!(help.out.contains(word), "{word}: {}", help.out);
    }
    let version = in_dir(dir.path(), &["--version"]);
    assert_eq!(version.out, format!("tidegate {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn help_says_what_cannot_be_guessed() {
    let dir = empty();
    for (command, said) in [
        ("import", &["--url <URL>", "what is older than the frontier", "from which line to go on"][..]),
        (
            "load",
            &["counts from then", "Nothing is sent twice", "Ends with 0 when everything", "[default: 100]"],
        ),
        ("healthcheck", &["[default: /v1/readyz at the setting ingest.listen]", "[default: 5s]"]),
    ] {
        let help = in_dir(dir.path(), &[command, "--help"]);
        assert_eq!(help.code, Some(0), "{}", help.err);
        assert!(!help.out.contains('\\'), "{}", help.out);
        // Lines are wrapped where there is no room.
        let text = help.out.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in said {
            assert!(text.contains(part), "{command}: {part:?} in\n{}", help.out);
        }
    }
}

#[test]
fn what_a_load_is_asked_for_is_checked_before_anything_is_sent() {
    let dir = empty();
    for (option, value, said) in [
        ("--rate", "0", "or max; found \"0\""),
        ("--duration", "10", "such as 500ms"),
        ("--duration", "0s", "such as 500ms"),
        ("--late", "2", "a share from 0 to 1"),
        ("--late-max", "2d", "a day at most"),
        ("--users", "0", "1..=10000000"),
        ("--connections", "0", "1..=10000"),
    ] {
        let ran = in_dir(dir.path(), &["load", option, value]);
        assert_eq!(ran.code, Some(2), "{option}: {}", ran.err);
        assert!(ran.err.contains(said) && ran.err.contains(option), "{option}: {}", ran.err);
    }
}

#[test]
fn wrong_usage_and_configuration_end_with_2() {
    let dir = empty();
    fs::write(dir.path().join("bad.toml"), "[jobs]\nsession_gab = \"1m\"\nevent_window = \"0s\"\n")
        .expect("a file");
    for (args, said) in [
        (vec!["parrot"], "unrecognized subcommand"),
        (vec!["import"], "required"),
        (vec!["import", "missing.log"], "cannot read missing.log"),
        (vec!["import", "."], "is a directory"),
        (vec!["import", "--max-disorder", "10", "bad.toml"], "--max-disorder = \"10\""),
        (vec!["config", "--set", "jobs.session_gap"], "expected KEY=VALUE"),
        (vec!["config", "--set", "parrots=1"], "--set: unknown key parrots"),
        (vec!["config", "--config", "missing.toml"], "cannot read the configuration file missing.toml: "),
        (
            vec!["config", "--config", "bad.toml"],
            "unknown key jobs.session_gab; did you mean jobs.session_gap?",
        ),
        (vec!["config", "--config", "bad.toml"], "jobs.event_window = \"0s\""),
        (vec!["topics", "check"], "the embedded log has no topics to check or to create"),
        (vec!["topics", "create"], "name the brokers of a log on Kafka with --log kafka://host:port"),
    ] {
        let ran = in_dir(dir.path(), &args);
        assert_eq!(ran.code, Some(2), "{args:?}: {}", ran.err);
        assert!(ran.err.contains(said), "{args:?}: {}", ran.err);
        assert_eq!(ran.out, "", "{args:?}");
    }
}

#[test]
fn configuration_comes_from_file_environment_and_flags() {
    let dir = empty();
    fs::write(dir.path().join("tidegate.toml"), "workers = 3\n[jobs]\nsession_gap = \"10m\"\n")
        .expect("a file");
    let ran = run(tidegate(dir.path())
        .args(["config", "--format", "json", "--set", "time.tick=50ms"])
        .env("FLINK_PARALLELISM", "4")
        .env("FLINK_CHECKPOINT_INTERVAL_SECONDS", "60"));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let list: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    let source_of = |key: &str| {
        let found = list.as_array().expect("a list").iter().find(|e| e["key"] == key).expect("the key");
        (found["text"].clone(), found["source"].clone())
    };
    assert_eq!(source_of("workers"), ("4".into(), "environment".into()));
    assert_eq!(source_of("jobs.session_gap"), ("10m".into(), "file".into()));
    assert_eq!(source_of("time.tick"), ("50ms".into(), "flag".into()));
    assert_eq!(source_of("jobs.event_window"), ("1m".into(), "default".into()));
    // Away from a terminal the log is JSON, and names the unused knob once.
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    let line: serde_json::Value = serde_json::from_str(ran.err.trim()).expect("JSON");
    assert_eq!(line["level"], "WARN");
    assert!(line["message"].as_str().expect("text").starts_with("FLINK_CHECKPOINT_INTERVAL_SECONDS"));
}

#[test]
fn checking_reads_every_line_and_writes_nothing() {
    let dir = empty();
    let file = sample("sample_access.log");
    let ran = run(tidegate(dir.path()).args(["import", "--check"]).arg(&file));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    for line in [
        "  lines                 64\n",
        "  events                57  2024-05-14T09:00:03.000Z to",
        "  malformed              6\n",
    ] {
        assert!(ran.out.contains(line), "{line:?}: {}", ran.out);
    }
    assert!(ran.out.contains("sample_access.log:45: \"-\" is no request"), "{}", ran.out);
    assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 0);
}

#[test]
fn a_strict_import_ends_at_the_first_malformed_line_and_writes_nothing() {
    let dir = empty();
    let ran = run(tidegate(dir.path()).args(["import", "--strict"]).arg(sample("sample_events.jsonl")));
    assert_eq!((ran.code, ran.out.as_str()), (Some(5), ""), "{}", ran.err);
    assert!(ran.err.contains("sample_events.jsonl:13: /timestamp: an import needs the time"), "{}", ran.err);
    assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 0);
}

#[test]
fn completions_are_printed_for_every_shell() {
    let dir = empty();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ran = in_dir(dir.path(), &["completions", shell]);
        assert_eq!(ran.code, Some(0), "{shell}: {}", ran.err);
        assert!(ran.out.contains("max-disorder"), "{shell}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let dir = empty();
    let mut child = tidegate(dir.path())
        .args(["config", "--format", "markdown"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}
