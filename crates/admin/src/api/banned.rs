//! Who may not come in.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::State;
use mqtt_operate as operate;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::Admission;
use crate::asking::with_broker;
use crate::extract::{Body, Path, Query};
use crate::reply::{DONE, Data, Done, Listed, Paging, Refusal};

/// What was sent is answered.
type Sent = BTreeMap<String, Value>;

/// How long a ban lasts without `until`, in seconds.
const DEFAULT_DURATION: u64 = 300;

/// Bytes of any of its texts.
const MAX_TEXT: usize = 1024;

/// What of a client is compared with a ban.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum BanKind {
    /// Its id.
    ClientId,
    /// Its user name.
    Username,
    /// The IP address it comes from.
    PeerHost,
}

/// Someone may not come in.
#[derive(Serialize, ToSchema)]
pub(super) struct Ban {
    /// What `who` is.
    #[serde(rename = "as")]
    kind: BanKind,
    /// The id, name or address.
    who: String,
    /// Why.
    reason: String,
    /// By whom.
    by: String,
    /// Since when: seconds since the Unix epoch.
    at: u64,
    /// Until when.
    until: u64,
}

impl From<operate::Ban> for Ban {
    fn from(operate::Ban { kind, who, reason, by, at, until }: operate::Ban) -> Self {
        let kind = match kind {
            operate::BanKind::ClientId => BanKind::ClientId,
            operate::BanKind::Username => BanKind::Username,
            operate::BanKind::PeerHost => BanKind::PeerHost,
        };
        Self { kind, who, reason, by, at, until }
    }
}

/// Someone to be banned.
#[derive(Deserialize, ToSchema)]
struct NewBan {
    /// `clientid`, `username` or `peerhost`
    #[serde(rename = "as")]
    kind: Option<String>,
    /// The id, name or IP address.
    who: Option<String>,
    reason: Option<String>,
    by: Option<String>,
    /// Seconds since 1970; now if not given.
    at: Option<u64>,
    /// Seconds since 1970; in 5 minutes if not given.
    until: Option<u64>,
}

fn kind_of(text: &str) -> Result<operate::BanKind, Refusal> {
    match text {
        "clientid" => Ok(operate::BanKind::ClientId),
        "username" => Ok(operate::BanKind::Username),
        "peerhost" => Ok(operate::BanKind::PeerHost),
        _ => Err(Refusal::bad_param("value of 'as' must be one of: ['clientid', 'username', 'peerhost']")),
    }
}

/// As it is compared.
fn who_of(kind: operate::BanKind, text: String) -> Result<String, Refusal> {
    if kind != operate::BanKind::PeerHost {
        return Ok(text);
    }
    let address: IpAddr = text.parse().map_err(|_| Refusal::bad_param("value of 'who' must be an IP address"))?;
    Ok(address.to_canonical().to_string())
}

impl NewBan {
    fn check(self) -> Result<operate::Ban, Refusal> {
        let (Some(kind), Some(who)) = (self.kind, self.who) else {
            return Err(Refusal::fault(107, "missing mandatory params: ['who', 'as']"));
        };
        let kind = kind_of(&kind)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let ban = operate::Ban {
            kind,
            who: who_of(kind, who)?,
            reason: self.reason.unwrap_or_default(),
            by: self.by.unwrap_or_else(|| "user".to_owned()),
            at: self.at.unwrap_or(now),
            until: self.until.unwrap_or(now + DEFAULT_DURATION),
        };
        if ban.who.is_empty() {
            return Err(Refusal::bad_param("value of 'who' is empty"));
        }
        let is_long = |text: &String| text.len() > MAX_TEXT;
        // A client id and a user name may be as long as MQTT lets them.
        if ban.who.len() > usize::from(u16::MAX) || is_long(&ban.reason) || is_long(&ban.by) {
            return Err(Refusal::bad_param("a value is too long"));
        }
        Ok(ban)
    }
}

/// A page of the bans that hold.
#[utoipa::path(get, path = "/banned", tag = "banned", params(Paging), responses((status = OK, body = Listed<Ban>)))]
pub(super) async fn list(State(shared): Admission, Query(paging): Query<Paging>) -> Result<Listed<Ban>, Refusal> {
    let answer = with_broker(&shared, move |broker| {
        let bans = broker.bans();
        let count = bans.len();
        let rows: Vec<_> = bans.into_iter().skip(paging.skip()).take(paging.limit()).map(Ban::from).collect();
        let has_more = paging.skip().saturating_add(rows.len()) < count;
        Listed::new(rows, paging, count as i64, has_more)
    });
    answer.await
}

/// Bans a client id, a user name or an address, and ends the connections it has with reason `banned`.
///
/// EMQ X leaves those alone until they come again. The session stays.
#[utoipa::path(post, path = "/banned", tag = "banned", request_body = NewBan,
    responses((status = OK, body = Data<NewBan>, description = "what was sent, or a fault: 102, 107, 108")))]
pub(super) async fn add(State(shared): Admission, Body(sent): Body<Sent>) -> Result<Data<Sent>, Refusal> {
    let new = NewBan::deserialize(Value::Object(sent.clone().into_iter().collect()))
        .map_err(|error| Refusal::bad_param(error.to_string()))?;
    let ban = new.check()?;
    let added = with_broker(&shared, move |broker| broker.ban(ban)).await?;
    added.map(|()| Data::new(sent)).map_err(|error| Refusal::fault(102, error.to_string()))
}

/// Lets someone in again; it is no fault if there is no such ban.
#[utoipa::path(delete, path = "/banned/{as}/{who}", tag = "banned",
    params(("as", description = "`clientid`, `username` or `peerhost`"), ("who", description = "the id, name or address")),
    responses((status = OK, body = Done, description = "or a fault: 102, 108")))]
pub(super) async fn remove(
    State(shared): Admission,
    Path((kind, who)): Path<(String, String)>,
) -> Result<Done, Refusal> {
    let kind = kind_of(&kind)?;
    let who = who_of(kind, who)?;
    let removed = with_broker(&shared, move |broker| broker.unban(kind, &who)).await?;
    removed.map(|()| DONE).map_err(|error| Refusal::fault(102, error.to_string()))
}
