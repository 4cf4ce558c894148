//! A package for Debian and its like.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::files::put;
use super::version;
use crate::shell::{command, output, run};

/// Who installs it has a user and a folder for the broker, and, where systemd runs, the broker itself: on loopback only.
const AFTER_INSTALL: &str = r#"#!/bin/sh
set -e
if [ "$1" = configure ]; then
    if command -v systemd-sysusers >/dev/null; then
        systemd-sysusers rollcall.conf
    elif ! getent passwd rollcall >/dev/null; then
        useradd --system --user-group --home-dir /var/lib/rollcall --shell /usr/sbin/nologin rollcall
    fi
    # Settings may have secrets in them.
    chgrp rollcall /etc/rollcall /etc/rollcall/rollcall.toml
    chmod 750 /etc/rollcall
    chmod 640 /etc/rollcall/rollcall.toml
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload
        if [ -z "$2" ]; then
            systemctl enable --now rollcall
        else
            systemctl try-restart rollcall
        fi
    fi
fi
"#;

const BEFORE_REMOVE: &str = r#"#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    systemctl disable --now rollcall
fi
"#;

/// State goes with `purge` only.
const AFTER_REMOVE: &str = r#"#!/bin/sh
set -e
if [ "$1" = purge ]; then
    rm -rf /var/lib/rollcall
fi
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
fi
"#;

/// Makes the package of what is staged.
pub(super) fn package(program: &Path, stage: &Path, out: &Path) -> Result<PathBuf> {
    let architecture = output(command("dpkg-deb").arg("--version").env("LC_ALL", "C"))
        .and_then(|_| output(command("dpkg").arg("--print-architecture")))?;
    let architecture = architecture.trim();
    let size: u64 = sizes(stage)? / 1024;
    let libc = newest_glibc(&fs::read(program)?).context("the program needs no glibc: it is not for Debian's")?;
    let control = format!(
        "Package: rollcall\n\
         Version: {version}\n\
         Architecture: {architecture}\n\
         Maintainer: The Rollcall developers <rollcall@localhost>\n\
         Installed-Size: {size}\n\
         Depends: libc6 (>= {libc}), libgcc-s1\n\
         Section: net\n\
         Priority: optional\n\
         Provides: mqtt-broker\n\
         Description: MQTT broker that knows who is online\n \
         It speaks MQTT 3.1, 3.1.1 and 5 over TCP, TLS and WebSocket, and publishes who comes\n \
         and who goes as EMQ X 4.3 does. It listens on loopback only until it is told otherwise.\n",
        version = version(),
    );
    let scripts = [
        ("control", control.as_str(), 0o644),
        ("conffiles", "/etc/rollcall/rollcall.toml\n", 0o644),
        ("postinst", AFTER_INSTALL, 0o755),
        ("prerm", BEFORE_REMOVE, 0o755),
        ("postrm", AFTER_REMOVE, 0o755),
    ];
    for (name, text, mode) in scripts {
        put(stage, &format!("DEBIAN/{name}"), text.as_bytes(), mode)?;
    }
    let package = out.join(format!("rollcall_{}_{architecture}.deb", version()));
    run(command("dpkg-deb").args(["--root-owner-group", "--build"]).arg(stage).arg(&package))?;
    Ok(package)
}

fn sizes(folder: &Path) -> Result<u64> {
    let mut size = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        size += if metadata.is_dir() { sizes(&entry.path())? } else { metadata.len() };
    }
    Ok(size)
}

/// The program names each version of the library that it needs something of.
fn newest_glibc(program: &[u8]) -> Option<String> {
    const NAME: &[u8] = b"GLIBC_2.";
    let named = program.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME);
    let minors = named.filter_map(|(at, _)| {
        let digits = program[at + NAME.len()..].iter().take_while(|byte| byte.is_ascii_digit()).take(3);
        String::from_utf8(digits.copied().collect()).ok()?.parse::<u32>().ok()
    });
    minors.max().map(|minor| format!("2.{minor}"))
}

#[cfg(test)]
mod tests {
    use super::newest_glibc;

    #[test]
    fn the_newest_version_of_the_library_is_the_one_that_counts() {
        for (program, newest) in [
            (&b"\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.9\0"[..], Some("2.34")),
            (b"GLIBC_2.", None),
            (b"GLIBC_PRIVATE", None),
            (b"", None),
        ] {
            assert_eq!(newest_glibc(program).as_deref(), newest);
        }
    }
}
