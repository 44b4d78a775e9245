//! The steps of `cargo xtask test`, in order: what is quick to fail comes first.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};

use crate::process::{run_command, run_tests};
use crate::tally::Tally;
use crate::workspace::{Workspace, cargo};
use crate::{browser, deny, dependencies, imports, links, miri, openapi, purity, services, tools};

/// One thing that is checked.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// What `--only` calls it.
    pub name: &'static str,
    /// What it runs or looks at.
    pub what: &'static str,
    action: Action,
}

#[derive(Clone, Copy, Debug)]
enum Action {
    /// A cargo command with these arguments, and one environment variable.
    Cargo(&'static [&'static str], Option<(&'static str, &'static str)>),
    /// A cargo command whose tests are counted.
    Tests(&'static [&'static str]),
    /// A check of the repository's text, which returns its faults.
    Faults(fn(&Workspace) -> anyhow::Result<Vec<String>>),
    /// Tests in another language, which are counted as well.
    Foreign(fn(&Workspace, &mut Tally) -> anyhow::Result<Outcome>),
    /// Anything else.
    Call(fn(&Workspace) -> anyhow::Result<Outcome>),
}

/// How a step ended, when it did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything held.
    Passed,
    /// Everything that could be checked held; the rest is named.
    PassedBut(String),
    /// Nothing could be checked, for the reason given.
    LeftOut(String),
}

/// Every step, in the order in which they run.
pub const STEPS: [Step; 13] = [
    Step {
        name: "format",
        what: "cargo fmt --all --check",
        action: Action::Cargo(&["fmt", "--all", "--check"], None),
    },
    Step {
        name: "imports",
        what: "the import table of docs/architecture.md against every Cargo.toml",
        action: Action::Faults(imports::check),
    },
    Step {
        name: "reasons",
        what: "a line in docs/decisions/0002-dependencies.md for every direct dependency",
        action: Action::Faults(dependencies::check),
    },
    Step {
        name: "purity",
        what: "no clock, randomness, environment, thread or socket in model and dataflow",
        action: Action::Faults(purity::check),
    },
    Step {
        name: "links",
        what: "relative links in every Markdown file",
        action: Action::Faults(links::check),
    },
    Step {
        name: "lint",
        what: "cargo clippy --workspace --all-targets --locked -- -D warnings",
        action: Action::Cargo(
            &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
            None,
        ),
    },
    Step {
        name: "test",
        what: "cargo test --workspace --locked --no-fail-fast (unit, integration and doc tests)",
        action: Action::Tests(&["test", "--workspace", "--locked", "--no-fail-fast"]),
    },
    Step {
        name: "sim",
        what: "the whole system under faults: cargo run --release -p sim -- --seeds 1000",
        action: Action::Cargo(
            &["run", "--release", "--locked", "--package", "sim", "--", "--seeds", "1000"],
            None,
        ),
    },
    Step {
        name: "miri",
        what: "the codec's tests under Miri: bytemuck by Stacked Borrows, abomonation by Tree Borrows",
        action: Action::Call(miri::check),
    },
    Step {
        name: "browser",
        what: "pages in Chromium: sending events, following /live, rendering /docs (tests/browser)",
        action: Action::Foreign(browser::check),
    },
    Step {
        name: "openapi",
        what: "schemathesis against a running ingest and its /openapi.json",
        action: Action::Call(openapi::check),
    },
    Step {
        name: "docs",
        what: "RUSTDOCFLAGS=\"-D warnings\" cargo doc --workspace --no-deps --locked",
        action: Action::Cargo(
            &["doc", "--workspace", "--no-deps", "--locked"],
            Some(("RUSTDOCFLAGS", "-D warnings")),
        ),
    },
    Step {
        name: "deny",
        what: "cargo deny check: licences, bans, sources, and advisories where they can be fetched",
        action: Action::Call(deny::check),
    },
];

/// Prints the steps and what each one runs.
pub fn list() {
    for step in &STEPS {
        println!("{:<8} {}", step.name, step.what);
    }
}

/// The steps of these names, in the order in which they run; all of them when no name is given.
///
/// # Errors
/// When there is no step of a name.
pub fn choose(names: &[String]) -> anyhow::Result<Vec<Step>> {
    for name in names {
        ensure!(
            STEPS.iter().any(|step| step.name == name),
            "there is no step {name:?}; the steps are {}",
            STEPS.map(|step| step.name).join(", ")
        );
    }
    let chosen = |step: &Step| names.is_empty() || names.iter().any(|name| name == step.name);
    Ok(STEPS.into_iter().filter(chosen).collect())
}

/// Runs `steps` until one fails, says what happened, and returns whether none did.
///
/// The last line is `N passed, N failed`: the sum of all tests, where a step that is not made of tests
/// counts only when it fails. Without either there is nothing to sum up, and no such line.
pub fn run(workspace: &Workspace, steps: &[Step]) -> bool {
    let mut tally = Tally::default();
    let mut lines = Vec::new();
    let mut failed = None;
    let began = Instant::now();
    for step in steps {
        println!("== {}: {}", step.name, step.what);
        let began = Instant::now();
        let failures_before = tally.failed;
        let result = step.run(workspace, &mut tally);
        let (word, note) = match &result {
            Ok(Outcome::Passed) => ("ok", None),
            Ok(Outcome::PassedBut(note)) => ("ok, but", Some(note.clone())),
            Ok(Outcome::LeftOut(note)) => ("left out", Some(note.clone())),
            Err(error) => ("FAILED", Some(format!("{error:#}"))),
        };
        let seconds = seconds(began.elapsed());
        println!("== {}: {word}, {seconds}\n", step.name);
        let note = note.map_or_else(String::new, |note| format!("  {note}"));
        lines.push(format!("{:<8} {word:<9} {seconds:>9}{note}", step.name));
        if result.is_err() {
            if tally.failed == failures_before {
                tally.failed += 1;
            }
            failed = Some(step);
            break;
        }
    }
    lines.extend(steps.iter().skip(lines.len()).map(|step| format!("{:<8} not run", step.name)));
    println!("{}\n{:<8} {:<9} {:>9}", lines.join("\n"), "total", "", seconds(began.elapsed()));
    if let Some(step) = failed {
        println!("\nrepeat the failed step with: cargo xtask test --only {}", step.name);
    }
    if tally != Tally::default() {
        println!("{} passed, {} failed", tally.passed, tally.failed);
    }
    failed.is_none()
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

impl Step {
    fn run(&self, workspace: &Workspace, tally: &mut Tally) -> anyhow::Result<Outcome> {
        match self.action {
            Action::Cargo(arguments, variable) => {
                let mut command = cargo();
                command.current_dir(&workspace.root).args(arguments).envs(variable);
                run_command(&mut command)?;
                Ok(Outcome::Passed)
            }
            Action::Tests(arguments) => {
                let mut command = cargo();
                command.current_dir(&workspace.root).args(arguments);
                let (mut servers, mut missing) = (Vec::new(), Vec::new());
                for started in services::for_tests(workspace) {
                    match started {
                        Ok(server) => servers.push(server),
                        Err(why) if tools::in_ci() => bail!("{why}"),
                        Err(why) => missing.push(why),
                    }
                }
                command.envs(servers.iter().map(|server| (server.variable, &server.address)));
                run_tests(&mut command, &mut std::io::stdout().lock(), tally)?;
                let without = missing.join("; ");
                Ok(if without.is_empty() { Outcome::Passed } else { Outcome::PassedBut(without) })
            }
            Action::Faults(check) => {
                let faults = check(workspace)?;
                for fault in &faults {
                    println!("{fault}");
                }
                ensure!(faults.is_empty(), "faults: {}", faults.len());
                Ok(Outcome::Passed)
            }
            Action::Foreign(check) => check(workspace, tally),
            Action::Call(check) => check(workspace),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_chosen_by_name_and_keep_their_order() {
        let names = |chosen: Vec<Step>| chosen.iter().map(|step| step.name).collect::<Vec<_>>();
        let all = names(choose(&[]).expect("no name is unknown"));
        assert_eq!(all.len(), STEPS.len());
        let two = names(choose(&["lint".to_owned(), "format".to_owned()]).expect("both exist"));
        assert_eq!(two, ["format", "lint"]);
    }

    #[test]
    fn an_unknown_step_is_named_with_those_that_exist() {
        let error = choose(&["tset".to_owned()]).expect_err("there is no such step").to_string();
        assert!(error.contains("\"tset\"") && error.contains("openapi, docs, deny"), "{error}");
    }
}
