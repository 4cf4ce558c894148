//! `rollcall banned`

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::columns::{Cell, Columns};
use crate::failure::Failure;
use crate::output::{Output, field, time};
use crate::pages::Query;
use crate::remote::{Remote, encoded};

/// The end of the year 9999: for who is banned for good.
const FOR_GOOD: u64 = 253_402_300_799;

/// What to do with bans.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum Verb {
    /// All bans that hold
    List,
    /// Ban a client id, a user name or an address; who is connected goes, the session stays
    Add(Add),
    /// Lift a ban
    Remove(Who),
}

/// A ban to be.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct Add {
    #[command(flatten)]
    who: Who,
    /// How long: 30s, 5m, 12h, 7days, or "never" for no end
    #[arg(long = "for", value_name = "TIME", default_value = "5m", value_parser = span)]
    lasts: Span,
    /// Why, for who reads the list
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
}

/// Who it is about.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct Who {
    /// What WHO is
    #[arg(value_name = "KIND")]
    kind: Kind,
    /// The client id, the user name or the IP address
    who: String,
}

/// What of a client is compared, in EMQ X's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// Its id
    Clientid,
    /// Its user name
    Username,
    /// The IP address it comes from
    Peerhost,
}

/// How long a ban lasts; `None`: for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span(Option<Duration>);

fn span(text: &str) -> Result<Span, String> {
    if text == "never" {
        return Ok(Span(None));
    }
    humantime::parse_duration(text).map(|span| Span(Some(span))).map_err(|error| error.to_string())
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Clientid => "clientid",
            Self::Username => "username",
            Self::Peerhost => "peerhost",
        }
    }
}

pub(crate) async fn run(verb: &Verb, remote: &Remote, out: &mut Output) -> Result<(), Failure> {
    match verb {
        Verb::List => {
            let table = &mut Columns::new(&["KIND", "WHO", "UNTIL", "BY", "REASON"]);
            Query::new("/banned").print(remote, "_after", None, out, table, row).await
        }
        Verb::Add(Add { who: Who { kind, who }, lasts: Span(lasts), reason }) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            let until = lasts.map_or(FOR_GOOD, |span| now.saturating_add(span.as_secs()).min(FOR_GOOD));
            let body =
                json!({"as": kind.word(), "who": who, "reason": reason, "by": "rollcall", "at": now, "until": until});
            let answer = remote.post("/banned", Some(&body)).await?;
            Ok(out.done(&format!("{} {who:?} is banned", kind.word()), &answer)?)
        }
        Verb::Remove(Who { kind, who }) => {
            let answer = remote.delete(&format!("/banned/{}/{}", kind.word(), encoded(who))).await?;
            Ok(out.done(&format!("{} {who:?} is not banned any more", kind.word()), &answer)?)
        }
    }
}

fn row(ban: &Value) -> Vec<Cell> {
    let until = match ban["until"].as_u64() {
        Some(FOR_GOOD..) => "never".to_owned(),
        seconds => time(&json!({"until": seconds.unwrap_or_default().saturating_mul(1000)}), "until"),
    };
    vec![
        field(ban, "as").into(),
        field(ban, "who").into(),
        Cell::from(until),
        field(ban, "by").into(),
        field(ban, "reason").into(),
    ]
}
