//! A system clock that is set while the broker runs: libfaketime (Debian's `faketime`) moves what the binary takes for it.
//! Without that library these tests have nothing to say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mqtt_codec::{Connect, Property, Qos, ReasonCode, Version};
use tempfile::TempDir;

use crate::broker::outside;
use crate::cli::{Running, command};
use crate::client::{Client, connect, keeping};
use crate::events::{Event, Watcher};
use crate::stall::{Pinger, SLACK, said};

const HOUR: i64 = 3600;

/// `None`, and a word about it, where tests can't move the clock.
fn library() -> Option<PathBuf> {
    if outside() {
        return None;
    }
    // A folder for each architecture.
    let folders = std::fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok);
    let found = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1")).find(|path| path.is_file());
    if found.is_none() {
        eprintln!("skipped: no libfaketime, see Debian's package faketime");
    }
    found
}

/// A folder, the broker that has it open, and the broker's system clock.
struct Home {
    running: Running,
    folder: TempDir,
    library: PathBuf,
    _left: Left,
}

/// What libfaketime does not take with it when it is killed.
struct Left(String);

impl Drop for Left {
    fn drop(&mut self) {
        for name in ["faketime_shm_", "sem.faketime_sem_"] {
            // After an end in order there is none.
            let _ = std::fs::remove_file(format!("/dev/shm/{name}{}", self.0));
        }
    }
}

impl Home {
    async fn new() -> Option<Self> {
        Self::with(&[]).await
    }

    async fn with(more: &[&str]) -> Option<Self> {
        let (library, folder) = (library()?, tempfile::tempdir().unwrap());
        set_clock(folder.path(), 0);
        Some(Self::start(library, folder, more).await)
    }

    async fn start(library: PathBuf, folder: TempDir, more: &[&str]) -> Self {
        let data = folder.path().join("data");
        let flags = ["--bind", "127.0.0.1:0", "--set", "modules.presence.recovery_grace=0s", "--data-dir"];
        let mut command = command(&[&flags[..], &[data.to_str().unwrap()], more].concat());
        command
            .env("LD_PRELOAD", &library)
            .env("FAKETIME_TIMESTAMP_FILE", folder.path().join("clock"))
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            // Its name before 0.9.10.
            .env("DONT_FAKE_MONOTONIC", "1");
        let running = Running::start(&mut command).await;
        let _left = Left(running.word("pid").to_owned());
        Self { running, folder, library, _left }
    }

    fn addr(&self) -> std::net::SocketAddr {
        self.running.addr()
    }

    /// Sets the broker's system clock so many seconds before or after that of the tests.
    fn set_clock(&self, offset: i64) {
        set_clock(self.folder.path(), offset);
    }

    /// `kill -9`, and the next process at this time.
    async fn crash(self, offset: i64) -> Self {
        let Self { running, folder, library, _left } = self;
        running.kill().await;
        set_clock(folder.path(), offset);
        Self::start(library, folder, &[]).await
    }
}

fn set_clock(folder: &Path, offset: i64) {
    // At once: it is read again and again.
    let new = folder.join("new");
    std::fs::write(&new, format!("{offset:+}")).unwrap();
    std::fs::rename(new, folder.join("clock")).unwrap();
}

/// The clock has been moved, or these tests show nothing.
#[track_caller]
fn assert_moved(event: &Event, offset: i64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let told = (event.object.number("ts") / 1000) as i64;
    assert!((told - now - offset).abs() < HOUR / 2, "the broker's clock shows {}, not {offset}", told - now);
}

/// Keeps its session for so long.
fn expiring(client_id: &str, seconds: u32) -> Connect {
    Connect {
        clean_start: false,
        properties: [Property::SessionExpiry(seconds)].into(),
        ..connect(Version::V5, client_id)
    }
}

async fn visit(home: &Home, asked: Connect) -> bool {
    let (client, answer) = Client::connect_with(home.addr(), asked).await;
    client.leave().await;
    answer.session_present
}

#[tokio::test]
async fn a_clock_that_jumps_ends_nobody_early_or_late() {
    let Some(home) = Home::new().await else { return };
    let mut watcher = Watcher::start(home.addr()).await;
    let asked = Connect { keep_alive: 2, ..connect(Version::V5, "pings") };
    let pinger = Pinger::start(Client::connect_with(home.addr(), asked).await.0);
    let mut events = Vec::new();
    let mut offset = 0;
    for jump in [HOUR, -HOUR, -HOUR, HOUR] {
        visit(&home, expiring("brief", 1)).await;
        visit(&home, expiring("kept", 5)).await;
        let began = Instant::now();
        let asked = Connect { keep_alive: 1, ..connect(Version::V5, "silent") };
        let mut silent = Client::connect_with(home.addr(), asked).await.0;
        offset += jump;
        home.set_clock(offset);
        silent.expect_disconnect(ReasonCode::KeepAliveTimeout).await;
        let after = began.elapsed();
        let limit = Duration::from_millis(1500);
        assert!(after >= limit && after <= limit + SLACK, "{after:?} of silence after a jump by {jump} s");
        assert!(!visit(&home, expiring("brief", 1)).await, "a session of 1 s is there after a jump by {jump} s");
        assert!(visit(&home, expiring("kept", 5)).await, "a session of 5 s is gone after a jump by {jump} s");
        let told = said(&mut watcher).await;
        if offset > 0 {
            assert_moved(told.last().expect("many have come and gone"), offset);
        }
        events.extend(told);
        // The next round begins without.
        visit(&home, connect(Version::V5, "brief")).await;
        visit(&home, connect(Version::V5, "kept")).await;
    }
    let _pings = pinger.stop().await.expect("it has pinged all the time");
    events.extend(said(&mut watcher).await);
    let of_it = events.iter().filter(|event| event.client_id == "pings");
    assert_eq!(of_it.map(|event| event.is_connected).collect::<Vec<_>>(), [true]);
}

/// The times of each client's events, in the order in which they were told, that are earlier than those before.
fn steps_back(events: &[Event]) -> Vec<String> {
    let mut last = BTreeMap::<_, (u64, &str)>::new();
    let mut found = Vec::new();
    for event in events {
        let (what, key) = match event.is_connected {
            true => ("connected", "connected_at"),
            false => (event.object.text("reason"), "disconnected_at"),
        };
        for (kind, key) in [("ts", "ts"), ("at", key)] {
            let now = event.object.number(key);
            let before = last.insert((&event.client_id, kind), (now, what));
            if let Some((before, previous)) = before
                && now < before
            {
                let client_id = &event.client_id;
                found.push(format!("{client_id}: {key} of {what} is {} ms before {previous}", before - now));
            }
        }
    }
    found
}

#[tokio::test]
async fn the_times_of_a_clients_events_never_go_back() {
    let Some(mut home) = Home::new().await else { return };
    let (mut client, _) = Client::connect_with(home.addr(), keeping(Version::V5, "watcher")).await;
    client.subscribe("$SYS/brokers/+/clients/#", Qos::AtLeastOnce).await;
    let mut watcher = Watcher { client };
    let asked = || [connect(Version::V5, "brief"), keeping(Version::V3_1_1, "kept")];
    let mut events = Vec::new();
    for offset in [0, HOUR, 0, -HOUR] {
        home.set_clock(offset);
        for asked in asked() {
            visit(&home, asked).await;
        }
        let told = said(&mut watcher).await;
        if offset >= HOUR {
            assert_moved(&told[0], offset);
        }
        events.extend(told);
    }
    // Twice it dies and comes back with its clock an hour earlier.
    for (before, after) in [(2 * HOUR, HOUR), (HOUR, 0)] {
        home.set_clock(before);
        let mut online = Vec::new();
        for asked in asked() {
            online.push(Client::connect_with(home.addr(), asked).await.0);
        }
        let told = said(&mut watcher).await;
        if before > HOUR {
            assert_moved(&told[0], before);
        }
        events.extend(told);
        // Its acknowledgements have arrived.
        watcher.silence().await;
        home = home.crash(after).await;
        let (client, answer) = Client::connect_with(home.addr(), keeping(Version::V5, "watcher")).await;
        assert!(answer.session_present);
        watcher = Watcher { client };
        for asked in asked() {
            visit(&home, asked).await;
        }
        events.extend(said(&mut watcher).await);
    }
    for name in ["brief", "kept"] {
        let of_it = events.iter().filter(|event| event.client_id == name);
        let of_it: Vec<_> = of_it.map(|event| event.is_connected).collect();
        // Four visits, and twice one that the broker's death ends and one after it.
        assert_eq!(of_it, [true, false].repeat(4 + 2 * 2), "{name}");
    }
    let found = steps_back(&events);
    assert!(found.is_empty(), "{found:#?}");
}

#[tokio::test]
async fn the_end_of_a_session_is_not_told_to_be_before_its_beginning() {
    let Some(home) = Home::with(&["--set", "modules.presence.sessions=true"]).await else { return };
    let (mut watcher, _) = Client::connect_with(home.addr(), connect(Version::V5, "watcher")).await;
    watcher.subscribe("$SYS/brokers/+/clients/it/+", Qos::AtLeastOnce).await;
    home.set_clock(HOUR);
    visit(&home, keeping(Version::V5, "it")).await;
    home.set_clock(0);
    // Discarded by the next one, which ends with its connection.
    visit(&home, connect(Version::V5, "it")).await;
    let expected = [
        "connected",
        "session_created",
        "disconnected",
        "session_terminated",
        "connected",
        "session_created",
        "disconnected",
        "session_terminated",
    ];
    let mut last = 0;
    for suffix in expected {
        let told = watcher.take().await;
        let object: serde_json::Value = serde_json::from_slice(&told.payload).unwrap();
        let topic = told.topic.as_ref().unwrap().as_str();
        assert!(topic.ends_with(&format!("/{suffix}")), "{topic}");
        let ts = object["ts"].as_u64().unwrap();
        assert!(ts >= last, "{suffix} is told to be {} ms before what it follows", last - ts);
        last = ts;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    assert!(last > now + 1_800_000, "the broker's clock was not moved, or this shows nothing");
}
