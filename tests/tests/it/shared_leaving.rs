//! A member of a shared group goes: what it has not got is for the others.

use mqtt_codec::{Ack, Connect, Packet, Properties, Property, Publish, Qos, ReasonCode, Version};

use crate::broker::Broker;
use crate::client::{Client, connect, keeping, message};

const FILTER: &str = "$share/g/a";

/// It takes two messages at once.
fn few(asked: Connect) -> Connect {
    let properties: Properties = asked.properties.iter().chain([Property::ReceiveMaximum(2)]).collect();
    Connect { properties, ..asked }
}

/// The only member, and six messages, of which it gets two.
async fn filled(broker: &Broker, asked: Connect, qos: Qos) -> (Client, [Publish; 2]) {
    let (mut member, _) = Client::connect_with(broker.addr, asked).await;
    member.subscribe(FILTER, qos).await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for number in 0..6 {
        publisher.publish(message("a", number.to_string(), qos)).await;
    }
    publisher.leave().await;
    let got = [member.receive_publish().await, member.receive_publish().await];
    (member, got)
}

async fn member(broker: &Broker, client_id: &str) -> Client {
    let mut member = Client::connect(broker.addr, Version::V5, client_id).await;
    member.subscribe(FILTER, Qos::ExactlyOnce).await;
    member
}

/// Exactly these, none as sent before.
async fn expect(member: &mut Client, numbers: std::ops::Range<u8>) {
    for number in numbers {
        let publish = member.take().await;
        assert_eq!((&*publish.payload, publish.dup), (number.to_string().as_bytes(), false));
    }
    member.ping().await;
}

#[tokio::test]
async fn what_a_member_did_not_acknowledge_goes_to_another_when_its_session_ends() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let (leaving, _) = filled(&broker, few(connect(Version::V5, "leaving")), Qos::AtLeastOnce).await;
    let mut other = member(&broker, "other").await;
    leaving.cut().await;
    expect(&mut other, 0..6).await;
}

#[tokio::test]
async fn a_member_that_is_away_keeps_nothing_from_those_who_are_there() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let (leaving, _) = filled(&broker, few(keeping(Version::V5, "leaving")), Qos::AtLeastOnce).await;
    let mut other = member(&broker, "other").await;
    leaving.cut().await;
    expect(&mut other, 0..6).await;
    let (mut back, connack) = Client::connect_with(broker.addr, keeping(Version::V5, "leaving")).await;
    assert!(connack.session_present);
    back.ping().await;
}

#[tokio::test]
async fn with_nobody_else_it_stays_with_the_member() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let (leaving, _) = filled(&broker, few(keeping(Version::V5, "leaving")), Qos::AtLeastOnce).await;
    leaving.cut().await;
    let (mut back, _) = Client::connect_with(broker.addr, keeping(Version::V5, "leaving")).await;
    for number in 0..6 {
        let publish = back.take().await;
        assert_eq!((&*publish.payload, publish.dup), (number.to_string().as_bytes(), number < 2));
    }
    back.ping().await;
}

#[tokio::test]
async fn an_absent_member_gives_it_up_when_its_session_ends() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let (leaving, _) = filled(&broker, few(keeping(Version::V5, "leaving")), Qos::AtLeastOnce).await;
    leaving.cut().await;
    let mut other = member(&broker, "other").await;
    other.ping().await;
    // A clean start ends the session.
    let fresh = Client::connect(broker.addr, Version::V5, "leaving").await;
    expect(&mut other, 0..6).await;
    fresh.leave().await;
}

/// It may have been the only one to see it. [MQTT-4.8.2-4] [MQTT-4.8.2-5]
#[tokio::test]
async fn what_was_sent_at_qos_2_is_its_receivers() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let (leaving, _) = filled(&broker, few(keeping(Version::V5, "leaving")), Qos::ExactlyOnce).await;
    let mut other = member(&broker, "other").await;
    leaving.cut().await;
    expect(&mut other, 2..6).await;
    let (mut back, _) = Client::connect_with(broker.addr, keeping(Version::V5, "leaving")).await;
    for number in 0..2 {
        let publish = back.take().await;
        assert_eq!((&*publish.payload, publish.dup), (number.to_string().as_bytes(), true));
    }
    back.ping().await;
}

/// What was sent is finished [MQTT-3.10.4-3], unless the client goes before.
#[tokio::test]
async fn what_waits_goes_to_another_when_a_member_unsubscribes() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let (mut leaving, got) = filled(&broker, few(connect(Version::V5, "leaving")), Qos::AtLeastOnce).await;
    let mut other = member(&broker, "other").await;
    leaving.unsubscribe(&[FILTER]).await;
    expect(&mut other, 2..6).await;
    let first = got[0].packet_id.unwrap();
    leaving.send(Packet::PubAck(Ack::new(first, ReasonCode::Success))).await;
    leaving.ping().await;
    leaving.cut().await;
    expect(&mut other, 1..2).await;
}

/// Each group has a copy of its own, and each copy goes to its own group.
#[tokio::test]
async fn a_member_of_two_groups_leaves_each_group_its_copy() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let (mut leaving, _) = Client::connect_with(broker.addr, few(connect(Version::V5, "leaving"))).await;
    leaving.subscribe("$share/one/a", Qos::AtLeastOnce).await;
    leaving.subscribe("$share/two/+", Qos::AtLeastOnce).await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for number in 0..4 {
        publisher.publish(message("a", number.to_string(), Qos::AtLeastOnce)).await;
    }
    let mut one = Client::connect(broker.addr, Version::V5, "one").await;
    one.subscribe("$share/one/a", Qos::AtLeastOnce).await;
    let mut two = Client::connect(broker.addr, Version::V5, "two").await;
    two.subscribe("$share/two/+", Qos::AtLeastOnce).await;
    leaving.cut().await;
    expect(&mut one, 0..4).await;
    expect(&mut two, 0..4).await;
}

#[tokio::test]
async fn what_is_handed_on_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = || Some(folder.path().to_owned());
    let Some(broker) = Broker::with(|config| config.data_dir = data_dir()).await else { return };
    let (leaving, _) = filled(&broker, few(keeping(Version::V5, "leaving")), Qos::AtLeastOnce).await;
    leaving.cut().await;
    broker.shutdown().await;
    let Some(broker) = Broker::with(|config| config.data_dir = data_dir()).await else { return };
    let (mut other, _) = Client::connect_with(broker.addr, keeping(Version::V5, "other")).await;
    other.subscribe(FILTER, Qos::AtLeastOnce).await;
    // A clean start ends the session that an earlier process kept.
    Client::connect(broker.addr, Version::V5, "leaving").await.leave().await;
    other.cut().await;
    broker.shutdown().await;
    let Some(broker) = Broker::with(|config| config.data_dir = data_dir()).await else { return };
    let (mut other, _) = Client::connect_with(broker.addr, keeping(Version::V5, "other")).await;
    for number in 0..6 {
        assert_eq!(other.take_text().await, number.to_string());
    }
    other.ping().await;
}

/// EMQ X's short form.
#[tokio::test]
async fn a_queue_is_a_group_of_its_own() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for version in [Version::V3_1_1, Version::V5] {
        let mut members = Vec::new();
        for name in ["one", "two"] {
            let mut member = Client::connect(broker.addr, version, name).await;
            assert_eq!(member.subscribe("$queue/a/+", Qos::AtLeastOnce).await, ReasonCode::GrantedQos1);
            members.push(member);
        }
        for number in 0..4 {
            publisher.publish(message("a/b", number.to_string(), Qos::AtLeastOnce)).await;
        }
        let mut got = Vec::new();
        for member in &mut members {
            got.extend([member.take_text().await, member.take_text().await]);
            member.ping().await;
        }
        got.sort();
        assert_eq!(got, ["0", "1", "2", "3"]);
        for member in &mut members {
            member.unsubscribe(&["$queue/a/+"]).await;
        }
        let answer = publisher.publish(message("a/b", "nobody", Qos::AtLeastOnce)).await;
        assert_eq!(answer, ReasonCode::NoMatchingSubscribers);
    }
}
