//! Pages in a real browser: `tests/browser/pages.mjs`, in Chromium, driven by playwright-core.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use crate::process::{run_command, run_tests};
use crate::service::Service;
use crate::steps::Outcome;
use crate::tally::Tally;
use crate::tools;
use crate::workspace::Workspace;

/// The version that drives the browser; the browser is Debian's.
const PLAYWRIGHT: &str = "playwright-core@1.64.1";

/// Runs the tests.
///
/// # Errors
/// When a test fails, or something is missing under `CI`.
pub fn check(workspace: &Workspace, tally: &mut Tally) -> anyhow::Result<Outcome> {
    for (program, package) in [("chromium", "chromium"), ("node", "nodejs"), ("npm", "npm")] {
        if let Err(missing) = tools::need(program, package) {
            anyhow::ensure!(!tools::in_ci(), "{missing}");
            return Ok(Outcome::LeftOut(missing));
        }
    }
    let chromium = tools::path_of("chromium").context("chromium answers, but is not on the path")?;
    let modules = playwright(workspace)?;
    // The origin has to be known before the service starts; nobody else takes the port in between.
    let origin = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let port = origin.context("no port is free")?.port();
    let origins = format!("http://127.0.0.1:{port}");
    let service = Service::start(
        workspace,
        "browser",
        &[
            "--set",
            &format!("ingest.cors_origins={origins}"),
            "--set",
            &format!("api.cors_origins={origins}"),
        ],
    )?;
    let shots = workspace.target.join("tests/browser");
    let mut pages = Command::new("node");
    pages.current_dir(&workspace.root).arg("tests/browser/pages.mjs").arg(modules).arg(chromium);
    pages.args([service.url("ingest"), service.url("api"), &port.to_string()]).arg(shots);
    run_tests(&mut pages, &mut std::io::stdout().lock(), tally)?;
    Ok(Outcome::Passed)
}

/// The folder that playwright-core is installed in; it is if it has to be.
fn playwright(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let folder = workspace.tools().join(PLAYWRIGHT.replace('@', "-"));
    if !folder.join("node_modules/playwright-core/package.json").exists() {
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let mut install = Command::new("npm");
        install.env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1").current_dir(&folder);
        install.args(["install", "--no-save", "--no-audit", "--no-fund", "--silent", "--prefix", "."]);
        run_command(install.arg(PLAYWRIGHT))?;
    }
    Ok(folder)
}
