//! Wills.

use mqtt_codec::{Connect, Message, Packet, Properties, Property, Qos, ReasonCode, Version, Will};

use crate::{
    broker::{Broker, alone, outside},
    client::{Client, QOS, VERSIONS, connect, keeping, message, retained, topic, will},
    clock,
};

async fn watcher(broker: &Broker) -> Client {
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe("will/#", Qos::ExactlyOnce).await;
    watcher
}

fn willing(version: Version, will: Will) -> Connect {
    Connect { will: Some(will), ..connect(version, "willing") }
}

/// With a session that is kept, so that nothing but the will's delay counts.
fn delayed(delay: u32, expiry: u32) -> Connect {
    Connect {
        clean_start: false,
        properties: [Property::SessionExpiry(expiry)].into(),
        ..willing(Version::V5, Will { delay, ..will("will/late", "late") })
    }
}

/// [MQTT-3.1.2-8]
#[tokio::test]
async fn a_cut_connection_publishes_the_will() {
    let broker = Broker::start().await;
    let mut watcher = watcher(&broker).await;
    for version in VERSIONS {
        for qos in QOS {
            let left = Will { message: message("will/a", "left", qos), delay: 0 };
            let (client, _) = Client::connect_with(broker.addr, willing(version, left)).await;
            client.cut().await;
            let got = watcher.take().await;
            assert_eq!((got.topic, got.qos, got.retain), (Some(topic("will/a")), qos, false));
            assert_eq!(got.payload, "left");
        }
    }
}

#[tokio::test]
async fn a_reset_connection_publishes_the_will() {
    let broker = Broker::start().await;
    let mut watcher = watcher(&broker).await;
    for version in VERSIONS {
        let (client, _) = Client::connect_with(broker.addr, willing(version, will("will/a", "reset"))).await;
        client.reset();
        assert_eq!(watcher.take_text().await, "reset");
    }
}

/// [MQTT-3.1.2-10] [MQTT-3.14.4-3]
#[tokio::test]
async fn disconnect_drops_the_will_unless_it_says_with_will() {
    let broker = Broker::start().await;
    let mut watcher = watcher(&broker).await;
    for version in VERSIONS {
        let (client, _) = Client::connect_with(broker.addr, willing(version, will("will/a", "dropped"))).await;
        client.leave().await;
        watcher.ping().await;
    }
    for reason in [ReasonCode::DisconnectWithWill, ReasonCode::UnspecifiedError, ReasonCode::ImplementationSpecific] {
        let (client, _) = Client::connect_with(broker.addr, willing(Version::V5, will("will/a", "kept"))).await;
        client.leave_with(reason, Properties::EMPTY).await;
        assert_eq!(watcher.take_text().await, "kept", "after {reason:?}");
    }
}

#[tokio::test]
async fn an_offence_publishes_the_will() {
    let broker = Broker::start().await;
    let mut watcher = watcher(&broker).await;
    for version in VERSIONS {
        for offence in [&[0xc1, 0][..], &[0x36, 5, 0, 1, b'a', 0, 1], &[0x00, 0]] {
            let (mut client, _) = Client::connect_with(broker.addr, willing(version, will("will/a", "bad"))).await;
            client.send_bytes(offence).await;
            while client.receive_or_end().await.is_some() {}
            assert_eq!(watcher.take_text().await, "bad");
        }
    }
}

#[tokio::test]
async fn silence_publishes_the_will() {
    let broker = Broker::start().await;
    let mut watcher = watcher(&broker).await;
    for version in VERSIONS {
        let asked = Connect { keep_alive: 1, ..willing(version, will("will/a", "silent")) };
        let (mut client, _) = Client::connect_with(broker.addr, asked).await;
        assert_eq!(watcher.take_text().await, "silent");
        client.expect_disconnect(ReasonCode::KeepAliveTimeout).await;
    }
}

/// [MQTT-3.1.2-14] [MQTT-3.1.2-15]
#[tokio::test]
async fn a_retained_will_is_kept() {
    let broker = Broker::start().await;
    for version in VERSIONS {
        let name = format!("will/{version:?}");
        let asked = willing(version, Will { message: retained(&name, "kept", Qos::AtLeastOnce), delay: 0 });
        let (client, _) = Client::connect_with(broker.addr, asked).await;
        client.cut().await;
        let mut late = Client::connect(broker.addr, Version::V5, "late").await;
        late.subscribe(&name, Qos::AtLeastOnce).await;
        let got = late.take().await;
        assert!(got.retain && got.payload == "kept");
    }
}

#[tokio::test]
async fn an_empty_will_is_a_message_too() {
    let broker = Broker::start().await;
    let mut watcher = watcher(&broker).await;
    let (client, _) = Client::connect_with(broker.addr, willing(Version::V3_1_1, will("will/a", ""))).await;
    client.cut().await;
    assert_eq!(watcher.take().await.payload, "");
}

#[tokio::test]
async fn properties_of_the_will_are_forwarded_without_its_delay() {
    let broker = Broker::start().await;
    let mut watcher = watcher(&broker).await;
    let properties: Properties = [
        Property::PayloadFormat(true),
        Property::ContentType("text/plain".into()),
        Property::ResponseTopic("answer".into()),
        Property::CorrelationData(b"id"[..].into()),
        Property::UserProperty("k".into(), "v".into()),
        Property::UserProperty("k".into(), "w".into()),
    ]
    .into();
    let message = Message { properties: properties.clone(), ..message("will/a", "x", Qos::AtLeastOnce) };
    let asked = Connect {
        properties: [Property::SessionExpiry(60)].into(),
        ..willing(Version::V5, Will { message, delay: 1 })
    };
    let (client, _) = Client::connect_with(broker.addr, asked).await;
    client.cut().await;
    let got = watcher.take().await.properties;
    if outside() {
        assert_eq!(got.iter().count(), 6);
    } else {
        assert_eq!(got, properties);
    }
}

/// 3.1.3.2.4: the lifetime begins when the will is published.
#[tokio::test]
async fn a_will_has_its_expiry_from_the_moment_it_is_published() {
    let broker = Broker::start().await;
    let mut watcher = watcher(&broker).await;
    for delay in [0, 2] {
        let message = Message {
            properties: [Property::MessageExpiry(1000)].into(),
            ..message("will/a", "expiring", Qos::AtLeastOnce)
        };
        let asked = Connect {
            properties: [Property::SessionExpiry(60)].into(),
            ..willing(Version::V5, Will { message, delay })
        };
        let (client, _) = Client::connect_with(broker.addr, asked).await;
        client.cut().await;
        let left = watcher.take().await.properties.message_expiry();
        assert!(left.is_some_and(|left| (998..=1000).contains(&left)), "{left:?} after a delay of {delay}");
    }
    // One that nobody takes in time is gone.
    let (mut away, _) = Client::connect_with(broker.addr, keeping(Version::V5, "away")).await;
    away.subscribe("will/#", Qos::AtLeastOnce).await;
    away.leave().await;
    let message =
        Message { properties: [Property::MessageExpiry(1)].into(), ..message("will/a", "gone", Qos::AtLeastOnce) };
    let (client, _) = Client::connect_with(broker.addr, willing(Version::V5, Will { message, delay: 0 })).await;
    client.cut().await;
    clock::wait(broker.addr, 3).await;
    let (mut away, _) = Client::connect_with(broker.addr, keeping(Version::V5, "away")).await;
    away.ping().await;
}

/// [MQTT-3.1.3-9]
#[tokio::test]
async fn a_delayed_will_waits_and_is_cancelled_by_the_clients_return() {
    let broker = Broker::start().await;
    let mut watcher = watcher(&broker).await;
    let (client, _) = Client::connect_with(broker.addr, delayed(1, 1000)).await;
    client.cut().await;
    watcher.ping().await;
    assert_eq!(watcher.take_text().await, "late");

    let (client, _) = Client::connect_with(broker.addr, delayed(2, 1000)).await;
    client.cut().await;
    let asked = Connect { will: None, ..delayed(0, 1000) };
    let (mut client, connack) = Client::connect_with(broker.addr, asked).await;
    assert!(connack.session_present);
    clock::wait(broker.addr, 4).await;
    watcher.ping().await;
    client.ping().await;
}

#[tokio::test]
async fn a_session_that_ends_first_publishes_the_delayed_will() {
    let broker = Broker::start().await;
    let mut watcher = watcher(&broker).await;
    // With the connection.
    let (client, _) = Client::connect_with(broker.addr, delayed(1000, 0)).await;
    client.cut().await;
    assert_eq!(watcher.take_text().await, "late");
    // After a second.
    let (client, _) = Client::connect_with(broker.addr, delayed(1000, 1)).await;
    client.cut().await;
    assert_eq!(watcher.take_text().await, "late");
    // By a DISCONNECT that keeps the will and ends the session.
    let (client, _) = Client::connect_with(broker.addr, delayed(1000, 1000)).await;
    client.leave_with(ReasonCode::DisconnectWithWill, [Property::SessionExpiry(0)].into()).await;
    assert_eq!(watcher.take_text().await, "late");
    // By a clean start of the same client.
    let (client, _) = Client::connect_with(broker.addr, delayed(1000, 1000)).await;
    client.cut().await;
    watcher.ping().await;
    let _new = Client::connect(broker.addr, Version::V5, "willing").await;
    assert_eq!(watcher.take_text().await, "late");
    watcher.ping().await;
}

#[tokio::test]
async fn a_delayed_will_waits_after_disconnect_with_will_too() {
    let broker = Broker::start().await;
    let mut watcher = watcher(&broker).await;
    let (client, _) = Client::connect_with(broker.addr, delayed(2, 1000)).await;
    client.leave_with(ReasonCode::DisconnectWithWill, Properties::EMPTY).await;
    watcher.ping().await;
    assert_eq!(watcher.take_text().await, "late");
}

#[tokio::test]
async fn a_will_belongs_to_one_connection() {
    let broker = Broker::start().await;
    let mut watcher = watcher(&broker).await;
    for version in VERSIONS {
        let asked = Connect { will: Some(will("will/a", "first")), ..keeping(version, "willing") };
        let (client, _) = Client::connect_with(broker.addr, asked).await;
        client.leave().await;
        let (client, _) = Client::connect_with(broker.addr, keeping(version, "willing")).await;
        client.cut().await;
        watcher.ping().await;
        Client::connect(broker.addr, version, "willing").await.leave().await;
    }
}

#[tokio::test]
async fn a_will_below_sys_is_not_published() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe("$SYS/mine/#", Qos::AtMostOnce).await;
    watcher.subscribe("will/#", Qos::AtMostOnce).await;
    for version in VERSIONS {
        let (client, connack) = Client::try_connect(broker.addr, willing(version, will("$SYS/mine/a", "forged"))).await;
        if !connack.reason.is_error() {
            client.cut().await;
        }
        let (client, _) = Client::connect_with(broker.addr, willing(version, will("will/a", "marker"))).await;
        client.cut().await;
        assert_eq!(watcher.take_text().await, "marker");
    }
}

/// Who subscribes to wills stays until the others have gone, however few messages it takes at once.
#[tokio::test]
async fn a_shutdown_that_keeps_nothing_publishes_every_will() {
    // There they wait in the cluster, for its other nodes.
    if alone() {
        return;
    }
    let Some(broker) = Broker::with(|config| config.data_dir = None).await else { return };
    let few = Connect { properties: [Property::ReceiveMaximum(3)].into(), ..connect(Version::V5, "watcher") };
    let (mut watcher, _) = Client::connect_with(broker.addr, few).await;
    watcher.subscribe("will/#", Qos::AtLeastOnce).await;
    let away = Connect { client_id: "away".into(), ..delayed(500, 1000) };
    Client::connect_with(broker.addr, away).await.0.cut().await;
    let mut clients = Vec::new();
    for number in 0..100 {
        let left = Will { message: message("will/now", number.to_string(), Qos::AtLeastOnce), delay: number % 2 * 500 };
        let properties = [Property::SessionExpiry(1000)].into();
        let asked = Connect { will: Some(left), properties, ..connect(Version::V5, &format!("c{number}")) };
        clients.push(Client::connect_with(broker.addr, asked).await.0);
    }
    let read = async {
        let mut wills = Vec::new();
        while let Some(packet) = watcher.receive_or_end().await {
            if let Packet::Publish(publish) = packet {
                watcher.acknowledge(&publish).await;
                wills.push(publish.payload);
            }
        }
        wills
    };
    let ((), mut wills) = tokio::join!(broker.shutdown(), read);
    wills.sort();
    wills.dedup();
    assert_eq!(wills.len(), 101);
}
