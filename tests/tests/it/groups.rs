//! Groups of clients as a state topic, and clients in maintenance, who are not missed.

use std::net::SocketAddr;

use mqtt_codec::{Qos, Version};
use serde_json::{Value, json};

use crate::admin::{ask, send, start_with};
use crate::client::Client;

async fn list(admin: SocketAddr, members: Value) {
    let body = json!({ "members": members }).to_string();
    assert_eq!(send(admin, "PUT /api/v4/presence/roster", &body).await.status, 200);
}

/// The next message: the last levels of its topic, whether it is retained, and what it says.
async fn next(watcher: &mut Client) -> (String, bool, Value) {
    let told = watcher.take().await;
    let topic = told.topic.as_ref().unwrap().as_str();
    let short = topic.split_once("/presence/").expect("one of presence's").1.to_owned();
    (short, told.retain, serde_json::from_slice(&told.payload).unwrap())
}

fn counts(members: u64, online: u64, offline: u64, never_seen: u64) -> Value {
    json!({"members": members, "online": online, "offline": offline, "never_seen": never_seen})
}

#[track_caller]
fn check(told: &Value, tag: &str, expected: &Value) {
    let shown: Value = ["members", "online", "offline", "never_seen"]
        .map(|key| (key.to_owned(), told[key].clone()))
        .into_iter()
        .collect();
    assert_eq!((&told["tag"], &shown), (&json!(tag), expected), "{told}");
}

#[tokio::test]
async fn one_subscription_brings_the_counts_of_all_groups_and_what_changes() {
    let Some((broker, admin)) = start_with(|config| {
        let presence = &mut config.modules.entry("presence".to_owned()).or_default().settings;
        presence["tags"] = json!([{"match": "dev-*-*", "tag": "site-$1"}]);
    })
    .await
    else {
        return;
    };
    list(admin, json!([{"clientid": "dev-rome-1", "tags": ["lift"]}, {"clientid": "never", "tags": ["lift"]}])).await;
    let one = Client::connect(broker.addr, Version::V5, "dev-rome-1").await;
    let _two = Client::connect(broker.addr, Version::V3_1_1, "dev-rome-2").await;
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe("$SYS/brokers/+/presence/snapshot/done", Qos::AtLeastOnce).await;
    watcher.subscribe("$SYS/brokers/+/presence/groups/+/counts", Qos::AtLeastOnce).await;
    let (topic, retain, told) = next(&mut watcher).await;
    assert_eq!((&*topic, retain), ("groups/lift/counts", true));
    check(&told, "lift", &counts(2, 1, 0, 1));
    let (topic, retain, told) = next(&mut watcher).await;
    assert_eq!((&*topic, retain), ("groups/site-rome/counts", true));
    check(&told, "site-rome", &counts(2, 2, 0, 0));
    let (topic, _, told) = next(&mut watcher).await;
    assert_eq!((&*topic, &told["count"]), ("snapshot/done", &json!(2)));
    // Both groups change, once, and neither without a reason.
    one.leave().await;
    let mut changed = [next(&mut watcher).await, next(&mut watcher).await];
    changed.sort_by_key(|(topic, _, _)| topic.clone());
    check(&changed[0].2, "lift", &counts(2, 0, 1, 1));
    check(&changed[1].2, "site-rome", &counts(2, 1, 1, 0));
    assert!(!changed[0].1 && !changed[1].1, "it is not retained");
    list(admin, json!([{"clientid": "never", "tags": ["stairs"]}])).await;
    let mut changed = [next(&mut watcher).await, next(&mut watcher).await];
    changed.sort_by_key(|(topic, _, _)| topic.clone());
    check(&changed[0].2, "lift", &counts(1, 0, 1, 0));
    check(&changed[1].2, "stairs", &counts(1, 0, 0, 1));
    let rows = ask(admin, "GET /api/v4/presence/groups").await.json()["data"].clone();
    let tags: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["tag"].clone()).collect();
    assert_eq!(tags, [Value::Null, json!("lift"), json!("site-rome"), json!("stairs")]);
}

#[tokio::test]
async fn who_is_in_maintenance_is_missed_no_more() {
    let Some((broker, admin)) = start_with(|config| {
        let presence = &mut config.modules.entry("presence".to_owned()).or_default().settings;
        presence["absence"] = json!([{"name": "lifts", "match": "lift-*", "after": ["50ms"]}]);
    })
    .await
    else {
        return;
    };
    let mut watcher = Client::connect(broker.addr, Version::V5, "watcher").await;
    watcher.subscribe("$SYS/brokers/+/presence/absent/#", Qos::AtLeastOnce).await;
    Client::connect(broker.addr, Version::V5, "lift-1").await.leave().await;
    let (topic, _, told) = next(&mut watcher).await;
    assert_eq!((&*topic, &told["state"]), ("absent/lifts/lift-1", &json!("absent")));
    let state = async || {
        let rows = ask(admin, "GET /api/v4/presence/roster").await.json()["data"].clone();
        (rows[0]["state"].clone(), rows[0]["rules"].clone())
    };
    list(admin, json!([{"clientid": "lift-1"}])).await;
    assert_eq!(state().await, (json!("absent"), json!(["lifts"])));
    list(admin, json!([{"clientid": "lift-1", "maintenance_until": 4_102_444_800_000_u64}])).await;
    assert_eq!(next(&mut watcher).await.2["state"], "maintenance");
    assert_eq!(state().await, (json!("maintenance"), Value::Null));
    let missed = ask(admin, "GET /api/v4/presence/absent").await.json();
    assert_eq!(missed["data"], json!([]));
    // It is over.
    list(admin, json!([{"clientid": "lift-1"}])).await;
    assert_eq!(next(&mut watcher).await.2["state"], "absent");
    assert_eq!(state().await, (json!("absent"), json!(["lifts"])));
}
