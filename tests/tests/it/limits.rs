//! What one listener, one address and one client may take.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use mqtt_codec::{ConnAck, Connect, Packet, Qos, ReasonCode, Version};
use mqtt_config::{Config, FlappingBy, Listener, Rate, Verify};

use crate::admin;
use crate::broker::Broker;
use crate::client::{Client, VERSIONS, connect, keeping, message};
use crate::clock;
use crate::doors::{self, Authority, add_doors, dial_tls};

const HERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const THERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// So many, and no more while a test lasts.
const fn only(amount: u64) -> Option<Rate> {
    Some(Rate { amount, per: Duration::from_secs(24 * 3600) })
}

async fn come_from(addr: SocketAddr, source: Ipv4Addr, connect: Connect) -> (Client, ConnAck) {
    let mut client = Client::open_from(addr, connect.version, source).await;
    client.send(Packet::Connect(Box::new(connect))).await;
    match client.receive().await {
        Packet::ConnAck(connack) => (client, connack),
        other => panic!("no CONNACK but {other:?}"),
    }
}

async fn let_in(addr: SocketAddr, source: Ipv4Addr, id: &str) -> Client {
    let (client, connack) = come_from(addr, source, connect(Version::V5, id)).await;
    assert_eq!(connack.reason, ReasonCode::Success, "{id}");
    client
}

/// Each version is told in its words, and closed.
async fn expect_refused(addr: SocketAddr, source: Ipv4Addr, reason: ReasonCode) {
    for version in VERSIONS {
        let (mut client, connack) = come_from(addr, source, connect(version, "too-many")).await;
        let told = if version == Version::V5 { reason } else { ReasonCode::ServerUnavailable };
        assert_eq!(connack.reason, told, "{version:?}");
        client.expect_end().await;
    }
}

async fn second(change: impl FnOnce(&mut Listener)) -> Option<(Broker, SocketAddr)> {
    let broker = Broker::with(|config| {
        let mut listener = Listener::new("second", ([127, 0, 0, 1], 0).into());
        change(&mut listener);
        config.listeners.push(listener);
    });
    let broker = broker.await?;
    let addr = broker.server().addresses().listener("second").unwrap();
    Some((broker, addr))
}

#[tokio::test]
async fn a_listener_has_places_for_so_many_clients_and_others_go_on() {
    let Some((broker, addr)) = second(|listener| listener.limits.max_connections = Some(2)).await else { return };
    let one = Client::connect(addr, Version::V5, "one").await;
    let _two = Client::connect(addr, Version::V5, "two").await;
    expect_refused(addr, Ipv4Addr::LOCALHOST, ReasonCode::QuotaExceeded).await;
    broker.lives().await;
    // Who comes back takes no more than it has.
    let _again = Client::connect(addr, Version::V5, "two").await;
    expect_refused(addr, Ipv4Addr::LOCALHOST, ReasonCode::QuotaExceeded).await;
    one.leave().await;
    let _three = Client::connect(addr, Version::V5, "three").await;
}

#[tokio::test]
async fn an_address_has_places_for_so_many_clients_and_other_addresses_their_own() {
    let Some(broker) = Broker::with(|config| config.limits.connections_per_address = Some(2)).await else { return };
    let one = let_in(broker.addr, HERE, "one").await;
    let _two = let_in(broker.addr, HERE, "two").await;
    expect_refused(broker.addr, HERE, ReasonCode::QuotaExceeded).await;
    let _other = let_in(broker.addr, THERE, "other").await;
    // From another address it would be one more there.
    let _again = let_in(broker.addr, HERE, "two").await;
    one.leave().await;
    let _three = let_in(broker.addr, HERE, "three").await;
}

#[tokio::test]
async fn sockets_that_are_not_let_in_are_so_many_for_each_address() {
    let Some(broker) = Broker::with(|config| config.limits.half_open_per_address = Some(2)).await else { return };
    let mut silent = Vec::new();
    for _ in 0..2 {
        silent.push(Client::open_from(broker.addr, Version::V5, HERE).await);
    }
    Client::open_from(broker.addr, Version::V5, HERE).await.expect_end().await;
    let _other = let_in(broker.addr, THERE, "other").await;
    // One that is in is not on its way any more.
    let mut client = silent.pop().unwrap();
    client.send(Packet::Connect(Box::new(connect(Version::V5, "in")))).await;
    assert!(matches!(client.receive().await, Packet::ConnAck(connack) if connack.reason == ReasonCode::Success));
    let _next = let_in(broker.addr, HERE, "next").await;
}

#[tokio::test]
async fn an_address_connects_so_often_and_is_told() {
    let Some(broker) = Broker::with(|config| config.limits.connect_rate_per_address = only(2)).await else { return };
    for id in ["one", "two"] {
        let_in(broker.addr, HERE, id).await.leave().await;
    }
    expect_refused(broker.addr, HERE, ReasonCode::ConnectionRateExceeded).await;
    let _other = let_in(broker.addr, THERE, "other").await;
}

/// And who is refused for its address takes nothing of what the listener may take.
#[tokio::test]
async fn a_listener_takes_connections_so_often_and_others_go_on() {
    let broker = Broker::with(|config: &mut Config| {
        config.limits.connect_rate_per_address = only(1);
        config.listeners[0].limits.connect_rate = only(2);
        config.listeners.push(Listener::new("second", ([127, 0, 0, 1], 0).into()));
    });
    let Some(broker) = broker.await else { return };
    let _one = let_in(broker.addr, HERE, "one").await;
    expect_refused(broker.addr, HERE, ReasonCode::ConnectionRateExceeded).await;
    let _two = let_in(broker.addr, THERE, "two").await;
    expect_refused(broker.addr, Ipv4Addr::new(127, 0, 0, 4), ReasonCode::ConnectionRateExceeded).await;
    let second = broker.server().addresses().listener("second").unwrap();
    let _other = let_in(second, Ipv4Addr::new(127, 0, 0, 5), "other").await;
}

/// To be told would cost a handshake, which is what the limit is there to save; a WebSocket costs little.
#[tokio::test]
async fn who_connects_too_often_over_tls_is_closed_before_it_and_over_websocket_told() {
    let authority = Authority::new();
    let broker = Broker::with(|config| {
        add_doors(config, &authority, Verify::None);
        config.listeners.iter_mut().for_each(|listener| listener.limits.connect_rate = only(1));
    });
    let Some(broker) = broker.await else { return };
    for name in ["mqtts", "wss"] {
        let _in = doors::come_in(&broker, &authority, name, Version::V5, name).await;
        let addr = broker.server().addresses().listener(name).unwrap();
        assert!(dial_tls(addr, authority.trusted(None)).await.is_err(), "{name}");
    }
    let _in = doors::come_in(&broker, &authority, "ws", Version::V5, "ws").await;
    let mut told = doors::open(&broker, &authority, "ws", Version::V5).await;
    told.send(Packet::Connect(Box::new(connect(Version::V5, "told")))).await;
    let Packet::ConnAck(connack) = told.receive().await else { panic!("no CONNACK") };
    assert_eq!(connack.reason, ReasonCode::ConnectionRateExceeded);
}

/// Not by that of the proxy.
#[tokio::test]
async fn clients_of_a_proxy_are_counted_by_their_own_addresses() {
    let broker = Broker::with(|config| {
        config.listeners[0].proxy_from = vec!["127.0.0.1/32".parse().unwrap()];
        config.limits.connections_per_address = Some(1);
        config.limits.half_open_per_address = Some(1);
        config.limits.connect_rate_per_address = only(1);
    });
    let Some(broker) = broker.await else { return };
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(Client::open(broker.addr, Version::V5).await);
    }
    let mut clients = Vec::new();
    for (address, reason) in [
        ("192.0.2.1", ReasonCode::Success),
        ("192.0.2.2", ReasonCode::Success),
        ("192.0.2.1", ReasonCode::ConnectionRateExceeded),
        ("192.0.2.3", ReasonCode::Success),
    ] {
        let mut client = silent.pop().unwrap_or(Client::open(broker.addr, Version::V5).await);
        client.send_bytes(format!("PROXY TCP4 {address} 127.0.0.1 40000 1883\r\n").as_bytes()).await;
        let id = format!("{}", clients.len());
        client.send(Packet::Connect(Box::new(connect(Version::V5, &id)))).await;
        let Packet::ConnAck(connack) = client.receive().await else { panic!("no CONNACK") };
        assert_eq!(connack.reason, reason, "{address}");
        clients.push(client);
    }
}

#[tokio::test]
async fn what_a_listener_says_of_its_own_holds_there_and_is_told() {
    let said = second(|listener| {
        let limits = &mut listener.limits;
        limits.max_packet_size = Some(1000);
        limits.receive_maximum = Some(3);
        limits.max_topic_levels = Some(8);
        limits.subscriptions_per_client = Some(1);
        limits.max_queued = Some(1);
    });
    let Some((broker, addr)) = said.await else { return };
    let nine = "1/2/3/4/5/6/7/8/9";
    let (mut general, connack) = Client::connect_with(broker.addr, connect(Version::V5, "general")).await;
    assert!(connack.properties.maximum_packet_size().is_some_and(|size| size > 1000));
    assert_eq!(general.publish(message(nine, "x", Qos::AtLeastOnce)).await, ReasonCode::NoMatchingSubscribers);
    let (mut own, connack) = Client::connect_with(addr, keeping(Version::V5, "own")).await;
    let told = (connack.properties.maximum_packet_size(), connack.properties.receive_maximum());
    assert_eq!(told, (Some(1000), Some(3)));
    assert_eq!(own.publish(message(nine, "x", Qos::AtLeastOnce)).await, ReasonCode::TopicNameInvalid);
    assert_eq!(own.subscribe(nine, Qos::AtLeastOnce).await, ReasonCode::TopicFilterInvalid);
    assert_eq!(own.subscribe("q", Qos::AtLeastOnce).await, ReasonCode::GrantedQos1);
    assert_eq!(own.subscribe("second", Qos::AtLeastOnce).await, ReasonCode::QuotaExceeded);
    own.send_publish(message("q", vec![b'x'; 1000], Qos::AtMostOnce)).await;
    own.expect_disconnect(ReasonCode::PacketTooLarge).await;
    // What it has queued meanwhile is bounded by the listener that it came by.
    for text in ["kept", "dropped"] {
        general.publish(message("q", text, Qos::AtLeastOnce)).await;
    }
    let (mut own, _) = Client::connect_with(addr, keeping(Version::V5, "own")).await;
    assert_eq!(own.take_text().await, "kept");
    own.publish(message("q", "marker", Qos::AtLeastOnce)).await;
    assert_eq!(own.take_text().await, "marker");
}

async fn watcher(addr: SocketAddr) -> Client {
    let mut watcher = Client::connect(addr, Version::V5, "watcher").await;
    watcher.subscribe("rate", Qos::AtMostOnce).await;
    watcher
}

/// In one write, so that the broker has all of them at once.
async fn send_at_once(client: &mut Client, version: Version, texts: &[&str], then: Packet) {
    let mut bytes = bytes::BytesMut::new();
    let publish = |text: &&str| mqtt_codec::Publish {
        dup: false,
        qos: Qos::AtMostOnce,
        retain: false,
        topic: Some(crate::client::topic("rate")),
        packet_id: None,
        properties: mqtt_codec::Properties::EMPTY,
        payload: (*text).to_owned().into(),
    };
    for packet in texts.iter().map(publish).map(Packet::Publish).chain([then]) {
        packet.encode(version, &mut bytes).unwrap();
    }
    client.send_bytes(&bytes).await;
}

/// It is neither ended for its silence nor in the way of its next connection.
#[tokio::test]
async fn who_publishes_too_much_is_not_read_from_and_not_ended_for_it() {
    let Some(broker) = Broker::with(|config| config.limits.message_rate = only(3)).await else { return };
    let mut watcher = watcher(broker.addr).await;
    for version in [Version::V3_1_1, Version::V5] {
        let asked = Connect { keep_alive: 1, ..connect(version, "fast") };
        let (mut fast, _) = Client::connect_with(broker.addr, asked).await;
        // Packets that are no messages pass.
        for _ in 0..5 {
            fast.ping().await;
        }
        send_at_once(&mut fast, version, &["1", "2", "3", "4", "5"], Packet::PingReq).await;
        for text in ["1", "2", "3"] {
            assert_eq!(watcher.take_text().await, text);
        }
        clock::wait(broker.addr, 2).await;
        let _next = Client::connect(broker.addr, Version::V5, "fast").await;
        // Not of keep alive, and without an answer to what was not read.
        fast.expect_disconnect(ReasonCode::SessionTakenOver).await;
        let mut marker = Client::connect(broker.addr, Version::V5, "marker").await;
        marker.publish(message("rate", "marker", Qos::AtLeastOnce)).await;
        assert_eq!(watcher.take_text().await, "marker");
    }
}

#[tokio::test]
async fn what_was_held_back_comes_in_order_when_there_is_room() {
    let authority = Authority::new();
    let broker = Broker::with(|config| {
        add_doors(config, &authority, Verify::None);
        config.listeners.push(Listener::new("others", ([127, 0, 0, 1], 0).into()));
        for listener in config.listeners.iter_mut().filter(|listener| listener.name != "others") {
            listener.limits.message_rate = Some(Rate { amount: 10, per: Duration::from_millis(20) });
        }
    });
    let Some(broker) = broker.await else { return };
    let mut watcher = watcher(broker.server().addresses().listener("others").unwrap()).await;
    let texts: Vec<_> = (0..200).map(|n| n.to_string()).collect();
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    for name in ["mqtt", "mqtts", "ws", "wss"] {
        let mut fast = doors::come_in(&broker, &authority, name, Version::V5, "fast").await;
        send_at_once(&mut fast, Version::V5, &texts, Packet::PingReq).await;
        for text in &texts {
            assert_eq!(watcher.take_text().await, *text, "{name}");
        }
        assert!(matches!(fast.receive().await, Packet::PingResp));
        // A packet larger than what is read at once of such a client.
        let large = "x".repeat(300_000);
        fast.publish(message("rate", large.clone(), Qos::AtLeastOnce)).await;
        assert!(watcher.take_text().await == large, "{name}");
        fast.leave().await;
    }
}

#[tokio::test]
async fn who_sends_too_many_bytes_is_not_read_from() {
    let Some(broker) = Broker::with(|config| config.limits.byte_rate = only(1024)).await else { return };
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe("rate", Qos::AtMostOnce).await;
    let mut fast = Client::connect(broker.addr, Version::V5, "fast").await;
    fast.publish(message("rate", vec![b'x'; 2000], Qos::AtLeastOnce)).await;
    assert_eq!(watcher.take().await.payload.len(), 2000);
    fast.send_publish(message("rate", "unread", Qos::AtLeastOnce)).await;
    // What it had sent would be handled before it is taken over.
    let mut next = Client::connect(broker.addr, Version::V5, "fast").await;
    next.publish(message("rate", "next", Qos::AtLeastOnce)).await;
    assert_eq!(watcher.take_text().await, "next");
}

/// More often than `times`.
fn flapping(times: u64, by: FlappingBy) -> impl FnOnce(&mut Config) {
    move |config| {
        config.limits.flapping.rate = only(times);
        config.limits.flapping.by = vec![by];
        // Half of it is the longest that anybody is kept waiting.
        config.mqtt.connect_timeout = Duration::from_secs(2);
    }
}

#[tokio::test]
async fn who_comes_too_often_is_banned_from_its_next_connect_on_until_that_is_lifted() {
    let Some((broker, admin)) = admin::start_with(flapping(3, FlappingBy::ClientId)).await else { return };
    let _others = Client::connect(broker.addr, Version::V5, "other").await;
    for _ in 0..2 {
        for _ in 0..3 {
            Client::connect(broker.addr, Version::V5, "flaps").await.leave().await;
        }
        // The one that was too many stays.
        let mut stays = Client::connect(broker.addr, Version::V5, "flaps").await;
        for (version, code) in [(Version::V5, ReasonCode::Banned), (Version::V3_1_1, ReasonCode::NotAuthorized)] {
            let (mut client, connack) = Client::try_connect(broker.addr, connect(version, "flaps")).await;
            assert_eq!(connack.reason, code);
            client.expect_end().await;
        }
        stays.ping().await;
        let listed = admin::ask(admin, "GET /api/v4/banned").await.json();
        let ban = &listed["data"][0];
        assert_eq!(
            (&ban["who"], &ban["as"], &ban["by"]),
            (&"flaps".into(), &"clientid".into(), &"flapping detector".into())
        );
        broker.lives().await;
        let lifted = admin::ask(admin, "DELETE /api/v4/banned/clientid/flaps").await.json();
        assert_eq!(lifted["code"], 0);
        stays.leave().await;
    }
}

/// Others would have it banned by saying its name.
#[tokio::test]
async fn who_is_not_let_in_makes_nobody_banned() {
    let broker = Broker::with(|config| {
        flapping(1, FlappingBy::ClientId)(config);
        config.limits.connections_per_address = Some(1);
    });
    let Some(broker) = broker.await else { return };
    let _first = let_in(broker.addr, HERE, "first").await;
    for _ in 0..3 {
        expect_refused(broker.addr, HERE, ReasonCode::QuotaExceeded).await;
    }
    let _in = let_in(broker.addr, THERE, "too-many").await;
}

#[tokio::test]
async fn an_address_from_which_too_many_come_is_banned_and_others_are_not() {
    let Some(broker) = Broker::with(flapping(2, FlappingBy::Address)).await else { return };
    for id in ["one", "two", "three"] {
        let_in(broker.addr, HERE, id).await.leave().await;
    }
    let (_, connack) = come_from(broker.addr, HERE, connect(Version::V5, "four")).await;
    assert_eq!(connack.reason, ReasonCode::Banned);
    let _other = let_in(broker.addr, THERE, "other").await;
}

/// What was sent behind CONNECT is handled when it is in, and who did not wait takes over nobody.
#[tokio::test]
async fn who_comes_often_waits_to_be_let_in() {
    let Some(broker) = Broker::with(flapping(2, FlappingBy::ClientId)).await else { return };
    Client::connect(broker.addr, Version::V5, "often").await.leave().await;
    let mut client = Client::open(broker.addr, Version::V5).await;
    client.send(Packet::Connect(Box::new(connect(Version::V5, "often")))).await;
    assert!(matches!(client.receive().await, Packet::ConnAck(_)));
    // From here on nothing is left.
    let mut gone = Client::open(broker.addr, Version::V5).await;
    gone.send(Packet::Connect(Box::new(connect(Version::V5, "often")))).await;
    gone.reset();
    // That one is through by then, and came to nothing.
    let mut next = Client::open(broker.addr, Version::V5).await;
    next.send(Packet::Connect(Box::new(connect(Version::V5, "often")))).await;
    next.send(Packet::PingReq).await;
    client.expect_disconnect(ReasonCode::SessionTakenOver).await;
    assert!(matches!(next.receive().await, Packet::ConnAck(_)));
    assert!(matches!(next.receive().await, Packet::PingResp));
    next.ping().await;
}

/// The broker of a test has the test's own thread.
fn block(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

#[tokio::test]
async fn who_comes_while_the_broker_is_late_waits_until_it_is_not_and_is_let_in() {
    let late = admin::start_with(|config| {
        config.limits.lateness = Some(Duration::from_millis(300));
        config.mqtt.connect_timeout = Duration::from_secs(60);
    });
    let Some((broker, admin)) = late.await else { return };
    let mut inside = Client::connect(broker.addr, Version::V5, "inside").await;
    inside.subscribe("$SYS/brokers/+/alarms/activate", Qos::AtMostOnce).await;
    block(1000);
    // Its own lateness is the first thing it sees.
    inside.ping().await;
    let mut comes = Client::connect(broker.addr, Version::V5, "comes").await;
    comes.ping().await;
    let metrics = admin::ask(admin, "GET /metrics").await.body;
    let waited = metrics.lines().find_map(|line| line.strip_prefix("rollcall_limits_late_waited_total "));
    assert!(waited.is_some_and(|waited| waited != "0"), "{metrics}");
    assert!(inside.take_text().await.contains("broker_late"));
}

#[tokio::test]
async fn who_comes_while_the_broker_stays_late_is_refused_and_those_inside_go_on() {
    let broker = Broker::with(|config| {
        config.limits.lateness = Some(Duration::from_millis(300));
        config.mqtt.connect_timeout = Duration::from_secs(4);
    });
    let Some(broker) = broker.await else { return };
    let mut inside = Client::connect(broker.addr, Version::V5, "inside").await;
    for (version, told) in [(Version::V5, ReasonCode::QuotaExceeded), (Version::V3_1_1, ReasonCode::ServerUnavailable)]
    {
        block(500);
        inside.ping().await;
        let answer = tokio::spawn(Client::try_connect(broker.addr, connect(version, "comes")));
        while !answer.is_finished() {
            block(500);
            inside.ping().await;
        }
        let (mut client, connack) = answer.await.unwrap();
        assert_eq!(connack.reason, told);
        client.expect_end().await;
    }
}
