//! `rollcall status`

use serde_json::{Value, json};

use super::{alarms, drain, modules};
use crate::failure::Failure;
use crate::output::Output;
use crate::remote::Remote;

pub(crate) async fn run(remote: &Remote, out: &mut Output) -> Result<(), Failure> {
    let (nodes, stats) = (remote.get("/nodes").await?, remote.get("/stats").await?);
    let (listeners, running) = (remote.get("/listeners").await?, remote.get("/modules").await?);
    let draining = remote.get("/drain").await?["data"].take();
    let alarms = alarms::of_all(remote, "/alarms/activated").await?;
    let (node, numbers) = (&nodes["data"][0], &stats["data"][0]["stats"]);
    let rows = |answer: &Value, key: &str| {
        let nodes = answer["data"].as_array().into_iter().flatten();
        nodes.flat_map(|node| node[key].as_array().into_iter().flatten()).cloned().collect::<Vec<_>>()
    };
    let named = |rows: Vec<Value>, is_meant: &dyn Fn(&Value) -> bool| {
        rows.iter()
            .filter(|row| is_meant(row))
            .filter_map(|row| row["name"].as_str().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    let (stopped, running) = (
        named(rows(&listeners, "listeners"), &|row| row["running"] != true),
        named(rows(&running, "modules"), &|row| row["active"] == true),
    );
    let names: Vec<_> = alarms.iter().filter_map(|alarm| alarm["name"].as_str()).collect();
    let mut status = json!({
        "node": node["node"],
        "status": node["node_status"],
        "version": node["version"],
        "uptime": node["uptime"],
        "clients": numbers["connections.count"],
        "sessions": numbers["sessions.count"],
        "subscriptions": numbers["subscriptions.count"],
        "retained": numbers["retained.count"],
        "memory": node["memory_used"],
        "modules": running.iter().map(|name| modules::short(name)).collect::<Vec<_>>(),
        "listeners_stopped": stopped,
        "draining": draining,
        "alarms": names,
    });
    if out.is_json {
        return Ok(out.json(&status)?);
    }
    status["draining"] = json!(drain::in_words(&draining));
    let text = |value: &Value| match value {
        Value::Array(list) => {
            let words: Vec<_> = list.iter().filter_map(Value::as_str).collect();
            if words.is_empty() { json!("none") } else { json!(words.join(" ")) }
        }
        other => other.clone(),
    };
    let shown: serde_json::Map<_, _> =
        status.as_object().into_iter().flatten().map(|(key, value)| (key.replace('_', " "), text(value))).collect();
    Ok(out.object(&shown.into())?)
}
