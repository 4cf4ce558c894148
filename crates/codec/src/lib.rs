//! MQTT 3.1, 3.1.1 and 5.0 packets: one set of types, strict readers, writers into [`bytes::BytesMut`].
//!
//! It does no I/O, reads no clock and keeps no session: bytes in, packets out, and back. What a packet says is
//! checked here; what it means to a client's session is not.
//!
//! ```
//! use bytes::BytesMut;
//! use mqtt_codec::{Connect, Decoder, Packet, Role, Version};
//!
//! let connect = Packet::Connect(Box::new(Connect::new(Version::V5, "me")));
//! let mut wire = BytesMut::new();
//! connect.encode(Version::V5, &mut wire)?;
//! Packet::PingReq.encode(Version::V5, &mut wire)?;
//!
//! let mut decoder = Decoder::new(Role::Server, 1_048_576);
//! assert_eq!(decoder.decode(&mut wire)?, Some(connect));
//! assert_eq!(decoder.version(), Some(Version::V5));
//! assert_eq!(decoder.decode(&mut wire)?, Some(Packet::PingReq));
//! assert_eq!(decoder.decode(&mut wire)?, None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! With the feature `tokio-util` there is `PacketCodec` for `tokio_util::codec::Framed`.

mod decode;
mod encode;
mod error;
mod packet;
mod packet_type;
mod property;
mod read;
mod reason;
#[cfg(test)]
mod round_trip;
#[cfg(feature = "tokio-util")]
mod tokio_codec;
pub mod topic;

pub use decode::{Decoder, FixedHeader, Role, version_said};
pub use encode::{PublishHead, TooLarge};
pub use error::{DecodeError, TextError};
pub use packet::{
    Ack, Auth, ConnAck, Connect, Disconnect, Message, Packet, PacketId, Publish, Qos, RetainHandling, SubAck,
    Subscribe, SubscribeFilter, SubscribeOptions, UnsubAck, Unsubscribe, Version, Will,
};
pub use packet_type::PacketType;
pub use property::{Properties, Property};
pub use reason::ReasonCode;
#[cfg(feature = "tokio-util")]
pub use tokio_codec::{CodecError, PacketCodec};
pub use topic::{Filter, Topic};
