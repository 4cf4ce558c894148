//! What one client makes the broker hold is bounded, and never at others' expense.

use std::net::Ipv4Addr;

use bytes::{BufMut, Bytes, BytesMut};
use mqtt_codec::{ConnAck, Connect, Packet, Property, Publish, Qos, ReasonCode, Version, Will};
use mqtt_config::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::broker::{Broker, outside};
use crate::client::{Client, connect, keeping, message, retained, topic};
use crate::crash::Home;

const KIB: usize = 1 << 10;

fn memory(mib: usize) -> impl FnOnce(&mut Config) {
    move |config| config.limits.memory = Some(mib << 20)
}

/// The beginning of a packet of a mebibyte, and so many bytes of it.
fn half(first: &[u8], bytes: usize) -> BytesMut {
    let mut half = BytesMut::new();
    half.put_slice(&first[..1]);
    half.put_slice(&[0x80, 0x80, 0x40]);
    half.put_slice(&first[1..]);
    half.put_bytes(b'x', bytes);
    half
}

#[tokio::test]
async fn half_connects_share_a_pot_that_they_cannot_empty() {
    const SOCKETS: usize = 60;
    const REFUSED: usize = 40;
    let Some(broker) = Broker::with(memory(32)).await else { return };
    let (ended, mut ends) = mpsc::channel(SOCKETS);
    for _ in 0..SOCKETS {
        let (addr, ended) = (broker.addr, ended.clone());
        tokio::spawn(async move {
            let mut stream = TcpStream::connect(addr).await.unwrap();
            // It may be closed in the middle of that.
            let _ = stream.write_all(&half(b"\x10\0\x04MQTT\x04\x02\0\x3c\0\xff", 100 * KIB)).await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
            let _ = ended.send(()).await;
        });
    }
    for _ in 0..REFUSED {
        ends.recv().await.unwrap();
    }
    // Those that are left hold what they may; who comes with a large will is let in all the same.
    let will = Will { message: message("gone", vec![b'w'; 20 * KIB], Qos::AtMostOnce), delay: 0 };
    let comes = Connect { will: Some(will), ..connect(Version::V5, "comes") };
    let (mut client, _) = Client::connect_with(broker.addr, comes).await;
    client.ping().await;
}

/// A queue grows as long as there is plenty, and never so far that others go short.
#[tokio::test]
async fn a_hog_leaves_room_for_others_and_for_who_comes() {
    let Some(broker) = Broker::with(memory(32)).await else { return };
    for name in ["hog", "modest"] {
        let (mut client, _) = Client::connect_with(broker.addr, keeping(Version::V5, name)).await;
        client.subscribe(name, Qos::AtLeastOnce).await;
        client.leave().await;
    }
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for _ in 0..400 {
        publisher.publish(message("hog", vec![b'x'; 64 * KIB], Qos::AtLeastOnce)).await;
    }
    for number in 0..50 {
        publisher.publish(message("modest", number.to_string(), Qos::AtLeastOnce)).await;
    }
    let (mut modest, _) = Client::connect_with(broker.addr, keeping(Version::V5, "modest")).await;
    for number in 0..50 {
        assert_eq!(modest.take_text().await, number.to_string());
    }
    let mut newcomer = Client::connect(broker.addr, Version::V3_1_1, "newcomer").await;
    newcomer.subscribe("new", Qos::AtLeastOnce).await;
    publisher.publish(message("new", "x", Qos::AtLeastOnce)).await;
    assert_eq!(newcomer.take_text().await, "x");

    let (mut hog, _) = Client::connect_with(broker.addr, keeping(Version::V5, "hog")).await;
    let kept = count_until_marker(&mut hog, &mut publisher).await;
    // A quarter of what is free at last: 28 MiB less what it holds itself.
    assert!((60..=110).contains(&kept), "{kept} messages of 64 KiB were kept");

    // What it held is free for the next as soon as it is given back.
    let (mut next, _) = Client::connect_with(broker.addr, keeping(Version::V5, "next")).await;
    next.subscribe("next", Qos::AtLeastOnce).await;
    next.leave().await;
    for _ in 0..kept {
        publisher.publish(message("next", vec![b'x'; 60 * KIB], Qos::AtLeastOnce)).await;
    }
    let (mut next, _) = Client::connect_with(broker.addr, keeping(Version::V5, "next")).await;
    for _ in 0..kept {
        assert_eq!(next.take().await.payload.len(), 60 * KIB);
    }
}

/// Takes all until a message comes that is published last, and says how many they were.
async fn count_until_marker(client: &mut Client, publisher: &mut Client) -> usize {
    // Who holds as much as it may has room for no marker until something that it has acknowledged is known to be: a PINGRESP tells that
    // what was sent before is. So there are several, of which the first that is kept is behind all the others.
    client.take().await;
    client.subscribe("marker", Qos::AtLeastOnce).await;
    let (mut count, mut is_over) = (1, false);
    while !is_over {
        publisher.publish(message("marker", "end", Qos::AtLeastOnce)).await;
        for payload in take_until_pong(client).await {
            is_over |= payload == "end";
            count += usize::from(!is_over);
        }
    }
    client.unsubscribe(&["marker"]).await;
    // Those that were kept, too, and came in time.
    assert!(take_until_pong(client).await.iter().all(|payload| payload == "end"));
    count
}

/// What comes before the answer to a PINGREQ.
async fn take_until_pong(client: &mut Client) -> Vec<Bytes> {
    client.send(Packet::PingReq).await;
    let mut payloads = Vec::new();
    loop {
        match client.receive().await {
            Packet::PingResp => return payloads,
            Packet::Publish(publish) => {
                client.acknowledge(&publish).await;
                payloads.push(publish.payload);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn half_a_packet_may_take_no_more_than_its_clients_share() {
    let Some(broker) = Broker::with(memory(2)).await else { return };
    let mut hog = Client::connect(broker.addr, Version::V5, "hog").await;
    hog.send_bytes(&half(b"\x30\0\x01a\0", 900 * KIB)).await;
    hog.expect_disconnect(ReasonCode::QuotaExceeded).await;
    // Under it, it is a packet like any other.
    let mut client = Client::connect(broker.addr, Version::V5, "client").await;
    client.subscribe("a", Qos::AtMostOnce).await;
    client.send_publish(message("a", vec![b'x'; 200 * KIB], Qos::AtMostOnce)).await;
    assert_eq!(client.take().await.payload.len(), 200 * KIB);
}

#[tokio::test]
async fn topic_aliases_count_to_their_client() {
    let Some(broker) = Broker::with(|config| {
        config.limits.memory = Some(2 << 20);
        config.limits.topic_alias_maximum = 100;
    })
    .await
    else {
        return;
    };
    let mut hog = Client::connect(broker.addr, Version::V5, "hog").await;
    for alias in 1..=20_u16 {
        let publish = Publish {
            dup: false,
            qos: Qos::AtMostOnce,
            retain: false,
            topic: Some(topic(&format!("{alias}{}", "a".repeat(60_000)))),
            packet_id: None,
            properties: [Property::TopicAlias(alias)].into(),
            payload: "x".into(),
        };
        hog.send(Packet::Publish(publish)).await;
    }
    hog.expect_disconnect(ReasonCode::QuotaExceeded).await;
    broker.lives().await;
}

#[tokio::test]
async fn subscriptions_count_to_their_client() {
    let Some(broker) = Broker::with(memory(4)).await else { return };
    let mut hog = Client::connect(broker.addr, Version::V5, "hog").await;
    let mut refused = 0;
    for n in 0..100 {
        let filter = format!("{n}{}", "a".repeat(30_000));
        refused += usize::from(hog.subscribe(&filter, Qos::AtMostOnce).await == ReasonCode::QuotaExceeded);
    }
    assert!((60..100).contains(&refused), "{refused} were refused");
    let mut other = Client::connect(broker.addr, Version::V5, "other").await;
    other.subscribe("a/+/c", Qos::AtMostOnce).await;
}

/// Comes with a session that is larger than most, and leaves it behind; false: it is refused.
async fn leave_session_behind(mut client: Client, id: &str) -> bool {
    client.send(Packet::Connect(Box::new(keeping(Version::V5, id)))).await;
    match client.receive().await {
        Packet::ConnAck(ConnAck { reason: ReasonCode::Success, .. }) => {
            let filter = "a".repeat(30_000);
            assert_eq!(client.subscribe(&filter, Qos::AtMostOnce).await, ReasonCode::Success);
            client.leave().await;
            true
        }
        Packet::ConnAck(ConnAck { reason: ReasonCode::QuotaExceeded, .. }) => false,
        other => panic!("{other:?}"),
    }
}

/// However many client ids it has.
#[tokio::test]
async fn sessions_that_one_address_leaves_behind_leave_room_for_others() {
    let Some(broker) = Broker::with(memory(4)).await else { return };
    let from =
        |address: [u8; 4], version| Client::over(broker.server().connect_in_memory((address, 4711).into()), version);
    let (greedy, other) = ([192, 0, 2, 1], [192, 0, 2, 2]);
    let mut left = 0;
    while leave_session_behind(from(greedy, Version::V5), &format!("{left}")).await {
        left += 1;
    }
    assert!((20..40).contains(&left), "{left} sessions of 90 KB were left behind");
    assert!(leave_session_behind(from(other, Version::V5), "other").await);
    let come = |connect: Connect| {
        let mut client = from(greedy, connect.version);
        async move {
            client.send(Packet::Connect(Box::new(connect))).await;
            let Packet::ConnAck(answer) = client.receive().await else { panic!("no CONNACK") };
            (client, answer)
        }
    };
    // Who leaves nothing behind, or has something there, comes in as ever; who has nothing there is told in each version.
    let (_, answer) = come(keeping(Version::V3_1_1, "new")).await;
    assert_eq!(answer.reason, ReasonCode::ServerUnavailable);
    for version in [Version::V3_1_1, Version::V5] {
        let (client, answer) = come(connect(version, "new")).await;
        assert_eq!(answer.reason, ReasonCode::Success, "{version:?}");
        client.leave().await;
    }
    for id in ["0", "1"] {
        let (client, answer) = come(keeping(Version::V5, id)).await;
        assert!(answer.session_present);
        client.leave().await;
        let (client, _) = come(connect(Version::V5, id)).await;
        client.leave().await;
    }
    assert!(leave_session_behind(from(greedy, Version::V5), "new").await, "two are over");
}

/// However many sessions it has left behind, and whatever waits for them.
#[tokio::test]
async fn what_waits_for_those_of_one_address_leaves_room_for_others() {
    let Some(broker) = Broker::with(memory(32)).await else { return };
    let leave = async |address: [u8; 4], id: String, filter: &str| {
        let mut client = Client::over(broker.server().connect_in_memory((address, 4711).into()), Version::V5);
        client.send(Packet::Connect(Box::new(keeping(Version::V5, &id)))).await;
        assert!(matches!(client.receive().await, Packet::ConnAck(_)));
        client.subscribe(filter, Qos::AtLeastOnce).await;
        client.leave().await;
    };
    for n in 0..300 {
        leave([192, 0, 2, 1], format!("greedy{n}"), "#").await;
    }
    leave([192, 0, 2, 2], "other".to_owned(), "other").await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for _ in 0..700 {
        publisher.publish(message("all", vec![b'x'; 100], Qos::AtLeastOnce)).await;
    }
    for n in 0..1000 {
        publisher.publish(message("other", n.to_string(), Qos::AtLeastOnce)).await;
    }
    let mut client = Client::connect_with(broker.addr, keeping(Version::V5, "other")).await.0;
    for n in 0..1000 {
        assert_eq!(client.take_text().await, n.to_string());
    }
}

#[tokio::test]
async fn whose_sessions_were_left_behind_is_known_after_a_crash() {
    if outside() {
        return;
    }
    let home = Home::new(&["--set", "limits.memory=4MiB"]).await;
    let (greedy, other) = (Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3));
    let leave_all = async |home: &Home, name: &str| {
        let mut left = 0;
        while leave_session_behind(Client::open_from(home.addr(), Version::V5, greedy).await, &format!("{name}{left}"))
            .await
        {
            left += 1;
        }
        left
    };
    let left = leave_all(&home, "before").await;
    assert!((20..40).contains(&left), "{left} sessions of 90 KB were left behind");
    let home = home.crash().await;
    // What the connection before the last refusal still held for a moment may have been in the way of one.
    let more = leave_all(&home, "after").await;
    assert!(more <= 2, "{more} more were left behind after {left}");
    assert!(leave_session_behind(Client::open_from(home.addr(), Version::V5, other).await, "new").await);
}

#[tokio::test]
async fn retained_messages_leave_half_of_it() {
    let Some(broker) = Broker::with(memory(8)).await else { return };
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for n in 0..200 {
        publisher.publish(retained(&format!("kept/{n}"), vec![b'x'; 64 * KIB], Qos::AtLeastOnce)).await;
    }
    // What is there can always be replaced, and what is new and small is kept once something is given up.
    publisher.publish(retained("kept/0", "new", Qos::AtLeastOnce)).await;
    let mut client = Client::connect(broker.addr, Version::V5, "client").await;
    client.subscribe("kept/#", Qos::AtLeastOnce).await;
    let kept = count_until_marker(&mut client, &mut publisher).await;
    assert!((30..=80).contains(&kept), "{kept} messages of 64 KiB are retained");
    client.subscribe("kept/0", Qos::AtMostOnce).await;
    assert_eq!(client.take_text().await, "new");
}

#[tokio::test]
async fn what_one_address_retains_leaves_room_for_others() {
    const MAX: usize = 80;
    let Some(broker) = Broker::with(|config| config.limits.retained_messages = MAX).await else { return };
    let come = |address: [u8; 4], connect: Connect| {
        let mut client = Client::over(broker.server().connect_in_memory((address, 4711).into()), connect.version);
        async move {
            client.send(Packet::Connect(Box::new(connect))).await;
            assert!(matches!(client.receive().await, Packet::ConnAck(_)));
            client
        }
    };
    let (greedy, other) = ([192, 0, 2, 1], [192, 0, 2, 2]);
    // By messages and by wills, each time as another client.
    for n in 0..MAX {
        let will = Will { message: retained(&format!("will/{n}"), "x", Qos::AtLeastOnce), delay: 0 };
        let named = Connect { will: Some(will), ..connect(Version::V5, &format!("c{n}")) };
        let mut client = come(greedy, named).await;
        client.publish(retained(&format!("kept/{n}"), "x", Qos::AtLeastOnce)).await;
        client.cut().await;
    }
    let mut client = come(other, connect(Version::V5, "other")).await;
    client.publish(retained("other", "x", Qos::AtLeastOnce)).await;
    // What is there can be replaced and removed, and then there is room again.
    let mut again = come(greedy, connect(Version::V5, "again")).await;
    again.publish(retained("kept/0", "new", Qos::AtLeastOnce)).await;
    for removed in ["kept/1", "kept/2"] {
        again.publish(retained(removed, "", Qos::AtLeastOnce)).await;
    }
    again.publish(retained("late", "x", Qos::AtLeastOnce)).await;
    for (filter, count) in [("#", MAX / 8 * 7 + 1 - 2 + 1), ("other", 1), ("late", 1), ("kept/0", 1)] {
        let mut watcher = come(other, connect(Version::V5, "watcher")).await;
        watcher.subscribe(filter, Qos::AtMostOnce).await;
        assert_eq!(take_until_pong(&mut watcher).await.len(), count, "{filter}");
    }
}

/// Its requests would only add to what waits for it.
#[tokio::test]
async fn who_takes_no_answers_is_not_read_from() {
    const PINGREQS: usize = 32 << 20;
    let Some(broker) = Broker::with(|config| config.limits.outbox = 64 << 10).await else { return };
    let mut stream = TcpStream::connect(broker.addr).await.unwrap();
    let mut bytes = BytesMut::new();
    Packet::Connect(Box::new(connect(Version::V3_1_1, "deaf"))).encode(Version::V3_1_1, &mut bytes).unwrap();
    stream.write_all(&bytes).await.unwrap();
    let piece = [0xC0, 0].repeat(32 * KIB);
    let mut written = 0;
    // The broker's thread is this one: it has had its turns whenever writing waits. When it takes nothing over many of
    // others', it takes nothing.
    let mut idle = 0;
    let mut neighbour = Client::connect(broker.addr, Version::V5, "neighbour").await;
    while written < PINGREQS && idle < 500 {
        match stream.try_write(&piece) {
            Ok(more) => {
                written += more;
                idle = 0;
            }
            Err(_) => {
                neighbour.ping().await;
                idle += 1;
            }
        }
    }
    assert!(written < PINGREQS, "it took all {written} bytes");
    // Once the answers are taken, it goes on.
    let mut answers = vec![0; 64 * KIB];
    let mut taken = 0;
    while taken < written {
        let read = stream.read(&mut answers).await.unwrap();
        assert_ne!(read, 0, "the broker closed");
        taken += read;
    }
}

/// Whoever takes all the places there are, does so from somewhere.
#[tokio::test]
async fn connections_of_one_address_leave_room_for_another() {
    const PLACES: usize = 80;
    let Some(broker) = Broker::with(|config| config.mqtt.max_connections = PLACES / 2).await else { return };
    let from = |address: [u8; 4]| Client::over(broker.server().connect_in_memory((address, 4711).into()), Version::V5);
    let (greedy, other) = ([192, 0, 2, 1], [192, 0, 2, 2]);
    let taken: Vec<_> = (0..PLACES / 8 * 7).map(|_| from(greedy)).collect();
    from(greedy).expect_end().await;
    let mut client = from(other);
    client.send(Packet::Connect(Box::new(connect(Version::V5, "other")))).await;
    assert!(matches!(client.receive().await, Packet::ConnAck(_)));
    drop(taken);
    // As soon as they are closed there is room again.
    loop {
        let mut client = from(greedy);
        client.send(Packet::Connect(Box::new(connect(Version::V5, "again")))).await;
        if client.receive_or_end().await.is_some() {
            break;
        }
    }
}
