//! The last events, to be looked up: in order, bounded, and there after the broker has ended in whatever way.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mqtt_codec::{Property, ReasonCode, Version};
use mqtt_config::Config;
use mqtt_modules::Modules;
use mqtt_modules::presence::{Entry, Heard, History, Presence, Query};
use rollcall::Server;
use serde_json::json;
use tempfile::TempDir;

use crate::broker::{Broker, outside};
use crate::client::{Client, connect, keeping};
use crate::crash::Home;
use crate::events::Watcher;

/// A broker on this folder, with room for so many events. Who was online is told of as gone at once.
async fn open(folder: &Path, room: u32) -> Server {
    open_knowing(folder, room, 1_000).await
}

/// And so many clients are known.
async fn open_knowing(folder: &Path, room: u32, known: u32) -> Server {
    let mut config = Config { data_dir: Some(folder.to_owned()), recovery_grace: Duration::ZERO, ..Config::default() };
    config.use_free_ports();
    let settings = &mut config.modules.entry("presence".to_owned()).or_default().settings;
    (settings["history"], settings["known"]) = (json!(room), json!(known));
    rollcall::start(config).await.expect("a free port and a good folder")
}

/// What presence told lately.
fn history(server: &Server) -> Arc<History> {
    let presence = server.registry().module::<Presence>().expect("it ships");
    Arc::clone(presence.history())
}

/// Runs it on a runtime that ends with it: nothing of a broker in there is left, and its folder is free.
fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn addr(server: &Server) -> SocketAddr {
    server.addresses().listener("mqtt").expect("it is on")
}

/// The events, once there are `len`.
async fn events(history: &History, len: usize) -> Vec<Arc<Entry>> {
    let mut live = history.subscribe();
    loop {
        let found = history.query(&Query::default());
        if found.len() >= len {
            assert!(found.is_sorted_by(|a, b| a.number < b.number));
            assert_eq!(found.len(), len, "{found:?}");
            return found;
        }
        live.next().await.expect("an event");
    }
}

/// Whose, and why it went if it did.
fn short(events: &[Arc<Entry>]) -> Vec<(&str, Option<String>)> {
    let reason = |entry: &Entry| entry.end().map(|end| end.reason.into_owned());
    events.iter().map(|entry| (entry.client_id(), reason(entry))).collect()
}

fn went(client_id: &str, reason: &str) -> (String, Option<String>) {
    (client_id.to_owned(), Some(reason.to_owned()))
}

fn came(client_id: &str) -> (String, Option<String>) {
    (client_id.to_owned(), None)
}

#[track_caller]
fn check(events: &[Arc<Entry>], expected: &[(String, Option<String>)]) {
    let expected: Vec<_> = expected.iter().map(|(id, reason)| (id.as_str(), reason.clone())).collect();
    assert_eq!(short(events), expected);
}

#[tokio::test]
async fn events_are_there_though_nobody_subscribes() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let history = history(broker.server());
    let mut live = history.subscribe();
    let (first, _) = Client::connect_with(broker.addr, keeping(Version::V5, "it")).await;
    let (second, _) = Client::connect_with(broker.addr, keeping(Version::V3_1_1, "it")).await;
    second.leave().await;
    drop(first);
    let found = events(&history, 4).await;
    check(&found, &[came("it"), went("it", "takeovered"), came("it"), went("it", "normal")]);
    assert_eq!(found.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let [old, new] = [&found[1], &found[3]].map(|entry| serde_json::to_value(&**entry).unwrap());
    for (key, old_value, new_value) in [
        ("reason_code", json!(142), json!(0)),
        ("initiator", json!("server"), json!("client")),
        ("proto_ver", json!(5), json!(4)),
        ("session_present", json!(false), json!(true)),
        ("clean_start", json!(false), json!(false)),
        ("expiry_interval", json!(1000), json!(7200)),
        ("keepalive", json!(60), json!(60)),
        ("sockport", json!(broker.addr.port()), json!(broker.addr.port())),
        ("ipaddress", json!("127.0.0.1"), json!("127.0.0.1")),
    ] {
        assert_eq!((&old[key], &new[key]), (&old_value, &new_value), "{key}");
    }
    // Who follows hears the same.
    for entry in &found {
        assert_eq!(live.next().await, Some(Heard::Event(Arc::clone(entry))));
    }
    let counts = history.counts();
    assert_eq!((counts.connected, counts.disconnected, counts.skipped), (2, 2, 0));
    assert_eq!(counts.latency.counts.iter().sum::<u64>(), 0, "nothing was published");
}

#[tokio::test]
async fn a_stopped_module_records_nothing_and_keeps_what_there_is() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let history = history(broker.server());
    Client::connect(broker.addr, Version::V5, "before").await.leave().await;
    broker.server().registry().stop("presence").await.unwrap();
    Client::connect(broker.addr, Version::V5, "between").await.leave().await;
    broker.server().registry().start("presence").await.unwrap();
    let _after = Client::connect(broker.addr, Version::V5, "after").await;
    check(&events(&history, 3).await, &[came("before"), went("before", "normal"), came("after")]);
}

#[test]
fn it_goes_on_after_a_restart_with_any_room() {
    if outside() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut last = 0;
    let mut expected = Vec::new();
    for (round, room) in [10, 10, 4, 7, 7, 3, 0, 5].into_iter().enumerate() {
        let names = [format!("{round} one"), format!("{round} two")];
        let history = run(async {
            // Where clients are known their last events come back, too.
            let server = open_knowing(folder.path(), room, 0).await;
            let one = Client::connect(addr(&server), Version::V5, &names[0]).await;
            let _two = Client::connect(addr(&server), Version::V3_1_1, &names[1]).await;
            one.leave().await;
            let history = history(&server);
            // It ends with the second one online.
            server.shutdown().await;
            history
        });
        expected.extend(names.iter().map(|name| came(name)));
        expected.extend([went(&names[0], "normal"), went(&names[1], "server_shutting_down")]);
        let over = expected.len().saturating_sub(room as usize);
        expected.drain(..over);
        let found = history.query(&Query::default());
        check(&found, &expected);
        let new = found.iter().skip(found.len().saturating_sub(4));
        assert!(new.clone().all(|entry| entry.number > last), "a number comes once");
        last = new.map(|entry| entry.number).max().unwrap_or(last);
    }
}

#[test]
fn a_crash_takes_nothing_and_tells_each_gone_once() {
    if outside() {
        return;
    }
    let (folder, came) = run(crash_three_times());
    // The next but one finds nothing to tell any more.
    for _ in 0..2 {
        run(check_crashed(folder.path(), came));
    }
}

/// Ten clients come, some leave, one is taken over, and then the broker dies. Says how often clients came.
async fn crash_three_times() -> (TempDir, usize) {
    let mut home = Home::new(&["--set", "modules.presence.recovery_grace=0s"]).await;
    let (mut came, mut online) = (0, Vec::new());
    for round in 0..3 {
        for n in 0..10 {
            let name = format!("c{n}");
            let asked = if n % 2 == 0 { connect(Version::V5, &name) } else { keeping(Version::V3_1_1, &name) };
            online.push(Client::connect_with(home.addr(), asked).await.0);
            came += 1;
        }
        for client in online.drain(..3) {
            client.leave().await;
        }
        online.push(Client::connect(home.addr(), Version::V5, "c9").await);
        came += 1;
        if round < 2 {
            home = home.crash().await;
            online.clear();
        }
    }
    (home.kill().await, came)
}

async fn check_crashed(folder: &Path, came: usize) {
    let server = open(folder, 1000).await;
    let found = events(&history(&server), 2 * came).await;
    let mut seqs = BTreeMap::new();
    for entry in &found {
        // Coming and going alternate, each told once.
        let seq = seqs.insert(entry.client_id().to_owned(), (entry.seq, entry.is_connected()));
        let (before, was_connected) = seq.unwrap_or((0, false));
        assert!(entry.seq > before && entry.is_connected() != was_connected, "{entry:?} after {before}");
    }
    assert!(seqs.values().all(|(_, is_connected)| !is_connected), "all are gone");
    let is_fallen = |entry: &&Arc<Entry>| entry.end().is_some_and(|end| end.reason == "node_down");
    assert_eq!(found.iter().filter(is_fallen).count(), 3 * 7);
    server.shutdown().await;
}

/// With a storm that would fill the history many times over, a crash in the middle of it.
#[test]
fn a_storm_and_a_crash_leave_others_their_events() {
    const ROOM: u32 = 60;
    if outside() {
        return;
    }
    let folder = run(async {
        let more = ["--set", "modules.presence.history=60", "--set", "modules.presence.recovery_grace=0s"];
        let mut home = Home::new(&more).await;
        Client::connect(home.addr(), Version::V5, "visitor").await.leave().await;
        let calm = Client::connect(home.addr(), Version::V5, "calm").await;
        for crashes in [true, false] {
            for _ in 0..10 {
                for n in 0..10 {
                    Client::connect(home.addr(), Version::V5, &format!("storm {n}")).await.leave().await;
                }
            }
            if crashes {
                home = home.crash().await;
            }
        }
        drop(calm);
        home.kill().await
    });
    run(async {
        let server = open(folder.path(), ROOM).await;
        let history = history(&server);
        let of = |id: &str| history.query(&Query { client_id: Some(id), ..Query::default() });
        check(&of("visitor"), &[came("visitor"), went("visitor", "normal")]);
        check(&of("calm"), &[came("calm"), went("calm", "node_down")]);
        for n in 0..10 {
            let its = of(&format!("storm {n}"));
            assert!((4..=6).contains(&its.len()), "{its:?}");
            assert!(its.is_sorted_by(|a, b| a.seq + 1 == b.seq), "{its:?}");
            assert!(its.last().is_some_and(|last| last.end().is_some()), "{its:?}");
        }
        assert!(history.counts().len <= ROOM as usize);
        server.shutdown().await;
    });
}

/// Also those of whom no other event is left, and who are found to have fallen.
#[test]
fn clients_are_known_after_a_crash() {
    if outside() {
        return;
    }
    let folder = run(async {
        let more = ["--set", "modules.presence.history=4", "--set", "modules.presence.recovery_grace=0s"];
        let mut home = Home::new(&more).await;
        for n in 0..20 {
            let mut asked = connect(Version::V3_1_1, &format!("c{n}"));
            asked.username = Some(format!("user {n}").into());
            let (client, _) = Client::connect_with(home.addr(), asked).await;
            if n > 0 {
                client.leave().await;
            } else {
                home = home.crash().await;
            }
        }
        home.kill().await
    });
    for _ in 0..2 {
        run(async {
            let server = open(folder.path(), 4).await;
            let history = history(&server);
            for n in 0..20 {
                let known = history.last_event(&format!("c{n}")).expect("it was seen");
                let reason = known.end().expect("it is gone").reason;
                assert_eq!(reason, if n == 0 { "node_down" } else { "normal" });
                assert_eq!((known.username(), known.keep_alive), (Some(&*format!("user {n}")), 60));
                assert!(known.first_seen == known.connected_at && known.last_heard <= known.at);
            }
            assert_eq!((history.counts().known, history.counts().len), (20, 4));
            server.shutdown().await;
        });
    }
}

#[tokio::test]
async fn extended_events_tell_what_the_client_said_and_how_often_it_came() {
    let extended = |config: &mut Config| {
        config.modules.entry("presence".to_owned()).or_default().settings["extended"] = json!(true);
    };
    let Some(broker) = Broker::with(extended).await else { return };
    let mut watcher = Watcher::start(broker.addr).await;
    let mut numbers = Vec::new();
    // Clean sessions: nothing is left of them in between.
    for round in 1..=3 {
        let client = Client::connect(broker.addr, Version::V5, "it").await;
        let event = watcher.connected("it").await;
        numbers.push(event.number("event"));
        assert_eq!((event.number("flaps"), event.value("reason_string")), (round, &json!(null)));
        let said = [Property::ReasonString("tired \"of\" it".into())];
        client.leave_with(ReasonCode::DisconnectWithWill, said.into()).await;
        let event = watcher.disconnected("it", "disconnect_with_will_message").await;
        numbers.push(event.number("event"));
        assert_eq!((event.number("flaps"), event.text("reason_string")), (round, "tired \"of\" it"));
    }
    Client::connect(broker.addr, Version::V5, "it").await.leave().await;
    watcher.connected("it").await;
    assert!(watcher.disconnected("it", "normal").await.value("reason_string").is_null());
    let other = Client::connect(broker.addr, Version::V3_1_1, "other").await;
    assert_eq!(watcher.connected("other").await.number("flaps"), 1);
    other.cut().await;
    assert_eq!(watcher.disconnected("other", "tcp_closed").await.number("flaps"), 1);
    watcher.silence().await;
    let told = history(broker.server()).query(&Query { client_id: Some("it"), ..Query::default() });
    assert_eq!(told.iter().map(|entry| entry.number).take(6).collect::<Vec<_>>(), numbers, "the history has the same");
    assert!(numbers.is_sorted_by(|one, next| one < next));
    // Each of these was published, and timed.
    let latency = history(broker.server()).counts().latency;
    assert_eq!(latency.counts.iter().sum::<u64>(), 10);
    assert!(latency.total > Duration::ZERO);
}
