//! For how much of the time clients were online, as an operator sees it.

use mqtt_codec::Version;
use serde_json::Value;

use crate::broker::outside;
use crate::client::Client;
use crate::clock;
use crate::commands::Site;

fn number(row: &Value, key: &str) -> u64 {
    row[key].as_u64().unwrap_or_else(|| panic!("no {key} in {row}"))
}

async fn report(site: &Site, more: &[&str]) -> Vec<Value> {
    site.ask(&[&["presence", "report", "--prefix", "lift-", "--json"], more].concat()).await.json()
}

#[tokio::test]
async fn uptime_is_kept_over_a_crash() {
    if outside() {
        return;
    }
    const ON: &[&str] = &["--set", "modules.presence.uptime=30", "--set", "modules.presence.recovery_grace=0s"];
    let site = Site::start_with(ON).await;
    let addr = site.running.addr();
    let one = Client::connect(addr, Version::V5, "lift-1").await;
    let two = Client::connect(addr, Version::V3_1_1, "lift-2").await;
    clock::wait(addr, 1).await;
    two.leave().await;
    clock::wait(addr, 1).await;
    // One that is there has never gone.
    let rows = report(&site, &[]).await;
    assert_eq!(rows.iter().map(|row| row["clientid"].as_str().unwrap()).collect::<Vec<_>>(), ["lift-1", "lift-2"]);
    assert!(
        rows[0]["percent"] == 100.0 && number(&rows[0], "online") >= 2 && number(&rows[0], "outages") == 0,
        "{rows:?}"
    );
    assert!(number(&rows[1], "online") >= 1 && number(&rows[1], "longest_outage") >= 1, "{rows:?}");
    assert_eq!((number(&rows[1], "outages"), number(&rows[1], "comings")), (1, 1));
    let before = rows;

    // The one went with the broker, and comes back; the other is what it was.
    let Site { folder, running } = site;
    running.kill().await;
    drop(one);
    let running = Site::run_with(folder.path(), ON).await;
    let site = Site { folder, running };
    let addr = site.running.addr();
    let one = Client::connect(addr, Version::V5, "lift-1").await;
    clock::wait(addr, 1).await;
    let rows = report(&site, &[]).await;
    assert_eq!((number(&rows[0], "comings"), number(&rows[1], "comings")), (2, 1), "{rows:?}");
    for (row, before) in rows.iter().zip(&before) {
        assert_eq!(row["since"], before["since"]);
        assert!(number(row, "online") >= number(before, "online") && row["percent"].as_f64() < Some(100.0), "{rows:?}");
    }
    assert_eq!(number(&rows[1], "online"), number(&before[1], "online"));
    let worst = report(&site, &["--sort", "percent", "--limit", "1", "--window", "1d"]).await;
    assert!(worst.len() == 1 && worst[0]["percent"].as_f64() <= rows[0]["percent"].as_f64(), "{worst:?} {rows:?}");
    let table = site.ask(&["presence", "report", "--prefix", "lift-", "--csv"]).await.done();
    let lines: Vec<_> = table.lines().collect();
    assert_eq!((lines[0], lines.len()), ("clientid,percent,online,observed,outages,longest_outage,comings,since", 3));
    assert!(lines[1].starts_with("lift-1,"), "{table}");
    site.ask(&["presence", "report", "--window", "31d"]).await.failed(1, &["31d"]);
    assert!(report(&site, &["--tag", "hall"]).await.is_empty());
    one.leave().await;
}
