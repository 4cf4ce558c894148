//! Bridges while either broker dies: nothing that was acknowledged is lost, and what is to come once does.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::sync::atomic::{AtomicU8, Ordering};

use mqtt_codec::{Connect, Qos, ReasonCode, Version};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::bridging::Way;
use crate::broker::outside;
use crate::cli::{Running, command};
use crate::client::{Client, QOS, keeping, message, retained};

/// Messages in each direction before somebody dies.
const MESSAGES: usize = 40;

const END: &str = "end";

/// Who dies, in turn.
const DEATHS: [Death; 9] = [
    Death::Here,
    Death::There,
    Death::Way,
    Death::There,
    Death::Here,
    Death::Both,
    Death::Way,
    Death::Here,
    Death::There,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    Here,
    There,
    Both,
    Way,
}

/// The other broker.
enum There {
    Rollcall(Running),
    Mosquitto(Child, SocketAddr),
}

const MOSQUITTO: &str = "/usr/sbin/mosquitto";

impl There {
    async fn rollcall(folder: &TempDir) -> Self {
        let folder = folder.path().to_str().expect("a temporary folder's name is text");
        Self::Rollcall(Running::start(&mut command(&["--bind", "127.0.0.1:0", "--data-dir", folder])).await)
    }

    async fn mosquitto(folder: &TempDir) -> Self {
        // It takes no port 0, and one at 127.0.0.1 may be another test's before it has it.
        static STARTED: AtomicU8 = AtomicU8::new(0);
        let [high, low] = (std::process::id() as u16).to_be_bytes();
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let free = std::net::TcpListener::bind((Ipv4Addr::new(127, high | 1, low, number.max(1)), 0)).unwrap();
        let addr = free.local_addr().unwrap();
        drop(free);
        // What it finds in its file beyond max_inflight_messages it sends from the beginning, whatever had been acknowledged.
        let settings = format!(
            "listener {} {}\nallow_anonymous true\npersistence true\npersistence_location {}/\n\
             max_queued_messages 10000\nmax_inflight_messages 10000\nuser root\n",
            addr.port(),
            addr.ip(),
            folder.path().display()
        );
        let file = folder.path().join("mosquitto.conf");
        std::fs::write(&file, settings).unwrap();
        let mut mosquitto = Command::new(MOSQUITTO);
        mosquitto.arg("-c").arg(&file).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = mosquitto.spawn().unwrap();
        while TcpStream::connect(addr).await.is_err() {
            assert!(child.try_wait().unwrap().is_none(), "mosquitto ended at once");
            tokio::task::yield_now().await;
        }
        Self::Mosquitto(child, addr)
    }

    fn addr(&self) -> SocketAddr {
        match self {
            Self::Rollcall(running) => running.addr(),
            Self::Mosquitto(_, addr) => *addr,
        }
    }

    /// `kill -9`, and the next process.
    async fn crash(self, folder: &TempDir) -> Self {
        match self {
            Self::Rollcall(running) => {
                running.kill().await;
                Self::rollcall(folder).await
            }
            Self::Mosquitto(mut child, addr) => {
                // It acknowledges what it has not written. This makes it write, in the turn of its loop in which it finds out; nobody
                // sends it anything meanwhile but who finds out that it has had two turns more.
                let usr1 = format!("kill -USR1 {}", child.id().expect("it runs"));
                assert!(Command::new("sh").args(["-c", &usr1]).status().await.unwrap().success());
                for _ in 0..2 {
                    let mut client = Client::connect(addr, Version::V3_1_1, "marker").await;
                    client.ping().await;
                    client.leave().await;
                }
                child.kill().await.unwrap();
                Self::mosquitto(folder).await
            }
        }
    }
}

/// This broker, with a bridge.
async fn here(folder: &TempDir) -> Running {
    let settings = folder.path().join("rollcall.toml");
    let (settings, data) = (settings.to_str().expect("text"), folder.path().join("data"));
    let data = data.to_str().expect("text");
    Running::start(&mut command(&["--config", settings, "--bind", "127.0.0.1:0", "--data-dir", data])).await
}

fn settings(way: &Way, protocol: u8) -> String {
    format!(
        r#"
[[modules.bridge.bridges]]
name = "b"
remote = "{}"
protocol = {protocol}
client_id = "bridge"
restart_timeout = "10ms"
restart_timeout_max = "50ms"
out = [{{ topic = "up/#" }}]
in = [{{ topic = "down/#" }}]
"#,
        way.url()
    )
}

async fn subscribe_and_leave(addr: SocketAddr, filter: &str) {
    let (mut client, _) = Client::connect_with(addr, keeping(Version::V3_1_1, "receiver")).await;
    assert_ne!(client.subscribe(filter, Qos::ExactlyOnce).await, ReasonCode::UnspecifiedError);
    client.leave().await;
}

/// Publishes numbers with QoS 1 and 2 in turn.
async fn publish(addr: SocketAddr, name: &str, numbers: std::ops::Range<usize>) {
    let mut client = Client::connect(addr, Version::V3_1_1, &format!("publisher of {name}")).await;
    for number in numbers {
        let qos = if number % 2 == 0 { Qos::ExactlyOnce } else { Qos::AtLeastOnce };
        client.publish(message(name, number.to_string(), qos)).await;
    }
    client.leave().await;
}

/// All numbers have come, those of QoS 2 once.
async fn check(from: SocketAddr, addr: SocketAddr, name: &str, all: usize) {
    let asked = Connect { keep_alive: 0, ..keeping(Version::V3_1_1, "receiver") };
    let (mut client, answer) = Client::connect_with(addr, asked).await;
    assert!(answer.session_present, "{name}");
    let mut came = vec![0; all];
    // Behind all that there are.
    let mut publisher = Client::connect(from, Version::V3_1_1, "publisher").await;
    publisher.publish(message(name, END, Qos::ExactlyOnce)).await;
    publisher.leave().await;
    loop {
        match client.take_text().await.as_str() {
            END => break,
            number => came[number.parse::<usize>().unwrap()] += 1,
        }
    }
    let missing: Vec<_> = (0..all).filter(|number| came[*number] == 0).collect();
    assert!(missing.is_empty(), "{name}: lost {missing:?}");
    let twice: Vec<_> = (0..all).step_by(2).filter(|number| came[*number] > 1).collect();
    assert!(twice.is_empty(), "{name}: came twice with QoS 2: {twice:?}");
    client.leave().await;
}

async fn nothing_is_lost(protocol: u8, is_mosquitto: bool) {
    let (near, far) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut there = if is_mosquitto { There::mosquitto(&far).await } else { There::rollcall(&far).await };
    let way = Way::new(there.addr()).await;
    std::fs::write(near.path().join("rollcall.toml"), settings(&way, protocol)).unwrap();
    let mut broker = here(&near).await;
    subscribe_and_leave(there.addr(), "up/#").await;
    subscribe_and_leave(broker.addr(), "down/#").await;
    crate::bridging::States::of(broker.addr(), "b").await.until("up").await;
    let mut sent = 0;
    for death in DEATHS {
        let numbers = sent..sent + MESSAGES;
        sent = numbers.end;
        tokio::join!(publish(broker.addr(), "up/n", numbers.clone()), publish(there.addr(), "down/n", numbers));
        // Much of it is on its way now.
        if matches!(death, Death::Here | Death::Both) {
            broker.kill().await;
            broker = here(&near).await;
        }
        if matches!(death, Death::There | Death::Both) {
            way.stand_still().await;
            there = there.crash(&far).await;
            way.lead_to(there.addr());
        }
        if death == Death::Way {
            way.cut();
        }
    }
    check(broker.addr(), there.addr(), "up/n", sent).await;
    check(there.addr(), broker.addr(), "down/n", sent).await;
    broker.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_between_two_rollcalls_that_die() {
    if outside() {
        return;
    }
    for protocol in [5, 4] {
        nothing_is_lost(protocol, false).await;
    }
}

/// By Debian's mosquitto.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_between_rollcall_and_mosquitto_that_die() {
    if outside() {
        return;
    }
    if !std::path::Path::new(MOSQUITTO).exists() {
        eprintln!("skipped: there is no {MOSQUITTO}");
        return;
    }
    for protocol in [5, 4] {
        nothing_is_lost(protocol, true).await;
    }
}

/// As a fleet moves. Neither sends back what it gets.
#[tokio::test]
async fn everything_crosses_to_mosquitto_and_back_once() {
    if outside() {
        return;
    }
    if !std::path::Path::new(MOSQUITTO).exists() {
        eprintln!("skipped: there is no {MOSQUITTO}");
        return;
    }
    for protocol in [5, 4] {
        let (near, far) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let there = There::mosquitto(&far).await;
        let mut client = Client::connect(there.addr(), Version::V3_1_1, "publisher").await;
        client.publish(retained("kept/there", "before", Qos::AtLeastOnce)).await;
        client.leave().await;
        let settings = format!(
            "[[modules.bridge.bridges]]\nname = \"b\"\nremote = \"mqtt://{}\"\nprotocol = {protocol}\n\
             out = [{{ topic = \"#\" }}]\nin = [{{ topic = \"#\" }}]\n",
            there.addr()
        );
        std::fs::write(near.path().join("rollcall.toml"), settings).unwrap();
        let broker = here(&near).await;
        let mut sides = Vec::new();
        for addr in [broker.addr(), there.addr()] {
            let mut side = Client::connect(addr, Version::V3_1_1, "side").await;
            side.subscribe("#", Qos::ExactlyOnce).await;
            sides.push(side);
        }
        assert_eq!(sides[1].take_text().await, "before");
        assert_eq!(sides[0].take_text().await, "before", "what is retained there comes here");
        crate::bridging::States::of(broker.addr(), "b").await.until("up").await;
        for (at, addr) in [broker.addr(), there.addr()].into_iter().enumerate() {
            let mut client = Client::connect(addr, Version::V3_1_1, "publisher").await;
            for qos in QOS {
                client.publish(retained("a/b", format!("{at} {qos:?}"), qos)).await;
                for (number, side) in sides.iter_mut().enumerate() {
                    assert_eq!(side.take_text().await, format!("{at} {qos:?}"), "side {number} by {protocol}");
                }
            }
            client.leave().await;
        }
        // Nothing comes behind that.
        publish(broker.addr(), "last", 0..1).await;
        for side in &mut sides {
            assert_eq!(side.take_text().await, "0");
            side.ping().await;
        }
        for addr in [broker.addr(), there.addr()] {
            let mut late = Client::connect(addr, Version::V3_1_1, "late").await;
            late.subscribe("a/b", Qos::AtLeastOnce).await;
            assert_eq!(late.take_text().await, "1 ExactlyOnce", "it is retained on both");
        }
        broker.kill().await;
    }
}
