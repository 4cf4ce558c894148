//! `rollcall clients`

use clap::Subcommand;
use serde_json::Value;

use crate::columns::{Cell, Columns, Paint};
use crate::failure::Failure;
use crate::output::{Output, field};
use crate::pages::Query;
use crate::remote::{Remote, encoded};

/// What to do with clients.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum Verb {
    /// All clients in order of their ids, however many there are
    List(List),
    /// One client with its session
    Show(Id),
    /// End a client's connection and its session
    Kick(Id),
}

/// Which clients.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct List {
    /// Only ids that start so
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    prefix: String,
    /// Only who is connected
    #[arg(long, conflicts_with = "offline")]
    online: bool,
    /// Only who is not
    #[arg(long)]
    offline: bool,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// A client.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct Id {
    /// The client's id
    #[arg(value_name = "ID")]
    client_id: String,
}

pub(crate) async fn run(verb: &Verb, remote: &Remote, out: &mut Output) -> Result<(), Failure> {
    match verb {
        Verb::List(which) => list(which, remote, out).await,
        Verb::Show(Id { client_id }) => show(client_id, remote, out).await,
        Verb::Kick(Id { client_id }) => {
            let answer = remote.delete(&path(client_id)).await;
            let answer = answer.map_err(|failure| match failure {
                Failure::Refused(why) if why == "not_found" => no_client(client_id),
                other => other,
            })?;
            Ok(out.done(&format!("{client_id:?} is kicked"), &answer)?)
        }
    }
}

async fn list(which: &List, remote: &Remote, out: &mut Output) -> Result<(), Failure> {
    let mut query = Query::new("/clients");
    if !which.prefix.is_empty() {
        query.add("prefix", &which.prefix);
    }
    if which.online || which.offline {
        query.add("conn_state", if which.online { "connected" } else { "disconnected" });
    }
    let columns =
        &mut Columns::new(&["CLIENT", "STATE", "SINCE", "ADDRESS", "USER", "MQTT", "SUBSCRIPTIONS", "QUEUED"]);
    query.print(remote, "_after", which.limit, out, columns, row).await
}

fn row(client: &Value) -> Vec<Cell> {
    let is_online = client["connected"] == true;
    let (state, since) = match is_online {
        true => (Cell::painted("online", Paint::Green), field(client, "connected_at")),
        false => (Cell::painted("offline", Paint::Dim), field(client, "disconnected_at")),
    };
    let address = match is_online {
        true => format!("{}:{}", field(client, "ip_address"), field(client, "port")),
        false => String::new(),
    };
    let version = match field(client, "proto_ver").as_str() {
        "3" => "3.1",
        "4" => "3.1.1",
        _ => "5.0",
    };
    let rest = ["subscriptions_cnt", "mqueue_len"].map(|key| Cell::from(field(client, key)));
    let user = Some(field(client, "username")).filter(|name| name != "undefined").unwrap_or_default();
    let mut row = vec![field(client, "clientid").into(), state, since.into(), address.into(), user.into()];
    row.push(version.into());
    row.extend(rest);
    row
}

async fn show(client_id: &str, remote: &Remote, out: &mut Output) -> Result<(), Failure> {
    let mut answer = remote.get(&path(client_id)).await?;
    if let Some(client) = answer["data"].get_mut(0) {
        return Ok(out.object(&client.take())?);
    }
    // It has no session. What it was is known for a while.
    let mut query = Query::new("/presence/clients");
    query.add("clientid", client_id);
    let mut known = remote.get(query.path()).await?;
    match known["data"].get_mut(0) {
        Some(client) => Ok(out.object(&client.take())?),
        None => Err(no_client(client_id)),
    }
}

fn path(client_id: &str) -> String {
    format!("/clients/{}", encoded(client_id))
}

fn no_client(client_id: &str) -> Failure {
    Failure::Refused(format!("there is no client {client_id:?}"))
}
