//! The dashboard in headless Chromium: the checks of `tests/browser/` against the release binary, with screenshots of every
//! page in the build folder.

use anyhow::Result;

use super::{Args, Outcome};
use crate::broker::build;
use crate::shell::{command, debian, python, root, run as run_command, target};

pub(super) fn run(_: &Args) -> Result<Outcome> {
    let found = debian("chromium", "chromium").and_then(|it| Ok((it, debian("chromedriver", "chromium-driver")?)));
    let (chromium, driver) = match found {
        Ok(found) => found,
        Err(why) => return Ok(Outcome::Skipped(format!("no Chromium: {why:#}"))),
    };
    let folder = root().join("tests/browser");
    let python = python(&["--requirement", &folder.join("requirements.txt").to_string_lossy()])?.join("python3");
    let program = build()?;
    run_command(
        command(&python)
            .arg(folder.join("dashboard.py"))
            .arg("--program")
            .arg(program)
            .arg("--chromium")
            .arg(chromium)
            .arg("--driver")
            .arg(driver)
            .arg("--shots")
            .arg(target().join("browser"))
            .env("PYTHONDONTWRITEBYTECODE", "1"),
    )?;
    Ok(Outcome::Passed)
}
