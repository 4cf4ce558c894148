//! The configuration read anew while the broker runs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use mqtt_codec::{ReasonCode, Version};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::broker::outside;
use crate::cli::{Running, command};
use crate::client::{Client, connect};

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
    site.write(&format!("{third}[limits]\nmax_inflight = 7\n[log]\nlevel = \"debug\"\n"));
    let told = "listeners.second is gone\nlisteners.third is new\nlog.level: \"debug\"\n\
                limits.max_inflight has changed, and needs a restart\n";
    assert_eq!(site.reload().await, told);
    assert!(TcpStream::connect(second).await.is_err());
    assert_eq!(site.listener("second").await, None);
    let third = site.listener("third").await.unwrap();
    Client::connect(third, Version::V5, "here").await.leave().await;
    there.ping().await;
    first.ping().await;
    // What waits goes on waiting, and is said again.
    assert_eq!(site.reload().await, "limits.max_inflight has changed, and needs a restart\n");
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
