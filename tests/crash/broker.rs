//! The broker's process and its folder.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

const START: Duration = Duration::from_secs(30);

/// A running broker; killed when dropped.
#[derive(Debug)]
pub(crate) struct Broker {
    child: Child,
    pub(crate) addr: SocketAddr,
    /// From the start of the process to its ready line.
    pub(crate) opened: Duration,
}

impl Broker {
    /// Starts `program` on `home/data`, port 0; what it logs goes to `home/broker-NUMBER.log`.
    pub(crate) fn start(program: &Path, home: &Path, number: u32, settings: &[String]) -> Result<Self> {
        let started = Instant::now();
        let mut broker = Self::spawn(program, home, number, settings)?;
        let stdout = broker.child.stdout.take().context("stdout is piped")?;
        let (found, ready) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(rest) = line.strip_prefix("rollcall ready ") {
                    let addr = rest.split(' ').find_map(|word| word.strip_prefix("mqtt=")).map(str::to_owned);
                    // The receiver is gone once it has its answer.
                    let _ = found.send(addr);
                }
            }
        });
        let addr = ready.recv_timeout(START).context("the broker is not ready")?;
        broker.opened = started.elapsed();
        broker.addr = addr.context("the ready line has no mqtt=ADDR")?.parse()?;
        Ok(broker)
    }

    /// Starts the process, ready or not.
    pub(crate) fn spawn(program: &Path, home: &Path, number: u32, settings: &[String]) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["--bind", "127.0.0.1:0", "--ws-bind", "off", "--data-dir"]).arg(home.join("data"));
        for setting in settings {
            command.args(["--set", setting]);
        }
        let log = File::create(home.join(format!("broker-{number}.log")))?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn()?;
        Ok(Self { child, addr: ([127, 0, 0, 1], 0).into(), opened: Duration::ZERO })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended, as it was told to.
    pub(crate) fn wait(mut self) -> Result<()> {
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "the broker ended with {status}");
        Ok(())
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) -> Result<()> {
        anyhow::ensure!(self.child.try_wait()?.is_none(), "the broker ended by itself");
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended already; nothing is left to do then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process of this program.
pub(crate) fn signal(pid: u32, name: &str) -> Result<()> {
    let status = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status()?;
    if !status.success() {
        bail!("{name} can't be sent to {pid}");
    }
    Ok(())
}
