//! What a client may not do.

use mqtt_codec::ReasonCode;

/// Why a connection must be closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// [MQTT-3.1.0-2]
    #[error("a second CONNECT")]
    SecondConnect,
}

impl Violation {
    /// The code of the DISCONNECT that a version 5 client is sent.
    pub const fn reason_code(&self) -> ReasonCode {
        ReasonCode::ProtocolError
    }
}
