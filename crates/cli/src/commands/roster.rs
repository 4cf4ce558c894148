//! `rollcall roster`

use std::collections::HashSet;
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::columns::{Cell, Columns, Paint};
use crate::failure::Failure;
use crate::output::{Output, field, time};
use crate::pages::Query;
use crate::remote::{Remote, encoded};

mod file;

/// Bytes that are sent at once; the admin port takes twice as many.
const PIECE: usize = 1 << 20;

/// What to do with the roster.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum Verb {
    /// Who is expected, and how it is with them
    List(List),
    /// Take clients in from a file, CSV or JSON, with clientid, tags, keepalive and maintenance_until
    Import(Import),
    /// Take clients out
    Remove(Remove),
    /// How many are online, of all and of each tag
    Groups,
}

/// Which clients.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct List {
    /// Only those with which it is so
    #[arg(long)]
    state: Option<Standing>,
    #[command(flatten)]
    which: Which,
}

/// Which clients.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct Which {
    /// Only those with this tag
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Only ids that start so
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    prefix: String,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// How it is with a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum Standing {
    Online,
    Offline,
    /// It is not there, and missed by a rule
    Absent,
    /// It is connected and says nothing, and missed by a rule
    Silent,
    /// It has not come as long as it is remembered
    NeverSeen,
    /// It is not there, and need not be
    Maintenance,
    /// It is known, and not on the roster
    Unexpected,
}

/// What to take in.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct Import {
    /// Ends in .csv or .json; a CSV file begins with the names of its columns, tags are parted by semicolons, and times are
    /// as 2026-01-31T08:00:00Z
    file: PathBuf,
    /// Take out all who are not in the file
    #[arg(long)]
    replace: bool,
}

/// Whom to take out.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct Remove {
    /// Their client ids
    #[arg(value_name = "ID", required = true)]
    clients: Vec<String>,
}

pub(crate) async fn run(verb: &Verb, remote: &Remote, out: &mut Output) -> Result<(), Failure> {
    match verb {
        Verb::List(List { state, which }) => {
            let mut query = Query::new("/presence/roster");
            if let Some(state) = state.and_then(|state| state.to_possible_value()) {
                query.add("state", state.get_name());
            }
            list(query, which, remote, out).await
        }
        Verb::Import(args) => import(args, remote, out).await,
        Verb::Remove(Remove { clients }) => {
            for client_id in clients {
                let answer = remote.delete(&format!("/presence/roster/{}", encoded(client_id))).await?;
                out.done(&format!("{client_id:?} is not on the roster any more"), &answer)?;
            }
            Ok(())
        }
        Verb::Groups => {
            let heads = ["TAG", "CLIENTS", "ONLINE", "OFFLINE", "ABSENT", "SILENT", "NEVER SEEN", "MAINTENANCE"];
            let row = |group: &Value| {
                let tag = group["tag"].as_str().unwrap_or("(all)").to_owned();
                let counts = ["members", "online", "offline", "absent", "silent", "never_seen", "maintenance"];
                std::iter::once(tag).chain(counts.map(|count| field(group, count))).map(Cell::from).collect()
            };
            Query::new("/presence/groups").print(remote, "_after", None, out, &mut Columns::new(&heads), row).await
        }
    }
}

/// Shows clients of the roster.
pub(super) async fn list(mut query: Query, which: &Which, remote: &Remote, out: &mut Output) -> Result<(), Failure> {
    let Which { tag, prefix, limit } = which;
    if let Some(tag) = tag {
        query.add("tag", tag);
    }
    if !prefix.is_empty() {
        query.add("prefix", prefix);
    }
    let columns = &mut Columns::new(&["CLIENT", "STATE", "SINCE", "REASON", "TAGS", "MISSED BY"]);
    query.print(remote, "_after", *limit, out, columns, row).await
}

fn row(client: &Value) -> Vec<Cell> {
    let state = field(client, "state");
    let shown = match &*state {
        "online" => Cell::painted(&state, Paint::Green),
        "offline" | "absent" | "silent" | "never_seen" => Cell::painted(&state, Paint::Red),
        _ => state.into(),
    };
    let words = |key: &str| {
        let all = client[key].as_array().into_iter().flatten().filter_map(Value::as_str);
        all.collect::<Vec<_>>().join(" ")
    };
    vec![
        field(client, "clientid").into(),
        shown,
        time(client, "since").into(),
        field(client, "reason").into(),
        words("tags").into(),
        words("rules").into(),
    ]
}

async fn import(Import { file, replace }: &Import, remote: &Remote, out: &mut Output) -> Result<(), Failure> {
    // All of it is read before anything is changed.
    let members = file::read(file).map_err(Failure::Usage)?;
    let mut surplus = Vec::new();
    if *replace {
        let ids: HashSet<_> = members.iter().filter_map(|member| member["clientid"].as_str()).collect();
        let take = |rows: Vec<Value>| {
            let there = rows.iter().filter_map(|row| row["clientid"].as_str());
            surplus.extend(there.filter(|id| !ids.contains(id)).map(Value::from));
            Ok(())
        };
        Query::new("/presence/roster").pages(remote, "_after", None, take).await?;
    }
    let mut sum = [("added", 0), ("changed", 0), ("removed", 0)];
    let puts = pieces(&members).map(|members| json!({"members": members}));
    let removes = pieces(&surplus).map(|ids| json!({"remove": ids}));
    for change in puts.chain(removes) {
        let answer = remote.put("/presence/roster", Some(&change)).await?;
        for (what, count) in &mut sum {
            *count += answer["data"][*what].as_u64().unwrap_or_default();
        }
    }
    let [(_, added), (_, changed), (_, removed)] = sum;
    let line = format!("{} read: {added} added, {changed} changed, {removed} removed", members.len());
    Ok(out.done(&line, &json!({"code": 0, "data": {"added": added, "changed": changed, "removed": removed}}))?)
}

/// All of them, each piece as long as may be.
fn pieces(mut all: &[Value]) -> impl Iterator<Item = &[Value]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |value: &&Value| {
            bytes += value.to_string().len() + 1;
            bytes <= PIECE
        };
        // One alone is far shorter, as the broker takes it.
        let count = all.iter().take_while(fits).count().max(1).min(all.len());
        let (piece, rest) = all.split_at(count);
        all = rest;
        (count > 0).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_all_and_no_longer_than_may_be() {
        let all: Vec<Value> = (0..3_000).map(|n| Value::from("x".repeat(n))).collect();
        let found: Vec<_> = pieces(&all).collect();
        assert_eq!(found.concat(), all);
        assert!(found.len() < 10 && found.iter().all(|piece| json!(piece).to_string().len() <= PIECE + 2));
        assert_eq!(pieces(&[]).count(), 0);
        let too_long = [Value::from("x".repeat(PIECE)), Value::Null];
        assert_eq!(pieces(&too_long).map(<[Value]>::len).collect::<Vec<_>>(), [1, 1]);
    }
}
