//! Servers and nodes, as processes of this test.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A cluster of nats-servers, in a folder of its own.
pub(crate) struct Servers {
    program: PathBuf,
    folder: PathBuf,
    servers: Vec<Server>,
}

struct Server {
    client: u16,
    monitor: u16,
    config: PathBuf,
    child: Option<Child>,
}

/// A node, by its example program.
pub(crate) struct Station {
    pub(crate) name: String,
    child: Child,
    input: ChildStdin,
    lines: Arc<Mutex<Vec<String>>>,
    /// Up to there lines have been waited for.
    read: usize,
}

/// Sends a signal to a process of this test.
pub(crate) fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().unwrap();
    assert!(status.success());
}

/// Ports that nobody has now.
fn ports(count: usize) -> Vec<u16> {
    // Held together, so that none comes twice.
    let held: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    held.iter().map(|port| port.local_addr().unwrap().port()).collect()
}

impl Servers {
    pub(crate) fn start(program: &OsStr) -> Self {
        Self::of(program, 3, "sync_interval: always")
    }

    /// As it comes.
    pub(crate) fn start_one(program: &OsStr) -> Self {
        Self::of(program, 1, "")
    }

    fn of(program: &OsStr, count: usize, jetstream: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("nats-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let ports = ports(3 * count);
        let routes: Vec<_> = ports[2 * count..].iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let server = |number: usize| {
            let (client, monitor) = (ports[number], ports[count + number]);
            let config = folder.join(format!("n{number}.conf"));
            let mut text = format!("listen: 127.0.0.1:{client}\nhttp: 127.0.0.1:{monitor}\nserver_name: n{number}\n");
            let store = folder.join(format!("n{number}"));
            writeln!(text, "jetstream {{ store_dir: \"{}\"\n {jetstream} }}", store.display()).unwrap();
            if count > 1 {
                let route = ports[2 * count + number];
                let routes = routes.join(", ");
                writeln!(text, "cluster {{ name: test, listen: \"127.0.0.1:{route}\", routes: [{routes}] }}").unwrap();
            }
            std::fs::write(&config, text).unwrap();
            Server { client, monitor, config, child: None }
        };
        let mut servers =
            Self { program: program.into(), servers: (0..count).map(server).collect(), folder: folder.clone() };
        (0..count).for_each(|number| servers.restart(number));
        servers.wait_until_ready();
        servers
    }

    pub(crate) fn pid(&self, number: usize) -> u32 {
        self.servers[number].child.as_ref().unwrap().id()
    }

    pub(crate) fn kill(&mut self, number: usize) {
        if let Some(mut child) = self.servers[number].child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn restart(&mut self, number: usize) {
        let server = &mut self.servers[number];
        let log = std::fs::File::create(server.config.with_extension("log")).unwrap();
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(&server.config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        server.child = Some(command.spawn().unwrap());
    }

    /// Until each says that it is healthy: JetStream has a leader, and all streams are up to date.
    pub(crate) fn wait_until_ready(&self) {
        let began = Instant::now();
        for server in &self.servers {
            while !get(server.monitor, "/healthz").is_some_and(|answer| answer.contains("200 OK")) {
                assert!(began.elapsed() < Duration::from_secs(30), "a nats-server is not ready: see {:?}", self.folder);
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }

    /// Which one leads the stream.
    pub(crate) fn leader(&self) -> usize {
        let answer = get(self.servers[0].monitor, "/jsz?streams=true").unwrap();
        let (_, stream) = answer.split_once("\"ROLL_example\"").expect("the stream is there");
        let (_, leader) = stream.split_once("\"leader\": \"n").expect("it has a leader");
        leader[..1].parse().unwrap()
    }

    /// The first one that the log still has.
    pub(crate) fn first_position(&self) -> u64 {
        let answer = get(self.servers[0].monitor, "/jsz?streams=true").unwrap();
        let (_, stream) = answer.split_once("\"ROLL_example\"").expect("the stream is there");
        let (_, first) = stream.split_once("\"first_seq\": ").expect("it says where it begins");
        first.split(',').next().unwrap().parse().unwrap()
    }

    pub(crate) fn monitors(&self) -> String {
        self.servers.iter().map(|server| format!("127.0.0.1:{}", server.monitor)).collect::<Vec<_>>().join(",")
    }

    fn urls(&self) -> Vec<String> {
        self.servers.iter().map(|server| format!("nats://127.0.0.1:{}", server.client)).collect()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        (0..self.servers.len()).for_each(|number| self.kill(number));
        // What they said is of use to who looks for a fault.
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// The example's program stands beside the folder of this one.
fn program() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let program = this.ancestors().nth(2).unwrap().join("examples/node");
    assert!(program.is_file(), "`cargo build -p mqtt-cluster --example node` first");
    program
}

impl Station {
    pub(crate) fn start(name: &str, servers: &Servers) -> Self {
        Self::start_with(name, servers, &[("MONITORS", &servers.monitors())])
    }

    pub(crate) fn start_with(name: &str, servers: &Servers, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(program());
        command.arg(name).args(servers.urls()).envs(environment.iter().copied());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let said = Arc::clone(&lines);
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).for_each(|line| said.lock().unwrap().push(line))
        });
        Self { name: name.into(), child, input, lines, read: 0 }
    }

    /// What one says that does not start.
    pub(crate) fn said_by(name: &str, servers: &Servers, environment: &[(&str, &str)]) -> String {
        let mut command = Command::new(program());
        command.arg(name).args(servers.urls()).envs(environment.iter().copied()).stdin(Stdio::null());
        String::from_utf8(command.output().unwrap().stderr).unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Reads on until such a line has come. Lines of other clients' `up` may come in another order.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, patience: Duration, is_it: impl Fn(&str) -> bool) {
        let began = Instant::now();
        loop {
            let lines = self.lines();
            if let Some(place) = lines[self.read..].iter().position(|line| is_it(line)) {
                // Only lines about nodes are in order with each other here.
                if !lines[self.read + place].starts_with("up") {
                    self.read += place + 1;
                } else {
                    self.lines.lock().unwrap()[self.read + place].insert(0, '.');
                }
                return;
            }
            let last = &lines[lines.len().saturating_sub(10)..];
            assert!(began.elapsed() < patience, "{} was not told in {patience:?}, but {last:#?}", self.name);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Comings and goings.
    pub(crate) fn events(&self) -> Vec<String> {
        let is_event = |line: &String| line.starts_with(|letter: char| letter.is_ascii_digit());
        self.lines().into_iter().filter(is_event).collect()
    }

    /// Who is online at a node, by the events.
    pub(crate) fn clients_at(&self, node: &str) -> Vec<String> {
        let mut at = BTreeMap::new();
        for line in self.events() {
            let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
            match words[1].split_at(1) {
                ("+", client) => at.insert(client.to_owned(), words[2].clone()),
                (_, client) => at.remove(client),
            };
        }
        at.into_iter().filter(|(_, at)| at == node).map(|(client, _)| client).collect()
    }

    /// Of whom was told that they went with a node.
    pub(crate) fn downs_at(&self, node: &str) -> Vec<String> {
        let is_down = |line: &String| line.ends_with(&format!(" {node} node_down"));
        let mut clients: Vec<_> = self
            .events()
            .iter()
            .filter(|line| is_down(line))
            .map(|line| line.split(' ').nth(1).unwrap()[1..].to_owned())
            .collect();
        clients.sort();
        clients
    }

    /// By turns for each client, and no number left out.
    pub(crate) fn check_alternation(&self) {
        let mut on = BTreeMap::new();
        for (line, number) in self.events().iter().zip(1..) {
            let words: Vec<_> = line.split(' ').collect();
            assert_eq!(words[0].parse(), Ok(number), "{line}");
            let (sign, client) = words[1].split_at(1);
            assert_ne!(on.insert(client.to_owned(), sign == "+").unwrap_or_default(), sign == "+", "{line}");
        }
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
