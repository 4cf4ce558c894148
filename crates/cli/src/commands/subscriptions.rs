//! `rollcall subscriptions`

use serde_json::Value;

use crate::columns::{Cell, Columns};
use crate::failure::Failure;
use crate::output::{Output, field};
use crate::pages::Query;
use crate::remote::Remote;

/// Which subscriptions.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct Args {
    /// The only thing to do with them
    #[arg(value_parser = ["list"], hide_possible_values = true)]
    verb: Option<String>,
    /// Only this client's
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

pub(crate) async fn run(args: &Args, remote: &Remote, out: &mut Output) -> Result<(), Failure> {
    let mut query = Query::new("/subscriptions");
    if let Some(client) = &args.client {
        query.add("clientid", client);
    }
    let columns = &mut Columns::new(&["CLIENT", "FILTER", "QOS"]);
    query.print(remote, "_after", args.limit, out, columns, row).await
}

fn row(subscription: &Value) -> Vec<Cell> {
    ["clientid", "topic", "qos"].map(|key| field(subscription, key).into()).into()
}
