//! TCP may cut the stream anywhere.

use bytes::BytesMut;
use mqtt_codec::{Packet, Properties, Publish, Qos, Subscribe, Version};

use crate::{
    broker::Broker,
    client::{Client, VERSIONS, ask, connect, id, topic},
};

/// CONNECT, SUBSCRIBE, PUBLISH to oneself, PINGREQ.
fn stream(version: Version, payload: usize) -> Vec<u8> {
    let packets = [
        Packet::Connect(Box::new(connect(version, "split"))),
        Packet::Subscribe(Subscribe {
            packet_id: id(1),
            properties: Properties::EMPTY,
            filters: vec![ask("a/+", Qos::AtMostOnce), ask("b", Qos::AtLeastOnce)],
        }),
        Packet::Publish(Publish {
            dup: false,
            qos: Qos::AtLeastOnce,
            retain: false,
            topic: Some(topic("a/b")),
            packet_id: Some(id(2)),
            properties: Properties::EMPTY,
            payload: vec![b'x'; payload].into(),
        }),
        Packet::PingReq,
    ];
    let mut bytes = BytesMut::new();
    for packet in packets {
        packet.encode(version, &mut bytes).unwrap();
    }
    bytes.to_vec()
}

async fn expect_answers(client: &mut Client, payload: usize) {
    assert!(matches!(client.receive().await, Packet::ConnAck(_)));
    assert!(matches!(client.receive().await, Packet::SubAck(_)));
    let mut kinds = (false, false);
    for _ in 0..2 {
        match client.receive().await {
            Packet::Publish(publish) => kinds.0 = publish.payload.len() == payload,
            Packet::PubAck(ack) => kinds.1 = ack.packet_id == id(2),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(kinds, (true, true));
    assert_eq!(client.receive().await, Packet::PingResp);
}

#[tokio::test]
async fn every_cut_in_two_is_put_together() {
    let broker = Broker::start().await;
    for version in VERSIONS {
        let bytes = stream(version, 10);
        for cut in 0..=bytes.len() {
            let mut client = Client::open(broker.addr, version).await;
            client.send_bytes(&bytes[..cut]).await;
            // What is before the cut is seen to have arrived where an answer says so.
            let connect_len = 2 + usize::from(bytes[1]);
            if cut >= connect_len {
                assert!(matches!(client.receive().await, Packet::ConnAck(_)));
                client.send_bytes(&bytes[cut..]).await;
                for _ in 0..4 {
                    client.receive().await;
                }
            } else {
                client.send_bytes(&bytes[cut..]).await;
                expect_answers(&mut client, 10).await;
            }
            client.ping().await;
            client.leave().await;
        }
    }
}

#[tokio::test]
async fn single_bytes_are_put_together() {
    let broker = Broker::start().await;
    for version in VERSIONS {
        let mut client = Client::open(broker.addr, version).await;
        for byte in stream(version, 300) {
            client.send_bytes(&[byte]).await;
            tokio::task::yield_now().await;
        }
        expect_answers(&mut client, 300).await;
    }
}

#[tokio::test]
async fn random_pieces_are_put_together() {
    let broker = Broker::start().await;
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..60 {
        let version = VERSIONS[round % 3];
        let payload = [0, 1, 150, 20_000, 100_000][round % 5];
        let bytes = stream(version, payload);
        let mut client = Client::open(broker.addr, version).await;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let (piece, after) = rest.split_at((1 + seed as usize % (1 + bytes.len() / 8)).min(rest.len()));
            client.send_bytes(piece).await;
            tokio::task::yield_now().await;
            rest = after;
        }
        expect_answers(&mut client, payload).await;
    }
}

#[tokio::test]
async fn many_packets_in_one_piece_are_taken_apart() {
    let broker = Broker::start().await;
    for version in VERSIONS {
        let mut client = Client::connect(broker.addr, version, "many").await;
        let mut bytes = BytesMut::new();
        for number in 1..=1000 {
            let publish = Publish {
                dup: false,
                qos: Qos::AtLeastOnce,
                retain: false,
                topic: Some(topic("nobody/there")),
                packet_id: Some(id(number)),
                properties: Properties::EMPTY,
                payload: "x".into(),
            };
            Packet::Publish(publish).encode(version, &mut bytes).unwrap();
        }
        client.send_bytes(&bytes).await;
        for number in 1..=1000 {
            client.expect_puback(id(number)).await;
        }
        client.ping().await;
    }
}
