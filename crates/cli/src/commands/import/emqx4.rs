//! EMQ X 4: its files, or one that runs.

use std::fs;
use std::path::PathBuf;

use mqtt_migrate::emqx4::{Answers, migrate};
use mqtt_migrate::{Migration, Target};
use serde_json::{Value, json};

use super::Made;
use super::disk::OnDisk;
use crate::failure::Failure;
use crate::prompt;
use crate::reach::Reach;
use crate::remote::{Remote, Trust};

/// Rows of a list; EMQ X gives no more.
const MOST: u64 = 10_000;

/// From where.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct Args {
    /// Files or folders, and at the most one address
    #[arg(value_name = "PATH|URL", required = true)]
    paths: Vec<String>,
    /// For an address: an application of EMQ X (AppID), which is asked for its secret
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The file with that secret; else it is asked for
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// What is made of it.
    #[command(flatten)]
    pub(super) made: Made,
}

pub(super) async fn read(args: &Args, target: &Target, reach: &Reach) -> Result<Migration, Failure> {
    let is_address = |path: &&String| path.starts_with("http://") || path.starts_with("https://");
    let (addresses, paths): (Vec<_>, Vec<_>) = args.paths.iter().partition(is_address);
    let answers = match addresses[..] {
        [] => None,
        [url] => Some(ask(args, url, reach).await?),
        _ => return Err(Failure::Usage("one EMQ X is asked at a time".to_owned())),
    };
    let paths: Vec<_> = paths.into_iter().map(PathBuf::from).collect();
    Ok(migrate(&OnDisk, &paths, answers.as_ref(), target))
}

async fn ask(args: &Args, url: &str, reach: &Reach) -> Result<Answers, Failure> {
    let Some(user) = &args.user else {
        return Err(Failure::Usage(format!("{url} wants --user NAME, an application of EMQ X (emqx_ctl mgmt list)")));
    };
    let secret = match &args.password_file {
        Some(file) => fs::read_to_string(file)
            .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
            .map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?,
        None => prompt::known_password(user)?,
    };
    let remote = Remote::new(url, "EMQ X", &format!("{user}:{secret}"), "--user", &Trust::Signed, reach)?;
    let banned = remote.get(&format!("/banned?_page=1&_limit={MOST}")).await?;
    let has_more = banned["meta"]["hasnext"].as_bool() == Some(true)
        || banned["meta"]["count"].as_u64().is_some_and(|count| count > MOST);
    if has_more {
        return Err(Failure::Refused(format!("{url}: more than {MOST} bans: emqx_ctl data export has them all")));
    }
    let modules = remote.get("/modules").await?;
    let plugins = remote.get("/plugins").await?;
    let apps = remote.get("/apps").await?;
    let parts = json!({
        "blacklist": banned["data"],
        "modules": of_nodes(&modules["data"], "modules"),
        "plugins": of_nodes(&plugins["data"], "plugins"),
        "apps": apps["data"],
    });
    Ok(Answers { from: url.to_owned(), parts })
}

/// Each node has its own list, and in a cluster the first one's is as good as any.
fn of_nodes(data: &Value, name: &str) -> Value {
    let first = data.as_array().and_then(|nodes| nodes.first()).and_then(|node| node.get(name));
    let list = first.and_then(Value::as_array);
    // Plugins that are off asked nobody.
    list.map(|list| list.iter().filter(|one| name != "plugins" || one["active"] == true).cloned().collect())
        .unwrap_or_else(|| Value::Array(Vec::new()))
}
