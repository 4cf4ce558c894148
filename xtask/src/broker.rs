//! Brokers under test: started on a free port of 127.0.0.1, ended by their own id.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::shell::{cargo, command, debian, output, run, target};

const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(20);

/// A folder for what a broker keeps; removed when dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// A new one without anything in it.
    pub(crate) fn new() -> Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("data-{}-{}", std::process::id(), MADE.fetch_add(1, Relaxed));
        let path = target().join("ci").join(name);
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Bytes of its files.
    pub(crate) fn size(&self) -> Result<u64> {
        let mut size = 0;
        for entry in std::fs::read_dir(&self.0)? {
            // A file may be removed between the listing and the look.
            size += entry?.metadata().map_or(0, |file| file.len());
        }
        Ok(size)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It is below the build folder: what is left goes with that.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running broker; killed when dropped.
pub(crate) struct Broker {
    child: Child,
    addr: SocketAddr,
    /// All that it listens on, by its name in the ready line.
    listeners: Vec<(String, SocketAddr)>,
    log: PathBuf,
    stopped: bool,
    ready_after: Duration,
}

impl Broker {
    /// Starts the release binary that [`build`] made; without a folder it keeps nothing, without `--admin` in the
    /// arguments it has no REST API.
    pub(crate) fn rollcall(program: &Path, folder: Option<&Folder>, arguments: &[&str]) -> Result<Self> {
        Self::launch(command(program), folder, arguments)
    }

    /// The same with so many file descriptors at the most.
    pub(crate) fn with_files(
        program: &Path,
        files: usize,
        folder: Option<&Folder>,
        arguments: &[&str],
    ) -> Result<Self> {
        let mut shell = command("sh");
        shell.args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\"")]).arg(program);
        Self::launch(shell, folder, arguments)
    }

    fn launch(mut program: Command, folder: Option<&Folder>, arguments: &[&str]) -> Result<Self> {
        let log = log_file("rollcall")?;
        let data_dir = folder.map_or(Path::new("memory"), Folder::path);
        let started = Instant::now();
        let mut child = program
            .args(["--bind", "127.0.0.1:0", "--ws-bind", "off", "--data-dir"])
            .arg(data_dir)
            .args(if arguments.contains(&"--admin") { &[] as &[&str] } else { &["--admin", "off"] })
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()
            .context("rollcall does not start")?;
        let stdout = child.stdout.take().expect("stdout is piped");
        // From here on an early return kills the child.
        let addr = ([127, 0, 0, 1], 0).into();
        let mut broker = Self { child, addr, listeners: Vec::new(), log, stopped: false, ready_after: START };
        let (found, ready) = std::sync::mpsc::channel();
        // The thread goes on reading, so that the broker never blocks on a full pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(rest) = line.strip_prefix("rollcall ready ") {
                    let named = |word: &str| {
                        let (name, address) = word.split_once('=')?;
                        Some((name.to_owned(), address.parse().ok()?))
                    };
                    // The receiver is gone once it has its answer.
                    let _ = found.send(rest.split(' ').filter_map(named).collect());
                }
            }
        });
        match ready.recv_timeout(START) {
            Ok(listeners) => broker.listeners = listeners,
            Err(_) => bail!("rollcall is not ready; it said:\n{}", broker.said()),
        }
        broker.addr = broker.listener("mqtt").context("the ready line has no mqtt=ADDR")?;
        broker.ready_after = started.elapsed();
        Ok(broker)
    }

    /// Starts Debian's mosquitto with a configuration of its own: no limits on queues, and with a folder
    /// persistent, which is: written every half an hour and at the end.
    /// `listener` are the lines of its configuration that belong to the listener, and who may come in.
    pub(crate) fn mosquitto(folder: Option<&Folder>, listener: &str) -> Result<Self> {
        let program = debian("mosquitto", "mosquitto")?;
        let log = log_file("mosquitto")?;
        // Bound and let go: nothing else on this machine takes loopback ports in between.
        let addr = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let config = log.with_extension("conf");
        let persistence = match folder {
            None => "persistence false".to_owned(),
            Some(folder) => format!("persistence true\npersistence_location {}/", folder.path().display()),
        };
        std::fs::write(
            &config,
            format!(
                "listener {} 127.0.0.1\n{listener}\n{persistence}\nmax_queued_messages 0\n\
                 max_inflight_messages 100\nsys_interval 0\nset_tcp_nodelay true\nlog_type error\n\
                 log_type warning\nuser root\n",
                addr.port()
            ),
        )?;
        let started = Instant::now();
        let child = command(program)
            .arg("-c")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .context("mosquitto does not start")?;
        let mut broker = Self { child, addr, listeners: Vec::new(), log, stopped: false, ready_after: START };
        let deadline = Instant::now() + START;
        while TcpStream::connect(addr).is_err() {
            broker.is_alive()?;
            if Instant::now() > deadline {
                bail!("mosquitto is not ready; it said:\n{}", broker.said());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        broker.ready_after = started.elapsed();
        // One without WebSocket listens for a moment before it finds out.
        std::thread::sleep(Duration::from_millis(100));
        broker.is_alive()?;
        Ok(broker)
    }

    /// An error if the process has ended.
    fn is_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("it has ended with {status}; it said:\n{}", self.said()),
        }
    }

    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where its REST API is, if it has one.
    pub(crate) fn admin(&self) -> Option<SocketAddr> {
        self.listener("admin")
    }

    /// Where the listener of this name is, if there is one.
    pub(crate) fn listener(&self, name: &str) -> Option<SocketAddr> {
        self.listeners.iter().find(|(known, _)| known == name).map(|(_, address)| *address)
    }

    /// From its start until clients could connect.
    pub(crate) const fn ready_after(&self) -> Duration {
        self.ready_after
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Bytes of resident memory.
    pub(crate) fn resident(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }

    /// The file with what the broker wrote on stderr so far.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// What the broker wrote on stderr so far, at most the last 4 KiB.
    pub(crate) fn said(&self) -> String {
        let mut text = Vec::new();
        if let Ok(mut file) = File::open(&self.log) {
            let start = file.metadata().map_or(0, |file| file.len()).saturating_sub(4096);
            let _ = file.seek(SeekFrom::Start(start)).and_then(|_| file.read_to_end(&mut text));
        }
        String::from_utf8_lossy(&text).into_owned()
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
