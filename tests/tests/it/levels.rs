//! How many levels topics and filters may have, and how many shapes a client's filters.

use mqtt_codec::{Connect, Packet, Qos, ReasonCode, Version, Will};

use crate::{
    broker::{Broker, outside},
    client::{Client, QOS, VERSIONS, connect, keeping, message},
    crash::Home,
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

/// So many filters, each of a shape of its own: the bits of a counter say which levels are `+`.
async fn subscribe_to_shapes(client: &mut Client, shapes: u32) -> u32 {
    let mut granted = 0;
    for bits in 1..=shapes {
        let levels: Vec<_> = (0..12).map(|level| if bits >> level & 1 == 1 { "+" } else { "a" }).collect();
        match client.subscribe(&levels.join("/"), Qos::AtMostOnce).await {
            ReasonCode::Success => granted += 1,
            other => assert_eq!(other, ReasonCode::QuotaExceeded),
        }
    }
    granted
}

#[tokio::test]
async fn one_clients_shapes_are_bounded_and_take_nothing_from_others() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut greedy = Client::connect(broker.addr, Version::V5, "greedy").await;
    // 1,024 levels.
    assert_eq!(subscribe_to_shapes(&mut greedy, 200).await, 85);
    for text in ["b/+/a/a/a/a/a/a/a/a/a/a", "b/b"] {
        assert_eq!(greedy.subscribe(text, Qos::AtMostOnce).await, ReasonCode::Success, "a shape it has, or none");
    }
    for number in 0..3 {
        let mut other = Client::connect(broker.addr, Version::V5, &format!("other-{number}")).await;
        for text in ["$SYS/brokers/+/clients/#", "a/+/b/+/c", "+/x/#", "#"] {
            assert_eq!(other.subscribe(text, Qos::AtMostOnce).await, ReasonCode::Success, "{text}");
        }
    }
    greedy.unsubscribe(&["+/a/a/a/a/a/a/a/a/a/a/a"]).await;
    assert_eq!(subscribe_to_shapes(&mut greedy, 200).await, 85, "one for the one that it has given up");
}

#[tokio::test]
async fn what_is_over_the_limits_at_a_start_is_left_out() {
    if outside() {
        return;
    }
    let home = Home::new(&["--set", "limits.max_topic_levels=1000", "--set", "limits.shape_levels=5000"]).await;
    let (mut client, _) = Client::connect_with(home.addr(), keeping(Version::V5, "client")).await;
    client.subscribe("a/+", Qos::AtMostOnce).await;
    client.subscribe(&format!("{}/#", deep(999)), Qos::AtMostOnce).await;
    assert_eq!(subscribe_to_shapes(&mut client, 100).await, 100);
    client.leave().await;
    let home = home.restart_with(&[]).await;
    let (mut client, answer) = Client::connect_with(home.addr(), keeping(Version::V5, "client")).await;
    assert!(answer.session_present);
    let granted = subscribe_to_shapes(&mut client, 100).await;
    assert!((84..=85).contains(&granted), "{granted}");
    let answers = client.unsubscribe(&["a/+", &format!("{}/#", deep(999))]).await;
    assert_eq!(answers[1], ReasonCode::NoSubscriptionExisted);
    client.leave().await;
    home.restart_with(&["--set", "limits.max_topic_levels=1000"]).await;
}
