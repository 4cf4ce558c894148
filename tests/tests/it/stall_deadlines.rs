//! The other deadlines over a time in which the broker stood still: a late CONNECT, a slow consumer, the grace after it died.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use mqtt_codec::{Packet, Qos, ReasonCode, Version};
use tempfile::TempDir;

use crate::broker::outside;
use crate::cli::{Running, command};
use crate::client::{Client, connect, keeping, message};
use crate::events::Watcher;
use crate::stall::{GRAIN, Pause, SLACK, said};

const PAUSE: Duration = Duration::from_secs(4);

fn connect_bytes(client_id: &str) -> BytesMut {
    let mut bytes = BytesMut::new();
    Packet::Connect(Box::new(connect(Version::V5, client_id))).encode(Version::V5, &mut bytes).unwrap();
    bytes
}

#[track_caller]
fn accepted(packet: Option<Packet>, who: &str) {
    match packet {
        Some(Packet::ConnAck(answer)) => assert_eq!(answer.reason, ReasonCode::Success, "{who}"),
        other => panic!("no CONNACK for {who} but {other:?}"),
    }
}

#[tokio::test]
async fn a_pause_makes_no_connect_late() {
    if outside() {
        return;
    }
    let args = ["--bind", "127.0.0.1:0", "--set", "mqtt.connect_timeout=2s"];
    let running = Running::start(&mut command(&args)).await;
    let addr = running.addr();
    let mut waiting = Vec::new();
    for who in ["before", "half", "after", "mute"] {
        waiting.push((who, Client::open(addr, Version::V5).await));
    }
    let (first, rest) = {
        let mut bytes = connect_bytes("half");
        (bytes.split_to(7), bytes)
    };
    waiting[1].1.send_bytes(&first).await;
    // Whoever came earlier has been accepted.
    let mut later = Client::connect(addr, Version::V5, "later").await;
    later.ping().await;
    let mut during = None;
    let meanwhile = async {
        // Well after the broker has stopped, well before it goes on.
        tokio::time::sleep(PAUSE * 3 / 4).await;
        waiting[0].1.send_bytes(&connect_bytes("before")).await;
        waiting[1].1.send_bytes(&rest).await;
        let mut client = Client::open(addr, Version::V5).await;
        client.send_bytes(&connect_bytes("during")).await;
        during = Some(client);
    };
    tokio::join!(Pause::of(&running, PAUSE), meanwhile);
    for (who, client) in &mut waiting[..2] {
        accepted(client.receive_or_end().await, who);
    }
    accepted(during.expect("it was opened").receive_or_end().await, "during");
    // It had all its time left.
    let (who, client) = &mut waiting[2];
    client.send_bytes(&connect_bytes(who)).await;
    accepted(client.receive_or_end().await, who);
    let mute = &mut waiting[3].1;
    mute.expect_end().await;
    later.ping().await;
}

/// More than every buffer on the way.
const FLOOD: usize = 200;
const PAYLOAD: usize = 64 << 10;

#[tokio::test]
async fn who_reads_during_a_pause_is_no_slow_consumer() {
    if outside() {
        return;
    }
    let args = ["--bind", "127.0.0.1:0", "--set", "limits.slow_consumer_timeout=2s"];
    let running = Running::start(&mut command(&args)).await;
    let addr = running.addr();
    let mut watcher = Watcher::start(addr).await;
    let mut publisher = Client::connect(addr, Version::V5, "publisher").await;
    let mut wakes = Client::connect(addr, Version::V5, "wakes").await;
    let mut sleeps = Client::connect(addr, Version::V5, "sleeps").await;
    for client in [&mut wakes, &mut sleeps] {
        client.subscribe("flood", Qos::AtMostOnce).await;
    }
    said(&mut watcher).await;
    let began = Instant::now();
    for _ in 0..FLOOD {
        publisher.send_publish(message("flood", vec![b'x'; PAYLOAD], Qos::AtMostOnce)).await;
    }
    publisher.ping().await;
    let flooded_for = began.elapsed();
    let read = async {
        // Well after the broker has stopped; the answer comes behind all that waits.
        tokio::time::sleep(PAUSE / 2).await;
        wakes.send(Packet::PingReq).await;
        let mut got = 0;
        loop {
            match wakes.receive_or_end().await {
                Some(Packet::Publish(_)) => got += 1,
                Some(Packet::PingResp) => return got,
                other => panic!("{other:?} after {got} messages, with the client reading"),
            }
        }
    };
    let (pause, got) = tokio::join!(Pause::of(&running, PAUSE), read);
    assert!(got > 0 && got < FLOOD, "its socket was not full: {got} of {FLOOD} messages");

    // Who still reads nothing has the time that it would have had.
    watcher.disconnected("sleeps", "slow_consumer").await;
    let ran = began.elapsed() - pause.time();
    let limit = Duration::from_secs(2);
    assert!(ran >= limit - GRAIN, "it was ended when the broker had run for {ran:?}");
    assert!(ran <= limit + flooded_for + SLACK, "it was ended when the broker had run for {ran:?}");
    wakes.ping().await;
    watcher.silence().await;
}

/// A broker that died with clients online is back; the folder is that of both.
struct Fallen {
    folder: TempDir,
    running: Running,
}

impl Fallen {
    async fn start(folder: &TempDir) -> Running {
        let folder = folder.path().to_str().unwrap();
        let args = ["--bind", "127.0.0.1:0", "--data-dir", folder, "--set", "modules.presence.recovery_grace=2s"];
        Running::start(&mut command(&args)).await
    }

    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { running: Self::start(&folder).await, folder }
    }

    async fn crash(self) -> Self {
        self.running.kill().await;
        Self { running: Self::start(&self.folder).await, ..self }
    }
}

#[tokio::test]
async fn who_is_back_after_a_pause_longer_than_the_grace_was_told_gone_once() {
    if outside() {
        return;
    }
    let home = Fallen::new().await;
    let (mut client, _) = Client::connect_with(home.running.addr(), keeping(Version::V5, "watcher")).await;
    client.subscribe("$SYS/brokers/+/clients/#", Qos::AtLeastOnce).await;
    let mut watcher = Watcher { client };
    let names = ["brief", "kept"];
    let asked = || [connect(Version::V5, names[0]), keeping(Version::V3_1_1, names[1])];
    let mut online = Vec::new();
    for asked in asked() {
        online.push(Client::connect_with(home.running.addr(), asked).await.0);
    }
    for name in names {
        watcher.connected(name).await;
    }
    watcher.silence().await;
    let home = home.crash().await;
    Pause::of(&home.running, PAUSE).await;
    let mut back = Vec::new();
    for asked in asked() {
        back.push(Client::connect_with(home.running.addr(), asked).await.0);
    }
    let (client, answer) = Client::connect_with(home.running.addr(), keeping(Version::V5, "watcher")).await;
    assert!(answer.session_present);
    let events = said(&mut Watcher { client }).await;
    for name in names.into_iter().chain(["watcher"]) {
        let of_it = events.iter().filter(|event| event.client_id == name);
        let of_it: Vec<_> =
            of_it.map(|event| if event.is_connected { "connected" } else { event.object.text("reason") }).collect();
        assert_eq!(of_it, ["node_down", "connected"], "{name}");
    }
}

#[tokio::test]
async fn a_pause_takes_nothing_of_the_grace_for_subscribers() {
    if outside() {
        return;
    }
    let home = Fallen::new().await;
    let _online = Client::connect(home.running.addr(), Version::V5, "online").await;
    let home = home.crash().await;
    Pause::of(&home.running, PAUSE).await;
    let mut watcher = Watcher::start(home.running.addr()).await;
    // Not told before the watcher was there, or it would never come.
    let marker = tokio::time::timeout(Duration::from_secs(2) + SLACK, watcher.disconnected("online", "node_down"));
    marker.await.expect("it is told gone when subscribers have had their time");
}
