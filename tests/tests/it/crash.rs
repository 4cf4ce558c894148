//! What was promised outlives the process, however it ends.

use mqtt_codec::{Ack, Connect, Packet, Publish, Qos, ReasonCode, Version, Will};
use tempfile::TempDir;

use crate::broker::outside;
use crate::cli::{Running, command, command_with_short_files};
use crate::client::{Client, connect, id, keeping, message, retained};

const KEEPERS: [Version; 2] = [Version::V3_1_1, Version::V5];

/// A folder and the broker that has it open.
pub(crate) struct Home {
    folder: TempDir,
    running: Running,
    more: Vec<&'static str>,
}

impl Home {
    /// `more` are flags beside the folder and the port.
    pub(crate) async fn new(more: &[&'static str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let running = start(&folder, more).await;
        Self { folder, running, more: more.to_vec() }
    }

    /// `kill -9`, and the next process.
    pub(crate) async fn crash(self) -> Self {
        let Self { folder, running, more } = self;
        running.kill().await;
        let running = start(&folder, &more).await;
        Self { folder, running, more }
    }

    /// SIGTERM, and the next process.
    pub(crate) async fn restart(self) -> Self {
        let more = self.more.clone();
        self.restart_with(&more).await
    }

    /// SIGTERM, and the next process with other flags.
    pub(crate) async fn restart_with(self, more: &[&'static str]) -> Self {
        let Self { folder, running, .. } = self;
        running.stop().await;
        let running = start(&folder, more).await;
        Self { folder, running, more: more.to_vec() }
    }

    /// `kill -9`, and what is left.
    pub(crate) async fn kill(self) -> TempDir {
        self.running.kill().await;
        self.folder
    }

    pub(crate) fn addr(&self) -> std::net::SocketAddr {
        self.running.addr()
    }
}

async fn start(folder: &TempDir, more: &[&str]) -> Running {
    let folder = folder.path().to_str().expect("the name of a temporary folder is text");
    Running::start(&mut command(&[&["--bind", "127.0.0.1:0", "--data-dir", folder], more].concat())).await
}

/// The session is there; what it sends first follows CONNACK.
async fn come_back(home: &Home, version: Version, client_id: &str) -> Client {
    let (client, answer) = Client::connect_with(home.addr(), keeping(version, client_id)).await;
    assert!(answer.session_present, "{client_id}");
    client
}

/// What such a session had is given up in slices; the process may die between any two of them.
#[tokio::test]
async fn a_session_with_a_long_queue_that_was_ended_stays_so_over_a_crash() {
    const MESSAGES: usize = 3_000;
    if outside() {
        return;
    }
    let mut home = Home::new(&[]).await;
    for version in KEEPERS {
        for client_id in ["ended", "stays"] {
            let (mut away, _) = Client::connect_with(home.addr(), keeping(version, client_id)).await;
            away.subscribe("a/#", Qos::AtLeastOnce).await;
            away.leave().await;
        }
        let mut publisher = Client::connect(home.addr(), version, "publisher").await;
        for number in 0..MESSAGES {
            publisher.publish(message("a/b", number.to_string(), Qos::AtLeastOnce)).await;
        }
        let anew = Connect { clean_start: true, ..keeping(version, "ended") };
        let (mut ended, answer) = Client::connect_with(home.addr(), anew).await;
        assert!(!answer.session_present);
        ended.subscribe("c", Qos::AtLeastOnce).await;
        publisher.publish(message("c", "new", Qos::AtLeastOnce)).await;
        assert_eq!(ended.take_text().await, "new");
        // Its acknowledgement has been taken.
        ended.ping().await;
        home = home.crash().await;
        // Nothing of the session before comes up again, and nothing is missing where others kept the same messages.
        // 3.1.1 has no other way: a clean session is over with its connection.
        let (mut ended, answer) = Client::connect_with(home.addr(), keeping(version, "ended")).await;
        assert_eq!(answer.session_present, version == Version::V5);
        ended.ping().await;
        let mut stays = come_back(&home, version, "stays").await;
        for number in 0..MESSAGES {
            assert_eq!(stays.take_text().await, number.to_string());
        }
        let clean = Connect { clean_start: true, ..connect(version, "stays") };
        stays.leave().await;
        Client::connect_with(home.addr(), clean).await.0.leave().await;
    }
}

#[tokio::test]
async fn messages_wait_for_their_client_over_a_crash() {
    if outside() {
        return;
    }
    let mut home = Home::new(&[]).await;
    for version in KEEPERS {
        let (mut away, _) = Client::connect_with(home.addr(), keeping(version, "away")).await;
        away.subscribe("a/#", Qos::ExactlyOnce).await;
        away.leave().await;
        let mut publisher = Client::connect(home.addr(), Version::V5, "publisher").await;
        for n in 0..20 {
            let qos = if n % 2 == 0 { Qos::AtLeastOnce } else { Qos::ExactlyOnce };
            assert_eq!(publisher.publish(message("a/b", n.to_string(), qos)).await, ReasonCode::Success);
        }
        home = home.crash().await;
        let mut away = come_back(&home, version, "away").await;
        for n in 0..20 {
            assert_eq!(away.take_text().await, n.to_string());
        }
        // Its subscription holds, and nothing comes twice.
        let mut publisher = Client::connect(home.addr(), Version::V5, "publisher").await;
        publisher.publish(message("a", "new", Qos::AtLeastOnce)).await;
        assert_eq!(away.take_text().await, "new");
        away.ping().await;
        away.leave().await;
        home = home.restart().await;
        let mut away = come_back(&home, version, "away").await;
        away.ping().await;
        away.leave().await;
    }
}

#[tokio::test]
async fn one_message_for_many_is_there_for_each() {
    if outside() {
        return;
    }
    let home = Home::new(&[]).await;
    let names = ["one", "two", "three"];
    for name in names {
        let (mut away, _) = Client::connect_with(home.addr(), keeping(Version::V5, name)).await;
        away.subscribe("t", Qos::AtLeastOnce).await;
        away.leave().await;
    }
    let mut publisher = Client::connect(home.addr(), Version::V5, "publisher").await;
    publisher.publish(message("t", "m", Qos::AtLeastOnce)).await;
    let home = home.crash().await;
    come_back(&home, Version::V5, "one").await.take_text().await;
    let home = home.crash().await;
    for name in &names[1..] {
        assert_eq!(come_back(&home, Version::V5, name).await.take_text().await, "m");
    }
}

#[tokio::test]
async fn what_was_sent_is_sent_again_with_its_packet_id() {
    if outside() {
        return;
    }
    for version in KEEPERS {
        let home = Home::new(&[]).await;
        let (mut reader, _) = Client::connect_with(home.addr(), keeping(version, "reader")).await;
        reader.subscribe("a", Qos::ExactlyOnce).await;
        let mut publisher = Client::connect(home.addr(), Version::V5, "publisher").await;
        for (text, qos) in [("1", Qos::ExactlyOnce), ("2", Qos::AtLeastOnce), ("3", Qos::ExactlyOnce)] {
            publisher.publish(message("a", text, qos)).await;
        }
        let sent: Vec<_> =
            [reader.receive_publish().await, reader.receive_publish().await, reader.receive_publish().await].into();
        // The client has the first and the last one; only their packet ids are still in use.
        let taken = [&sent[2], &sent[0]].map(|publish| publish.packet_id.unwrap());
        for id in taken {
            reader.send(Packet::PubRec(Ack::new(id, ReasonCode::Success))).await;
            reader.expect_pubrel(id).await;
        }
        let home = home.crash().await;
        let mut reader = come_back(&home, version, "reader").await;
        // [MQTT-4.6.0-4]: as it has taken them.
        for id in taken {
            reader.expect_pubrel(id).await;
        }
        let again = reader.receive_publish().await;
        // [MQTT-4.4.0-1]
        assert_eq!(again, Publish { dup: true, ..sent[1].clone() });
        reader.acknowledge(&again).await;
        for id in taken {
            reader.send(Packet::PubComp(Ack::new(id, ReasonCode::Success))).await;
        }
        reader.ping().await;
        let home = home.crash().await;
        let mut reader = come_back(&home, version, "reader").await;
        reader.ping().await;
    }
}

#[tokio::test]
async fn a_qos_2_message_is_taken_once_over_a_crash() {
    if outside() {
        return;
    }
    for version in KEEPERS {
        let home = Home::new(&[]).await;
        let (mut reader, _) = Client::connect_with(home.addr(), keeping(version, "reader")).await;
        reader.subscribe("a", Qos::ExactlyOnce).await;
        reader.leave().await;
        let (mut publisher, _) = Client::connect_with(home.addr(), keeping(version, "publisher")).await;
        let packet_id = publisher.send_publish(message("a", "once", Qos::ExactlyOnce)).await.unwrap();
        publisher.expect_pubrec(packet_id).await;

        let home = home.crash().await;
        let mut publisher = come_back(&home, version, "publisher").await;
        let again =
            Publish { dup: true, packet_id: Some(packet_id), ..publish_of(message("a", "once", Qos::ExactlyOnce)) };
        publisher.send(Packet::Publish(again)).await;
        publisher.expect_pubrec(packet_id).await;
        publisher.send(Packet::PubRel(Ack::new(packet_id, ReasonCode::Success))).await;
        assert_eq!(publisher.expect_pubcomp(packet_id).await, ReasonCode::Success);

        let home = home.crash().await;
        // The packet id is free.
        let mut publisher = come_back(&home, version, "publisher").await;
        let next = Publish { packet_id: Some(packet_id), ..publish_of(message("a", "next", Qos::ExactlyOnce)) };
        publisher.send(Packet::Publish(next)).await;
        publisher.expect_pubrec(packet_id).await;
        let mut reader = come_back(&home, version, "reader").await;
        assert_eq!(reader.take_text().await, "once");
        assert_eq!(reader.take_text().await, "next");
        reader.ping().await;
    }
}

fn publish_of(message: mqtt_codec::Message) -> Publish {
    let mqtt_codec::Message { topic, payload, qos, retain, properties } = message;
    Publish { dup: false, qos, retain, topic: Some(topic), packet_id: Some(id(1)), properties, payload }
}

#[tokio::test]
async fn retained_messages_are_the_last_acknowledged() {
    if outside() {
        return;
    }
    let home = Home::new(&[]).await;
    let mut publisher = Client::connect(home.addr(), Version::V5, "publisher").await;
    for (topic, text) in [("r/a", "old"), ("r/b", "gone"), ("r/a", "new"), ("r/b", "")] {
        publisher.publish(retained(topic, text, Qos::AtLeastOnce)).await;
    }
    let home = home.crash().await;
    let mut reader = Client::connect(home.addr(), Version::V5, "reader").await;
    reader.subscribe("r/#", Qos::AtLeastOnce).await;
    let publish = reader.take().await;
    assert_eq!((&publish.payload[..], publish.retain), (&b"new"[..], true));
    reader.ping().await;
}

#[tokio::test]
async fn a_session_that_has_ended_stays_so() {
    if outside() {
        return;
    }
    let home = Home::new(&[]).await;
    // Ended by a clean start, by itself, and by its client.
    for name in ["clean", "short", "left"] {
        let (mut client, _) = Client::connect_with(home.addr(), keeping(Version::V5, name)).await;
        client.subscribe("a", Qos::AtLeastOnce).await;
        client.leave().await;
    }
    Client::connect(home.addr(), Version::V3_1_1, "clean").await.leave().await;
    let brief =
        Connect { properties: [mqtt_codec::Property::SessionExpiry(0)].into(), ..keeping(Version::V5, "short") };
    Client::connect_with(home.addr(), brief).await.0.leave().await;
    let left = Client::connect_with(home.addr(), keeping(Version::V5, "left")).await.0;
    left.leave_with(ReasonCode::Success, [mqtt_codec::Property::SessionExpiry(0)].into()).await;
    let mut publisher = Client::connect(home.addr(), Version::V5, "publisher").await;
    assert_eq!(publisher.publish(message("a", "m", Qos::AtLeastOnce)).await, ReasonCode::NoMatchingSubscribers);
    let home = home.crash().await;
    for name in ["clean", "short", "left"] {
        let (_, answer) = Client::connect_with(home.addr(), keeping(Version::V5, name)).await;
        assert!(!answer.session_present, "{name}");
    }
}

#[tokio::test]
async fn unsubscribing_outlives_a_crash() {
    if outside() {
        return;
    }
    let home = Home::new(&[]).await;
    let (mut client, _) = Client::connect_with(home.addr(), keeping(Version::V5, "c")).await;
    client.subscribe("a", Qos::AtLeastOnce).await;
    client.subscribe("b", Qos::AtLeastOnce).await;
    client.unsubscribe(&["a"]).await;
    let home = home.crash().await;
    let mut client = come_back(&home, Version::V5, "c").await;
    let mut publisher = Client::connect(home.addr(), Version::V5, "publisher").await;
    publisher.publish(message("a", "no", Qos::AtLeastOnce)).await;
    publisher.publish(message("b", "yes", Qos::AtLeastOnce)).await;
    assert_eq!(client.take_text().await, "yes");
}

#[tokio::test]
async fn a_delayed_will_waits_over_a_restart() {
    if outside() {
        return;
    }
    let home = Home::new(&[]).await;
    let (mut watcher, _) = Client::connect_with(home.addr(), keeping(Version::V5, "watcher")).await;
    watcher.subscribe("will", Qos::AtLeastOnce).await;
    let left = Will { message: message("will", "gone", Qos::AtLeastOnce), delay: 1 };
    let asked = Connect { will: Some(left), ..keeping(Version::V5, "willing") };
    Client::connect_with(home.addr(), asked).await.0.cut().await;
    let home = home.restart().await;
    let mut watcher = come_back(&home, Version::V5, "watcher").await;
    assert_eq!(watcher.take_text().await, "gone");
    // Its acknowledgement has arrived.
    watcher.ping().await;
    let home = home.crash().await;
    let mut watcher = come_back(&home, Version::V5, "watcher").await;
    watcher.ping().await;
}

#[tokio::test]
async fn the_will_of_who_was_online_is_published_after_a_crash() {
    if outside() {
        return;
    }
    let home = Home::new(&["--set", "modules.presence.recovery_grace=0s"]).await;
    let (mut watcher, _) = Client::connect_with(home.addr(), keeping(Version::V5, "watcher")).await;
    watcher.subscribe("will/#", Qos::AtLeastOnce).await;
    let mut online = Vec::new();
    for asked in [connect(Version::V3_1_1, "brief"), keeping(Version::V5, "kept")] {
        let will = Will { message: message(&format!("will/{}", asked.client_id), "gone", Qos::AtLeastOnce), delay: 0 };
        online.push(Client::connect_with(home.addr(), Connect { will: Some(will), ..asked }).await.0);
    }
    let home = home.crash().await;
    let mut watcher = come_back(&home, Version::V5, "watcher").await;
    let mut wills = [watcher.take().await, watcher.take().await].map(|publish| publish.topic.unwrap().to_string());
    wills.sort();
    assert_eq!(wills, ["will/brief", "will/kept"]);
    watcher.ping().await;
    let home = home.crash().await;
    let mut watcher = come_back(&home, Version::V5, "watcher").await;
    watcher.ping().await;
}

#[tokio::test]
async fn one_folder_is_for_one_broker() {
    if outside() {
        return;
    }
    let home = Home::new(&[]).await;
    let folder = home.folder.path().to_str().unwrap();
    let output = command(&["--bind", "127.0.0.1:0", "--data-dir", folder]).output().await.unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains(folder) && text.contains("--data-dir"), "{text}");
    Client::connect(home.addr(), Version::V5, "c").await.leave().await;
}

#[tokio::test]
async fn messages_are_kept_for_power_too() {
    if outside() {
        return;
    }
    let home = Home::new(&["--set", "storage.durability=power"]).await;
    let (mut away, _) = Client::connect_with(home.addr(), keeping(Version::V5, "away")).await;
    away.subscribe("a", Qos::ExactlyOnce).await;
    away.leave().await;
    let mut publisher = Client::connect(home.addr(), Version::V5, "publisher").await;
    for n in 0..10 {
        publisher.publish(message("a", n.to_string(), Qos::ExactlyOnce)).await;
    }
    let home = home.crash().await;
    let mut away = come_back(&home, Version::V5, "away").await;
    for n in 0..10 {
        assert_eq!(away.take_text().await, n.to_string());
    }
}

/// Nothing is promised that can't be kept, all else goes on, and it heals.
#[tokio::test]
async fn a_full_disk_is_told_and_loses_nothing() {
    if outside() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--bind", "127.0.0.1:0", "--data-dir", folder.path().to_str().unwrap()];
    let running = Running::start(&mut command_with_short_files(256, &flags)).await;
    let addr = running.addr();
    let (mut away, _) = Client::connect_with(addr, keeping(Version::V5, "away")).await;
    away.subscribe("a", Qos::AtLeastOnce).await;
    away.leave().await;
    let mut watcher = Client::connect(addr, Version::V5, "watcher").await;
    for filter in ["$SYS/brokers/+/alarms/#", "live", "$SYS/brokers/+/clients/late/connected"] {
        watcher.subscribe(filter, Qos::AtMostOnce).await;
    }

    let mut accepted = 0;
    let mut old = Client::connect(addr, Version::V3_1_1, "old").await;
    'full: for n in 0.. {
        let text = format!("{n:04}{}", "x".repeat(4000));
        let packet_id = old.send_publish(message("a", text, Qos::AtLeastOnce)).await;
        loop {
            match old.receive_or_end().await {
                Some(Packet::PubAck(ack)) if Some(ack.packet_id) == packet_id => break,
                Some(_) => {}
                // Before MQTT 5 it can only be closed.
                None => break 'full,
            }
        }
        accepted = n + 1;
    }
    assert!(accepted > 0);
    let topic_of = |publish: &Publish| publish.topic.as_ref().unwrap().to_string();
    assert!(topic_of(&watcher.take().await).ends_with("/alarms/activate"));

    let mut late = Client::connect(addr, Version::V5, "late").await;
    assert!(topic_of(&watcher.take().await).ends_with("/clients/late/connected"));
    for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
        assert_eq!(late.publish(message("a", "refused", qos)).await, ReasonCode::QuotaExceeded);
    }
    late.send_publish(message("live", "goes on", Qos::AtMostOnce)).await;
    assert_eq!(watcher.take_text().await, "goes on");

    running.lift_limit().await;
    assert!(topic_of(&watcher.take().await).ends_with("/alarms/deactivate"));
    assert_eq!(late.publish(message("a", "last", Qos::ExactlyOnce)).await, ReasonCode::Success);

    running.kill().await;
    let home = Home { running: start(&folder, &[]).await, folder, more: Vec::new() };
    let mut away = come_back(&home, Version::V5, "away").await;
    for n in 0..accepted {
        assert_eq!(away.take_text().await[..4], format!("{n:04}"));
    }
    // The one that was not answered may be there too.
    while away.take_text().await != "last" {}
}
