//! For how much of the time clients were online.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mqtt_hooks::route::{Answer, Handle, Position, Refusal, Request, Returns, Route, Takes};
use mqtt_hooks::{Lookup, Tags};
use serde::Serialize;
use serde_json::{Value, json};

use super::roster::Desk;
use super::{LIMIT_HELP, limit_of};
use crate::presence::tags;
use crate::presence::turns::pause;
use crate::presence::uptime::{Stretch, Timeline, Uptime, first_day};

/// Clients that are looked at in one go.
const PIECE: usize = 256;

/// The same where all are; who is online costs a look at everybody each time.
const LARGE_PIECE: usize = 10_000;

const SORTS: &[&str] = &["clientid", "percent", "outages", "longest_outage", "comings"];

/// `GET /presence/uptime`
pub(super) struct Report {
    pub(super) desk: Desk,
    pub(super) uptime: Arc<Uptime>,
}

/// A client. Seconds, if nothing else is said.
#[derive(Serialize)]
struct Row {
    clientid: Box<str>,
    /// Milliseconds since the Unix epoch.
    since: u64,
    observed: u64,
    online: u64,
    percent: Option<f64>,
    outages: u32,
    longest_outage: u64,
    comings: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    days: Option<Vec<Day>>,
}

/// A day of it.
#[derive(Serialize)]
struct Day {
    day: u64,
    observed: u64,
    online: u64,
    percent: Option<f64>,
    outages: u32,
    comings: u32,
}

/// Whose rows, and from which day on.
struct Wanted<'a> {
    prefix: &'a str,
    group: Option<&'a str>,
    from: u64,
    limit: usize,
}

impl Row {
    fn new(clientid: Box<str>, timeline: &Timeline, from: u64) -> Self {
        let (since, whole) = timeline.over(from);
        Self {
            clientid,
            since,
            observed: whole.len / 1000,
            online: whole.online / 1000,
            percent: percent(whole),
            outages: whole.outages,
            longest_outage: whole.longest / 1000,
            comings: whole.comings,
            days: None,
        }
    }

    /// The one that comes first has the lowest.
    fn rank(&self, sort: &str) -> u64 {
        match sort {
            // The worst first, and those of whom nothing is known yet last.
            "percent" => self.percent.map_or(u64::MAX, |percent| (percent * 1000.0) as u64),
            "outages" => u64::MAX - u64::from(self.outages),
            "longest_outage" => u64::MAX - self.longest_outage,
            _ => u64::MAX - u64::from(self.comings),
        }
    }
}

/// To three decimals, cut off: who was away is never at 100.
fn percent(stretch: Stretch) -> Option<f64> {
    stretch.percent().map(|percent| (percent * 1000.0).floor() / 1000.0)
}

fn days(timeline: &Timeline, from: u64) -> Vec<Day> {
    let wanted = timeline.days().filter(|(start, _)| *start >= from);
    let day = |(day, stretch): (u64, Stretch)| Day {
        day,
        observed: stretch.len / 1000,
        online: stretch.online / 1000,
        percent: percent(stretch),
        outages: stretch.outages,
        comings: stretch.comings,
    };
    wanted.map(day).collect()
}

impl Report {
    pub(super) fn route(self) -> Route {
        use Takes::{Choice, Number, Text};
        let what = "For how much of the last days clients were online, how often and for how long they were away, as far as \
                    `modules.presence.uptime` keeps it. Days are UTC's, the last one is today; a client counts from when it came first.";
        Route::get("/presence/uptime", what, self)
            .parameter("window", Text, "So many days, as in `30d`: all that are kept unless told otherwise.")
            .parameter("clientid", Text, "Only this client, with its days.")
            .parameter("group", Text, "Only clients that have this tag, by the roster or by rules.")
            .parameter("prefix", Text, "Only ids that begin so.")
            .parameter(
                "sort",
                Choice(SORTS),
                "In order of ids unless told otherwise; else the worst of all, `_limit` of them and no more.",
            )
            .parameter("_after", Text, "Those whose ids come after this one: `meta.next` of the answer before.")
            .parameter("_limit", Number, LIMIT_HELP)
            .returns(Returns::List(schema()))
    }

    fn timeline(&self, client_id: &str) -> Option<Timeline> {
        self.uptime.look(client_id, &self.desk.history, &*self.desk.host)
    }

    /// By the roster as it is now, or by rules when it came in last.
    fn is_tagged(&self, client_id: &str, tag: &str) -> bool {
        let Desk { host, history, roster, .. } = &self.desk;
        let has = |tags: &Tags| tags::has(tags, client_id, roster, tag);
        match host.connection(client_id) {
            Some(info) => has(info.tags()),
            None => history.last_event(client_id).map_or_else(|| has(&Tags::NONE), |last| has(&last.tags)),
        }
    }

    /// Some ids in order, with those of clients of which there is nothing to say; none: there are no more.
    fn some(&self, wanted: &Wanted<'_>, after: Option<&str>, most: usize) -> Vec<Box<str>> {
        let prefix = wanted.prefix;
        // Each has the first of its own, so the first of all are among them.
        let mut ids: BTreeSet<Box<str>> = self.uptime.some(after, prefix, most).into_iter().collect();
        let online = self.desk.host.online(&Lookup { after, prefix, since: 0, limit: most });
        ids.extend(online.clients.iter().map(|info| Box::from(&*info.client_id)));
        ids.into_iter().take(most).collect()
    }

    fn rows(&self, wanted: &Wanted<'_>, ids: Vec<Box<str>>) -> impl Iterator<Item = Row> {
        let is_tagged = |id: &str| wanted.group.is_none_or(|tag| self.is_tagged(id, tag));
        let rows = ids.into_iter().filter(move |id| is_tagged(id));
        rows.filter_map(|id| self.timeline(&id).map(|timeline| Row::new(id, &timeline, wanted.from)))
    }

    /// In order of ids, and whether there are more.
    async fn in_order(&self, wanted: &Wanted<'_>, mut after: Option<Box<str>>) -> (Vec<Row>, bool) {
        let mut rows = Vec::new();
        loop {
            let some = self.some(wanted, after.as_deref(), PIECE.max(wanted.limit + 1));
            let Some(last) = some.last().cloned() else { return (rows, false) };
            after = Some(last);
            rows.extend(self.rows(wanted, some));
            if rows.len() > wanted.limit {
                rows.truncate(wanted.limit);
                return (rows, true);
            }
            pause().await;
        }
    }

    /// The first by what they are sorted by, and among equals by their ids.
    async fn worst(&self, wanted: &Wanted<'_>, sort: &str) -> Vec<Row> {
        let mut worst = BTreeMap::<(u64, Box<str>), Row>::new();
        let mut after: Option<Box<str>> = None;
        loop {
            let some = self.some(wanted, after.as_deref(), LARGE_PIECE);
            let Some(last) = some.last().cloned() else { return worst.into_values().collect() };
            after = Some(last);
            for row in self.rows(wanted, some) {
                worst.insert((row.rank(sort), row.clientid.clone()), row);
                if worst.len() > wanted.limit {
                    worst.pop_last();
                }
            }
            pause().await;
        }
    }

    /// The beginning of the first day that is wanted.
    fn from(&self, request: &Request) -> Result<u64, Refusal> {
        let kept = self.uptime.days();
        if kept == 0 {
            let why = "no uptime is kept: modules.presence.uptime says for how many days it is";
            return Err(Refusal::BadRequest(why.to_owned()));
        }
        let days = match request.text("window")? {
            None => kept,
            Some(text) => {
                let days = text.strip_suffix('d').and_then(|days| days.parse().ok());
                let wrong = || format!("window: {text:?} is none of 1d to {kept}d, as modules.presence.uptime has it");
                days.filter(|days| (1..=kept).contains(days)).ok_or_else(|| Refusal::BadRequest(wrong()))?
            }
        };
        Ok(first_day(self.desk.host.now_ms(), days))
    }
}

#[async_trait::async_trait]
impl Handle for Report {
    async fn handle(&self, request: Request) -> Result<Answer, Refusal> {
        let limit = limit_of(&request)?;
        let client_id = request.text("clientid")?;
        if client_id.is_some() && self.uptime.days() == 0 {
            // The page of a client asks, whether or not anything is kept, and is not refused for that.
            return Answer::list::<Row>(&[], Position { limit, ..Position::default() });
        }
        let from = self.from(&request)?;
        let sort = request.choice("sort", SORTS)?.filter(|sort| *sort != "clientid");
        let after = request.text("_after")?;
        let wanted =
            Wanted { prefix: request.text("prefix")?.unwrap_or_default(), group: request.text("group")?, from, limit };
        let (rows, has_next) = match (client_id, sort) {
            (Some(client_id), _) => {
                let row = |timeline: Timeline| {
                    let days = Some(days(&timeline, from));
                    Row { days, ..Row::new(client_id.into(), &timeline, from) }
                };
                (self.timeline(client_id).map(row).into_iter().collect(), false)
            }
            (None, Some(sort)) => (self.worst(&wanted, sort).await, false),
            (None, None) => self.in_order(&wanted, after.map(Into::into)).await,
        };
        let next = rows.last().filter(|_| has_next).map(|last: &Row| last.clientid.to_string());
        Answer::list(&rows, Position { limit, has_next, next, ..Position::default() })
    }
}

/// The schema of [`Row`].
fn schema() -> Value {
    let number =
        |description: &str| json!({"type": "integer", "format": "int64", "minimum": 0, "description": description});
    let percent = json!({"type": ["number", "null"], "minimum": 0, "maximum": 100,
        "description": "Of the time that it is known of; cut off after three decimals. Null if that is none."});
    json!({
        "type": "object",
        "description": "For how much of the time a client was online. Durations are seconds.",
        "required": ["clientid", "since", "observed", "online", "percent", "outages", "longest_outage", "comings"],
        "properties": {
            "clientid": {"type": "string"},
            "since": number("From when on: milliseconds since the Unix epoch."),
            "observed": number("How long that is."),
            "online": number("For how long it was online."),
            "percent": percent,
            "outages": number("How often it was away; a takeover is no outage."),
            "longest_outage": number("For how long it was away at a time, at the most."),
            "comings": number("How often it came."),
            "days": {
                "type": "array",
                "description": "If one client was asked for: its days, as far as they are kept.",
                "items": {
                    "type": "object",
                    "required": ["day", "observed", "online", "percent", "outages", "comings"],
                    "properties": {
                        "day": number("Its midnight, UTC: milliseconds since the Unix epoch."),
                        "observed": number("How much of it is known of."),
                        "online": number("For how long it was online."),
                        "percent": percent,
                        "outages": number("How often it was away; one over midnight is one of both days."),
                        "comings": number("How often it came."),
                    },
                },
            },
        },
    })
}

#[cfg(test)]
mod tests;
