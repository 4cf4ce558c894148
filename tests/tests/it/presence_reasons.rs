//! Why a client is gone, by every way to go.

use std::time::Duration;

use mqtt_codec::{Connect, Packet, Properties, Qos, ReasonCode, Version};

use crate::{
    broker::Broker,
    client::{Client, VERSIONS, connect, keeping, message, will},
    events::{Event, Watcher},
};

/// A client that has been announced.
async fn come(watcher: &mut Watcher, broker: &Broker, version: Version) -> Client {
    let client = Client::connect(broker.addr, version, "it").await;
    watcher.connected("it").await;
    client
}

#[tokio::test]
async fn a_polite_client_gives_its_reason() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut watcher = Watcher::start(broker.addr).await;
    for version in VERSIONS {
        come(&mut watcher, &broker, version).await.leave().await;
        watcher.disconnected("it", "normal").await;
    }
    for (code, reason) in [
        (ReasonCode::DisconnectWithWill, "disconnect_with_will_message"),
        (ReasonCode::UnspecifiedError, "unspecified_error"),
        (ReasonCode::MessageRateTooHigh, "message_rate_too_high"),
        (ReasonCode::QuotaExceeded, "quota_exceeded"),
        (ReasonCode::AdministrativeAction, "administrative_action"),
        (ReasonCode::PayloadFormatInvalid, "payload_format_invalid"),
    ] {
        come(&mut watcher, &broker, Version::V5).await.leave_with(code, Properties::EMPTY).await;
        watcher.disconnected("it", reason).await;
    }
}

#[tokio::test]
async fn a_cut_and_a_reset_are_told_apart() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut watcher = Watcher::start(broker.addr).await;
    for version in VERSIONS {
        come(&mut watcher, &broker, version).await.cut().await;
        watcher.disconnected("it", "tcp_closed").await;
        come(&mut watcher, &broker, version).await.reset();
        watcher.disconnected("it", "econnreset").await;
        // Half a packet before the end changes nothing.
        let mut client = come(&mut watcher, &broker, version).await;
        client.send_bytes(&[0x30, 100, 0, 1]).await;
        client.cut().await;
        watcher.disconnected("it", "tcp_closed").await;
    }
}

/// A clean farewell counts, though the same client is back before the broker has looked at it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_farewell_right_before_a_return_is_heard() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut watcher = Watcher::start(broker.addr).await;
    for round in 0..300 {
        let version = VERSIONS[round % 3];
        let asked = Connect { will: Some(will("will/it", "not wanted")), ..connect(version, "it") };
        let (mut first, _) = Client::connect_with(broker.addr, asked).await;
        watcher.connected("it").await;
        let bye = mqtt_codec::Disconnect { reason: ReasonCode::Success, properties: Properties::EMPTY };
        first.send(Packet::Disconnect(bye)).await;
        drop(first);
        let second = Client::connect(broker.addr, version, "it").await;
        watcher.disconnected("it", "normal").await;
        watcher.connected("it").await;
        second.leave().await;
        watcher.disconnected("it", "normal").await;
    }
}

#[tokio::test]
async fn offences_are_named() {
    let Some(broker) = Broker::with(|config| {
        config.limits.max_packet_size = 1000;
        config.limits.receive_maximum = 1;
    })
    .await
    else {
        return;
    };
    let mut watcher = Watcher::start(broker.addr).await;
    for version in VERSIONS {
        let mut second_connect = bytes::BytesMut::new();
        Packet::Connect(Box::new(connect(version, "it"))).encode(version, &mut second_connect).unwrap();
        for (bytes, reason) in [
            (&second_connect[..], "protocol_error"),
            (&[0xc1, 0], "malformed_packet"),
            (&[0x30, 0xff, 0x7f], "packet_too_large"),
        ] {
            let mut client = come(&mut watcher, &broker, version).await;
            client.send_bytes(bytes).await;
            watcher.disconnected("it", reason).await;
        }
    }
    let cases: [(&[u8], &str); 2] = [
        (&[0x30, 7, 0, 1, b'a', 3, 35, 0xff, 0xff], "topic_alias_invalid"),
        (&[0x34, 6, 0, 1, b'a', 0, 1, 0, 0x34, 6, 0, 1, b'a', 0, 2, 0], "receive_maximum_exceeded"),
    ];
    for (bytes, reason) in cases {
        let mut client = come(&mut watcher, &broker, Version::V5).await;
        client.send_bytes(bytes).await;
        watcher.disconnected("it", reason).await;
    }
}

#[tokio::test]
async fn silence_is_named() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut watcher = Watcher::start(broker.addr).await;
    for version in VERSIONS {
        let asked = Connect { keep_alive: 1, will: Some(will("will/it", "silent")), ..connect(version, "it") };
        let (_client, _) = Client::connect_with(broker.addr, asked).await;
        watcher.connected("it").await;
        assert_eq!(watcher.client.take_text().await, "silent", "the will is before the event");
        watcher.disconnected("it", "keepalive_timeout").await;
    }
}

#[tokio::test]
async fn a_kick_is_named() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut watcher = Watcher::start(broker.addr).await;
    for version in VERSIONS {
        let mut client = come(&mut watcher, &broker, version).await;
        assert!(broker.server().kick("it"));
        watcher.disconnected("it", "kicked").await;
        client.expect_disconnect(ReasonCode::AdministrativeAction).await;
        assert!(!broker.server().kick("it"), "it is gone");
    }
    // Guarantee 6: nor is a session without a connection.
    let (client, _) = Client::connect_with(broker.addr, keeping(Version::V5, "it")).await;
    watcher.connected("it").await;
    client.leave().await;
    watcher.disconnected("it", "normal").await;
    broker.server().kick("it");
    watcher.silence().await;
}

#[tokio::test]
async fn who_takes_nothing_is_named() {
    let Some(broker) = Broker::with(|config| {
        config.limits.slow_consumer_timeout = Duration::from_millis(200);
        config.limits.outbox = 64 << 10;
    })
    .await
    else {
        return;
    };
    let mut watcher = Watcher::start(broker.addr).await;
    let mut slow = come(&mut watcher, &broker, Version::V5).await;
    slow.subscribe("flood", Qos::AtMostOnce).await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    watcher.connected("publisher").await;
    let flood = async {
        loop {
            publisher.publish(message("flood", vec![b'x'; 60_000], Qos::AtMostOnce)).await;
        }
    };
    tokio::select! {
        () = flood => {}
        _ = watcher.disconnected("it", "slow_consumer") => {}
    }
}

/// Guarantee 2: a watcher on `$SYS` sees all others go.
#[tokio::test]
async fn a_shutdown_tells_everyone() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut watcher = Watcher::start(broker.addr).await;
    let mut clients = Vec::new();
    for (number, version) in VERSIONS.into_iter().cycle().take(30).enumerate() {
        let client_id = format!("c{number}");
        let name = format!("will/{client_id}");
        let asked = Connect { will: Some(will(&name, "left")), ..connect(version, &client_id) };
        clients.push(Client::connect_with(broker.addr, asked).await.0);
        watcher.connected(&client_id).await;
    }
    let ((), packets) = tokio::join!(broker.shutdown(), watcher.read_to_end());
    for mut client in clients {
        client.expect_disconnect(ReasonCode::ServerShuttingDown).await;
    }
    let mut wills = std::collections::HashSet::new();
    let mut gone = std::collections::HashSet::new();
    let mut last = None;
    for packet in packets {
        match packet {
            Packet::Publish(publish) if publish.payload == "left" => {
                let name = publish.topic.unwrap();
                assert!(wills.insert(name.as_str().strip_prefix("will/").unwrap().to_owned()));
            }
            Packet::Publish(publish) => {
                let event = Event::read(publish).unwrap();
                assert_eq!(event.object.text("reason"), "server_shutting_down");
                if event.client_id != "watcher" {
                    assert!(wills.contains(&event.client_id), "the will is before the event");
                    assert!(gone.insert(event.client_id));
                }
            }
            other => last = Some(other),
        }
    }
    assert_eq!((wills.len(), gone.len()), (30, 30));
    assert!(matches!(last, Some(Packet::Disconnect(bye)) if bye.reason == ReasonCode::ServerShuttingDown));
}
