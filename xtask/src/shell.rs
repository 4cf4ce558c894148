//! Programs, folders and packages of the machine this runs on.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The workspace's folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the workspace")
}

/// Where cargo builds, and where everything else that is made here goes too.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// The cargo that runs this program.
pub(crate) fn cargo() -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// A command in the workspace's folder, without standard input.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).stdin(Stdio::null());
    command
}

/// Runs a command with its output on ours; an exit code other than 0 is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", spelled(command));
    let status = command.status().with_context(|| format!("{} does not start", spelled(command)))?;
    if !status.success() {
        bail!("{} failed: {status}", spelled(command));
    }
    Ok(())
}

/// Runs a command and returns what it prints on stdout; an exit code other than 0 is an error with its stderr.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{} does not start", spelled(command)))?;
    if !output.status.success() {
        bail!("{} failed: {}\n{}", spelled(command), output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The program's path, if it is on PATH or in the folders for system programs.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// The program's path; Debian's `package` is installed if it is missing and this is root.
pub(crate) fn debian(program: &str, package: &str) -> Result<PathBuf> {
    if let Some(found) = find(program) {
        return Ok(found);
    }
    let apt = find("apt-get").with_context(|| format!("{program} is missing, and so is apt-get to install it"))?;
    if output(command("id").arg("-u"))?.trim() != "0" {
        bail!("{program} is missing: `apt-get install {package}` as root");
    }
    run(command(&apt).args(["-q", "update"]))?;
    run(command(&apt)
        .args(["-q", "-y", "--no-install-recommends", "install", package])
        .env("DEBIAN_FRONTEND", "noninteractive"))?;
    find(program).with_context(|| format!("{package} is installed and has no {program}"))
}

/// The `bin` folder of this project's Python environment with the packages of `requirement`, made when missing.
pub(crate) fn python(requirement: &[&str]) -> Result<PathBuf> {
    let venv = target().join("ci/venv");
    let bin = venv.join("bin");
    if !bin.join("pip").is_file() {
        let mut make = command("python3");
        make.args(["-m", "venv"]).arg(&venv);
        if run(&mut make).is_err() {
            // Debian's python3 has venv in a package of its own.
            run(command("apt-get").args(["-q", "-y", "install", "python3-venv"]))?;
            run(command("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
        }
    }
    run(command(bin.join("python3"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(requirement))?;
    Ok(bin)
}

/// A PATH with `first` in front.
pub(crate) fn path_with(first: &Path) -> Result<std::ffi::OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Ok(std::env::join_paths(std::iter::once(first.to_owned()).chain(std::env::split_paths(&path)))?)
}

/// For people: without the folders of this machine.
fn spelled(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let root = format!("{}/", root().display());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy().replace(&root, "")).collect::<Vec<_>>().join(" ")
}
