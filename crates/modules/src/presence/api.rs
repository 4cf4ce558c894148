//! What presence answers: who is online, who came and went, and who is missing. It answers while the module is stopped, too.

use std::sync::Arc;

use mqtt_hooks::Host;
use mqtt_hooks::route::{Method, Refusal, Request, Returns, Route, Takes};
use serde_json::json;

use self::roster::Desk;
use super::profiles::Profile;
use super::roster::Roster;
use super::standing::Standing;
use super::uptime::Uptime;
use super::{History, Missing};

mod absent;
mod clients;
mod events;
mod roster;
mod schema;
mod stream;
mod uptime;

/// Rows of an answer unless asked for otherwise, and at the most.
const LIMIT: u64 = 100;
const MAX_LIMIT: u64 = 10_000;

const LIMIT_HELP: &str = "Rows at the most: 100 unless told otherwise, 10,000 at the most.";
const ORDERS: &[&str] = &["asc", "desc"];
const STATES: &[&str] = &["connected", "disconnected"];

pub(super) fn routes(
    host: &Arc<dyn Host>,
    history: &Arc<History>,
    roster: &Arc<Roster>,
    missing: &Arc<Missing>,
    uptime: &Arc<Uptime>,
) -> Vec<Route> {
    let mut routes = history_routes(host, history, roster);
    let desk = Desk { host: host.clone(), history: history.clone(), roster: roster.clone(), missing: missing.clone() };
    routes.push(uptime::Report { desk: desk.clone(), uptime: uptime.clone() }.route());
    routes.extend(roster_routes(desk));
    routes.push(absent::Absent { history: history.clone(), missing: missing.clone() }.route());
    routes
}

fn history_routes(host: &Arc<dyn Host>, history: &Arc<History>, roster: &Arc<Roster>) -> Vec<Route> {
    use Takes::{Choice, Number, Text};
    let clients = clients::Clients { host: Arc::clone(host), history: Arc::clone(history), roster: Arc::clone(roster) };
    let events = events::Events { history: Arc::clone(history) };
    let stream = stream::Stream { history: Arc::clone(history) };
    let since = "Only those that came or went then or later: milliseconds since the Unix epoch.";
    let state = "`connected` unless told otherwise; of who is away, what is known lasts for `modules.presence.forget_after` days.";
    let what = "What presence told lately: `modules.presence.history` events are kept, over restarts too. The `id` of each is \
                its running number, `event` in extended events: no two events have the same, also over restarts.";
    let how = "Events as they happen, as server-sent events: `presence` with an event, or `missed` with a `count` for who \
               reads too slowly. The id of each is its number; `Last-Event-ID` goes on after it.";
    vec![
        Route::get("/presence/clients", "Who is online, or was, in order of their ids.", clients)
            .parameter("conn_state", Choice(STATES), state)
            .parameter("clientid", Text, "Only this client, whether or not it is online unless `conn_state` says so.")
            .parameter("username", Text, "Only of this user.")
            .parameter("tag", Text, "Only those with this tag.")
            .parameter("prefix", Text, "Only ids that begin so.")
            .parameter("since", Number, since)
            .parameter("_after", Text, "Those whose ids come after this one: `meta.next` of the answer before.")
            .parameter("_limit", Number, LIMIT_HELP)
            .returns(Returns::List(clients::schema())),
        Route::get("/presence/events", what, events)
            .parameter("since", Number, "Only events with a higher number than this: `meta.next` of the answer before.")
            .parameter("after", Number, "The same as `since`.")
            .parameter(
                "before",
                Number,
                "Only events with a lower number than this: `meta.next` of the answer before, in descending order.",
            )
            .parameter("from", Number, "Only events then or later: milliseconds since the Unix epoch.")
            .parameter("to", Number, "Only events then or earlier: milliseconds since the Unix epoch.")
            .parameter("clientid", Text, "Only of this client.")
            .parameter("prefix", Text, "Only of clients whose ids begin so.")
            .parameter("order", Choice(ORDERS), "`asc` (oldest first, unless told otherwise) or `desc`.")
            .parameter("_limit", Number, LIMIT_HELP)
            .returns(Returns::List(json!({"type": "object"}))),
        Route::get("/presence/stream", how, stream)
            .parameter(
                "since",
                Number,
                "Begin with the events after this one, as far as they are kept; without, with the next one.",
            )
            .parameter("after", Number, "The same as `since`.")
            .parameter("clientid", Text, "Only of this client.")
            .parameter("prefix", Text, "Only of clients whose ids begin so.")
            .returns(Returns::Events),
        Route::get("/presence/schema", "JSON Schemas of the events, by profile and by what happened.", schema::Schemas)
            .parameter("profile", Choice(Profile::NAMES), "Only of this one, whether or not it is on."),
        Route::get(
            "/presence/schema/asyncapi",
            "All events of all profiles, as an AsyncAPI document.",
            schema::AsyncApi,
        ),
    ]
}

fn roster_routes(desk: Desk) -> Vec<Route> {
    use Takes::{Choice, Text};
    let (change, remove) = (roster::Change(desk.roster.clone()), roster::Remove(desk.roster.clone()));
    let state = "Only those with which it is so; `unexpected` are clients that are known and not on the roster.";
    let missing =
        "Who is on the roster and not online, without those under maintenance: offline, absent or never seen.";
    let changes = "Takes clients onto the roster, or off it: all that is said or, if something is wrong, nothing.";
    vec![
        listed(Route::get("/presence/roster", "Who is expected, in order of their ids.", roster::List(desk.clone())))
            .parameter("state", Choice(Standing::NAMES), state),
        listed(Route::get("/presence/missing", missing, roster::Missing(desk.clone()))),
        Route::get(
            "/presence/groups",
            "How many are online, of all on the roster and of each tag.",
            roster::Groups(desk),
        )
        .returns(Returns::List(roster::group_schema())),
        Route::new(Method::Put, "/presence/roster", changes, change)
            .body(roster::change_schema())
            .returns(Returns::Data(json!({"type": "object"})))
            .while_running(),
        Route::new(Method::Delete, "/presence/roster/{clientid}", "Takes a client off the roster.", remove)
            .parameter("clientid", Text, "Which.")
            .returns(Returns::Done)
            .while_running(),
    ]
}

/// One that lists clients of the roster.
fn listed(route: Route) -> Route {
    route
        .parameter("tag", Takes::Text, "Only those with this tag.")
        .parameter("prefix", Takes::Text, "Only ids that begin so.")
        .parameter("_after", Takes::Text, "Those whose ids come after this one: `meta.next` of the answer before.")
        .parameter("_limit", Takes::Number, LIMIT_HELP)
        .returns(Returns::List(roster::row_schema()))
}

/// After which event, by its number: events, streams, snapshots and gaps all speak in these.
fn after(request: &Request) -> Result<Option<u64>, Refusal> {
    Ok(request.number("since")?.or(request.number("after")?))
}

/// How many rows are asked for.
fn limit_of(request: &Request) -> Result<usize, Refusal> {
    Ok(request.number("_limit")?.unwrap_or(LIMIT).clamp(1, MAX_LIMIT) as usize)
}

#[cfg(test)]
mod tests;
