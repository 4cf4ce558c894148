//! Brokers under test: started on a free port of 127.0.0.1, ended by their own id.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::shell::{cargo, command, debian, output, run, target};

const START: Duration = Duration::from_secs(10);
const STOP: Duration = Duration::from_secs(20);

/// A running broker; killed when dropped.
pub(crate) struct Broker {
    child: Child,
    addr: SocketAddr,
    log: PathBuf,
    stopped: bool,
}

impl Broker {
    /// Starts the release binary that [`build`] made.
    pub(crate) fn rollcall(program: &Path, arguments: &[&str]) -> Result<Self> {
        let log = log_file("rollcall")?;
        let mut child = command(program)
            .args(["--bind", "127.0.0.1:0", "--ws-bind", "off", "--admin", "off", "--data-dir", "memory"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| format!("{} does not start", program.display()))?;
        let stdout = child.stdout.take().expect("stdout is piped");
        // From here on an early return kills the child.
        let mut broker = Self { child, addr: ([127, 0, 0, 1], 0).into(), log, stopped: false };
        let (found, ready) = std::sync::mpsc::channel();
        // The thread goes on reading, so that the broker never blocks on a full pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(rest) = line.strip_prefix("rollcall ready ") {
                    let addr = rest.split(' ').find_map(|word| word.strip_prefix("mqtt="));
                    // The receiver is gone once it has its answer.
                    let _ = found.send(addr.map(str::to_owned));
                }
            }
        });
        match ready.recv_timeout(START) {
            Ok(Some(addr)) => broker.addr = addr.parse().with_context(|| format!("mqtt={addr} in the ready line"))?,
            Ok(None) => bail!("the ready line has no mqtt=ADDR"),
            Err(_) => bail!("rollcall is not ready; it said:\n{}", broker.said()),
        }
        Ok(broker)
    }

    /// Starts Debian's mosquitto with a configuration of its own: anonymous, nothing persisted, no limits on queues.
    pub(crate) fn mosquitto() -> Result<Self> {
        let program = debian("mosquitto", "mosquitto")?;
        let log = log_file("mosquitto")?;
        // Bound and let go: nothing else on this machine takes loopback ports in between.
        let addr = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let config = log.with_extension("conf");
        std::fs::write(
            &config,
            format!(
                "listener {} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_queued_messages 0\n\
                 max_inflight_messages 100\nsys_interval 0\nset_tcp_nodelay true\nlog_type error\n\
                 log_type warning\nuser root\n",
                addr.port()
            ),
        )?;
        let child = command(program)
            .arg("-c")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .context("mosquitto does not start")?;
        let broker = Self { child, addr, log, stopped: false };
        let deadline = Instant::now() + START;
        while TcpStream::connect(addr).is_err() {
            if Instant::now() > deadline {
                bail!("mosquitto is not ready; it said:\n{}", broker.said());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(broker)
    }

    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the broker wrote on stderr so far, at most the last 4 KiB.
    pub(crate) fn said(&self) -> String {
        let mut text = Vec::new();
        if let Ok(mut file) = File::open(&self.log) {
            let _ = file.read_to_end(&mut text);
        }
        let start = text.len().saturating_sub(4096);
        String::from_utf8_lossy(&text[start..]).into_owned()
    }

    /// Asks the broker to end and waits until it has.
    pub(crate) fn stop(mut self) -> Result<ExitStatus> {
        output(command("kill").args(["-TERM", &self.pid().to_string()]))?;
        let deadline = Instant::now() + STOP;
        loop {
            if let Some(status) = self.child.try_wait()? {
                self.stopped = true;
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("the broker does not end within {STOP:?} of SIGTERM; it said:\n{}", self.said());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if !self.stopped {
            // It may have ended by itself; nothing is left to do then.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Builds the release binary and returns its path.
pub(crate) fn build() -> Result<PathBuf> {
    run(cargo().args(["build", "--release", "--package", "server"]))?;
    Ok(target().join("release/rollcall"))
}

fn log_file(name: &str) -> Result<PathBuf> {
    let dir = target().join("ci/log");
    std::fs::create_dir_all(&dir)?;
    Ok(dir.join(format!("{name}-{}.log", std::process::id())))
}
