//! A broker that stood still for a while, as in a frozen container, under a debugger or while its machine swapped.
//!
//! Nobody pays for that: what has come meanwhile is read first, and time in which the broker did not run is nobody's
//! silence.

use std::time::{Duration, Instant};

use mqtt_codec::{Connect, Packet, Qos, ReasonCode, Version};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::broker::outside;
use crate::cli::{Running, command};
use crate::client::{Client, connect};
use crate::events::{Event, Watcher};
use crate::http::{basic, request};

const KEEP_ALIVE: u16 = 2;
const CLIENTS: usize = 20;
const PAUSE: Duration = Duration::from_secs(7);

/// Longer than a busy machine takes to do what is due.
pub(crate) const SLACK: Duration = Duration::from_secs(3);

/// How exactly a broker has to know for how long it stood still.
pub(crate) const GRAIN: Duration = Duration::from_millis(500);

/// The broker stood still.
pub(crate) struct Pause {
    /// It ran no more.
    from: Instant,
    /// It did not run yet.
    to: Instant,
}

impl Pause {
    /// Stops the broker for this long.
    pub(crate) async fn of(running: &Running, time: Duration) -> Self {
        running.signal("STOP").await;
        let from = Instant::now();
        sleep(time).await;
        let to = Instant::now();
        running.signal("CONT").await;
        Self { from, to }
    }

    /// How long at least.
    pub(crate) fn time(&self) -> Duration {
        self.to - self.from
    }
}

/// All that has been said to the watcher and not read yet.
pub(crate) async fn said(watcher: &mut Watcher) -> Vec<Event> {
    let mut events = Vec::new();
    watcher.client.send(Packet::PingReq).await;
    loop {
        match watcher.client.receive().await {
            Packet::PingResp => return events,
            Packet::Publish(publish) => {
                watcher.client.acknowledge(&publish).await;
                events.extend(Event::read(publish));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Pings as clients do, whether or not the broker answers.
pub(crate) struct Pinger {
    over: watch::Sender<bool>,
    task: JoinHandle<Result<Client, Option<Packet>>>,
}

impl Pinger {
    pub(crate) fn start(client: Client) -> Self {
        let (over, is_over) = watch::channel(false);
        Self { over, task: tokio::spawn(ping(client, is_over)) }
    }

    /// Every PINGREQ was answered, one sent just now too. Else: what came instead, `None` for the end of the connection.
    pub(crate) async fn stop(self) -> Result<Client, Option<Packet>> {
        self.over.send(true).expect("it pings until it is told");
        self.task.await.unwrap()
    }
}

async fn ping(mut client: Client, mut is_over: watch::Receiver<bool>) -> Result<Client, Option<Packet>> {
    let mut every = interval(Duration::from_secs(KEEP_ALIVE.into()) / 4);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sent = 0;
    loop {
        tokio::select! {
            _ = is_over.changed() => break,
            _ = every.tick() => client.send(Packet::PingReq).await,
        }
        sent += 1;
    }
    client.send(Packet::PingReq).await;
    for _ in 0..=sent {
        match client.receive_or_end().await {
            Some(Packet::PingResp) => {}
            other => return Err(other),
        }
    }
    Ok(client)
}

/// A broker, a watcher, and clients with a keep alive of [`KEEP_ALIVE`] of whose coming it has been told.
async fn scene() -> (Running, Watcher, Vec<(String, Client)>) {
    let running = Running::start(&mut command(&["--bind", "127.0.0.1:0"])).await;
    let mut watcher = Watcher::start(running.addr()).await;
    let mut clients = Vec::new();
    for n in 0..CLIENTS {
        let name = format!("c{n}");
        let version = if n % 2 == 0 { Version::V5 } else { Version::V3_1_1 };
        let asked = Connect { keep_alive: KEEP_ALIVE, ..connect(version, &name) };
        let client = Client::connect_with(running.addr(), asked).await.0;
        watcher.connected(&name).await;
        clients.push((name, client));
    }
    (running, watcher, clients)
}

fn ping_all(clients: Vec<(String, Client)>) -> Vec<(String, Pinger)> {
    clients.into_iter().map(|(name, client)| (name, Pinger::start(client))).collect()
}

/// Who pinged is still there.
async fn stop_all(pingers: Vec<(String, Pinger)>) -> Vec<Client> {
    let (mut clients, mut ended) = (Vec::new(), Vec::new());
    for (name, pinger) in pingers {
        match pinger.stop().await {
            Ok(client) => clients.push(client),
            Err(instead) => ended.push((name, instead)),
        }
    }
    assert!(ended.is_empty(), "{} were ended though they pinged: {ended:?}", ended.len());
    clients
}

#[tokio::test]
async fn nobody_who_pinged_is_told_offline_after_the_broker_was_paused() {
    if outside() {
        return;
    }
    let (running, mut watcher, clients) = scene().await;
    let pingers = ping_all(clients);
    Pause::of(&running, PAUSE).await;
    // Long enough for whoever had been silent since the pause to be ended.
    sleep(Duration::from_secs(4)).await;
    let told: Vec<_> = said(&mut watcher).await.into_iter().map(|event| event.client_id).collect();
    assert!(told.is_empty(), "{} were told offline: {told:?}", told.len());
    let _clients = stop_all(pingers).await;
}

#[tokio::test]
async fn who_fell_silent_during_a_pause_is_ended_after_it() {
    if outside() {
        return;
    }
    let (running, mut watcher, mut clients) = scene().await;
    let mut silent = clients.split_off(CLIENTS - 5);
    let pingers = ping_all(clients);
    let last = Instant::now();
    for (_, client) in &mut silent {
        client.ping().await;
    }
    let talked_for = last.elapsed();
    let pause = Pause::of(&running, PAUSE).await;

    let mut told = Vec::new();
    for _ in &silent {
        let event = watcher.event().await;
        assert!(!event.is_connected, "{event:?}");
        assert_eq!(event.object.text("reason"), "keepalive_timeout");
        assert!(silent.iter().any(|(name, _)| *name == event.client_id), "{} had pinged", event.client_id);
        told.push((event.client_id, last.elapsed()));
    }
    let limit = Duration::from_millis(u64::from(KEEP_ALIVE) * 1500);
    for (name, after) in told {
        let ran = after.saturating_sub(pause.time());
        assert!(ran >= limit - GRAIN, "{name} was ended when the broker had run for {ran:?} since its last packet");
        assert!(ran <= limit + talked_for + SLACK, "{name} was ended when the broker had run for {ran:?}");
    }
    for (_, client) in &mut silent {
        client.expect_disconnect(ReasonCode::KeepAliveTimeout).await;
    }
    let _clients = stop_all(pingers).await;
    watcher.silence().await;
}

#[tokio::test]
async fn a_pause_is_an_alarm() {
    if outside() {
        return;
    }
    let args = ["--bind", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--set", "admin.password=open sesame"];
    let running = Running::start(&mut command(&args)).await;
    let mut watcher = Client::connect(running.addr(), Version::V5, "watcher").await;
    watcher.subscribe("$SYS/brokers/+/alarms/activate", Qos::AtMostOnce).await;
    let began = Instant::now();
    Pause::of(&running, Duration::from_secs(2)).await;
    let told = loop {
        let told: Value = serde_json::from_slice(&watcher.take().await.payload).unwrap();
        if told["name"] == "broker_stalled" {
            break told;
        }
    };
    let stalled_ms = told["details"]["stalled_ms"].as_u64().expect("for how long it stood still");
    assert!(stalled_ms >= 1500 && u128::from(stalled_ms) <= began.elapsed().as_millis(), "{told}");

    let admin = running.word("admin").parse().unwrap();
    let shown = request(admin, "GET /api/v4/alarms", &[basic("admin", "open sesame")], "").await.json();
    let alarms = shown["data"][0]["alarms"].as_array().unwrap();
    assert!(alarms.contains(&told), "{shown}");
}
