//! The Debian package, made of the release binary: what is in it is looked at, and where this machine lets it, it is installed
//! into a copy of this system that nobody else sees, run as its user, removed and purged.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::{Args, Outcome};
use crate::dist;
use crate::shell::{command, find, output, run as run_command, target};

/// Installs, starts, removes and purges in a mount namespace of its own: what is written goes into memory.
const INSTALL: &str = r#"
set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount --rbind /proc "$1/root/proc"
mount --rbind /dev "$1/root/dev"
cp "$2" "$1/root/tmp/rollcall.deb"
exec chroot "$1/root" sh -ec '
    dpkg -i /tmp/rollcall.deb
    test "$(stat -c %U:%G:%a /etc/rollcall/rollcall.toml)" = root:rollcall:640
    mkdir -p -m 700 /var/lib/rollcall
    chown rollcall:rollcall /var/lib/rollcall
    as_user="setpriv --reuid rollcall --regid rollcall --init-groups -- rollcall --config /etc/rollcall/rollcall.toml"
    $as_user check-config
    $as_user --bind 127.0.0.1:0 --ws-bind off --admin 127.0.0.1:0 >/tmp/ready 2>/tmp/log &
    trap "kill $! 2>/dev/null" EXIT
    until grep -q "^rollcall ready " /tmp/ready; do
        kill -0 $! || { cat /tmp/log; exit 1; }
        sleep 0.1
    done
    $as_user modules list
    kill $!
    wait $!
    trap - EXIT
    test -e /var/lib/rollcall/manifest
    dpkg -r rollcall
    test -e /etc/rollcall/rollcall.toml
    dpkg -P rollcall
    test ! -e /etc/rollcall/rollcall.toml
    test ! -e /var/lib/rollcall
'
"#;

pub(super) fn run(_: &Args) -> Result<Outcome> {
    let out = target().join("ci/dist");
    let made = dist::make("release", &out)?;
    run_command(command("sha256sum").current_dir(&out).args(["--check", "--quiet", "SHA256SUMS"]))?;
    let listed = output(command("tar").arg("-tzf").arg(&made.archive))?;
    for file in ["/usr/bin/rollcall", "/usr/share/man/man1/rollcall-clients-kick.1.gz"] {
        ensure!(listed.lines().any(|line| line.ends_with(file)), "{file} is not in the archive");
    }
    let Some(package) = made.package else { return Ok(Outcome::Skipped("dpkg-deb is missing".into())) };
    let root = out.join("root");
    run_command(command("dpkg-deb").arg("-x").arg(&package).arg(&root))?;
    verify_unit(&root)?;
    install(&package, &out)
}

/// By systemd itself, where it is at hand.
fn verify_unit(root: &Path) -> Result<()> {
    if find("systemd-analyze").is_none() {
        println!("the unit is not looked at: systemd-analyze is missing");
        return Ok(());
    }
    let unit = root.join("usr/lib/systemd/system/rollcall.service");
    // In tenths: 1.5 is what a well-kept service has.
    run_command(
        command("systemd-analyze").args(["security", "--offline=true", "--threshold=15", "--no-pager"]).arg(unit),
    )
}

fn install(package: &Path, out: &Path) -> Result<Outcome> {
    let place = out.join("installed");
    std::fs::create_dir_all(&place)?;
    let unshared = |script: &str| -> Command {
        let mut unshare = command("unshare");
        unshare.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]).arg(&place).arg(package);
        unshare
    };
    let possible = "mount -t tmpfs tmpfs \"$1\" && mkdir \"$1/u\" \"$1/w\" \"$1/r\" && \
                    mount -t overlay overlay -o \"lowerdir=/,upperdir=$1/u,workdir=$1/w\" \"$1/r\"";
    if let Err(why) = output(&mut unshared(possible)) {
        let why = format!("{why:#}").lines().next_back().unwrap_or_default().to_owned();
        return Ok(Outcome::Skipped(format!("made, and not installed: no copy of this system can be mounted: {why}")));
    }
    println!("$ dpkg -i, run, dpkg -r, dpkg -P, in a copy of this system");
    let status = unshared(INSTALL).status()?;
    ensure!(status.success(), "the package does not install, run, or go as it should: {status}");
    Ok(Outcome::Passed)
}
