//! Shared subscriptions.

use std::collections::BTreeSet;

use mqtt_codec::{Ack, Connect, Packet, Property, Qos, ReasonCode, Version};

use crate::{
    broker::{Broker, outside},
    client::{Client, VERSIONS, connect, keeping, message, retained},
    crash::Home,
};

/// Takes QoS 1 messages until between PINGREQ and PINGRESP none comes.
async fn drain(client: &mut Client, into: &mut Vec<String>) {
    let mut before = usize::MAX;
    while before != into.len() {
        before = into.len();
        client.send(Packet::PingReq).await;
        loop {
            match client.receive().await {
                Packet::PingResp => break,
                Packet::Publish(publish) => {
                    client.send(Packet::PubAck(Ack::new(publish.packet_id.unwrap(), ReasonCode::Success))).await;
                    into.push(String::from_utf8(publish.payload.to_vec()).unwrap());
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn each_message_goes_to_one_member_of_each_group() {
    let broker = Broker::start().await;
    for version in VERSIONS {
        if outside() && version < Version::V5 {
            continue;
        }
        let mut publisher = Client::connect(broker.addr, version, "publisher").await;
        let mut members = Vec::new();
        for name in ["one", "two", "three"] {
            let mut member = Client::connect(broker.addr, version, name).await;
            assert_eq!(member.subscribe("$share/g/a/+", Qos::AtLeastOnce).await, ReasonCode::GrantedQos1);
            members.push(member);
        }
        let mut other = Client::connect(broker.addr, version, "other").await;
        other.subscribe("$share/h/a/+", Qos::AtLeastOnce).await;
        let mut plain = Client::connect(broker.addr, version, "plain").await;
        plain.subscribe("a/+", Qos::AtLeastOnce).await;
        let sent: BTreeSet<_> = (10..40).map(|number| number.to_string()).collect();
        for payload in &sent {
            publisher.publish(message("a/b", payload.clone(), Qos::AtLeastOnce)).await;
        }
        let mut shares = Vec::new();
        for member in &mut members {
            let before = shares.len();
            drain(member, &mut shares).await;
            assert!(shares.len() > before, "every member gets some of thirty");
        }
        assert_eq!(shares.len(), sent.len());
        assert_eq!(shares.into_iter().collect::<BTreeSet<_>>(), sent);
        for client in [&mut other, &mut plain] {
            let mut all = Vec::new();
            drain(client, &mut all).await;
            assert_eq!(all, sent.iter().cloned().collect::<Vec<_>>());
        }
    }
}

#[tokio::test]
async fn an_offline_member_is_passed_over() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let (mut away, _) = Client::connect_with(broker.addr, keeping(Version::V5, "away")).await;
    away.subscribe("$share/g/a", Qos::AtLeastOnce).await;
    let mut here = Client::connect(broker.addr, Version::V5, "here").await;
    here.subscribe("$share/g/a", Qos::AtLeastOnce).await;
    away.leave().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for number in 0..10 {
        publisher.publish(message("a", number.to_string(), Qos::AtLeastOnce)).await;
    }
    for number in 0..10 {
        assert_eq!(here.take_text().await, number.to_string());
    }
    let (mut away, connack) = Client::connect_with(broker.addr, keeping(Version::V5, "away")).await;
    assert!(connack.session_present);
    away.ping().await;
}

#[tokio::test]
async fn a_member_that_comes_back_has_its_turn_again() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut here = Client::connect(broker.addr, Version::V5, "here").await;
    here.subscribe("$share/g/a", Qos::AtLeastOnce).await;
    let (mut away, _) = Client::connect_with(broker.addr, keeping(Version::V5, "away")).await;
    away.subscribe("$share/g/a", Qos::AtLeastOnce).await;
    away.leave().await;
    let (mut back, _) = Client::connect_with(broker.addr, keeping(Version::V5, "away")).await;
    // Taken over, too.
    let (mut again, _) = Client::connect_with(broker.addr, keeping(Version::V5, "away")).await;
    back.expect_disconnect(ReasonCode::SessionTakenOver).await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for number in 0..10 {
        publisher.publish(message("a", number.to_string(), Qos::AtLeastOnce)).await;
    }
    for member in [&mut here, &mut again] {
        let mut got = Vec::new();
        drain(member, &mut got).await;
        assert_eq!(got.len(), 5, "{got:?}");
    }
}

/// Every member is away when the next process begins.
#[tokio::test]
async fn who_comes_back_first_after_a_restart_gets_what_is_published() {
    if outside() {
        return;
    }
    let home = Home::new(&[]).await;
    for name in ["one", "two", "three"] {
        let (mut member, _) = Client::connect_with(home.addr(), keeping(Version::V5, name)).await;
        member.subscribe("$share/g/a", Qos::AtLeastOnce).await;
        member.leave().await;
    }
    let home = home.restart().await;
    let (mut one, answer) = Client::connect_with(home.addr(), keeping(Version::V5, "one")).await;
    assert!(answer.session_present);
    let mut publisher = Client::connect(home.addr(), Version::V5, "publisher").await;
    for number in 0..6 {
        publisher.publish(message("a", number.to_string(), Qos::AtLeastOnce)).await;
    }
    let mut got = Vec::new();
    drain(&mut one, &mut got).await;
    assert_eq!(got.len(), 6, "{got:?}");
}

#[tokio::test]
async fn with_every_member_offline_one_keeps_the_message() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    for name in ["one", "two"] {
        let (mut member, _) = Client::connect_with(broker.addr, keeping(Version::V5, name)).await;
        member.subscribe("$share/g/a", Qos::AtLeastOnce).await;
        member.leave().await;
    }
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    publisher.publish(message("a", "x", Qos::AtLeastOnce)).await;
    let mut got = Vec::new();
    for name in ["one", "two"] {
        let (mut member, _) = Client::connect_with(broker.addr, keeping(Version::V5, name)).await;
        drain(&mut member, &mut got).await;
    }
    assert_eq!(got, ["x"]);
}

/// A member whose window is full does not keep messages from the others.
#[tokio::test]
async fn a_full_member_is_passed_over() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let asked = Connect { properties: [Property::ReceiveMaximum(1)].into(), ..connect(Version::V5, "full") };
    let (mut full, _) = Client::connect_with(broker.addr, asked).await;
    full.subscribe("$share/g/a", Qos::AtLeastOnce).await;
    let mut here = Client::connect(broker.addr, Version::V5, "here").await;
    here.subscribe("$share/g/a", Qos::AtLeastOnce).await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for number in 0..10 {
        publisher.publish(message("a", number.to_string(), Qos::AtLeastOnce)).await;
    }
    let mut got = Vec::new();
    drain(&mut here, &mut got).await;
    assert!(got.len() >= 9, "{got:?}");
}

/// A group without a name or with a wildcard is refused, and the client stays.
#[tokio::test]
async fn a_bad_group_is_refused() {
    let broker = Broker::start().await;
    for (version, code) in
        [(Version::V3_1_1, ReasonCode::UnspecifiedError), (Version::V5, ReasonCode::TopicFilterInvalid)]
    {
        let mut client = Client::connect(broker.addr, version, "client").await;
        for filter in ["$share//a", "$share/+/a", "$share/g#/a", "$share/g", "$share/g/"] {
            let packet = match version {
                Version::V5 => [&[0, 1, 0, 0, filter.len() as u8], filter.as_bytes(), &[0]].concat(),
                _ => [&[0, 1, 0, filter.len() as u8], filter.as_bytes(), &[0]].concat(),
            };
            client.send_bytes(&[&[0x82, packet.len() as u8], &packet[..]].concat()).await;
            let Packet::SubAck(answer) = client.receive().await else { panic!("no SUBACK to {filter}") };
            assert_eq!(answer.reasons, [code], "{filter}");
        }
        client.ping().await;
    }
}

#[tokio::test]
async fn a_member_that_leaves_makes_room_for_the_rest() {
    let broker = Broker::start().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    let mut one = Client::connect(broker.addr, Version::V5, "one").await;
    one.subscribe("$share/g/#", Qos::AtLeastOnce).await;
    let mut two = Client::connect(broker.addr, Version::V5, "two").await;
    two.subscribe("$share/g/#", Qos::AtLeastOnce).await;
    assert_eq!(
        one.unsubscribe(&["$share/g/#", "$share/x/#"]).await,
        [ReasonCode::Success, ReasonCode::NoSubscriptionExisted]
    );
    for number in 0..4 {
        publisher.publish(message("a", number.to_string(), Qos::AtLeastOnce)).await;
        assert_eq!(two.take_text().await, number.to_string());
    }
    one.ping().await;
    two.leave().await;
    assert_eq!(
        publisher.publish(message("a", "x", Qos::AtLeastOnce)).await,
        ReasonCode::NoMatchingSubscribers,
        "the group is empty"
    );
}

/// 4.8.2: no retained messages at subscribing.
#[tokio::test]
async fn shared_subscriptions_bring_no_retained_messages() {
    let broker = Broker::start().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    publisher.publish(retained("a", "kept", Qos::AtLeastOnce)).await;
    let mut member = Client::connect(broker.addr, Version::V5, "member").await;
    member.subscribe("$share/g/a", Qos::AtLeastOnce).await;
    member.ping().await;
    publisher.publish(retained("a", "live", Qos::AtLeastOnce)).await;
    assert_eq!(member.take_text().await, "live");
}

#[tokio::test]
async fn quality_is_the_members_own() {
    let broker = Broker::start().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let mut member = Client::connect(broker.addr, Version::V5, "member").await;
        member.subscribe("$share/g/a", qos).await;
        publisher.publish(message("a", "x", Qos::ExactlyOnce)).await;
        assert_eq!(member.take().await.qos, qos);
        member.leave().await;
    }
}

#[tokio::test]
async fn a_shared_and_a_plain_subscription_of_one_client_bring_a_copy_each() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut client = Client::connect(broker.addr, Version::V5, "client").await;
    client.subscribe("$share/g/a", Qos::AtLeastOnce).await;
    client.subscribe("a", Qos::AtLeastOnce).await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    publisher.publish(message("a", "x", Qos::AtLeastOnce)).await;
    client.take().await;
    client.take().await;
    client.ping().await;
}
