//! A store that can't be written to is no matter of clients that store nothing.

use std::time::Duration;

use bytes::BytesMut;
use mqtt_codec::{Connect, Packet, Publish, Qos, ReasonCode, Version, Will};
use tokio::time::{Instant, sleep};

use crate::broker::outside;
use crate::cli::{Running, command_with_short_files};
use crate::client::{Client, connect, keeping, message, topic};

/// Some of the moments, a second apart, at which the broker notes that it lives.
const TIME: Duration = Duration::from_secs(5);

/// A PUBLISH and a PINGREQ, which reach the broker together.
fn publish_and_ping(text: &str) -> BytesMut {
    let publish = Publish {
        dup: false,
        qos: Qos::AtMostOnce,
        retain: false,
        topic: Some(topic("live")),
        packet_id: None,
        properties: [].into(),
        payload: text.to_owned().into(),
    };
    let mut bytes = BytesMut::new();
    for packet in [Packet::Publish(publish), Packet::PingReq] {
        packet.encode(Version::V5, &mut bytes).unwrap();
    }
    bytes
}

/// Makes the broker's files as long as they can be; the last message was not taken.
async fn fill(running: &Running) {
    let (mut away, _) = Client::connect_with(running.addr(), keeping(Version::V5, "away")).await;
    away.subscribe("fill", Qos::AtLeastOnce).await;
    away.leave().await;
    let mut filler = Client::connect(running.addr(), Version::V3_1_1, "filler").await;
    // Before MQTT 5 it can only be closed.
    loop {
        filler.send_publish(message("fill", "x".repeat(4000), Qos::AtLeastOnce)).await;
        match filler.receive_or_end().await {
            Some(Packet::PubAck(_)) => {}
            Some(other) => panic!("{other:?}"),
            None => return,
        }
    }
}

#[tokio::test]
async fn a_full_disk_does_not_disconnect_a_client_that_stores_nothing() {
    if outside() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    // With one thread all that happens at the same time happens there.
    let flags = ["--bind", "127.0.0.1:0", "--data-dir", folder, "--set", "runtime.workers=1"];
    let running = Running::start(&mut command_with_short_files(256, &flags)).await;
    let addr = running.addr();
    let mut subscriber = Client::connect(addr, Version::V5, "subscriber").await;
    subscriber.subscribe("live", Qos::AtMostOnce).await;
    let mut watcher = Client::connect(addr, Version::V5, "watcher").await;
    watcher.subscribe("$SYS/brokers/+/alarms/#", Qos::AtMostOnce).await;
    let early = Client::connect(addr, Version::V5, "early").await;
    fill(&running).await;
    assert!(watcher.take().await.topic.unwrap().as_str().ends_with("/alarms/activate"));
    let late = Client::connect(addr, Version::V5, "late").await;

    let began = Instant::now();
    let mut publishers = [("early", early), ("late", late)];
    let mut ended: Vec<(&str, Duration, Option<Packet>)> = Vec::new();
    for n in 0.. {
        if began.elapsed() > TIME || ended.len() == publishers.len() {
            break;
        }
        for (name, publisher) in &mut publishers {
            if ended.iter().any(|(gone, ..)| gone == name) {
                continue;
            }
            let text = format!("{name} {n}");
            publisher.send_bytes(&publish_and_ping(&text)).await;
            assert_eq!(subscriber.take_text().await, text);
            match publisher.receive_or_end().await {
                Some(Packet::PingResp) => {}
                other => ended.push((*name, began.elapsed(), other)),
            }
        }
        // Often enough to be the next after whatever the broker does by itself.
        sleep(Duration::from_millis(10)).await;
    }
    assert!(ended.is_empty(), "{ended:?}");
    subscriber.ping().await;
    // It fails all the time.
    watcher.ping().await;
}

/// Each coming and going of who has a will waits for the store with its message.
#[tokio::test]
async fn what_waits_for_a_full_disk_is_bounded() {
    if outside() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--bind", "127.0.0.1:0", "--data-dir", folder.path().to_str().unwrap()];
    let running = Running::start(&mut command_with_short_files(256, &flags)).await;
    let addr = running.addr();
    let mut inside = Client::connect(addr, Version::V5, "inside").await;
    inside.subscribe("$SYS/brokers/+/alarms/#", Qos::AtMostOnce).await;
    fill(&running).await;
    assert!(inside.take().await.topic.unwrap().as_str().ends_with("/alarms/activate"));
    let with_will = |version, n: u32| {
        let will = Will { message: message("w", vec![b'x'; 60_000], Qos::AtMostOnce), delay: 0 };
        Connect { will: Some(will), ..connect(version, &format!("c{n}")) }
    };
    let mut came = 0;
    let refused = loop {
        let (client, answer) = Client::try_connect(addr, with_will(Version::V5, came)).await;
        if answer.reason != ReasonCode::Success {
            break answer.reason;
        }
        came += 1;
        assert!(came < 2_000, "it has no bound");
        client.leave().await;
    };
    assert_eq!(refused, ReasonCode::QuotaExceeded);
    assert!(came > 500, "{came}");
    let (_, answer) = Client::try_connect(addr, with_will(Version::V3_1_1, came)).await;
    assert_eq!(answer.reason, ReasonCode::ServerUnavailable);
    let (_, answer) = Client::try_connect(addr, keeping(Version::V5, "keeping")).await;
    assert_eq!(answer.reason, ReasonCode::QuotaExceeded);
    // Who leaves little behind comes in, and who is inside stays.
    Client::connect(addr, Version::V5, "plain").await.leave().await;
    inside.ping().await;

    running.lift_limit().await;
    while !inside.take().await.topic.unwrap().as_str().ends_with("/alarms/deactivate") {}
    let (_, answer) = Client::try_connect(addr, with_will(Version::V5, came)).await;
    assert_eq!(answer.reason, ReasonCode::Success);
}
