//! A clock made of packets.

use std::net::SocketAddr;

use mqtt_codec::{Connect, Property, Qos, ReasonCode, Version, Will};

use crate::client::{Client, connect, will};

/// Comes back when the broker has let `seconds` pass: a will with that delay is the bell.
pub(crate) async fn wait(addr: SocketAddr, seconds: u32) {
    let mut watcher = Client::connect(addr, Version::V5, "clock-watcher").await;
    watcher.subscribe("clock", Qos::AtMostOnce).await;
    let connect = Connect {
        will: Some(Will { delay: seconds, ..will("clock", "ring") }),
        properties: [Property::SessionExpiry(seconds + 10)].into(),
        ..connect(Version::V5, "clock")
    };
    let (bell, _) = Client::connect_with(addr, connect).await;
    bell.leave_with(ReasonCode::DisconnectWithWill, [].into()).await;
    assert_eq!(watcher.take_text().await, "ring");
    watcher.leave().await;
}
