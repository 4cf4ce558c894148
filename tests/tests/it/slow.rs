//! A subscriber that reads nothing is its own trouble.

use mqtt_codec::{Ack, Packet, Qos, ReasonCode, Version};

use crate::{
    broker::Broker,
    client::{Client, keeping, message},
};

const PAYLOAD: usize = 16 << 10;

/// More than every buffer on the way.
const MESSAGES: usize = 2500;

#[tokio::test]
async fn the_others_are_served_and_the_broker_does_not_hoard() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut slow = Client::connect(broker.addr, Version::V3_1_1, "slow").await;
    slow.subscribe("flood", Qos::AtMostOnce).await;
    let mut fast = Client::connect(broker.addr, Version::V3_1_1, "fast").await;
    fast.subscribe("flood", Qos::AtLeastOnce).await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for number in 0..MESSAGES {
        let mut payload = vec![b'x'; PAYLOAD];
        payload[..8].copy_from_slice(&(number as u64).to_be_bytes());
        publisher.publish(message("flood", payload.clone(), Qos::AtLeastOnce)).await;
        assert_eq!(fast.take().await.payload, payload);
    }
    // Now it reads: some at the front, in order, and far from all.
    slow.send(Packet::PingReq).await;
    let mut got = 0;
    let mut next = 0;
    loop {
        match slow.receive_or_end().await {
            Some(Packet::Publish(publish)) => {
                let number = u64::from_be_bytes(publish.payload[..8].try_into().unwrap());
                assert!(number >= next, "in order");
                next = number + 1;
                got += 1;
            }
            Some(Packet::PingResp) | None => break,
            Some(other) => panic!("{other:?}"),
        }
    }
    assert!(got > 0 && got * PAYLOAD < 20 << 20, "{got} of {MESSAGES} messages waited");
    fast.ping().await;
    publisher.ping().await;
}

/// At QoS 1 the queue keeps what there is no room for, and hands it out as the client wakes up.
#[tokio::test]
async fn a_sleeper_at_qos_1_gets_everything_in_order_when_it_wakes() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut slow = Client::connect(broker.addr, Version::V5, "slow").await;
    slow.subscribe("flood", Qos::AtLeastOnce).await;
    let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
    for number in 0..1500_u64 {
        let mut payload = vec![b'x'; PAYLOAD];
        payload[..8].copy_from_slice(&number.to_be_bytes());
        publisher.publish(message("flood", payload, Qos::AtLeastOnce)).await;
    }
    for number in 0..1500_u64 {
        let got = slow.take().await;
        assert_eq!(u64::from_be_bytes(got.payload[..8].try_into().unwrap()), number);
    }
    slow.ping().await;
}

/// A publisher that never reads its acknowledgements stops itself, and no one else.
#[tokio::test]
async fn a_publisher_that_reads_nothing_harms_nobody() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut deaf = Client::connect(broker.addr, Version::V5, "deaf").await;
    let mut other = Client::connect(broker.addr, Version::V5, "other").await;
    let flood = async {
        loop {
            deaf.send_bytes(&[0xc0, 0].repeat(10_000)).await;
        }
    };
    let life = async {
        for _ in 0..2000 {
            other.ping().await;
        }
    };
    tokio::select! {
        () = flood => {}
        () = life => {}
    }
    broker.lives().await;
}

/// One that acknowledges nothing has its window full, and the rest waits without harm.
#[tokio::test]
async fn a_subscriber_that_acknowledges_nothing_gets_its_window_and_no_more() {
    let Some(broker) = Broker::with(|config| config.limits.max_inflight = 10).await else { return };
    for version in [Version::V3_1_1, Version::V5] {
        let (mut lazy, _) = Client::connect_with(broker.addr, keeping(version, "lazy")).await;
        lazy.subscribe("a", Qos::AtLeastOnce).await;
        let mut publisher = Client::connect(broker.addr, Version::V5, "publisher").await;
        for number in 0..30 {
            publisher.publish(message("a", number.to_string(), Qos::AtLeastOnce)).await;
        }
        let mut ids = Vec::new();
        for number in 0..10 {
            let got = lazy.receive_publish().await;
            assert_eq!(got.payload, number.to_string());
            ids.push(got.packet_id.unwrap());
        }
        lazy.ping().await;
        for packet_id in ids {
            lazy.send(Packet::PubAck(Ack::new(packet_id, ReasonCode::Success))).await;
        }
        for number in 10..30 {
            assert_eq!(lazy.take_text().await, number.to_string());
        }
        lazy.ping().await;
        lazy.leave().await;
        Client::connect(broker.addr, version, "lazy").await.leave().await;
    }
}
