//! What a subscription has found just before it goes: it brings nothing behind the answer that says so.

use mqtt_codec::{Packet, Property, Qos, ReasonCode, Version};

use crate::{
    broker::Broker,
    client::{Client, connect, keeping, message},
};

/// Enough, ahead of the one that goes, for a message to be on its way to it for a while.
const AHEAD: usize = 300;
const ROUNDS: usize = 60;

/// A message to topic `t` is on its way to many without end, while `going` subscribes and goes.
async fn amid_messages(going: impl AsyncFn(&Broker)) {
    // Nothing that is kept for those ahead is looked at.
    let Some(broker) = Broker::with(|config| (config.data_dir, config.session.max_queued) = (None, 1)).await else {
        return;
    };
    for number in 0..AHEAD {
        let (mut client, _) = Client::connect_with(broker.addr, keeping(Version::V5, &format!("ahead-{number}"))).await;
        client.subscribe("t", Qos::AtLeastOnce).await;
        client.leave().await;
    }
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    let publishing = tokio::spawn(async move {
        loop {
            publisher.publish(message("t", "x", Qos::AtLeastOnce)).await;
        }
    });
    for _ in 0..ROUNDS {
        going(&broker).await;
    }
    publishing.abort();
    assert!(publishing.await.unwrap_err().is_cancelled(), "the publisher was served to the end");
}

/// Nothing comes within the time in which others publish a few messages.
async fn expect_nothing(client: &mut Client, broker: &Broker) {
    let mut other = Client::connect(broker.addr, Version::V5, "other").await;
    for _ in 0..5 {
        other.publish(message("t", "y", Qos::AtLeastOnce)).await;
        client.ping().await;
    }
}

/// [MQTT-3.10.4-2]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_comes_behind_unsuback() {
    amid_messages(async |broker| {
        let mut client = Client::connect(broker.addr, Version::V5, "going").await;
        client.subscribe("t", Qos::AtMostOnce).await;
        client.receive_publish().await;
        assert_eq!(client.unsubscribe(&["t"]).await, [ReasonCode::Success]);
        client.forget_early();
        expect_nothing(&mut client, broker).await;
        client.leave().await;
    })
    .await;
}

/// [MQTT-3.1.2-4]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_clean_start_gets_nothing_of_what_the_session_before_it_subscribed_to() {
    amid_messages(async |broker| {
        let (mut before, _) = Client::connect_with(broker.addr, keeping(Version::V5, "going")).await;
        before.subscribe("t", Qos::AtMostOnce).await;
        before.receive_publish().await;
        let mut client = Client::connect(broker.addr, Version::V5, "going").await;
        expect_nothing(&mut client, broker).await;
        client.leave().await;
    })
    .await;
}

/// [MQTT-3.8.4-3]: what it asked for before does not count any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_comes_by_the_old_identifier_behind_suback() {
    amid_messages(async |broker| {
        let mut client = Client::connect_with(broker.addr, connect(Version::V5, "going")).await.0;
        for id in 1..=4 {
            let asked = vec![crate::client::ask("t", Qos::AtMostOnce)];
            client.subscribe_with(asked, [Property::SubscriptionId(id)].into()).await;
            client.forget_early();
            for _ in 0..3 {
                match client.receive().await {
                    Packet::Publish(publish) => assert_eq!(publish.properties.subscription_id(), Some(id)),
                    other => panic!("no PUBLISH but {other:?}"),
                }
            }
        }
        client.leave().await;
    })
    .await;
}
