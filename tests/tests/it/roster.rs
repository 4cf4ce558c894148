//! Who is expected and who is missing, as an operator sees it.

use mqtt_codec::Version;
use serde_json::Value;

use crate::broker::outside;
use crate::client::Client;
use crate::commands::Site;
use crate::events::Watcher;

fn short(rows: &[Value]) -> Vec<(&str, &str)> {
    rows.iter().map(|row| (row["clientid"].as_str().unwrap(), row["state"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn who_never_came_is_missing_and_who_came_is_not() {
    if outside() {
        return;
    }
    let site = Site::start().await;
    let path = |name: &str| site.folder.path().join(name).to_str().unwrap().to_owned();
    let (table, objects) = (path("roster.csv"), path("roster.json"));
    std::fs::write(&table, "clientid,tags,keepalive,maintenance_until\nlift-1,hall,60,\nlift-2,hall;old,,\n").unwrap();
    let imported = site.ask(&["roster", "import", &table]).await.done();
    assert_eq!(imported, "2 read: 2 added, 0 changed, 0 removed\n");

    let addr = site.running.addr();
    let mut events = Watcher::start(addr).await;
    let one = Client::connect(addr, Version::V5, "lift-1").await;
    let two = Client::connect(addr, Version::V3_1_1, "lift-2").await;
    two.leave().await;
    events.connected("lift-1").await;
    events.connected("lift-2").await;
    events.disconnected("lift-2", "normal").await;
    let rows = site.ask(&["roster", "list", "--json"]).await.json();
    assert_eq!(short(&rows), [("lift-1", "online"), ("lift-2", "offline")]);
    assert_eq!(rows[1]["reason"], "normal");
    assert_eq!(short(&site.ask(&["presence", "missing", "--json"]).await.json()), [("lift-2", "offline")]);
    let strangers = site.ask(&["roster", "list", "--state", "unexpected", "--json"]).await.json();
    assert!(strangers.len() == 1 && strangers[0].get("since").is_some(), "{strangers:?}");

    // What is wrong in a file changes nothing.
    std::fs::write(&objects, r#"[{"clientid": "lift-3"}, {"clientid": "lift-4", "tags": ["a/b"]}]"#).unwrap();
    site.ask(&["roster", "import", &objects, "--replace"]).await.failed(1, &["entry 2", "a/b"]);
    std::fs::write(&table, "clientid,keepalive\nlift-3,1\nlift-4,ten\n").unwrap();
    site.ask(&["roster", "import", &table]).await.failed(2, &["roster.csv:3", "ten"]);
    std::fs::write(&objects, r#"[{"clientid": "lift-1", "tags": ["hall"]}, {"clientid": "lift-3"}]"#).unwrap();
    let replaced = site.ask(&["roster", "import", &objects, "--replace"]).await.done();
    assert_eq!(replaced, "2 read: 1 added, 1 changed, 1 removed\n");
    let groups = site.ask(&["roster", "groups"]).await.done();
    let lines: Vec<_> = groups.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(
        lines[1..],
        [vec!["(all)", "2", "1", "0", "0", "0", "1", "0"], vec!["hall", "1", "1", "0", "0", "0", "0", "0"]]
    );

    // Over a `kill -9`: who was online is not there any more, and the roster is.
    let Site { folder, running } = site;
    running.kill().await;
    drop(one);
    let running = Site::run(folder.path()).await;
    let site = Site { folder, running };
    let missing = site.ask(&["presence", "missing", "--json"]).await.json();
    assert_eq!(short(&missing), [("lift-1", "offline"), ("lift-3", "never_seen")]);
    site.ask(&["roster", "remove", "lift-3"]).await.done();
    site.ask(&["roster", "remove", "lift-3"]).await.failed(1, &["lift-3"]);
}
