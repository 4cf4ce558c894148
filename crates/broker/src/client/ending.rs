//! Why a connection ends.

use mqtt_codec::ReasonCode;
use mqtt_hooks::Reason;

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) reason: Reason,
    /// What a version 5 client is told in DISCONNECT; `None`: nothing, the client said so itself or is gone.
    pub(crate) code: Option<ReasonCode>,
}

impl Ending {
    /// By an operator.
    pub(crate) const KICKED: Self = Self { reason: Reason::Kicked, code: Some(ReasonCode::AdministrativeAction) };

    /// The broker is to be restarted, and there are others, or it comes again later.
    pub(crate) const SENT_AWAY: Self =
        Self { reason: Reason::ServerShuttingDown, code: Some(ReasonCode::UseAnotherServer) };

    /// DISCONNECT has no code for it. [MQTT-3.14.2-1]
    pub(crate) const BANNED: Self =
        Self { reason: Reason::Refused(ReasonCode::Banned), code: Some(ReasonCode::AdministrativeAction) };

    /// The client did what it may not.
    pub(crate) const fn refused(code: ReasonCode) -> Self {
        Self { reason: Reason::Refused(code), code: Some(code) }
    }

    /// The client is gone.
    pub(crate) const fn gone(reason: Reason) -> Self {
        Self { reason, code: None }
    }
}
