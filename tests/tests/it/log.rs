//! What a client can bring about as often as it likes is some lines of the log, not as many.

use mqtt_codec::{Packet, Qos, ReasonCode, Version};

use crate::broker::outside;
use crate::cli::{Running, command};
use crate::client::{Client, keeping, message, retained};

/// More lines of one kind from one address than a window has.
const MANY: usize = 40;

/// Of one kind: two windows' lines, each with its sum of what was left out.
const FEW: usize = 12;

/// A broker with its log in a file, and these settings.
async fn logging(folder: &tempfile::TempDir, settings: &[&str]) -> Running {
    let mut flags = vec!["--bind", "127.0.0.1:0"];
    settings.iter().for_each(|setting| flags.extend(["--set", setting]));
    Running::start_with_log(&mut command(&flags), &folder.path().join("log")).await
}

/// The lines that have all of these words, when it has ended.
async fn lines(running: Running, folder: &tempfile::TempDir, words: &[&str]) -> Vec<String> {
    running.stop().await;
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    let lines = log.lines().filter(|line| words.iter().all(|word| line.contains(word)));
    lines.map(str::to_owned).collect()
}

#[tokio::test]
async fn messages_that_are_dropped_for_many_clients_are_some_lines() {
    if outside() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let running = logging(&folder, &["session.max_queued=1"]).await;
    let long = "x".repeat(900);
    for n in 0..MANY {
        let (mut client, _) = Client::connect_with(running.addr(), keeping(Version::V5, &format!("{n}{long}"))).await;
        client.subscribe("full", Qos::AtLeastOnce).await;
        client.leave().await;
    }
    let mut publisher = Client::connect(running.addr(), Version::V5, "publisher").await;
    for _ in 0..9 {
        publisher.publish(message("full", "x", Qos::AtLeastOnce)).await;
    }
    let lines = lines(running, &folder, &["session.max_queued"]).await;
    assert!((1..=FEW).contains(&lines.len()), "{}", lines.len());
    assert!(lines.iter().all(|line| line.len() < 600), "{}", lines[0]);
}

#[tokio::test]
async fn messages_that_are_not_retained_are_some_lines_that_say_whose() {
    if outside() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let running = logging(&folder, &["limits.retained_messages=1"]).await;
    let mut publisher = Client::connect(running.addr(), Version::V5, "publisher").await;
    for n in 0..MANY {
        publisher.publish(retained(&format!("{n}/{}", "x".repeat(9000)), "x", Qos::AtLeastOnce)).await;
    }
    let lines = lines(running, &folder, &["retain refused"]).await;
    assert!((1..=FEW).contains(&lines.len()), "{}", lines.len());
    assert!(lines.iter().all(|line| line.len() < 600), "{}", lines[0]);
    assert!(lines[0].contains("127.0.0.1") && lines[0].contains("\"publisher\""), "{}", lines[0]);
}

/// Its ids are not forgotten as long as its session lives, and end with it.
#[tokio::test]
async fn who_never_releases_is_closed_and_the_log_says_why() {
    if outside() {
        return;
    }
    const MOST: usize = 10_000;
    let folder = tempfile::tempdir().unwrap();
    // No connection is at its own limit: it is that of all of them which is met.
    let running = logging(&folder, &["limits.receive_maximum=9999"]).await;
    for version in [Version::V3_1_1, Version::V5] {
        let (mut client, _) = Client::connect_with(running.addr(), keeping(version, "hoarder")).await;
        for sent in 0..MOST {
            if sent == MOST / 2 {
                client.cut().await;
                (client, _) = Client::connect_with(running.addr(), keeping(version, "hoarder")).await;
                client.skip_ids(MOST / 2);
            }
            let packet_id = client.send_publish(message("a", "x", Qos::ExactlyOnce)).await.unwrap();
            client.expect_pubrec(packet_id).await;
        }
        client.send_publish(message("a", "one too many", Qos::ExactlyOnce)).await;
        match version {
            Version::V5 => client.expect_disconnect(ReasonCode::ReceiveMaximumExceeded).await,
            _ => client.expect_end().await,
        }
        // The same session has no room, the next one has.
        let (mut client, answer) = Client::connect_with(running.addr(), keeping(version, "hoarder")).await;
        assert!(answer.session_present);
        client.skip_ids(MOST);
        client.send_publish(message("a", "one too many", Qos::ExactlyOnce)).await;
        assert!(!matches!(client.receive_or_end().await, Some(Packet::PubRec(_))));
        let mut client = Client::connect(running.addr(), version, "hoarder").await;
        client.publish(message("a", "x", Qos::ExactlyOnce)).await;
    }
    let lines = lines(running, &folder, &["hoarder", "receive_maximum_exceeded"]).await;
    assert!(lines.iter().any(|line| line.contains("wait for their PUBREL")), "{lines:?}");
}
