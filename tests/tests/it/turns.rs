//! A client that sends without end is one among others.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::BytesMut;
use mqtt_codec::{Connect, Message, Packet, Properties, Property, Publish, Qos, ReasonCode, Subscribe, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{
    broker::Broker,
    client::{Client, ask, id, message, topic},
};

const PINGREQ: [u8; 2] = [0xC0, 0];
const PINGRESP: [u8; 2] = [0xD0, 0];
const PUBACK: [u8; 4] = [0x40, 2, 0, 7];
const CONNACK: [u8; 4] = [0x20, 2, 0, 0];

fn connect(client_id: &str) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    Packet::Connect(Box::new(Connect::new(Version::V3_1_1, client_id))).encode(Version::V3_1_1, &mut bytes).unwrap();
    bytes.to_vec()
}

/// More than is handled in one turn, behind CONNECT and in reads of their own.
#[tokio::test]
async fn what_one_read_brings_is_answered_in_order_over_many_turns() {
    const BEFORE: usize = 20_000;
    const BEHIND: usize = 5_000;
    let broker = Broker::start().await;
    let publish = Packet::Publish(Publish {
        dup: false,
        qos: Qos::AtLeastOnce,
        retain: false,
        topic: Some(topic("a")),
        packet_id: Some(id(7)),
        properties: Properties::EMPTY,
        payload: "x".into(),
    });
    let mut bytes = BytesMut::from(&connect("much")[..]);
    bytes.extend_from_slice(&PINGREQ.repeat(BEFORE));
    publish.encode(Version::V3_1_1, &mut bytes).unwrap();
    bytes.extend_from_slice(&PINGREQ.repeat(BEHIND));
    bytes.extend_from_slice(&[0xE0, 0]);
    let mut stream = TcpStream::connect(broker.addr).await.unwrap();
    let mut answers = Vec::new();
    let (mut reads, mut writes) = stream.split();
    let (written, read) = tokio::join!(writes.write_all(&bytes), reads.read_to_end(&mut answers));
    written.unwrap();
    read.unwrap();
    let expected = [&CONNACK[..], &PINGRESP.repeat(BEFORE), &PUBACK, &PINGRESP.repeat(BEHIND)].concat();
    assert!(answers == expected, "{} bytes of {}", answers.len(), expected.len());
}

/// On the one thread of this test a turn of the flood would otherwise be all that a socket's buffer holds, some 60 times
/// before anyone else is looked at.
#[tokio::test]
async fn who_sends_without_end_leaves_turns_to_others() {
    const FLOOD: usize = 1_000_000;
    let broker = Broker::start().await;
    let mut neighbour = Client::connect(broker.addr, Version::V5, "neighbour").await;
    let mut stream = TcpStream::connect(broker.addr).await.unwrap();
    stream.write_all(&connect("flood")).await.unwrap();
    stream.read_exact(&mut [0; 4]).await.unwrap();
    let (mut reads, mut writes) = stream.into_split();
    let answered = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&answered);
    let reader = tokio::spawn(async move {
        let mut input = vec![0; 64 * 1024];
        while counted.load(Relaxed) < 2 * FLOOD {
            let read = reads.read(&mut input).await.unwrap();
            assert_ne!(read, 0, "the broker closed");
            counted.fetch_add(read, Relaxed);
        }
    });
    let writer = tokio::spawn(async move {
        let piece = PINGREQ.repeat(FLOOD / 100);
        for _ in 0..100 {
            writes.write_all(&piece).await.unwrap();
        }
        writes
    });
    // The flood is under way.
    while answered.load(Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    neighbour.ping().await;
    neighbour.ping().await;
    let done = answered.load(Relaxed) / 2;
    assert!(done < FLOOD, "all {done} of the flood were answered first");
    reader.await.unwrap();
    writer.await.unwrap();
}

/// Whoever publishes to many leaves turns to others while these are written to, and each gets all in order.
#[tokio::test]
async fn a_message_to_many_leaves_turns_to_others() {
    const MANY: usize = 2500;
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut receivers = Vec::new();
    for n in 0..MANY {
        let mut stream = TcpStream::connect(broker.addr).await.unwrap();
        stream.write_all(&connect(&format!("r{n}"))).await.unwrap();
        stream.write_all(b"\x82\x06\0\x01\0\x01f\0").await.unwrap();
        // CONNACK and SUBACK.
        stream.read_exact(&mut [0; 9]).await.unwrap();
        receivers.push(stream);
    }
    let mut neighbour = Client::connect(broker.addr, Version::V3_1_1, "neighbour").await;
    let mut publisher = Client::connect(broker.addr, Version::V3_1_1, "publisher").await;
    for text in ["1", "2"] {
        publisher.send_publish(message("f", text, Qos::AtMostOnce)).await;
    }
    let mut got = vec![Vec::new(); MANY];
    let mut between = 0;
    while got.iter().any(|got| got.len() < 12) {
        neighbour.ping().await;
        for (stream, got) in receivers.iter().zip(&mut got) {
            // An error says that there is nothing yet.
            let _ = stream.try_read_buf(got);
        }
        let served = got.iter().filter(|got| !got.is_empty()).count();
        between += usize::from(served > 0 && served < MANY);
    }
    assert!(got.iter().all(|got| got == b"\x30\x04\0\x01f1\x30\x04\0\x01f2"));
    assert!(between > 1, "all were written to in one go");
    publisher.ping().await;
}

/// A SUBSCRIBE of a thousand filters is a turn by itself, and only some turns are taken before others are looked at.
#[tokio::test]
async fn long_subscribes_of_many_at_once_leave_turns_to_others() {
    const MANY: usize = 100;
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut subscribers = Vec::new();
    for n in 0..MANY {
        let mut stream = TcpStream::connect(broker.addr).await.unwrap();
        stream.write_all(&connect(&format!("s{n}"))).await.unwrap();
        stream.read_exact(&mut [0; 4]).await.unwrap();
        // The runtime's sockets know what has come when it has told them; these ask the system.
        subscribers.push(stream.into_std().unwrap());
    }
    let mut neighbour = Client::connect(broker.addr, Version::V3_1_1, "neighbour").await;
    neighbour.ping().await;
    let filters: Vec<_> = (0..1000).map(|n| ask(&format!("f/{n}"), Qos::AtMostOnce)).collect();
    let subscribe = Subscribe { packet_id: id(1), properties: Properties::EMPTY, filters };
    let mut bytes = BytesMut::new();
    Packet::Subscribe(subscribe).encode(Version::V3_1_1, &mut bytes).unwrap();
    // The broker's thread is this one: all of this has come when it looks.
    for mut stream in &subscribers {
        assert_eq!(stream.write(&bytes).unwrap(), bytes.len());
    }
    neighbour.ping().await;
    let mut answers = vec![Vec::new(); MANY];
    let look = |answers: &mut Vec<Vec<u8>>| {
        for (mut stream, answer) in subscribers.iter().zip(answers.iter_mut()) {
            // An error says that there is no more yet.
            let _ = stream.read_to_end(answer);
        }
        answers.iter().filter(|answer| answer.len() >= 1000).count()
    };
    let before = look(&mut answers);
    assert!(before < MANY / 4, "{before} were handled first");
    while look(&mut answers) < MANY {
        neighbour.ping().await;
    }
}

/// Pings of WebSocket are nothing that is handled as a packet, and take time all the same.
#[tokio::test]
async fn pings_of_websocket_of_many_at_once_leave_turns_to_others() {
    const MANY: usize = 100;
    const REQUEST: &[u8] = b"GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
    // The mask is zero.
    let frame = |kind: u8, payload: &[u8]| [&[0x80 | kind, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat();
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut floods = Vec::new();
    for n in 0..MANY {
        let mut stream = TcpStream::connect(broker.server().addresses().listener("ws").unwrap()).await.unwrap();
        stream.write_all(REQUEST).await.unwrap();
        stream.write_all(&frame(2, &connect(&format!("w{n}")))).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(&CONNACK) {
            stream.read_buf(&mut answer).await.unwrap();
        }
        socket2::SockRef::from(&stream).set_send_buffer_size(1 << 19).unwrap();
        floods.push(stream.into_std().unwrap());
    }
    let mut neighbour = Client::connect(broker.addr, Version::V3_1_1, "neighbour").await;
    neighbour.ping().await;
    let bytes = [frame(9, &[]).repeat(20_000), frame(2, &PINGREQ)].concat();
    for mut stream in &floods {
        assert_eq!(stream.write(&bytes).unwrap(), bytes.len());
    }
    neighbour.ping().await;
    let mut answers = vec![Vec::new(); MANY];
    let look = |answers: &mut Vec<Vec<u8>>| {
        for (mut stream, answer) in floods.iter().zip(answers.iter_mut()) {
            // An error says that there is no more yet.
            let _ = stream.read_to_end(answer);
        }
        answers.iter().filter(|answer| answer.ends_with(&PINGRESP)).count()
    };
    let before = look(&mut answers);
    assert!(before < MANY / 4, "{before} were handled first");
    while look(&mut answers) < MANY {
        neighbour.ping().await;
    }
}

/// As many filters as fit the largest packet would take seconds.
#[tokio::test]
async fn a_packet_of_too_many_filters_is_refused() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    for (count, is_taken) in [(10_000, true), (10_001, false)] {
        let mut client = Client::connect(broker.addr, Version::V5, "many").await;
        let filters = vec![ask("x", Qos::AtMostOnce); count];
        client.send(Packet::Subscribe(Subscribe { packet_id: id(1), properties: Properties::EMPTY, filters })).await;
        match client.receive().await {
            Packet::SubAck(answer) => assert!(is_taken && answer.reasons.len() == count),
            Packet::Disconnect(told) => assert!(!is_taken && told.reason == ReasonCode::QuotaExceeded),
            other => panic!("{other:?}"),
        }
    }
}

/// As many properties as fit the largest packet would hold a thread for most of a second: they are walked over each time
/// that one is looked for.
#[tokio::test]
async fn a_packet_of_too_many_properties_is_refused() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    for (count, is_taken) in [(10_000, true), (10_001, false)] {
        let mut client = Client::connect(broker.addr, Version::V5, "many").await;
        let properties = (0..count).map(|_| Property::UserProperty("".into(), "".into())).collect();
        let message = Message { properties, ..message("a", "", Qos::AtLeastOnce) };
        client.send_publish(message).await;
        match client.receive().await {
            Packet::PubAck(_) => assert!(is_taken),
            Packet::Disconnect(told) => assert!(!is_taken && told.reason == ReasonCode::QuotaExceeded),
            other => panic!("{other:?}"),
        }
    }
}
