//! How many levels topics and filters may have.

use mqtt_codec::{Connect, Packet, Qos, ReasonCode, Version, Will};

use crate::{
    broker::Broker,
    client::{Client, QOS, VERSIONS, connect, message},
};

/// A text of so many levels.
fn deep(levels: usize) -> String {
    vec!["a"; levels].join("/")
}

#[tokio::test]
async fn a_filter_of_too_many_levels_is_refused() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    for version in VERSIONS {
        let mut client = Client::connect(broker.addr, version, "client").await;
        let refused =
            if version == Version::V5 { ReasonCode::TopicFilterInvalid } else { ReasonCode::UnspecifiedError };
        for (text, is_good) in [
            (deep(128), true),
            (deep(129), false),
            (format!("{}/#", deep(127)), true),
            (format!("{}/#", deep(128)), false),
            (format!("$share/g/{}", deep(128)), true),
            (format!("$share/g/{}", deep(129)), false),
            ("/".repeat(65_535), false),
        ] {
            let answer = client.subscribe(&text, Qos::AtMostOnce).await;
            assert_eq!(answer, if is_good { ReasonCode::Success } else { refused }, "{version:?} {}", text.len());
        }
        client.ping().await;
    }
}

#[tokio::test]
async fn a_topic_of_too_many_levels_is_refused_and_its_publisher_stays() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe("#", Qos::AtMostOnce).await;
    for version in VERSIONS {
        let mut publisher = Client::connect(broker.addr, version, "publisher").await;
        for qos in QOS {
            for text in [deep(129), "/".repeat(65_535)] {
                let answer = publisher.publish(message(&text, "no", qos)).await;
                if version == Version::V5 && qos > Qos::AtMostOnce {
                    assert_eq!(answer, ReasonCode::TopicNameInvalid);
                }
            }
            publisher.publish(message(&deep(128), "yes", qos)).await;
            assert_eq!(watcher.take_text().await, "yes");
        }
    }
    watcher.ping().await;
}

#[tokio::test]
async fn a_will_of_too_many_levels_is_refused() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    for (levels, expected) in [(128, ReasonCode::Success), (129, ReasonCode::TopicNameInvalid)] {
        let will = Will { message: message(&deep(levels), "gone", Qos::AtMostOnce), delay: 0 };
        let mut client = Client::open(broker.addr, Version::V5).await;
        client.send(Packet::Connect(Box::new(Connect { will: Some(will), ..connect(Version::V5, "willing") }))).await;
        let Packet::ConnAck(answer) = client.receive().await else { panic!("no CONNACK") };
        assert_eq!(answer.reason, expected);
    }
}
