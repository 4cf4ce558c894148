//! A second connection with the same client id.

use mqtt_codec::{Connect, Packet, Properties, Qos, ReasonCode, Subscribe, Version, Will};

use crate::{
    broker::Broker,
    client::{Client, VERSIONS, ask, connect, id, keeping, message, will},
};

/// [MQTT-3.1.4-3]
#[tokio::test]
async fn the_old_connection_ends_and_version_5_is_told() {
    let broker = Broker::start().await;
    for old_version in VERSIONS {
        for new_version in VERSIONS {
            for clean in [true, false] {
                let asked = |version| Connect { clean_start: clean, ..keeping(version, "same") };
                let (mut old, _) = Client::connect_with(broker.addr, asked(old_version)).await;
                let (mut new, connack) = Client::connect_with(broker.addr, asked(new_version)).await;
                // The flag of CONNACK came with 3.1.1.
                assert!(connack.session_present != clean || new_version == Version::V3_1);
                old.expect_disconnect(ReasonCode::SessionTakenOver).await;
                new.ping().await;
                Client::connect(broker.addr, new_version, "same").await.leave().await;
            }
        }
    }
}

#[tokio::test]
async fn subscriptions_and_unacknowledged_messages_move_to_the_new_connection() {
    let broker = Broker::start().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for version in VERSIONS {
        let (mut old, _) = Client::connect_with(broker.addr, keeping(version, "same")).await;
        old.subscribe("a", Qos::ExactlyOnce).await;
        publisher.publish(message("a", "1", Qos::ExactlyOnce)).await;
        let first = old.receive_publish().await;
        let (mut new, _) = Client::connect_with(broker.addr, keeping(version, "same")).await;
        publisher.publish(message("a", "2", Qos::ExactlyOnce)).await;
        let again = new.take().await;
        assert_eq!((again.packet_id, again.dup), (first.packet_id, true));
        assert_eq!(new.take_text().await, "2");
        new.ping().await;
        old.expect_disconnect(ReasonCode::SessionTakenOver).await;
        Client::connect(broker.addr, version, "same").await.leave().await;
    }
}

#[tokio::test]
async fn a_clean_start_takes_nothing_over() {
    let broker = Broker::start().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    let (mut old, _) = Client::connect_with(broker.addr, keeping(Version::V5, "same")).await;
    old.subscribe("a", Qos::AtLeastOnce).await;
    publisher.publish(message("a", "1", Qos::AtLeastOnce)).await;
    old.receive_publish().await;
    let (mut new, connack) = Client::connect_with(broker.addr, connect(Version::V5, "same")).await;
    assert!(!connack.session_present);
    let reason = publisher.publish(message("a", "2", Qos::AtLeastOnce)).await;
    assert_eq!(reason, ReasonCode::NoMatchingSubscribers);
    new.ping().await;
    old.expect_disconnect(ReasonCode::SessionTakenOver).await;
}

#[tokio::test]
async fn a_will_without_delay_goes_out_at_a_takeover() {
    let broker = Broker::start().await;
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe("will", Qos::AtMostOnce).await;
    for version in VERSIONS {
        for clean_start in [true, false] {
            let old = Connect { clean_start, will: Some(will("will", "taken over")), ..keeping(version, "same") };
            let (_old, _) = Client::connect_with(broker.addr, old).await;
            let (new, _) = Client::connect_with(broker.addr, keeping(version, "same")).await;
            assert_eq!(watcher.take_text().await, "taken over");
            new.leave().await;
            watcher.ping().await;
            Client::connect(broker.addr, version, "same").await.leave().await;
        }
    }
}

/// 3.1.3.2.2: a session that goes on before the delay is over keeps its will; one that ends does not.
#[tokio::test]
async fn a_delayed_will_depends_on_whether_the_session_goes_on() {
    let broker = Broker::start().await;
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe("will", Qos::AtMostOnce).await;
    let delayed = Connect { will: Some(Will { delay: 1, ..will("will", "late") }), ..keeping(Version::V5, "same") };
    let (_old, _) = Client::connect_with(broker.addr, delayed.clone()).await;
    let (new, connack) = Client::connect_with(broker.addr, keeping(Version::V5, "same")).await;
    assert!(connack.session_present);
    crate::clock::wait(broker.addr, 3).await;
    watcher.ping().await;
    new.leave().await;

    let waits = Connect { will: Some(Will { delay: 1000, ..will("will", "late") }), ..delayed };
    let (_old, _) = Client::connect_with(broker.addr, waits).await;
    let _new = Client::connect(broker.addr, Version::V5, "same").await;
    assert_eq!(watcher.take_text().await, "late", "the clean start ended the session");
}

#[tokio::test]
async fn a_long_chain_of_takeovers_ends_with_one_connection() {
    let broker = Broker::start().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    let (mut first, _) = Client::connect_with(broker.addr, keeping(Version::V5, "same")).await;
    first.subscribe("a", Qos::AtLeastOnce).await;
    let mut connections = vec![first];
    for number in 0..50 {
        let version = VERSIONS[number % 3];
        let (next, connack) = Client::connect_with(broker.addr, keeping(version, "same")).await;
        assert!(connack.session_present || version == Version::V3_1);
        connections.push(next);
    }
    let mut last = connections.pop().unwrap();
    for mut old in connections {
        old.expect_disconnect(ReasonCode::SessionTakenOver).await;
    }
    publisher.publish(message("a", "x", Qos::AtLeastOnce)).await;
    assert_eq!(last.take_text().await, "x");
    last.ping().await;
}

/// Whoever wins, all but one lose, and the winner works.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_with_one_id_leave_one() {
    let broker = Broker::start().await;
    let mut contenders = tokio::task::JoinSet::new();
    for number in 0..40u32 {
        let addr = broker.addr;
        contenders.spawn(async move {
            let version = VERSIONS[number as usize % 3];
            let mut client = Client::open(addr, version).await;
            let asked = Connect { clean_start: number % 2 == 0, ..keeping(version, "same") };
            client.send(mqtt_codec::Packet::Connect(Box::new(asked))).await;
            client
        });
    }
    let contenders = contenders.join_all().await;
    let mut judge = Client::connect_with(broker.addr, keeping(Version::V5, "judge")).await.0;
    judge.ping().await;
    // One more ends whoever won; then all have ended.
    let mut rest = tokio::task::JoinSet::new();
    for mut client in contenders {
        rest.spawn(async move { while client.receive_or_end().await.is_some() {} });
    }
    while !rest.is_empty() {
        let last = Client::connect(broker.addr, Version::V5, "same").await;
        last.leave().await;
        while rest.try_join_next().is_some() {}
    }
}

#[tokio::test]
async fn an_assigned_id_is_nobody_elses() {
    let broker = Broker::start().await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(Client::connect_with(broker.addr, connect(Version::V5, "")).await);
    }
    let ids: std::collections::HashSet<_> =
        clients.iter().map(|(_, connack)| connack.properties.assigned_client_id().unwrap()).collect();
    assert_eq!(ids.len(), 20);
    for (mut client, _) in clients {
        client.ping().await;
    }
    assert!(!ids.iter().any(|id| id.is_empty()));
}

/// Subscribes to so many topics, `many/0` the first of them.
async fn subscribe_to_many(client: &mut Client, count: usize) {
    let filters = (0..count).map(|n| ask(&format!("many/{n}"), Qos::AtLeastOnce)).collect();
    client.send(Packet::Subscribe(Subscribe { packet_id: id(9000), properties: Properties::EMPTY, filters })).await;
    assert!(matches!(client.receive().await, Packet::SubAck(_)));
}

/// They are given up one after the other, and nothing is delivered by those that are left.
#[tokio::test]
async fn a_clean_start_has_no_part_in_thousands_of_subscriptions() {
    const MANY: usize = 5000;
    let broker = Broker::start().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    let (mut old, _) = Client::connect_with(broker.addr, keeping(Version::V5, "same")).await;
    subscribe_to_many(&mut old, MANY).await;
    publisher.publish(message("many/4999", "old", Qos::AtLeastOnce)).await;
    assert_eq!(old.take_text().await, "old");
    for anew in 0..3 {
        let (mut new, connack) = Client::connect_with(broker.addr, connect(Version::V5, "same")).await;
        assert!(!connack.session_present);
        if anew == 0 {
            old.expect_disconnect(ReasonCode::SessionTakenOver).await;
        }
        // One that the old session had is the new one's from now on.
        new.subscribe("many/4998", Qos::AtLeastOnce).await;
        for n in [0, 1, 4997, 4999] {
            publisher.publish(message(&format!("many/{n}"), "not for it", Qos::AtLeastOnce)).await;
        }
        publisher.publish(message("many/4998", "new", Qos::AtLeastOnce)).await;
        assert_eq!(new.take_text().await, "new");
        // It ends with its connection, and so do these many.
        subscribe_to_many(&mut new, MANY).await;
        publisher.publish(message("many/1", "once", Qos::AtLeastOnce)).await;
        assert_eq!(new.take_text().await, "once");
        new.ping().await;
    }
}

/// Who has many subscriptions keeps nothing that another member of its group could have.
#[tokio::test]
async fn a_member_with_thousands_of_subscriptions_that_ends_is_no_member() {
    const MANY: usize = 5000;
    let broker = Broker::start().await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    let mut old = Client::connect(broker.addr, Version::V5, "many").await;
    subscribe_to_many(&mut old, MANY).await;
    let (mut away, _) = Client::connect_with(broker.addr, keeping(Version::V5, "away")).await;
    for member in [&mut old, &mut away] {
        member.subscribe("$share/g/work", Qos::AtLeastOnce).await;
    }
    away.leave().await;
    old.leave().await;
    for n in 0..20 {
        publisher.publish(message("work", n.to_string(), Qos::AtLeastOnce)).await;
    }
    let (mut away, _) = Client::connect_with(broker.addr, keeping(Version::V5, "away")).await;
    let mut taken = 0;
    while taken < 20 {
        taken += usize::from(away.take_text().await.parse::<u32>().is_ok());
    }
    away.ping().await;
}
