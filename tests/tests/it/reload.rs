//! The configuration read anew while the broker runs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use mqtt_codec::{ConnAck, Qos, ReasonCode, Version};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::broker::outside;
use crate::cli::{Running, command};
use crate::client::{Client, connect, message};

struct Site {
    folder: TempDir,
    file: PathBuf,
    running: Running,
}

impl Site {
    async fn start(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rollcall.toml");
        std::fs::write(&file, text).unwrap();
        let args = ["--bind", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config", text_of(&file)];
        let log = folder.path().join("log");
        let running = Running::start_with_log(command(&args).arg("--data-dir").arg(folder.path()), &log).await;
        Self { folder, file, running }
    }

    fn write(&self, text: &str) {
        std::fs::write(&self.file, text).unwrap();
    }

    /// What a command prints, and its exit code.
    async fn ask(&self, args: &[&str]) -> (Option<i32>, String) {
        let output = command(args).arg("--data-dir").arg(self.folder.path()).output().await.unwrap();
        let printed = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(printed).unwrap())
    }

    async fn reload(&self) -> String {
        let (code, printed) = self.ask(&["reload"]).await;
        assert_eq!(code, Some(0), "{printed}");
        printed
    }

    async fn listener(&self, name: &str) -> Option<SocketAddr> {
        let (_, printed) = self.ask(&["listeners", "list", "--json"]).await;
        let rows = printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let found = rows.into_iter().find(|row| row["name"] == name)?;
        Some(found["listen_on"].as_str().unwrap().parse().unwrap())
    }
}

fn text_of(path: &Path) -> &str {
    path.to_str().unwrap()
}

const SECOND: &str = "[listeners.second]\nkind = \"mqtt\"\nbind = \"127.0.0.1:0\"\n";

#[tokio::test]
async fn listeners_come_and_go_while_clients_stay() {
    if outside() {
        return;
    }
    let site = Site::start(SECOND).await;
    let second: SocketAddr = site.running.word("second").parse().unwrap();
    let mut first = Client::connect(site.running.addr(), Version::V5, "first").await;
    let mut there = Client::connect(second, Version::V5, "there").await;
    assert_eq!(site.reload().await, "nothing has changed\n");
    let third = SECOND.replace("second", "third");
    site.write(&format!("{third}[limits]\nmax_inflight = 7\nretained_messages = 7\n[log]\nlevel = \"debug\"\n"));
    let told = "listeners.second is gone\nlisteners.third is new\nlog.level: \"debug\"\n\
                limits.max_inflight: 7, for who connects\nlimits.retained_messages has changed, and needs a restart\n";
    assert_eq!(site.reload().await, told);
    assert!(TcpStream::connect(second).await.is_err());
    assert_eq!(site.listener("second").await, None);
    let third = site.listener("third").await.unwrap();
    Client::connect(third, Version::V5, "here").await.leave().await;
    there.ping().await;
    first.ping().await;
    // What waits goes on waiting, and is said again.
    assert_eq!(site.reload().await, "limits.retained_messages has changed, and needs a restart\n");
    // Another name at the address of one that goes.
    site.write(&format!("[listeners.fourth]\nkind = \"mqtt\"\nbind = \"{third}\"\n"));
    // That it was port 0 before is not known: the address is asked for as it is now.
    let told = site.reload().await;
    assert!(told.starts_with("listeners.third is gone\nlisteners.fourth is new\n"), "{told}");
    assert_eq!(site.listener("fourth").await, Some(third));
    Client::connect(third, Version::V5, "here").await.leave().await;
    // The same address, and something before MQTT.
    site.write(&format!("[listeners.fourth]\nkind = \"ws\"\nbind = \"{third}\"\n"));
    assert_eq!(site.reload().await, "listeners.fourth is another for who connects\n");
    let mut plain = Client::open(third, Version::V5).await;
    plain.send(mqtt_codec::Packet::Connect(Box::new(connect(Version::V5, "plain")))).await;
    plain.bytes_to_end().await;
    there.ping().await;
}

#[tokio::test]
async fn what_holds_for_clients_changes_at_once_and_who_is_in_keeps_what_it_was_told() {
    if outside() {
        return;
    }
    let site = Site::start("[limits]\nmax_topic_levels = 20\n").await;
    let mut old = Client::connect(site.running.addr(), Version::V5, "old").await;
    assert_eq!(old.subscribe("a", Qos::AtMostOnce).await, ReasonCode::Success);
    let large = || message("x", vec![b'x'; 2000], Qos::AtLeastOnce);
    let deep = || message("1/2/3/4/5/6/7/8/9", "", Qos::AtLeastOnce);
    assert_eq!(old.publish(deep()).await, ReasonCode::NoMatchingSubscribers);
    site.write(
        "[limits]\nmax_topic_levels = 8\nmax_packet_size = \"1KiB\"\nreceive_maximum = 7\nsubscriptions_per_client = 1\n\
         [mqtt]\nserver_keep_alive = 33\n[auth]\ndeny_action = \"disconnect\"\n",
    );
    let told = "mqtt.server_keep_alive: 33, for who connects\nauth.deny_action: \"disconnect\"\n\
                limits.max_packet_size: \"1KiB\", for who connects\nlimits.receive_maximum: 7, for who connects\n\
                limits.subscriptions_per_client: 1\nlimits.max_topic_levels: 8\n";
    assert_eq!(site.reload().await, told);
    assert_eq!(old.publish(large()).await, ReasonCode::NoMatchingSubscribers);
    assert_eq!(old.publish(deep()).await, ReasonCode::TopicNameInvalid);
    assert_eq!(old.subscribe("b", Qos::AtMostOnce).await, ReasonCode::QuotaExceeded);
    let (mut new, answer) = Client::connect_with(site.running.addr(), connect(Version::V5, "new")).await;
    let told = |answer: &ConnAck| {
        let properties = &answer.properties;
        (properties.receive_maximum(), properties.maximum_packet_size(), properties.server_keep_alive())
    };
    assert_eq!(told(&answer), (Some(7), Some(1024), Some(33)));
    new.send_publish(large()).await;
    new.expect_disconnect(ReasonCode::PacketTooLarge).await;
    site.write("");
    site.reload().await;
    assert_eq!(old.subscribe("b", Qos::AtMostOnce).await, ReasonCode::Success);
    assert_eq!(old.publish(deep()).await, ReasonCode::NoMatchingSubscribers);
    let (_, answer) = Client::connect_with(site.running.addr(), connect(Version::V5, "newer")).await;
    assert_eq!(told(&answer), (Some(100), Some(16 << 20), None));
    old.ping().await;
}

/// Who came before that stays, and has a place there.
#[tokio::test]
async fn a_listener_that_is_opened_anew_counts_who_came_in_by_it_before() {
    if outside() {
        return;
    }
    let with_places = |places| format!("{SECOND}max_connections = {places}\n");
    let site = Site::start(&with_places(1)).await;
    let second: SocketAddr = site.running.word("second").parse().unwrap();
    let mut old = Client::connect(second, Version::V5, "old").await;
    site.write(&with_places(2));
    assert_eq!(site.reload().await, "listeners.second is opened anew\n");
    let second = site.listener("second").await.unwrap();
    let new = Client::connect(second, Version::V5, "new").await;
    let (_, refused) = Client::try_connect(second, connect(Version::V5, "more")).await;
    assert_eq!(refused.reason, ReasonCode::QuotaExceeded);
    let (_, printed) = site.ask(&["listeners", "list", "--json"]).await;
    let row = printed.lines().find(|row| row.contains("second")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(row).unwrap()["current_conns"], 2, "{row}");
    // Who comes back takes its own place, whichever of the two it came in by.
    let again = Client::connect(second, Version::V5, "old").await;
    old.bytes_to_end().await;
    for client in [new, again] {
        client.leave().await;
    }
    while Client::try_connect(second, connect(Version::V5, "more")).await.1.reason != ReasonCode::Success {}
}

#[tokio::test]
async fn what_is_wrong_changes_nothing_and_is_told_with_its_line() {
    if outside() {
        return;
    }
    let site = Site::start(SECOND).await;
    let second: SocketAddr = site.running.word("second").parse().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    for (text, why) in [
        ("\n[limits]\nmax_inflight = 0\n".to_owned(), "rollcall.toml:3: limits.max_inflight: "),
        ("[listeners.third]\nkind = \"mqtts\"\n".to_owned(), "listeners.third."),
        (
            "[listeners.third]\nkind = \"mqtts\"\nbind = \"127.0.0.1:0\"\ncert = \"/nowhere\"\nkey = \"/nowhere\"\n"
                .to_owned(),
            "rollcall.toml:4: listeners.third.cert: \"/nowhere\"",
        ),
        (format!("[listeners.third]\nkind = \"mqtt\"\nbind = \"{taken}\"\n"), "cannot listen on"),
        ("[listeners.third]\nkind = \"mqtt\"\nbind = \"0.0.0.0:0\"\n".to_owned(), "auth.anonymous"),
    ] {
        site.write(&text);
        let (code, printed) = site.ask(&["reload"]).await;
        assert_eq!(code, Some(1), "{printed}");
        assert!(printed.contains(why), "{printed}");
        Client::connect(second, Version::V5, "still").await.leave().await;
        assert_eq!(site.listener("third").await, None);
    }
}

#[tokio::test]
async fn sighup_does_the_same_and_an_address_for_others_takes_anonymous_back() {
    if outside() {
        return;
    }
    let site = Site::start(SECOND).await;
    site.write("[auth]\nanonymous = false\n");
    site.running.signal("HUP").await;
    while site.listener("second").await.is_some() {}
    let (_, refused) = Client::try_connect(site.running.addr(), connect(Version::V5, "nobody")).await;
    assert_eq!(refused.reason, ReasonCode::NotAuthorized);
    site.write("[auth]\nanonymous = true\n");
    assert_eq!(site.reload().await, "auth.anonymous: everyone\n");
    Client::connect(site.running.addr(), Version::V5, "somebody").await.leave().await;
    let log = std::fs::read_to_string(site.folder.path().join("log")).unwrap();
    assert!(log.contains("listeners.second is gone, auth.anonymous: nobody"), "{log}");
}
