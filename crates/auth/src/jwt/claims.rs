//! What a token says.

use std::sync::Arc;

use mqtt_hooks::{ConnectionInfo, Rules};
use serde::Deserialize;

use super::token::Wrong;
use crate::granted::{self, Granted};

/// Seconds by which clocks may differ where a token is not valid yet.
const LEEWAY: f64 = 30.0;

/// The claims that mean something here.
#[derive(Deserialize)]
pub(super) struct Claims {
    /// Seconds since the Unix epoch, which may have a fraction.
    exp: f64,
    nbf: Option<f64>,
    username: Option<String>,
    sub: Option<String>,
    #[serde(alias = "client_id")]
    clientid: Option<String>,
    acl: Option<Granted>,
    /// All that the token says.
    #[serde(skip)]
    text: Box<str>,
}

impl Claims {
    /// `None`: it lacks what it must have, or that is of a wrong type.
    pub(super) fn read(text: Vec<u8>) -> Option<Self> {
        let text = String::from_utf8(text).ok()?.into_boxed_str();
        let claims = serde_json::from_str(&text).ok()?;
        Some(Self { text, ..claims })
    }

    /// A JSON object.
    pub(super) fn into_text(self) -> Box<str> {
        self.text
    }

    /// Milliseconds for which it is valid still.
    pub(super) fn left(&self, now_ms: u64) -> Result<u64, Wrong> {
        let now = now_ms as f64 / 1000.0;
        if self.nbf.is_some_and(|nbf| nbf > now + LEEWAY) {
            return Err(Wrong::Early);
        }
        let left = (self.exp - now) * 1000.0;
        // Not a number is not above either.
        if left >= 1.0 { Ok(left as u64) } else { Err(Wrong::Expired) }
    }

    /// As whom the client comes in.
    pub(super) fn username(&self, client: &ConnectionInfo) -> Result<Arc<str>, Wrong> {
        let ours = self.username.as_deref().or(self.sub.as_deref()).filter(|name| !name.is_empty());
        let ours = ours.ok_or(Wrong::Claims)?;
        if client.username.as_deref().is_some_and(|theirs| theirs != ours) {
            return Err(Wrong::User);
        }
        if self.clientid.as_deref().is_some_and(|ours| *ours != *client.client_id) {
            return Err(Wrong::Client);
        }
        Ok(ours.into())
    }

    /// What it may do; empty: the token does not say.
    pub(super) fn rules(&self, client: &ConnectionInfo) -> Result<Rules, Wrong> {
        let Some(granted) = &self.acl else { return Ok(Rules::default()) };
        granted.rules(client).map_err(|wrong| match wrong {
            granted::Wrong::Rules => Wrong::Claims,
            granted::Wrong::Client => Wrong::Client,
        })
    }
}
