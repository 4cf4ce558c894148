//! `rollcall backup` of a running broker, and a broker that starts on what `rollcall restore` made of it.

use std::net::SocketAddr;
use std::path::Path;

use mqtt_codec::{Qos, ReasonCode, Version};
use serde_json::Value;

use crate::{
    broker::outside,
    cli::{Running, command, output},
    client::{Client, keeping, message, retained},
};

pub(crate) async fn run(words: &[&str]) -> (Option<i32>, String) {
    let done = output(&mut command(words)).await;
    (done.status.code(), format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr)))
}

pub(crate) async fn start_on(folder: &Path) -> Running {
    let folder = folder.to_str().unwrap();
    let admin = ["--admin", "127.0.0.1:0"];
    Running::start(&mut command(&[&["--bind", "127.0.0.1:0", "--data-dir", folder], &admin[..]].concat())).await
}

/// What it says of who came and went, without the last event that is told at a start.
async fn events(folder: &Path) -> Vec<Value> {
    let (code, told) = run(&["--data-dir", folder.to_str().unwrap(), "presence", "events", "--json"]).await;
    assert_eq!(code, Some(0), "{told}");
    told.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A session that is away, with a queue; what is retained.
async fn fill(addr: SocketAddr) {
    let (mut away, _) = Client::connect_with(addr, keeping(Version::V5, "away")).await;
    assert_eq!(away.subscribe("queue/#", Qos::ExactlyOnce).await, ReasonCode::GrantedQos2);
    away.leave().await;
    let mut publisher = Client::connect(addr, Version::V5, "publisher").await;
    for number in 0..20 {
        publisher.publish(message("queue/a", number.to_string(), Qos::AtLeastOnce)).await;
        publisher.publish(retained(&format!("kept/{number}"), number.to_string(), Qos::AtLeastOnce)).await;
    }
    publisher.leave().await;
}

#[tokio::test]
async fn a_backup_of_a_running_broker_has_what_was_acknowledged() {
    if outside() {
        return;
    }
    let bench = tempfile::tempdir().unwrap();
    let path = |name: &str| bench.path().join(name);
    let text = |name: &str| path(name).to_str().unwrap().to_owned();
    let running = start_on(&path("data")).await;
    fill(running.addr()).await;
    let before = events(&path("data")).await;
    // Somebody goes on publishing while it is copied.
    let addr = running.addr();
    let busy = tokio::spawn(async move {
        let mut busy = Client::connect(addr, Version::V5, "busy").await;
        loop {
            busy.publish(retained("busy", "x", Qos::AtLeastOnce)).await;
        }
    });
    let (code, told) = run(&["--data-dir", &text("data"), "backup", &text("copy")]).await;
    assert_eq!(code, Some(0), "{told}");
    busy.abort();
    assert!(busy.await.is_err());
    // What comes later is not in it.
    let mut late = Client::connect(running.addr(), Version::V5, "late").await;
    late.publish(retained("late", "x", Qos::AtLeastOnce)).await;
    running.stop().await;

    let (code, told) = run(&["--data-dir", &text("restored"), "restore", &text("copy")]).await;
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = run(&["--data-dir", &text("restored"), "restore", &text("copy")]).await;
    assert!(code == Some(1) && told.contains("there is something in this folder"), "{told}");
    assert_eq!(run(&["--data-dir", &text("restored"), "store", "check"]).await.0, Some(0));

    let restored = start_on(&path("restored")).await;
    let after = events(&path("restored")).await;
    assert!(!before.is_empty() && before.iter().all(|event| after.contains(event)), "{before:?}\n{after:?}");
    let (mut away, connack) = Client::connect_with(restored.addr(), keeping(Version::V5, "away")).await;
    assert!(connack.session_present);
    for number in 0..20 {
        assert_eq!(away.take_text().await, number.to_string());
    }
    let mut reader = Client::connect(restored.addr(), Version::V5, "reader").await;
    reader.subscribe("late", Qos::AtMostOnce).await;
    reader.subscribe("kept/#", Qos::AtMostOnce).await;
    let mut found = Vec::new();
    for _ in 0..20 {
        found.push(reader.take_text().await.parse::<u32>().unwrap());
    }
    found.sort_unstable();
    assert_eq!(found, (0..20).collect::<Vec<_>>());
    restored.stop().await;
}
