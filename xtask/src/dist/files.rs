//! Where each file of an installation is, below `/`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use crate::shell::{command, output, root, run};

/// What is copied as it is.
const COPIED: &[(&str, &str)] = &[
    ("deploy/rollcall.toml", "etc/rollcall/rollcall.toml"),
    ("deploy/systemd/rollcall.service", "usr/lib/systemd/system/rollcall.service"),
    ("deploy/systemd/rollcall.sysusers", "usr/lib/sysusers.d/rollcall.conf"),
    ("deploy/fail2ban/rollcall.conf", "usr/share/doc/rollcall/fail2ban/rollcall.conf"),
    ("deploy/haproxy.cfg", "usr/share/doc/rollcall/haproxy.cfg"),
    ("deploy/nginx.conf", "usr/share/doc/rollcall/nginx.conf"),
    ("deploy/grafana.json", "usr/share/doc/rollcall/grafana.json"),
    ("README.md", "usr/share/doc/rollcall/README.md"),
    ("CHANGELOG.md", "usr/share/doc/rollcall/changelog"),
    ("LICENSE", "usr/share/doc/rollcall/copyright"),
];

/// Completions: the shell, and where it looks for them.
const SHELLS: &[(&str, &str)] = &[
    ("bash", "usr/share/bash-completion/completions/rollcall"),
    ("zsh", "usr/share/zsh/vendor-completions/_rollcall"),
    ("fish", "usr/share/fish/vendor_completions.d/rollcall.fish"),
];

/// Puts everything in its place below `stage`.
pub(super) fn stage(program: &Path, stage: &Path) -> Result<()> {
    for (from, to) in COPIED {
        let bytes = fs::read(root().join(from)).with_context(|| (*from).to_owned())?;
        put(stage, to, &bytes, 0o644)?;
    }
    put(stage, "usr/bin/rollcall", &fs::read(program)?, 0o755)?;
    // The lines of the source are most of the bytes. Names stay, for backtraces.
    run(command("strip").arg("--strip-debug").arg(stage.join("usr/bin/rollcall")))?;
    for (shell, to) in SHELLS {
        let script = output(command(program).args(["completions", shell]))?;
        put(stage, to, script.as_bytes(), 0o644)?;
    }
    let pages = stage.join("usr/share/man/man1");
    fs::create_dir_all(&pages)?;
    run(command(program).args(["man", "--out"]).arg(&pages))?;
    for page in fs::read_dir(&pages)? {
        // -n: no time in it, so that the same pages are the same bytes.
        run(command("gzip").args(["-9", "-n"]).arg(page?.path()))?;
    }
    run(command("gzip").args(["-9", "-n"]).arg(stage.join("usr/share/doc/rollcall/changelog")))
}

/// Writes a file below `stage`, and the folders that lead to it.
pub(super) fn put(stage: &Path, to: &str, bytes: &[u8], mode: u32) -> Result<()> {
    let path = stage.join(to);
    fs::create_dir_all(path.parent().expect("it is below the stage"))?;
    fs::write(&path, bytes).with_context(|| format!("{}", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    Ok(())
}
