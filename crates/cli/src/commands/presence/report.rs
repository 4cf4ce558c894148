//! `rollcall presence report`

use clap::ValueEnum;
use serde_json::Value;

use crate::columns::{Cell, Columns, visible};
use crate::failure::Failure;
use crate::output::{Output, field, time};
use crate::pages::Query;
use crate::remote::Remote;

/// Columns of CSV, by the names that the broker gives them.
const COLUMNS: [&str; 8] =
    ["clientid", "percent", "online", "observed", "outages", "longest_outage", "comings", "since"];

/// Whose uptime, and of which days.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct Report {
    /// Of so many days, this one among them, such as 30d: as many as are kept if not said otherwise
    #[arg(long, value_name = "DAYS")]
    window: Option<String>,
    /// Only clients with this tag on the roster
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Only ids that start so
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    prefix: String,
    /// The worst by this, 100 if --limit does not say otherwise
    #[arg(long)]
    sort: Option<Sort>,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// As CSV, times in seconds
    #[arg(long)]
    csv: bool,
}

/// What is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Sort {
    /// Online for the least of the time
    Percent,
    /// Away most often
    Outages,
    /// Away for longest at a time
    LongestOutage,
    /// Came most often
    Comings,
}

pub(super) async fn run(which: &Report, remote: &Remote, out: &mut Output) -> Result<(), Failure> {
    let mut query = Query::new("/presence/uptime");
    let sort = which.sort.and_then(|sort| sort.to_possible_value());
    let said = [
        ("window", which.window.as_deref()),
        ("group", which.tag.as_deref()),
        ("prefix", Some(&*which.prefix).filter(|prefix| !prefix.is_empty())),
        ("sort", sort.as_ref().map(|sort| sort.get_name())),
    ];
    for (name, value) in said {
        if let Some(value) = value {
            query.add(name, value);
        }
    }
    let limit = which.limit.or(sort.is_some().then_some(super::LAST));
    if which.csv && !out.is_json {
        out.line(&COLUMNS.join(","))?;
        let page = |rows: Vec<Value>| {
            for row in &rows {
                out.line(&line(row))?;
            }
            Ok(out.flush()?)
        };
        return query.pages(remote, "_after", limit, page).await;
    }
    let columns = &mut Columns::new(&["CLIENT", "ONLINE", "FOR", "OUTAGES", "LONGEST", "COMINGS", "SINCE"]);
    query.print(remote, "_after", limit, out, columns, row).await
}

fn row(client: &Value) -> Vec<Cell> {
    let percent = client["percent"].as_f64().map(|percent| format!("{percent:.3}%")).unwrap_or_default();
    let cells = [
        field(client, "clientid"),
        percent,
        lasted(client, "online"),
        field(client, "outages"),
        lasted(client, "longest_outage"),
        field(client, "comings"),
        time(client, "since"),
    ];
    cells.map(Cell::from).to_vec()
}

/// Seconds as people say them.
fn lasted(client: &Value, key: &str) -> String {
    let seconds = client[key].as_u64().unwrap_or_default();
    humantime::format_duration(std::time::Duration::from_secs(seconds)).to_string()
}

/// A line of CSV, which ends no earlier than its row does and can't do anything to a terminal.
fn line(client: &Value) -> String {
    let quoted = |text: String| {
        if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
    };
    COLUMNS.map(|column| quoted(visible(&field(client, column)))).join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_client_is_one_line_whatever_its_id_is() {
        let client = |id: &str| {
            json!({"clientid": id, "percent": 99.5, "online": 199, "observed": 200, "outages": 1, "longest_outage": 1,
                "comings": 2, "since": 5})
        };
        assert_eq!(line(&client("a")), "a,99.5,199,200,1,1,2,5");
        assert_eq!(line(&client("a,\"b\"\n")), r#""a,""b""\n",99.5,199,200,1,1,2,5"#);
    }
}
