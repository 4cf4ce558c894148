//! `rollcall drain`

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::failure::Failure;
use crate::output::{Output, field, time};
use crate::remote::Remote;

/// How often it is asked how many are left.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Whether, over which time, and where to.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct Args {
    /// Clients are told evenly over this time, like 30s or 5m; 0s: all at once
    #[arg(long, value_name = "TIME", default_value = "1m")]
    over: String,
    /// Where clients of MQTT 5 are told to go; when not given, what other nodes of a cluster say of themselves [node.reference]
    #[arg(long, value_name = "HOST:PORT")]
    to: Option<String>,
    /// Return when nobody is left
    #[arg(long)]
    wait: bool,
    /// Take clients again; who was sent elsewhere is not called back
    #[arg(long, conflicts_with_all = ["over", "to", "wait"])]
    cancel: bool,
}

pub(crate) async fn run(args: &Args, remote: &Remote, out: &mut Output) -> Result<(), Failure> {
    if args.cancel {
        let answer = remote.delete("/drain").await?;
        return Ok(out.done("clients come in again", &answer)?);
    }
    let mut wish = json!({ "over": args.over });
    if let Some(to) = &args.to {
        wish["to"] = json!(to);
    }
    let mut answer = remote.post("/drain", Some(&wish)).await?;
    if !args.wait {
        return Ok(out.done(&in_words(&answer["data"]), &answer)?);
    }
    while answer["data"]["left"] != 0 {
        sleep(LOOK_EVERY).await;
        answer = remote.get("/drain").await?;
        if answer["data"]["draining"] != true {
            return Err(Failure::Refused("somebody has ended it: clients come in again".to_owned()));
        }
    }
    Ok(out.done("nobody is left", &answer)?)
}

/// How far it has come, in a line.
pub(crate) fn in_words(state: &Value) -> String {
    if state["draining"] != true {
        return "no".to_owned();
    }
    let [left, clients] = ["left", "clients"].map(|key| field(state, key));
    let until = time(state, "until");
    let to = state["to"].as_str().map(|to| format!(", to {to}")).unwrap_or_default();
    format!("{left} of {clients} clients are left, all are told by {until}{to}")
}
