//! Which clients are listed.

use std::net::IpAddr;

use mqtt_operate::ClientState;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{UNDEFINED, ZONE, proto_name};

/// Where a page begins.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Cursor {
    /// Instead of `_page`: only clients whose ids come after this one.
    #[serde(rename = "_after")]
    pub(super) after: Option<String>,
    /// Only clients whose ids begin so.
    #[serde(default)]
    pub(super) prefix: String,
}

/// EMQ X's filters; all that are given must hold. Times are in seconds since 1970.
#[derive(Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Criteria {
    pub(super) clientid: Option<String>,
    username: Option<String>,
    /// `external`
    zone: Option<String>,
    /// The address it comes from.
    #[param(value_type = Option<String>, example = "127.0.0.1")]
    ip_address: Option<IpAddr>,
    /// `connected` or `disconnected`
    conn_state: Option<String>,
    clean_start: Option<bool>,
    /// `MQTT`, or `MQIsdp` in MQTT 3.1
    proto_name: Option<String>,
    /// 3, 4 or 5
    proto_ver: Option<u8>,
    /// A part of the id.
    #[serde(rename = "_like_clientid")]
    like_clientid: Option<String>,
    /// A part of the user name.
    #[serde(rename = "_like_username")]
    like_username: Option<String>,
    #[serde(rename = "_gte_created_at")]
    gte_created_at: Option<u64>,
    #[serde(rename = "_lte_created_at")]
    lte_created_at: Option<u64>,
    #[serde(rename = "_gte_connected_at")]
    gte_connected_at: Option<u64>,
    #[serde(rename = "_lte_connected_at")]
    lte_connected_at: Option<u64>,
    #[serde(rename = "_gte_mqueue_len")]
    gte_mqueue_len: Option<u64>,
    #[serde(rename = "_lte_mqueue_len")]
    lte_mqueue_len: Option<u64>,
    #[serde(rename = "_gte_mqueue_dropped")]
    gte_mqueue_dropped: Option<u64>,
    #[serde(rename = "_lte_mqueue_dropped")]
    lte_mqueue_dropped: Option<u64>,
    /// A tag that it had when it came in. EMQ X has no such filter.
    tag: Option<String>,
}

impl Criteria {
    pub(super) fn of_user(name: &str) -> Self {
        Self { username: Some(name.to_owned()), ..Self::default() }
    }

    /// True if it lets everyone through.
    pub(super) fn is_empty(&self) -> bool {
        let texts = [
            &self.clientid,
            &self.username,
            &self.zone,
            &self.conn_state,
            &self.proto_name,
            &self.like_clientid,
            &self.like_username,
            &self.tag,
        ];
        let numbers = [
            self.gte_created_at,
            self.lte_created_at,
            self.gte_connected_at,
            self.lte_connected_at,
            self.gte_mqueue_len,
            self.lte_mqueue_len,
            self.gte_mqueue_dropped,
            self.lte_mqueue_dropped,
        ];
        texts.iter().all(|text| text.is_none())
            && numbers.iter().all(Option::is_none)
            && self.ip_address.is_none()
            && self.clean_start.is_none()
            && self.proto_ver.is_none()
    }

    pub(super) fn wants(&self, state: &ClientState) -> bool {
        let connection = state.connection.as_ref();
        let latest = state.latest();
        let username = latest.and_then(|latest| latest.username.as_deref());
        let connected_at = connection.map(|connection| connection.connected_at);
        let conn_state = if connection.is_some() { "connected" } else { "disconnected" };
        is(&self.clientid, &state.client_id)
            && is(&self.username, username.unwrap_or(UNDEFINED))
            && is(&self.zone, ZONE)
            && self.ip_address.is_none_or(|wanted| {
                latest.is_some_and(|latest| latest.peer.ip().to_canonical() == wanted.to_canonical())
            })
            && is(&self.conn_state, conn_state)
            && self.clean_start.is_none_or(|wanted| latest.is_some_and(|latest| latest.clean_start == wanted))
            && is(&self.proto_name, proto_name(state.version))
            && self.proto_ver.is_none_or(|wanted| wanted == state.version.level())
            && self.tag.as_ref().is_none_or(|wanted| latest.is_some_and(|latest| latest.tags.contains(wanted)))
            && has(&self.like_clientid, &state.client_id)
            && has(&self.like_username, username.unwrap_or_default())
            && is_within(Some(state.created_at), self.gte_created_at.map(ms), self.lte_created_at.map(ms))
            && is_within(connected_at, self.gte_connected_at.map(ms), self.lte_connected_at.map(ms))
            && is_within(Some(state.queued as u64), self.gte_mqueue_len, self.lte_mqueue_len)
            && is_within(Some(state.dropped), self.gte_mqueue_dropped, self.lte_mqueue_dropped)
    }
}

const fn ms(seconds: u64) -> u64 {
    seconds.saturating_mul(1000)
}

fn is(wanted: &Option<String>, text: &str) -> bool {
    wanted.as_ref().is_none_or(|wanted| wanted == text)
}

fn has(wanted: &Option<String>, text: &str) -> bool {
    wanted.as_ref().is_none_or(|wanted| text.contains(&**wanted))
}

fn is_within(value: Option<u64>, least: Option<u64>, most: Option<u64>) -> bool {
    least.is_none_or(|least| value.is_some_and(|value| value >= least))
        && most.is_none_or(|most| value.is_some_and(|value| value <= most))
}
