//! `rollcall listeners`

use clap::Subcommand;
use serde_json::Value;

use crate::columns::{Cell, Columns, Paint};
use crate::failure::Failure;
use crate::output::{Output, field};
use crate::remote::{Remote, encoded};

/// What to do with listeners.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum Verb {
    /// All listeners and whether they run
    List,
    /// Start a listener that is stopped
    Start(Name),
    /// Stop a listener until it is started or the broker is; who is connected stays
    Stop(Name),
    /// Stop and start a listener; who is connected stays
    Restart(Name),
}

/// A listener.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct Name {
    /// Such as mqtt or mqtt:tcp:external
    name: String,
}

pub(crate) async fn run(verb: &Verb, remote: &Remote, out: &mut Output) -> Result<(), Failure> {
    let (name, change, done) = match verb {
        Verb::List => return list(remote, out).await,
        Verb::Start(Name { name }) => (name, "start", "started"),
        Verb::Stop(Name { name }) => (name, "stop", "stopped"),
        Verb::Restart(Name { name }) => (name, "restart", "restarted"),
    };
    let answer = remote.put(&format!("/listeners/{}/{change}", encoded(name)), None).await;
    let answer = answer.map_err(|failure| explained(failure, name))?;
    Ok(out.done(&format!("{name} is {done}"), &answer)?)
}

async fn list(remote: &Remote, out: &mut Output) -> Result<(), Failure> {
    let answer = remote.get("/listeners").await?;
    let nodes = answer["data"].as_array().into_iter().flatten();
    let all: Vec<_> = nodes.flat_map(|node| node["listeners"].as_array().into_iter().flatten()).cloned().collect();
    let mut columns = Columns::new(&["NAME", "STATE", "PROTOCOL", "ADDRESS", "CLIENTS"]);
    Ok(out.rows(&mut columns, &all, row)?)
}

fn row(listener: &Value) -> Vec<Cell> {
    let state = if listener["running"] == true {
        Cell::painted("running", Paint::Green)
    } else {
        Cell::painted("stopped", Paint::Dim)
    };
    let said = |name| Cell::from(field(listener, name));
    vec![said("name"), state, said("protocol"), said("listen_on"), said("current_conns")]
}

/// The broker's words with what they are about.
fn explained(failure: Failure, name: &str) -> Failure {
    match failure {
        Failure::Refused(why) => Failure::Refused(match &*why {
            "not_found" | "there is no such listener" => {
                format!("there is no listener {name:?}; see `rollcall listeners list`")
            }
            _ => format!("{name}: {why}"),
        }),
        other => other,
    }
}
