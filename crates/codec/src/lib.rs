//! MQTT 3.1, 3.1.1 and 5.0 packets: one set of types, strict readers, writers into [`bytes::BytesMut`].
//!
//! It does no I/O, reads no clock and keeps no session: bytes in, packets out, and back.

mod decode;
mod encode;
mod error;
mod packet;
mod packet_type;
mod property;
mod read;
mod reason;
pub mod topic;

pub use decode::{Decoder, FixedHeader, Role};
pub use encode::{PublishHead, TooLarge};
pub use error::{DecodeError, TextError};
pub use packet::{
    Ack, Auth, ConnAck, Connect, Disconnect, Message, Packet, PacketId, Publish, Qos, RetainHandling, SubAck,
    Subscribe, SubscribeFilter, SubscribeOptions, UnsubAck, Unsubscribe, Version, Will,
};
pub use packet_type::PacketType;
pub use property::{Properties, Property};
pub use reason::ReasonCode;
pub use topic::{Filter, Topic};
