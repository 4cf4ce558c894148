//! A store that can't be written to is no matter of clients that store nothing.

use std::time::Duration;

use bytes::BytesMut;
use mqtt_codec::{Packet, Publish, Qos, Version};
use tokio::time::{Instant, sleep};

use crate::broker::outside;
use crate::cli::{Running, command_with_short_files};
use crate::client::{Client, keeping, message, topic};

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
