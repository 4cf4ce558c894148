//! `rollcall trace`

use serde_json::Value;

use crate::columns::{Cell, Columns, Paint};
use crate::failure::Failure;
use crate::output::{Output, field, time};
use crate::remote::{Remote, encoded};

/// Whose packets.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct Args {
    /// The client's id; it need not be online yet
    #[arg(value_name = "CLIENTID")]
    client_id: String,
}

pub(crate) async fn run(args: &Args, remote: &Remote, out: &mut Output) -> Result<(), Failure> {
    let mut events = remote.events(&format!("/trace/{}", encoded(&args.client_id))).await?;
    out.keep_long_lines();
    let mut columns = Columns::bare(3);
    loop {
        let event = events.next().await?;
        let data: Value = serde_json::from_str(&event.data).unwrap_or_default();
        match &*event.name {
            "packet" => out.rows(&mut columns, &[data], row)?,
            "dropped" => out.note(&format!("{} packets came faster than they were taken", data["count"]))?,
            _ => {}
        }
        out.flush()?;
    }
}

fn row(packet: &Value) -> Vec<Cell> {
    let direction = match packet["direction"].as_str() {
        Some("in") => Cell::painted("<-", Paint::Green),
        _ => Cell::painted("->", Paint::Dim),
    };
    vec![time(packet, "at").into(), direction, field(packet, "packet").into()]
}
