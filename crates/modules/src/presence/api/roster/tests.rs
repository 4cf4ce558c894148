use mqtt_hooks::route::Method;
use mqtt_hooks::testing::NOW;

use super::super::tests::Rig;
use super::*;
use crate::Modules;

async fn change(rig: &Rig, body: Value) -> Result<Value, String> {
    let request = Request { body: Some(body), ..Request::default() };
    match rig.do_at(Method::Put, "/presence/roster", request).await {
        Ok(Answer::Data(data)) => Ok(serde_json::from_str(data.as_str()).unwrap()),
        Ok(answer) => panic!("{answer:?}"),
        Err(refusal) => Err(refusal.to_string()),
    }
}

/// Of each row, whose it is and how it is with them.
async fn standings(rig: &Rig, path: &str, query: &[(&str, &str)]) -> Vec<String> {
    let (rows, _) = rig.rows(path, query).await;
    rows.iter().map(|row| format!("{} {}", row["clientid"].as_str().unwrap(), row["state"].as_str().unwrap())).collect()
}

async fn rig() -> Rig {
    let rig = Rig::new().await;
    let members = json!([
        {"clientid": "b", "tags": ["hall"]},
        {"clientid": "a", "tags": ["hall", "old"], "keepalive": 60},
        {"clientid": "d", "maintenance_until": NOW + 1_000},
        {"clientid": "c", "maintenance_until": NOW - 1_000},
    ]);
    let changed = change(&rig, json!({"members": members})).await.unwrap();
    assert_eq!(changed, json!({"added": 4, "changed": 0, "removed": 0}));
    rig.visit("b");
    rig.visit("stranger");
    rig
}

#[tokio::test]
async fn who_is_expected_is_told_with_how_it_is_with_them() {
    let rig = rig().await;
    let all = ["a never_seen", "b offline", "c never_seen", "d maintenance"];
    assert_eq!(standings(&rig, "/presence/roster", &[]).await, all);
    assert_eq!(standings(&rig, "/presence/roster", &[("tag", "hall")]).await, all[..2]);
    assert_eq!(standings(&rig, "/presence/roster", &[("state", "maintenance")]).await, all[3..]);
    assert_eq!(standings(&rig, "/presence/roster", &[("state", "unexpected")]).await, ["stranger unexpected"]);
    assert_eq!(standings(&rig, "/presence/missing", &[]).await, all[..3]);
    assert_eq!(standings(&rig, "/presence/missing", &[("prefix", "b")]).await, all[1..2]);
    let (rows, next) = rig.rows("/presence/missing", &[("_limit", "2")]).await;
    assert_eq!((rows.len(), next.as_deref()), (2, Some("b")));
    let (rows, next) = rig.rows("/presence/missing", &[("_limit", "2"), ("_after", "b")]).await;
    assert_eq!((rows.len(), next), (1, None));
    let (groups, _) = rig.rows("/presence/groups", &[]).await;
    let count = |tag: Value, members, offline, never_seen, maintenance| {
        json!({"tag": tag, "members": members, "online": 0, "offline": offline, "absent": 0, "silent": 0,
            "never_seen": never_seen, "maintenance": maintenance})
    };
    assert_eq!(
        groups,
        [count(Value::Null, 4, 1, 2, 1), count(json!("hall"), 2, 1, 1, 0), count(json!("old"), 1, 0, 1, 0)]
    );
}

#[tokio::test]
async fn an_empty_roster_says_nothing() {
    let rig = Rig::new().await;
    rig.visit("a");
    for (path, query) in [("/presence/roster", &[("state", "unexpected")][..]), ("/presence/missing", &[])] {
        assert_eq!(standings(&rig, path, query).await, [""; 0]);
    }
}

#[tokio::test]
async fn a_change_is_made_whole_or_not_at_all_and_kept() {
    let rig = rig().await;
    for (members, why) in [
        (json!([{"clientid": "e"}, {"clientid": ""}]), "members, entry 2: clientid: "),
        (json!([{"clientid": "e", "tags": ["a/b"]}]), "members, entry 1: tags: "),
        (json!([{"clientid": "e", "tag": "x"}]), "unknown field `tag`"),
        (json!([{"clientid": "e", "keepalive": 65536}]), "invalid value"),
    ] {
        let error = change(&rig, json!({"members": members, "remove": ["a"]})).await.unwrap_err();
        assert!(error.starts_with(why), "{error}");
    }
    assert_eq!(standings(&rig, "/presence/roster", &[]).await.len(), 4);
    let members = json!([{"clientid": "b", "tags": ["hall"]}, {"clientid": "a", "tags": []}]);
    let changed = change(&rig, json!({"members": members, "remove": ["c", "nobody"]})).await.unwrap();
    assert_eq!(changed, json!({"added": 0, "changed": 1, "removed": 1}));

    let again = Roster::default();
    again.restore(&rig.host.records_of("presence")).unwrap();
    let ids = |members: Vec<(Box<str>, Member)>| members.into_iter().map(|(id, member)| (id, member.tags)).collect();
    let kept: Vec<(Box<str>, Vec<Box<str>>)> = ids(again.some(None, "", 10));
    assert_eq!(kept, [("a".into(), vec![]), ("b".into(), vec!["hall".into()]), ("d".into(), vec![])]);
    assert_eq!(ids(again.some(Some("a"), "", 1)).len(), 1);
    assert_eq!(again.some(Some("a"), "d", 9).len(), 1);
    assert!(again.some(Some("d"), "c", 9).is_empty());

    // What events of the history are kept as is not touched by it.
    assert_eq!(rig.host.kept("presence").len(), 4);
    rig.registry.stop("presence").await.unwrap();
    assert_eq!(standings(&rig, "/presence/missing", &[]).await.len(), 2);
}
