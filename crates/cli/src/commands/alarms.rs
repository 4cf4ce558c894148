//! `rollcall alarms`

use serde_json::{Value, json};

use crate::columns::{Cell, Columns, Paint};
use crate::failure::Failure;
use crate::output::{Output, field, time};
use crate::remote::Remote;

/// Which alarms.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct Args {
    /// The only thing to do with them
    #[arg(value_parser = ["list"], hide_possible_values = true)]
    verb: Option<String>,
    /// Those that are over, too
    #[arg(long)]
    all: bool,
}

pub(crate) async fn run(args: &Args, remote: &Remote, out: &mut Output) -> Result<(), Failure> {
    let alarms = of_all(remote, if args.all { "/alarms" } else { "/alarms/activated" }).await?;
    let mut columns = Columns::new(&["ALARM", "STATE", "SINCE", "UNTIL", "MESSAGE"]);
    Ok(out.rows(&mut columns, &alarms, row)?)
}

/// Alarms of all nodes.
pub(super) async fn of_all(remote: &Remote, path: &str) -> Result<Vec<Value>, Failure> {
    let answer = remote.get(path).await?;
    let nodes = answer["data"].as_array().into_iter().flatten();
    Ok(nodes.flat_map(|node| node["alarms"].as_array().into_iter().flatten()).cloned().collect())
}

fn row(alarm: &Value) -> Vec<Cell> {
    let is_over = alarm["activated"] == false;
    let state = if is_over { Cell::painted("over", Paint::Dim) } else { Cell::painted("active", Paint::Red) };
    let until = if is_over { at(alarm, "deactivate_at") } else { String::new() };
    vec![
        field(alarm, "name").into(),
        state,
        at(alarm, "activate_at").into(),
        until.into(),
        field(alarm, "message").into(),
    ]
}

/// They are microseconds.
fn at(alarm: &Value, key: &str) -> String {
    let at = alarm[key].as_u64().map(|at| json!({"at": at / 1000}));
    at.map_or_else(String::new, |at| time(&at, "at"))
}
