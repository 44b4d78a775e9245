//! Running other programs, and counting the tests that they report.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::tally::Tally;

/// Runs a command to its end; its output goes where ours goes.
///
/// # Errors
/// When it cannot be started or does not succeed.
pub fn run_command(command: &mut Command) -> anyhow::Result<()> {
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot run {command:?}"))?;
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str()).display();
    ensure!(status.success(), "{program} ended with {status}");
    Ok(())
}

/// Runs `cargo test`, passing its output on to `out` line by line and adding its results to `tally`.
///
/// # Errors
/// When a test fails or is ignored, when there is none, or when the command does not succeed.
pub fn run_tests(command: &mut Command, out: &mut dyn Write, tally: &mut Tally) -> anyhow::Result<()> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {command:?}"))?;
    let output = child.stdout.take().expect("the output was piped");
    let mut own = Tally::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("cannot read the tests' output")?;
        out.write_all(&line)?;
        out.write_all(b"\n")?;
        if let Some(results) = Tally::of_line(&String::from_utf8_lossy(&line)) {
            own += results;
        }
    }
    *tally += own;
    let status = child.wait().context("cannot wait for cargo test")?;
    ensure!(status.success(), "{} tests failed; cargo test ended with {status}", own.failed);
    ensure!(own.passed > 0, "cargo test ran no test");
    ensure!(own.ignored == 0, "{} tests are ignored: let them run, or take them out", own.ignored);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_counted_from_a_real_process() {
        let mut tally = Tally::default();
        let line = "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured";
        let script = format!("echo '{line}'; echo other; echo '{line}'");
        let mut out = Vec::new();
        run_tests(Command::new("sh").args(["-c", &script]), &mut out, &mut tally).expect("it succeeds");
        assert_eq!(String::from_utf8_lossy(&out), format!("{line}\nother\n{line}\n"));
        assert_eq!(tally, Tally { passed: 6, failed: 0, ignored: 0 });
    }

    #[test]
    fn a_run_without_tests_and_one_with_ignored_tests_fail() {
        for (script, complaint) in [
            ("true", "ran no test"),
            ("echo 'test result: ok. 3 passed; 0 failed; 2 ignored'", "2 tests are ignored"),
            ("echo 'test result: FAILED. 3 passed; 1 failed; 0 ignored'; exit 101", "1 tests failed"),
        ] {
            let mut tally = Tally::default();
            let error = run_tests(Command::new("sh").args(["-c", script]), &mut Vec::new(), &mut tally)
                .expect_err(complaint);
            assert!(error.to_string().contains(complaint), "{error}");
        }
    }
}
