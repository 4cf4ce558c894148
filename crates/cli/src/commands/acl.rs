//! `rollcall acl`

use clap::{Subcommand, ValueEnum};
use serde_json::Value;

use crate::columns::{Cell, Columns, Paint};
use crate::failure::Failure;
use crate::output::{Output, field};
use crate::pages::Query;
use crate::remote::Remote;

/// What to do about rules.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum Verb {
    /// All rules in the order in which they are looked at
    List,
    /// Which rule decides whether a client may do something
    Explain(Explain),
}

/// Who wants to do what.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct Explain {
    /// The client's id; if it is online, what is not said here is as it is
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// Its user name
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Its address; 127.0.0.1 if it is not online
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    /// The listener it came in by; "mqtt" if it is not online
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// A tag that it has; those that it came in with if it is online
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// What it wants to do
    action: Action,
    /// With which topic, or filter
    topic: String,
}

/// What a client wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Action {
    /// PUBLISH
    Publish,
    /// SUBSCRIBE
    Subscribe,
}

pub(crate) async fn run(verb: &Verb, remote: &Remote, out: &mut Output) -> Result<(), Failure> {
    match verb {
        Verb::List => {
            let answer = remote.get("/auth/rules").await?;
            let rules = answer["data"]["rules"].as_array().map(Vec::as_slice).unwrap_or_default();
            out.rows(&mut Columns::new(&["RULE", "WHO", "ACTION", "TOPICS", "WHERE"]), rules, row)?;
            let default = field(&answer["data"], "default");
            if out.is_json { Ok(()) } else { Ok(out.line(&format!("all else: {default}"))?) }
        }
        Verb::Explain(asked) => explain(asked, remote, out).await,
    }
}

async fn explain(asked: &Explain, remote: &Remote, out: &mut Output) -> Result<(), Failure> {
    let mut query = Query::new("/auth/explain");
    let action = match asked.action {
        Action::Publish => "publish",
        Action::Subscribe => "subscribe",
    };
    let said = [
        ("clientid", asked.client.as_deref()),
        ("username", asked.user.as_deref()),
        ("address", asked.address.as_deref()),
        ("listener", asked.listener.as_deref()),
        ("tag", asked.tag.as_deref()),
        ("action", Some(action)),
        ("topic", Some(&asked.topic)),
    ];
    said.into_iter().for_each(|(name, said)| said.into_iter().for_each(|said| query.add(name, said)));
    let answer = remote.get(query.path()).await?;
    let found = &answer["data"];
    let word = if found["allowed"] == true { "allowed" } else { "denied" };
    let rule = match &found["rule"] {
        Value::Null => String::new(),
        rule => format!(": {} {} {} {}", verb(rule), who(rule), field(rule, "action"), topics(rule)),
    };
    Ok(out.done(&format!("{word} by {}{rule}", field(found, "by")), found)?)
}

fn row(rule: &Value) -> Vec<Cell> {
    let paint = if rule["allow"] == true { Paint::Green } else { Paint::Red };
    let verb = Cell::painted(verb(rule), paint);
    vec![verb, who(rule).into(), field(rule, "action").into(), topics(rule).into(), field(rule, "origin").into()]
}

fn verb(rule: &Value) -> &'static str {
    if rule["allow"] == true { "allow" } else { "deny" }
}

fn who(rule: &Value) -> String {
    Some(field(rule, "who")).filter(|who| !who.is_empty()).unwrap_or_else(|| "everybody".to_owned())
}

fn topics(rule: &Value) -> String {
    Some(field(rule, "topics")).filter(|topics| !topics.is_empty()).unwrap_or_else(|| "all".to_owned())
}
