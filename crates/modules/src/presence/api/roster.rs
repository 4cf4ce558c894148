//! The roster: who is expected, how it is with them, and who is missing.

use std::sync::Arc;

use mqtt_hooks::route::{Answer, Handle, Position, Refusal, Request};
use mqtt_hooks::{ConnectionInfo, Host};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::limit_of;
use crate::presence::groups::{Count, Counting, Sources};
use crate::presence::history::Wanted;
use crate::presence::roster::{ChangeError, Member, Roster};
use crate::presence::standing::Standing;
use crate::presence::turns::pause;
use crate::presence::{Entry, History, Missing as Missed};

/// Members that are looked at in one go.
const PIECE: usize = 1000;

/// All that is asked for.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) host: Arc<dyn Host>,
    pub(super) history: Arc<History>,
    pub(super) roster: Arc<Roster>,
    pub(super) missing: Arc<Missed>,
}

/// `GET /presence/roster`
pub(super) struct List(pub(super) Desk);

/// `GET /presence/missing`
pub(super) struct Missing(pub(super) Desk);

/// `GET /presence/groups`
pub(super) struct Groups(pub(super) Desk);

/// `PUT /presence/roster`
pub(super) struct Change(pub(super) Arc<Roster>);

/// `DELETE /presence/roster/{clientid}`
pub(super) struct Remove(pub(super) Arc<Roster>);

/// How it is with one client.
#[derive(Serialize)]
struct Row {
    clientid: Box<str>,
    state: &'static str,
    /// Those by which it is missed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rules: Vec<Box<str>>,
    tags: Vec<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keepalive: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    maintenance_until: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_heard: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keepalive_used: Option<u16>,
}

/// What is found out of a client.
struct Look {
    standing: Standing,
    /// Those by which it is missed.
    rules: Vec<Box<str>>,
    online: Option<ConnectionInfo>,
    last: Option<Entry>,
}

/// Which rows.
struct Filter<'a> {
    prefix: &'a str,
    tag: Option<&'a str>,
    is_wanted: &'a dyn Fn(Standing) -> bool,
    limit: usize,
}

impl Desk {
    /// Of a client, by whether it is there and what is known of it.
    fn look(&self, client_id: &str, member: &Member) -> Look {
        let (online, last) = (self.host.connection(client_id), self.history.last_event(client_id));
        let (missed, now) = (self.missing.of(client_id), self.host.now_ms());
        let ways = missed.iter().map(|(_, what)| *what);
        let standing = Standing::of(Some(member), online.is_some(), last.is_some(), ways, now);
        let rules = missed.iter().filter(|(_, what)| standing.name() == what.name()).map(|(name, _)| (**name).into());
        Look { standing, rules: rules.collect(), online, last }
    }

    /// Members in order of their ids, and whether there are more.
    fn members(&self, filter: &Filter<'_>, mut after: Option<Box<str>>) -> (Vec<Row>, bool) {
        let mut rows = Vec::new();
        loop {
            let some = self.roster.some(after.as_deref(), filter.prefix, PIECE);
            let Some((last, _)) = some.last() else { return (rows, false) };
            after = Some(last.clone());
            for (client_id, member) in some {
                if filter.tag.is_some_and(|tag| !member.has_tag(tag)) {
                    continue;
                }
                let look = self.look(&client_id, &member);
                if !(filter.is_wanted)(look.standing) {
                    continue;
                }
                if rows.len() == filter.limit {
                    return (rows, true);
                }
                rows.push(Row::new(client_id, member, look));
            }
        }
    }

    /// Those who are known and not on the roster, in order of their ids.
    fn unexpected(&self, prefix: &str, limit: usize, after: Option<&str>) -> (Vec<Row>, bool) {
        if self.roster.is_empty() {
            return (Vec::new(), false);
        }
        let wanted = Wanted { after, prefix, username: None, since: 0, limit };
        let (found, has_more) = self.history.last_events(&wanted, &|last| !self.roster.has(last.client_id()));
        let row = |last: Entry| {
            let (client_id, online) = (last.client_id().into(), self.host.connection(last.client_id()));
            let look = Look { standing: Standing::Unexpected, rules: Vec::new(), online, last: Some(last) };
            Row::new(client_id, Member::default(), look)
        };
        (found.into_iter().map(row).collect(), has_more)
    }

    fn answer(&self, request: &Request, is_wanted: &dyn Fn(Standing) -> bool) -> Result<Answer, Refusal> {
        let limit = limit_of(request)?;
        let prefix = request.text("prefix")?.unwrap_or_default();
        let filter = Filter { prefix, tag: request.text("tag")?, is_wanted, limit };
        let after = request.text("_after")?;
        let (rows, has_next) = if is_wanted(Standing::Unexpected) {
            self.unexpected(prefix, limit, after)
        } else {
            self.members(&filter, after.map(Into::into))
        };
        let next = rows.last().filter(|_| has_next).map(|last| last.clientid.to_string());
        Answer::list(&rows, Position { limit, has_next, next, ..Position::default() })
    }
}

impl Row {
    fn new(clientid: Box<str>, member: Member, look: Look) -> Self {
        let Look { standing, rules, online, last } = look;
        let (away, Member { tags, keep_alive, maintenance_until }) = (last.filter(|_| online.is_none()), member);
        let (away, end) = (away.as_ref(), away.as_ref().and_then(Entry::end));
        Self {
            clientid,
            state: standing.name(),
            rules,
            tags,
            keepalive: keep_alive,
            maintenance_until,
            since: online.as_ref().map(|info| info.connected_at).or_else(|| away.map(|last| last.at)),
            reason: end.map(|end| end.reason.into_owned()),
            last_heard: away.map(|last| last.last_heard),
            keepalive_used: online.as_ref().map(|info| info.keep_alive).or_else(|| away.map(|last| last.keep_alive)),
        }
    }
}

#[async_trait::async_trait]
impl Handle for List {
    async fn handle(&self, request: Request) -> Result<Answer, Refusal> {
        let state = request.choice("state", Standing::NAMES)?;
        let is_wanted = |standing: Standing| match state {
            Some(state) => standing.name() == state,
            None => standing != Standing::Unexpected,
        };
        self.0.answer(&request, &is_wanted)
    }
}

#[async_trait::async_trait]
impl Handle for Missing {
    async fn handle(&self, request: Request) -> Result<Answer, Refusal> {
        self.0.answer(&request, &Standing::is_missing)
    }
}

/// How many there are of a group.
#[derive(Serialize)]
struct Group {
    /// `None`: of the whole roster.
    tag: Option<Box<str>>,
    #[serde(flatten)]
    count: Count,
}

#[async_trait::async_trait]
impl Handle for Groups {
    async fn handle(&self, _: Request) -> Result<Answer, Refusal> {
        let Desk { host, history, roster, missing } = &self.0;
        let sources = Sources {
            host: Arc::clone(host),
            history: Arc::clone(history),
            roster: Arc::clone(roster),
            missing: Arc::clone(missing),
        };
        // As the lists have it: presence may have been stopped when it came or went.
        let is_online = |client_id: &str, _: Option<&Entry>| host.connection(client_id).is_some();
        let mut counting = Counting::default();
        while counting.go_on(&sources, &is_online) {
            pause().await;
        }
        let all = Group { tag: None, count: counting.all };
        let groups = counting.groups.into_iter().map(|(tag, count)| Group { tag: Some(tag), count });
        let rows: Vec<_> = std::iter::once(all).filter(|_| !roster.is_empty()).chain(groups).collect();
        Answer::list(&rows, Position { limit: rows.len(), ..Position::default() })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(default)]
    members: Vec<Said>,
    #[serde(default)]
    remove: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    clientid: String,
    #[serde(default)]
    tags: Vec<String>,
    keepalive: Option<u16>,
    maintenance_until: Option<u64>,
}

#[async_trait::async_trait]
impl Handle for Change {
    async fn handle(&self, request: Request) -> Result<Answer, Refusal> {
        let Wish { members, remove } = request.json()?;
        let member = |(at, said): (usize, Said)| {
            let Said { clientid, tags, keepalive, maintenance_until } = said;
            let wrong = |why| Refusal::BadRequest(format!("members, entry {}: {why}", at + 1));
            let member = Member::new(&clientid, tags, keepalive, maintenance_until).map_err(wrong)?;
            Ok((clientid.into_boxed_str(), member))
        };
        let members = members.into_iter().enumerate().map(member).collect::<Result<_, Refusal>>()?;
        Answer::data(&self.0.change(members, &remove).map_err(refusal)?)
    }
}

#[async_trait::async_trait]
impl Handle for Remove {
    async fn handle(&self, request: Request) -> Result<Answer, Refusal> {
        let client_id = request.part("clientid");
        let changed = self.0.change(Vec::new(), &[client_id.to_owned()]).map_err(refusal)?;
        if changed.removed == 0 {
            return Err(Refusal::NotFound(format!("{client_id:?} is not on the roster")));
        }
        Ok(Answer::Done)
    }
}

fn refusal(error: ChangeError) -> Refusal {
    match error {
        ChangeError::Stopped => Refusal::Unavailable(error.to_string()),
        ChangeError::Full => Refusal::Conflict(error.to_string()),
    }
}

/// The schema of [`Row`].
pub(super) fn row_schema() -> Value {
    let time =
        |description: &str| json!({"type": "integer", "format": "int64", "minimum": 0, "description": description});
    json!({
        "type": "object",
        "description": "A client of the roster. Times are milliseconds since the Unix epoch.",
        "required": ["clientid", "state", "tags"],
        "properties": {
            "clientid": {"type": "string"},
            "state": {"type": "string", "enum": Standing::NAMES},
            "rules": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Those of `modules.presence.absence` by which it is absent or silent.",
            },
            "tags": {"type": "array", "items": {"type": "string"}},
            "keepalive": {"type": "integer", "description": "What is expected of it, in seconds."},
            "keepalive_used": {"type": "integer", "description": "What it said when it came last, in seconds."},
            "maintenance_until": time("Until then it need not be there."),
            "since": time("When it came, or went."),
            "reason": {"type": "string", "description": "Why it went, as in `disconnected` events."},
            "last_heard": time("When it has gone: when bytes last came from it."),
        },
    })
}

/// The schema of [`Group`].
pub(super) fn group_schema() -> Value {
    let count = json!({"type": "integer", "minimum": 0});
    json!({
        "type": "object",
        "description": "How many clients have a tag, and how it is with them; the row with null is about the roster.",
        "required": ["tag", "members", "online", "offline", "absent", "silent", "never_seen", "maintenance"],
        "properties": {
            "tag": {"type": ["string", "null"]},
            "members": count, "online": count, "offline": count, "absent": count, "silent": count,
            "never_seen": count, "maintenance": count,
        },
    })
}

/// The schema of [`Wish`].
pub(super) fn change_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "members": {
                "type": "array",
                "description": "Clients to take in, or in place of what was said of them.",
                "items": {
                    "type": "object",
                    "required": ["clientid"],
                    "properties": {
                        "clientid": {"type": "string"},
                        "tags": {"type": "array", "items": {"type": "string"}},
                        "keepalive": {"type": "integer", "minimum": 0, "maximum": 65535, "description": "Seconds."},
                        "maintenance_until": {"type": "integer", "description": "Milliseconds since the Unix epoch."},
                    },
                },
            },
            "remove": {"type": "array", "items": {"type": "string"}, "description": "Client ids to take out."},
        },
    })
}

#[cfg(test)]
mod tests;
