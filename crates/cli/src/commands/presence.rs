//! `rollcall presence`

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Subcommand;
use serde_json::Value;

use super::roster::{self, Which};
use crate::columns::{Cell, Columns, Paint};
use crate::failure::Failure;
use crate::output::{Output, field, time};
use crate::pages::Query;
use crate::remote::Remote;

mod report;

/// Events that are shown if nothing says which.
const LAST: usize = 100;

/// What to know about presence.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum Verb {
    /// Who comes and goes, as it happens, until Ctrl-C
    Watch(Watch),
    /// Who came and went
    Events(Events),
    /// Who is online now
    Snapshot(Snapshot),
    /// Who is on the roster and not online
    Missing(Which),
    /// For how much of the last days clients were online, and how often and how long they were away
    Report(report::Report),
}

/// Whose coming and going.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct Watch {
    /// Only this client's
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// Only that of clients whose ids start so
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    prefix: String,
}

/// Which events.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct Events {
    /// From here on: the id of an event, or a time ago such as 10m
    #[arg(long, value_name = "ID|TIME", value_parser = since)]
    since: Option<Since>,
    /// Only this client's
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// At most so many; without --since the last ones, 100 if not said otherwise
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// From where on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    Id(u64),
    Ago(Duration),
}

/// Which clients.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct Snapshot {
    /// Only ids that start so
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    prefix: String,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

fn since(text: &str) -> Result<Since, String> {
    if let Ok(id) = text.parse() {
        return Ok(Since::Id(id));
    }
    let ago = humantime::parse_duration(text).map(Since::Ago);
    ago.map_err(|_| "wants the number of an event, or a time such as 90s, 10m or 2h".to_owned())
}

pub(crate) async fn run(verb: &Verb, remote: &Remote, out: &mut Output) -> Result<(), Failure> {
    match verb {
        Verb::Watch(which) => watch(which, remote, out).await,
        Verb::Events(which) => events(which, remote, out).await,
        Verb::Snapshot(which) => snapshot(which, remote, out).await,
        Verb::Missing(which) => roster::list(Query::new("/presence/missing"), which, remote, out).await,
        Verb::Report(which) => report::run(which, remote, out).await,
    }
}

async fn watch(which: &Watch, remote: &Remote, out: &mut Output) -> Result<(), Failure> {
    let mut query = Query::new("/presence/stream");
    if let Some(client) = &which.client {
        query.add("clientid", client);
    }
    if !which.prefix.is_empty() {
        query.add("prefix", &which.prefix);
    }
    let mut events = remote.events(query.path()).await?;
    let mut columns = Columns::bare(5);
    loop {
        let event = events.next().await?;
        let data: Value = serde_json::from_str(&event.data).unwrap_or_default();
        match &*event.name {
            "presence" => out.rows(&mut columns, &[data], row)?,
            "missed" => out.note(&format!("{} events came faster than they were taken", data["count"]))?,
            _ => {}
        }
        out.flush()?;
    }
}

async fn events(which: &Events, remote: &Remote, out: &mut Output) -> Result<(), Failure> {
    let mut query = Query::new("/presence/events");
    if let Some(client) = &which.client {
        query.add("clientid", client);
    }
    let columns = &mut Columns::new(&["TIME", "EVENT", "CLIENT", "ADDRESS", "REASON", "ID"]);
    let numbered = |event: &Value| {
        let mut cells = row(event);
        cells.push(field(event, "id").into());
        cells
    };
    match which.since {
        Some(Since::Id(id)) => query.add("since", &id.to_string()),
        Some(Since::Ago(ago)) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            query.add("from", &now.saturating_sub(ago).as_millis().to_string());
        }
        None => {
            query.add("order", "desc");
            let mut last = Vec::new();
            let take = |rows| {
                last.extend(rows);
                Ok(())
            };
            query.pages(remote, "before", which.limit.or(Some(LAST)), take).await?;
            last.reverse();
            return Ok(out.rows(columns, &last, numbered)?);
        }
    }
    query.print(remote, "since", which.limit, out, columns, numbered).await
}

async fn snapshot(which: &Snapshot, remote: &Remote, out: &mut Output) -> Result<(), Failure> {
    let mut query = Query::new("/presence/clients");
    if !which.prefix.is_empty() {
        query.add("prefix", &which.prefix);
    }
    let columns = &mut Columns::new(&["CLIENT", "SINCE", "ADDRESS", "USER"]);
    let row = |client: &Value| {
        let since = time(client, "connected_at");
        vec![field(client, "clientid").into(), since.into(), address(client).into(), user(client).into()]
    };
    query.print(remote, "_after", which.limit, out, columns, row).await
}

fn row(event: &Value) -> Vec<Cell> {
    let what = match event["event"].as_str() {
        Some("connected") => Cell::painted("connected", Paint::Green),
        _ => Cell::painted("disconnected", Paint::Red),
    };
    let row = [time(event, "at"), field(event, "clientid"), address(event), field(event, "reason")];
    let [time, client, address, reason] = row.map(Cell::from);
    vec![time, what, client, address, reason]
}

fn address(object: &Value) -> String {
    field(object, "ipaddress")
}

fn user(object: &Value) -> String {
    Some(field(object, "username")).filter(|name| name != "undefined").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_an_event_or_a_time() {
        assert_eq!(since("17"), Ok(Since::Id(17)));
        assert_eq!(since("10m"), Ok(Since::Ago(Duration::from_secs(600))));
        assert!(since("yesterday").is_err() && since("").is_err() && since("-1").is_err());
    }
}
