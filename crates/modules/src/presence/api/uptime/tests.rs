use mqtt_hooks::route::Method;
use mqtt_hooks::testing::{NOW, foo, went};
use mqtt_hooks::{ConnectionInfo, Fact, Origin, Reason, Tag};

use super::super::tests::Rig;
use super::*;
use crate::Modules;

const DAY: u64 = 86_400_000;
const HOUR: u64 = 3_600_000;

/// The client was there from then to then.
fn stayed(rig: &Rig, client_id: &str, came: u64, at: u64) {
    stayed_with(rig, client_id, Tags::NONE, came, at);
}

fn stayed_with(rig: &Rig, client_id: &str, tags: Tags, came: u64, at: u64) {
    let client = ConnectionInfo { client_id: client_id.into(), connected_at: came, ..foo() }.with_tags(tags);
    let mut fact = went(&client, Reason::Kicked, 2);
    if let Fact::Disconnected { at: when, .. } = &mut fact {
        *when = at;
    }
    rig.hooks.observe(&fact, &mut rig.host.moment());
}

async fn rig() -> Rig {
    let rig = Rig::with(json!({"uptime": 30})).await;
    let members =
        json!([{"clientid": "a", "tags": ["hall"]}, {"clientid": "b"}, {"clientid": "never", "tags": ["hall"]}]);
    let request = Request { body: Some(json!({"members": members})), ..Request::default() };
    rig.do_at(Method::Put, "/presence/roster", request).await.unwrap();
    // Half of the last day; two thirds of the last three hours, in two pieces; all of ten days, until an hour ago.
    stayed(&rig, "a", NOW - DAY, NOW - DAY / 2);
    stayed(&rig, "b", NOW - 3 * HOUR, NOW - 2 * HOUR);
    stayed(&rig, "b", NOW - HOUR, NOW);
    stayed(&rig, "c", NOW - 40 * DAY, NOW - HOUR);
    rig
}

async fn short(rig: &Rig, query: &[(&str, &str)]) -> Vec<(String, f64, u64, u64, u64)> {
    let (rows, _) = rig.rows("/presence/uptime", query).await;
    let short = |row: &Value| {
        let [outages, longest, comings] =
            ["outages", "longest_outage", "comings"].map(|key| row[key].as_u64().unwrap());
        (row["clientid"].as_str().unwrap().to_owned(), row["percent"].as_f64().unwrap(), outages, longest, comings)
    };
    rows.iter().map(short).collect()
}

#[tokio::test]
async fn each_client_has_its_percent_outages_and_comings() {
    let rig = rig().await;
    let a = ("a".to_owned(), 50.0, 1, 12 * 3600, 1);
    let b = ("b".to_owned(), 66.666, 1, 3600, 2);
    let all = short(&rig, &[]).await;
    assert_eq!(all[..2], [a.clone(), b.clone()]);
    // It came before all that is kept.
    let since_kept = (NOW - first_day(NOW, 30)) as f64;
    let c = (since_kept - HOUR as f64) * 100.0 / since_kept;
    assert!((all[2].1 - c).abs() < 0.001 && (all[2].2, all[2].3, all[2].4) == (1, 3600, 0), "{all:?}");
    assert_eq!(short(&rig, &[("group", "hall")]).await, all[..1]);
    assert_eq!(short(&rig, &[("prefix", "b")]).await, all[1..2]);
    assert_eq!(short(&rig, &[("sort", "percent"), ("_limit", "2")]).await, all[..2]);
    assert_eq!(short(&rig, &[("sort", "comings"), ("_limit", "1")]).await, [b]);
    assert_eq!(short(&rig, &[("sort", "longest_outage"), ("_limit", "1")]).await, [a]);
    let (rows, next) = rig.rows("/presence/uptime", &[("_limit", "2")]).await;
    assert_eq!((rows.len(), next.as_deref()), (2, Some("b")));
    let (rows, next) = rig.rows("/presence/uptime", &[("_limit", "2"), ("_after", "b")]).await;
    assert_eq!((rows.len(), next), (1, None));
}

#[tokio::test]
async fn a_group_has_those_too_who_are_not_on_the_roster() {
    let rig = rig().await;
    let tags = || Tags::new(vec![Tag { name: "hall".into(), origin: Origin::Proven }]);
    stayed_with(&rig, "d", tags(), NOW - 2 * HOUR, NOW - HOUR);
    stayed_with(&rig, "e", tags(), NOW - 2 * HOUR, NOW - HOUR);
    stayed(&rig, "e", NOW - HOUR, NOW);
    for (query, ids) in
        [(&[("group", "hall")][..], "ad"), (&[("group", "hall"), ("sort", "percent")], "ad"), (&[("group", "x")], "")]
    {
        let rows = short(&rig, query).await;
        assert_eq!(rows.iter().map(|row| &*row.0).collect::<String>(), ids, "{query:?}");
    }
}

#[tokio::test]
async fn a_client_that_is_asked_for_has_its_days() {
    let rig = rig().await;
    let (rows, _) = rig.rows("/presence/uptime", &[("clientid", "c"), ("window", "3d")]).await;
    let days = rows[0]["days"].as_array().unwrap();
    let today = (NOW % DAY) / 1000;
    let online: Vec<_> = days.iter().map(|day| day["online"].as_u64().unwrap()).collect();
    assert_eq!(online, [86_400, 86_400, today - 3600]);
    assert_eq!((&days[2]["day"], &days[2]["observed"]), (&json!(NOW - NOW % DAY), &json!(today)));
    assert_eq!(rows[0]["online"], 3 * 86_400 - 3600 - (86_400 - today));
    assert!(rig.rows("/presence/uptime", &[("clientid", "nobody")]).await.0.is_empty());
}

#[tokio::test]
async fn what_is_not_kept_is_refused() {
    let ask = async |rig: &Rig, window: &str| {
        rig.do_at(Method::Get, "/presence/uptime", Request::asking(&[("window", window)])).await.err()
    };
    let rig = rig().await;
    for wrong in ["31d", "0d", "30", "d", "-1d", ""] {
        assert!(matches!(ask(&rig, wrong).await, Some(Refusal::BadRequest(_))), "{wrong:?}");
    }
    assert_eq!(ask(&rig, "30d").await, None);
    rig.registry.stop("presence").await.unwrap();
    assert_eq!(ask(&rig, "1d").await, None, "it is told while presence is stopped, too");
    let off = Rig::new().await;
    stayed(&off, "a", NOW - DAY, NOW);
    assert!(matches!(ask(&off, "1d").await, Some(Refusal::BadRequest(why)) if why.contains("modules.presence.uptime")));
    let (rows, _) = off.rows("/presence/uptime", &[("clientid", "a")]).await;
    assert!(rows.is_empty(), "the page of a client asks for it in any case");
}
