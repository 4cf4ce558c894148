//! What can be wrong with bytes.

use crate::ReasonCode;

/// Why bytes are not a packet. After any of these the stream can't be read further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// To be completed.
    #[error("malformed packet")]
    Malformed,
    /// CONNECT names a protocol level other than 3, 4 and 5.
    #[error("protocol level {0} is not spoken here (3, 4 and 5 are)")]
    UnsupportedVersion(u8),
}

impl DecodeError {
    /// The code to close the connection with.
    pub const fn reason_code(&self) -> ReasonCode {
        ReasonCode::MalformedPacket
    }
}
