//! `rollcall import mosquitto-db`: clients find what mosquitto had for them.

use std::path::Path;

use mqtt_codec::{Connect, Packet, PacketId, Property, Qos, ReasonCode, Version};

use crate::{
    backup::{run, start_on},
    broker::outside,
    client::{Client, connect, keeping},
};

/// Of mosquitto 2.0.11, see the tests of the crate that reads it.
fn database() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/migrate/tests/files/mosquitto-v6.db");
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn sessions_and_retained_messages_of_mosquitto_go_on_here() {
    if outside() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let text = data.to_str().unwrap().to_owned();
    let (code, told) = run(&["--data-dir", &text, "import", "mosquitto-db", &database(), "--dry-run"]).await;
    assert!(code == Some(0) && told.contains("retained 2, sessions 3 with 4 subscriptions"), "{told}");
    assert!(!data.exists());
    let (code, told) = run(&["--data-dir", &text, "import", "mosquitto-db", &database()]).await;
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(run(&["--data-dir", &text, "store", "check"]).await.0, Some(0));
    let running = start_on(&data).await;
    let (code, told) = run(&["--data-dir", &text, "import", "mosquitto-db", &database()]).await;
    assert!(code == Some(2) && told.contains("stop it first"), "{told}");

    let old = Connect { clean_start: false, ..connect(Version::V3_1_1, "old") };
    let (mut old, connack) = Client::connect_with(running.addr(), old).await;
    assert!(connack.session_present);
    for expected in ["m1", "m2", "m3", "m4"] {
        assert_eq!(old.take_text().await, expected);
    }
    let (mut new, connack) = Client::connect_with(running.addr(), keeping(Version::V5, "new")).await;
    assert!(connack.session_present);
    for expected in ["m1", "m2", "m3", "m4"] {
        let publish = new.take().await;
        assert_eq!(publish.payload, expected);
        assert!(publish.properties.iter().any(|property| property == Property::SubscriptionId(7)));
    }

    // It was in the middle of three exchanges.
    let half = Connect { clean_start: false, ..connect(Version::V3_1_1, "half") };
    let (mut half, connack) = Client::connect_with(running.addr(), half).await;
    assert!(connack.session_present);
    let mut found = Vec::new();
    for _ in 0..3 {
        let publish = half.take().await;
        found.push((String::from_utf8(publish.payload.to_vec()).unwrap(), publish.dup));
    }
    let sent = |text: &str, again| (text.to_owned(), again);
    assert_eq!(found, [sent("o1", true), sent("o2", true), sent("pending", false)]);
    let id = PacketId::new(9).unwrap();
    half.send(Packet::PubRel(mqtt_codec::Ack::new(id, ReasonCode::Success))).await;
    match half.receive().await {
        Packet::PubComp(ack) => assert_eq!((ack.packet_id, ack.reason), (id, ReasonCode::Success)),
        other => panic!("no PUBCOMP but {other:?}"),
    }

    let mut reader = Client::connect(running.addr(), Version::V5, "reader").await;
    reader.subscribe("kept/+", Qos::ExactlyOnce).await;
    let mut kept = [reader.take().await, reader.take().await];
    kept.sort_by_key(|publish| publish.payload.clone());
    assert_eq!((&*kept[0].payload, &*kept[1].payload), (&b"first"[..], &b"second"[..]));
    let properties: Vec<_> = kept[1].properties.iter().collect();
    assert!(properties.contains(&Property::ContentType("text/plain".into())), "{properties:?}");
    assert!(properties.contains(&Property::UserProperty("k".into(), "v".into())), "{properties:?}");
    running.stop().await;
}
