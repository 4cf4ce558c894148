//! `rollcall cluster`

use serde_json::{Map, Value, json};

use super::drain;
use crate::columns::{Cell, Columns};
use crate::failure::Failure;
use crate::output::{Output, field, time};
use crate::remote::{Remote, encoded};

/// What of it.
#[derive(Debug, PartialEq, Eq, clap::Subcommand)]
pub enum Verb {
    /// How the node is that is asked
    Status,
    /// All nodes: who is live, who has left, who was found dead, and how many clients each has
    Nodes,
    /// Say that a node that is down will not come back: its sessions are forgotten, and nobody waits for it
    Forget {
        /// Its name, as `rollcall cluster nodes` has it
        node: String,
    },
}

pub(crate) async fn run(verb: &Verb, remote: &Remote, out: &mut Output) -> Result<(), Failure> {
    if let Verb::Forget { node } = verb {
        let answer = remote.delete(&format!("/cluster/{}", encoded(node))).await?;
        return Ok(out.done(&format!("{node} is forgotten"), &answer)?);
    }
    let mut cluster = remote.get("/cluster").await?["data"].take();
    let nodes = cluster["nodes"].take();
    if *verb == Verb::Nodes {
        let columns = &mut Columns::new(&["NODE", "STATE", "CLIENTS", "SESSIONS", "SINCE", "HEARD"]);
        return Ok(out.rows(columns, nodes.as_array().map_or(&[], Vec::as_slice), row)?);
    }
    let mut shown: Map<String, Value> = cluster.as_object().cloned().unwrap_or_default();
    let live = nodes.as_array().into_iter().flatten().filter(|node| node["state"] == "live").count();
    shown.insert("nodes".to_owned(), json!(live));
    let draining = remote.get("/drain").await?["data"].take();
    let draining = if out.is_json { draining } else { json!(drain::in_words(&draining)) };
    shown.insert("draining".to_owned(), draining);
    Ok(out.object(&shown.into())?)
}

fn row(node: &Value) -> Vec<Cell> {
    let [name, clients, sessions] = ["node", "clients", "sessions"].map(|key| field(node, key).into());
    let state = if node["draining"] == true { "draining".to_owned() } else { field(node, "state") };
    vec![name, state.into(), clients, sessions, time(node, "since").into(), time(node, "heard").into()]
}
