//! `rollcall retained`

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::Subcommand;
use serde_json::Value;

use crate::columns::{Cell, Columns, visible};
use crate::failure::Failure;
use crate::output::{Output, field, time};
use crate::pages::Query;
use crate::remote::Remote;

/// What to do with retained messages.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum Verb {
    /// Where there is one, and how long it is
    List(List),
    /// What is retained on a topic
    Show(Topic),
    /// Take away what is retained on a topic; who subscribes is not told
    Remove(Topic),
}

/// Which of them.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct List {
    /// Only on topics that this filter matches
    #[arg(value_name = "FILTER")]
    filter: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// Where.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct Topic {
    /// The topic
    topic: String,
}

impl Topic {
    fn path(&self) -> String {
        let mut query = Query::new("/retained/message");
        query.add("topic", &self.topic);
        query.path().to_owned()
    }
}

pub(crate) async fn run(verb: &Verb, remote: &Remote, out: &mut Output) -> Result<(), Failure> {
    match verb {
        Verb::List(List { filter, limit }) => {
            let mut query = Query::new("/retained");
            if let Some(filter) = filter {
                query.add("filter", filter);
            }
            let columns = &mut Columns::new(&["TOPIC", "QOS", "BYTES", "EXPIRES"]);
            query.print(remote, "_after", *limit, out, columns, row).await
        }
        Verb::Show(topic) => {
            let answer = remote.get(&topic.path()).await?;
            if out.is_json {
                return Ok(out.json(&answer["data"])?);
            }
            let payload = answer["data"]["payload"].as_str().unwrap_or_default();
            let bytes = BASE64_STANDARD.decode(payload).unwrap_or_default();
            // Clients choose what stands here; what is no text is shown as the broker tells it.
            let shown = std::str::from_utf8(&bytes).map_or_else(|_| payload.to_owned(), visible);
            Ok(out.line(&shown)?)
        }
        Verb::Remove(topic) => {
            let answer = remote.delete(&topic.path()).await?;
            Ok(out.done(&format!("nothing is retained on {:?} any more", topic.topic), &answer)?)
        }
    }
}

fn row(message: &Value) -> Vec<Cell> {
    vec![
        field(message, "topic").into(),
        field(message, "qos").into(),
        field(message, "payload_size").into(),
        time(message, "expires_at").into(),
    ]
}
