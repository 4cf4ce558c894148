//! `rollcall routes`

use serde_json::Value;

use crate::columns::{Cell, Columns};
use crate::failure::Failure;
use crate::output::{Output, field};
use crate::pages::Query;
use crate::remote::Remote;

/// Which routes.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct Args {
    /// The only thing to do with them
    #[arg(value_parser = ["list"], hide_possible_values = true)]
    verb: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

pub(crate) async fn run(args: &Args, remote: &Remote, out: &mut Output) -> Result<(), Failure> {
    let columns = &mut Columns::new(&["FILTER", "NODE"]);
    Query::new("/routes").print(remote, "_after", args.limit, out, columns, row).await
}

fn row(route: &Value) -> Vec<Cell> {
    ["topic", "node"].map(|key| field(route, key).into()).into()
}
