//! A token as it is brought.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use mqtt_codec::ReasonCode;
use serde::Deserialize;

use super::claims::Claims;
use super::keys::{Algorithm, Keys};

/// Bytes of a token.
const MAX_BYTES: usize = 16 << 10;

/// A token that is not yet known to be right.
pub(super) struct Token<'a> {
    header: Header,
    /// What is signed: the first two parts, as they are written.
    signed: &'a str,
    claims: &'a str,
    signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood; none is.
    crit: Option<serde_json::Value>,
}

/// Why somebody is not let in by a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It is signed otherwise, or by nobody that is known here.
    Signature,
    /// It lacks what it must have, or that is of a wrong type.
    Claims,
    Expired,
    Early,
    /// The client says that it is somebody else.
    User,
    Client,
}

impl Wrong {
    /// For the log.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Signature => "token_signature",
            Self::Claims => "token_claims",
            Self::Expired => "token_expired",
            Self::Early => "token_not_yet",
            Self::User => "token_of_other_user",
            Self::Client => "token_of_other_client",
        }
    }

    pub(super) const fn code(self) -> ReasonCode {
        match self {
            Self::Client => ReasonCode::ClientIdNotValid,
            _ => ReasonCode::BadUserNameOrPassword,
        }
    }
}

impl<'a> Token<'a> {
    /// `None`: it is no token, whatever it is.
    pub(super) fn read(token: &'a [u8]) -> Option<Self> {
        let text = str::from_utf8(token).ok().filter(|text| text.len() <= MAX_BYTES)?;
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header = serde_json::from_slice(&decoded(header)?).ok()?;
        Some(Self { header, signed, claims, signature: decoded(signature)? })
    }

    /// It names a key, and none of these.
    pub(super) fn names_another(&self, keys: &Keys) -> bool {
        self.header.kid.as_deref().is_some_and(|id| !keys.has(id))
    }

    pub(super) fn verify(&self, keys: &Keys) -> Result<Claims, Wrong> {
        let algorithm = Algorithm::from_name(&self.header.alg).ok_or(Wrong::Signature)?;
        let is_signed = self.header.crit.is_none()
            && keys.verify(algorithm, self.header.kid.as_deref(), self.signed.as_bytes(), &self.signature);
        if !is_signed {
            return Err(Wrong::Signature);
        }
        decoded(self.claims).and_then(Claims::read).ok_or(Wrong::Claims)
    }
}

fn decoded(part: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(part).ok()
}
