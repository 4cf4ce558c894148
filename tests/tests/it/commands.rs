//! The command line against a broker that runs, or does not.

use std::path::Path;
use std::process::{Output, Stdio};

use mqtt_codec::{Qos, Version};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use crate::broker::outside;
use crate::cli::{Running, command};
use crate::client::{Client, connect};
use crate::http::{basic, request};

/// A broker with a folder, which commands find it by.
pub(crate) struct Site {
    pub(crate) folder: TempDir,
    pub(crate) running: Running,
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// `more` are flags beside the folder and the ports.
    pub(crate) async fn start_with(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let running = Self::run_with(folder.path(), more).await;
        Self { folder, running }
    }

    pub(crate) async fn run(folder: &Path) -> Running {
        Self::run_with(folder, &[]).await
    }

    pub(crate) async fn run_with(folder: &Path, more: &[&str]) -> Running {
        let folder = folder.to_str().unwrap();
        let args = ["--bind", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data-dir", folder];
        Running::start(&mut command(&[&args, more].concat())).await
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        in_folder(self.folder.path(), args)
    }

    pub(crate) async fn ask(&self, args: &[&str]) -> Answer {
        Answer::of(&mut self.command(args)).await
    }

    fn url(&self) -> String {
        format!("http://{}", self.running.word("admin"))
    }

    /// Whether this password lets the operator in.
    async fn lets_in(&self, password: &str) -> bool {
        let addr = self.running.word("admin").parse().unwrap();
        request(addr, "GET /api/v4/admin/whoami", &[basic("admin", password)], "").await.status == 200
    }
}

fn in_folder(folder: &Path, args: &[&str]) -> Command {
    let mut command = command(args);
    command.arg("--data-dir").arg(folder);
    command
}

/// What a command printed.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Answer {
    pub(crate) async fn of(command: &mut Command) -> Self {
        Self::read(command.output().await.unwrap())
    }

    /// With a line on standard input.
    pub(crate) async fn given(command: &mut Command, line: &str) -> Self {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        // It may have ended without reading.
        let _ = child.stdin.take().unwrap().write_all(line.as_bytes()).await;
        Self::read(child.wait_with_output().await.unwrap())
    }

    fn read(output: Output) -> Self {
        let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        Self { code: output.status.code(), out, err }
    }

    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{}", self.out);
        self.out
    }

    #[track_caller]
    pub(crate) fn failed(self, code: i32, needles: &[&str]) {
        assert_eq!((self.code, self.err.lines().count(), self.out.as_str()), (Some(code), 1, ""), "{self:?}");
        for needle in needles {
            assert!(self.err.contains(needle), "no {needle} in {}", self.err);
        }
    }

    /// An object from each line.
    #[track_caller]
    pub(crate) fn json(self) -> Vec<Value> {
        self.done().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[tokio::test]
async fn modules_are_listed_started_and_stopped() {
    if outside() {
        return;
    }
    let site = Site::start().await;
    let listed = site.ask(&["modules", "list"]).await.done();
    let lines: Vec<_> = listed.lines().map(|line| line.split_whitespace().take(2).collect::<Vec<_>>()).collect();
    assert_eq!(lines[0], ["NAME", "STATE"]);
    assert!(lines.contains(&vec!["presence", "running"]), "{listed}");
    assert!(!listed.contains('\x1b'), "no colours where there is no terminal");
    let objects = site.ask(&["modules", "list", "--json"]).await.json();
    assert!(objects.iter().any(|module| module["name"] == "emqx_mod_presence" && module["active"] == true));
    assert_eq!(site.ask(&["modules", "stop", "presence"]).await.done(), "presence is stopped\n");
    site.ask(&["modules", "unload", "emqx_mod_presence"]).await.failed(1, &["not_started"]);
    assert_eq!(site.ask(&["--json", "modules", "load", "presence"]).await.json(), [json!({"code": 0})]);
    site.ask(&["modules", "start", "presence"]).await.failed(1, &["already_started"]);
    site.ask(&["modules", "restart", "presence"]).await.done();
    site.ask(&["modules", "start", "presnce"]).await.failed(1, &["presnce", "modules list"]);
    site.ask(&["modules", "remove", "presence"]).await.done();
    site.ask(&["modules", "remove", "presence"]).await.failed(1, &["presence"]);
    site.ask(&["modules", "add", "presence"]).await.done();
}

#[tokio::test]
async fn listeners_are_listed_stopped_and_started() {
    if outside() {
        return;
    }
    let site = Site::start().await;
    let addr = site.running.addr();
    let list = async || -> Vec<Vec<String>> {
        let listed = site.ask(&["listeners", "list"]).await.done();
        listed.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
    };
    let mut client = Client::connect(addr, Version::V5, "it").await;
    let rows = list().await;
    assert_eq!(rows[0], ["NAME", "STATE", "PROTOCOL", "ADDRESS", "CLIENTS"]);
    assert_eq!(rows[1], ["mqtt", "running", "mqtt:tcp", &addr.to_string(), "1"]);
    assert_eq!(site.ask(&["listeners", "stop", "mqtt"]).await.done(), "mqtt is stopped\n");
    assert_eq!(list().await[1], ["mqtt", "stopped", "mqtt:tcp", &addr.to_string(), "1"]);
    assert!(std::net::TcpStream::connect(addr).is_err());
    site.ask(&["listeners", "stop", "mqtt"]).await.failed(1, &["mqtt: ", "does not run"]);
    client.ping().await;
    assert_eq!(site.ask(&["--json", "listeners", "start", "mqtt:tcp:external"]).await.json(), [json!({"code": 0})]);
    site.ask(&["listeners", "start", "mqtt"]).await.failed(1, &["mqtt: ", "runs already"]);
    assert_eq!(site.ask(&["listeners", "restart", "mqtt"]).await.done(), "mqtt is restarted\n");
    for verb in ["start", "stop", "restart"] {
        site.ask(&["listeners", verb, "mqqt"]).await.failed(1, &["\"mqqt\"", "listeners list"]);
    }
    Client::connect(addr, Version::V5, "new").await.leave().await;
    let objects = site.ask(&["listeners", "list", "--json"]).await.json();
    assert!(objects.iter().any(|listener| listener["name"] == "mqtt" && listener["running"] == true));
}

#[tokio::test]
async fn a_client_is_shown_and_kicked() {
    if outside() {
        return;
    }
    let site = Site::start().await;
    let odd = "a/b \u{202e}?#é";
    let mut client = Client::connect(site.running.addr(), Version::V5, odd).await;
    client.ping().await;
    let shown = site.ask(&["clients", "show", odd, "--json"]).await.json();
    assert_eq!((shown.len(), &shown[0]["clientid"]), (1, &json!(odd)));
    let shown = site.ask(&["clients", "show", odd]).await.done();
    assert!(shown.contains("a/b \\u{202e}?#é") && !shown.contains('\u{202e}'), "{shown}");
    site.ask(&["clients", "kick", odd]).await.done();
    site.ask(&["clients", "kick", odd]).await.failed(1, &["there is no client"]);
    // It has no session any more; what it was is known.
    let shown = site.ask(&["clients", "show", odd, "--json"]).await.json();
    assert_eq!((&shown[0]["conn_state"], &shown[0]["reason"]), (&json!("disconnected"), &json!("kicked")));
    site.ask(&["clients", "show", "nobody"]).await.failed(1, &["there is no client"]);
}

#[tokio::test]
async fn clients_and_subscriptions_are_listed() {
    if outside() {
        return;
    }
    let site = Site::start().await;
    let mut away = connect(Version::V3_1_1, "b-away");
    away.clean_start = false;
    Client::connect_with(site.running.addr(), away).await.0.leave().await;
    let mut here = Vec::new();
    for id in ["a-one", "b-here", "b-there"] {
        let mut client = Client::connect(site.running.addr(), Version::V5, id).await;
        client.subscribe(&format!("of/{id}"), Qos::AtLeastOnce).await;
        here.push(client);
    }
    for (args, expected) in [
        (&[] as &[&str], &["a-one", "b-away", "b-here", "b-there"] as &[&str]),
        (&["--online"], &["a-one", "b-here", "b-there"]),
        (&["--offline"], &["b-away"]),
        (&["--prefix", "b-"], &["b-away", "b-here", "b-there"]),
        (&["--prefix", "b-", "--online"], &["b-here", "b-there"]),
        (&["--limit", "2"], &["a-one", "b-away"]),
        (&["--limit", "0"], &[]),
    ] {
        let listed = site.ask(&[&["clients", "list", "--json"], args].concat()).await.json();
        let ids: Vec<_> = listed.iter().map(|client| client["clientid"].as_str().unwrap()).collect();
        assert_eq!(ids, expected, "{args:?}");
        let table = site.ask(&[&["clients", "list"], args].concat()).await.done();
        let ids: Vec<_> = table.lines().skip(1).map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(ids, expected, "{args:?}");
    }
    site.ask(&["clients", "list", "--online", "--offline"]).await.failed(2, &["--offline"]);
    let listed = site.ask(&["subscriptions", "--json"]).await.json();
    assert_eq!(listed.iter().filter(|one| one["qos"] == 1).count(), 3);
    let one = site.ask(&["subscriptions", "list", "--client", "b-here", "--json"]).await.json();
    assert_eq!((one.len(), &one[0]["topic"]), (1, &json!("of/b-here")));
    assert_eq!(site.ask(&["subscriptions", "--limit", "2"]).await.done().lines().count(), 3);
    let stats = site.ask(&["stats", "--json"]).await.json();
    assert_eq!((stats.len(), &stats[0]["connections.count"]), (1, &json!(3)));
    assert!(site.ask(&["stats"]).await.done().lines().any(|line| line.starts_with("connections.count ")));
    assert!(site.ask(&["stats", "--metrics"]).await.done().contains("packets.connect.received"));
}

#[tokio::test]
async fn a_key_opens_from_anywhere_and_a_wrong_one_does_not() {
    if outside() {
        return;
    }
    let site = Site::start().await;
    let url = site.url();
    let made = site.ask(&["admin", "key", "add", "looks"]).await.done();
    let viewer = made.trim();
    let made = site.ask(&["admin", "key", "add", "changes", "--role", "admin", "--json"]).await.json();
    let admin = format!("changes:{}", made[0]["secret"].as_str().unwrap());
    site.ask(&["admin", "key", "add", "looks"]).await.failed(1, &["looks"]);
    site.ask(&["admin", "key", "add", "a b"]).await.failed(1, &["a b"]);
    site.ask(&["admin", "key", "add", "x", "--role", "god"]).await.failed(2, &["god"]);
    let listed = site.ask(&["admin", "key", "list"]).await.done();
    assert!(listed.contains("looks") && listed.contains("viewer") && listed.contains("changes"), "{listed}");

    let from_afar = |key: &str, rest: &[&str]| {
        let args = [&["--url", &url, "--key", key], rest].concat();
        command(&args)
    };
    Answer::of(&mut from_afar(viewer, &["modules", "list"])).await.done();
    Answer::of(&mut from_afar(viewer, &["modules", "stop", "presence"]))
        .await
        .failed(1, &["needs the role admin", "viewer"]);
    Answer::of(&mut from_afar(&admin, &["modules", "stop", "presence"])).await.done();
    let file = site.folder.path().join("key");
    std::fs::write(&file, format!("{admin}\n")).unwrap();
    Answer::of(&mut from_afar(&format!("@{}", file.display()), &["modules", "list"])).await.done();
    site.ask(&["admin", "key", "remove", "looks"]).await.done();
    site.ask(&["admin", "key", "remove", "looks"]).await.failed(1, &["looks"]);
    Answer::of(&mut from_afar(viewer, &["modules", "list"])).await.failed(1, &["wrong", "--key"]);
    Answer::of(&mut command(&["--url", &url, "modules", "list"])).await.failed(2, &["--key NAME:SECRET"]);
    Answer::of(&mut from_afar("nocolon", &["modules", "list"])).await.failed(2, &["NAME:SECRET"]);
}

#[tokio::test]
async fn nobody_to_ask_is_code_3_and_says_what_was_tried() {
    if outside() {
        return;
    }
    Answer::of(&mut command(&["modules", "list"])).await.failed(3, &["memory", "--url"]);
    let folder = tempfile::tempdir().unwrap();
    Answer::of(&mut in_folder(folder.path(), &["modules", "list"])).await.failed(3, &["no broker runs", "--data-dir"]);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}");
    let args = ["--url", &url, "--key", "a:b", "modules", "list"];
    Answer::of(&mut command(&args)).await.failed(3, &[&url, "refused"]);
    let addr = free.to_string();
    let mut configured = command(&["--admin", &addr, "modules", "list"]);
    Answer::of(configured.env("ROLLCALL_ADMIN__PASSWORD", "open sesame")).await.failed(3, &[&addr, "admin.bind"]);
    let authority = crate::doors::Authority::new();
    let ca = authority.path("ca.pem").to_str().unwrap().to_owned();
    let args = ["--url", "https://127.0.0.1:1", "--cafile", &ca, "--key", "a:b", "modules", "list"];
    Answer::of(&mut command(&args)).await.failed(3, &["https://127.0.0.1:1", "refused"]);
    let site = Site::start().await;
    let folder = site.folder.path().to_owned();
    site.running.kill().await;
    Answer::of(&mut in_folder(&folder, &["modules", "list"])).await.failed(3, &["admin.json", "is it running?"]);
}

#[tokio::test]
async fn operators_are_added_changed_and_removed() {
    if outside() {
        return;
    }
    let site = Site::start().await;
    let operator = |args: &[&str]| site.command(&[&["admin", "operator"], args].concat());
    Answer::given(&mut operator(&["add", "jo", "--role", "operator", "--tags", "night shift"]), "long enough\n")
        .await
        .done();
    Answer::given(&mut operator(&["add", "jo"]), "long enough\n").await.failed(1, &["already"]);
    Answer::given(&mut operator(&["add", "al"]), "short\n").await.failed(1, &["8 to 1024"]);
    let listed = Answer::of(&mut operator(&["list"])).await.done();
    let words: Vec<Vec<_>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[1][..2], ["admin", "admin"], "{listed}");
    assert_eq!((&words[2][..2], &words[2][words[2].len() - 2..]), (&["jo", "operator"][..], &["night", "shift"][..]));
    let addr = site.running.word("admin").parse().unwrap();
    let who = || basic("jo", "long enough");
    let role = async || request(addr, "GET /api/v4/admin/whoami", &[who()], "").await.json()["data"]["role"].clone();
    assert_eq!(role().await, "operator");
    Answer::of(&mut operator(&["role", "jo", "viewer"])).await.done();
    assert_eq!(role().await, "viewer");
    Answer::of(&mut operator(&["role", "admin", "viewer"])).await.failed(1, &["last one with the role admin"]);
    Answer::of(&mut operator(&["remove", "admin"])).await.failed(1, &["last one with the role admin"]);
    Answer::given(&mut operator(&["passwd", "jo"]), "another one\n").await.done();
    assert_eq!(request(addr, "GET /api/v4/admin/whoami", &[who()], "").await.status, 401);
    Answer::of(&mut operator(&["remove", "jo"])).await.done();
    Answer::of(&mut operator(&["remove", "jo"])).await.failed(1, &["no user"]);
}

#[tokio::test]
async fn bans_are_added_listed_and_lifted() {
    if outside() {
        return;
    }
    let site = Site::start().await;
    let addr = site.running.word("mqtt").parse().unwrap();
    let mut client = Client::connect(addr, Version::V5, "one/two").await;
    site.ask(&["banned", "add", "clientid", "one/two", "--for", "1h", "--reason", "too loud"]).await.done();
    client.bytes_to_end().await;
    site.ask(&["banned", "add", "peerhost", "192.0.2.7", "--for", "never"]).await.done();
    let listed = site.ask(&["banned", "list"]).await.done();
    assert!(listed.contains("one/two") && listed.contains("too loud") && listed.contains("never"), "{listed}");
    let rows = site.ask(&["banned", "list", "--json"]).await.json();
    let lasts = |row: &Value| row["until"].as_u64().unwrap() - row["at"].as_u64().unwrap();
    assert!(rows.iter().any(|row| row["who"] == "one/two" && lasts(row) == 3600), "{rows:?}");
    site.ask(&["banned", "remove", "clientid", "one/two"]).await.done();
    site.ask(&["banned", "remove", "peerhost", "192.0.2.7"]).await.done();
    assert!(site.ask(&["banned", "list", "--json"]).await.json().is_empty());
    Client::connect(addr, Version::V5, "one/two").await.ping().await;
    site.ask(&["banned", "add", "peerhost", "nowhere"]).await.failed(1, &["IP address"]);
    site.ask(&["banned", "add", "clientid", "x", "--for", "soon"]).await.failed(2, &["--for"]);
}

#[tokio::test]
async fn the_password_is_changed_while_the_broker_runs() {
    if outside() {
        return;
    }
    let site = Site::start().await;
    let passwd = || site.command(&["admin", "passwd"]);
    Answer::given(&mut passwd(), "from stdin\n").await.done();
    assert!(site.lets_in("from stdin").await);
    Answer::given(&mut passwd(), "short\n").await.failed(2, &["8 to 1024"]);
    Answer::given(&mut passwd(), "").await.failed(2, &["8 to 1024"]);
    let made = site.ask(&["admin", "passwd", "--generate"]).await.done();
    assert!(site.lets_in(made.trim()).await && !site.lets_in("from stdin").await);
    let mut with_password = command(&["--url", &site.url(), "modules", "list"]);
    Answer::of(with_password.env("ROLLCALL_ADMIN__PASSWORD", made.trim())).await.done();
}

#[tokio::test]
async fn the_password_is_changed_while_no_broker_runs() {
    if outside() {
        return;
    }
    let site = Site::start().await;
    site.ask(&["admin", "key", "add", "stays"]).await.done();
    let folder = site.folder;
    site.running.stop().await;
    let passwd = |args: &[&str]| in_folder(folder.path(), &[&["admin", "passwd"], args].concat());
    Answer::given(&mut passwd(&[]), "while away\n").await.done();
    let site = Site { running: Site::run(folder.path()).await, folder };
    assert!(site.lets_in("while away").await);
    assert!(site.ask(&["admin", "key", "list"]).await.done().contains("stays"));
    // Its address stays behind when it is killed.
    let folder = site.folder;
    site.running.kill().await;
    let passwd = |args: &[&str]| in_folder(folder.path(), &[&["admin", "passwd"], args].concat());
    let made = Answer::of(&mut passwd(&["--generate"])).await.done();
    let site = Site { running: Site::run(folder.path()).await, folder };
    assert!(site.lets_in(made.trim()).await);
    let nowhere = site.folder.path().join("nowhere");
    Answer::given(&mut in_folder(&nowhere, &["admin", "passwd"]), "long enough\n").await.failed(2, &["nowhere"]);
    assert!(!nowhere.exists());
}

#[tokio::test]
async fn a_folder_in_use_is_not_written_to() {
    if outside() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let args = ["--bind", "127.0.0.1:0", "--data-dir", folder.path().to_str().unwrap()];
    let _running = Running::start(&mut command(&args)).await;
    let given = Answer::given(&mut in_folder(folder.path(), &["admin", "passwd"]), "long enough\n").await;
    given.failed(3, &["does not answer on its admin port"]);
}

#[tokio::test]
async fn shells_are_told_what_can_be_completed() {
    if outside() {
        return;
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = Answer::of(&mut command(&["completions", shell])).await.done();
        assert!(script.contains("rollcall"), "{shell}");
    }
    Answer::of(&mut command(&["completions", "cmd"])).await.failed(2, &["cmd", "bash"]);
}

/// What bash offers for the last of these words, by the script that it is given.
async fn offered(folder: &Path, words: &[&str]) -> Vec<String> {
    let program = command(&[]).as_std().get_program().to_owned();
    let script = "PATH=\"$(dirname \"$1\"):$PATH\"; shift; eval \"$(rollcall completions bash)\"; \
                  COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
                  _clap_complete_rollcall rollcall \"${!#}\"; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash");
    bash.arg("-c").arg(script).arg("bash").arg(program);
    bash.args(["rollcall", "--data-dir"]).arg(folder).args(words).current_dir(folder);
    let offered = Answer::of(&mut bash).await.done();
    // Flags are offered beside whatever has not begun.
    offered
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("--"))
        .map(|line| line.trim().to_owned())
        .collect()
}

#[tokio::test]
async fn shells_offer_what_the_broker_knows() {
    if outside() {
        return;
    }
    let site = Site::start().await;
    let addr = site.running.addr();
    let mut clients = Vec::new();
    for client_id in ["meter/1", "meter/2", "other", "meter $(touch here)", "meter;x", "meter*"] {
        clients.push(Client::connect(addr, Version::V5, client_id).await);
    }
    let folder = site.folder.path();
    assert_eq!(offered(folder, &["clients", "k"]).await, ["kick"]);
    assert_eq!(
        offered(folder, &["clients", "show", "me"]).await,
        ["meter/1", "meter/2"],
        "and nothing that a shell acts on"
    );
    assert_eq!(offered(folder, &["clients", "show", ""]).await, ["meter/1", "meter/2", "other"]);
    assert_eq!(offered(folder, &["trace", "oth"]).await, ["other"]);
    assert_eq!(offered(folder, &["modules", "unload", "pres"]).await, ["presence"]);
    assert_eq!(offered(folder, &["listeners", "stop", ""]).await, ["mqtt"]);
    for number in 0..120 {
        clients.push(Client::connect(addr, Version::V5, &format!("many{number:03}")).await);
    }
    let many = offered(folder, &["clients", "kick", "many"]).await;
    assert_eq!((many.len(), many.first().map(|first| &**first)), (100, Some("many000")));
    site.running.stop().await;
    assert_eq!(offered(folder, &["clients", "show", "me"]).await, [""; 0]);
    assert!(!folder.join("here").exists());
}

#[tokio::test]
async fn who_stops_reading_is_no_error() {
    if outside() {
        return;
    }
    let site = Site::start().await;
    let mut child = site.command(&["modules", "list"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut complaint = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut complaint).await.unwrap();
    assert_eq!((complaint.as_str(), child.wait().await.unwrap().code()), ("", Some(0)));
}

#[tokio::test]
async fn who_comes_and_goes_is_seen_live_and_later() {
    if outside() {
        return;
    }
    let site = Site::start().await;
    let mut watch = site
        .command(&["presence", "watch", "--prefix", "t-", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    // It is known to listen when it has told of one; nobody says when it begins to.
    let first = async {
        loop {
            Client::connect(site.running.addr(), Version::V5, "t-first").await.leave().await;
        }
    };
    tokio::select! {
        line = lines.next_line() => assert!(line.unwrap().unwrap().contains("t-first")),
        () = first => {}
    }
    Client::connect(site.running.addr(), Version::V5, "other").await.leave().await;
    Client::connect(site.running.addr(), Version::V3_1_1, "t-second").await.leave().await;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let event: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
        assert_ne!(event["clientid"], "other");
        if event["clientid"] == "t-second" {
            seen.push(event["event"].clone());
        }
    }
    assert_eq!(seen, ["connected", "disconnected"]);
    let told: fn(&[&'static str]) -> Vec<&'static str> =
        |args| [&["presence", "events", "--client", "t-second", "--json"], args].concat();
    for args in [&[] as &[&str], &["--since", "10m"], &["--since", "0"]] {
        let events = site.ask(&told(args)).await.json();
        assert_eq!(events.iter().map(|event| &event["event"]).collect::<Vec<_>>(), seen.iter().collect::<Vec<_>>());
    }
    assert_eq!(site.ask(&told(&["--limit", "1"])).await.json()[0]["event"], "disconnected", "the last one");
    let first = &site.ask(&told(&["--since", "0", "--limit", "1"])).await.json()[0];
    assert_eq!(first["event"], "connected");
    let after = first["id"].to_string();
    let args = ["presence", "events", "--client", "t-second", "--since", &after, "--json"];
    assert_eq!(site.ask(&args).await.json().len(), 1);
    let table = site.ask(&["presence", "events", "--client", "t-second"]).await.done();
    assert!(table.starts_with("TIME") && table.lines().count() == 3 && table.contains("normal"), "{table}");

    let _here = Client::connect(site.running.addr(), Version::V5, "t-here").await;
    let online = site.ask(&["presence", "snapshot", "--prefix", "t-", "--json"]).await.json();
    assert_eq!(online.iter().filter(|client| client["clientid"] == "t-here").count(), 1);
    assert_eq!(site.ask(&["presence", "snapshot", "--prefix", "no"]).await.done().lines().count(), 1, "the heads");
    site.running.stop().await;
    let status = watch.wait().await.unwrap();
    assert_eq!(status.code(), Some(3), "the broker has ended the stream");
}

#[tokio::test]
async fn packets_of_a_client_are_traced() {
    if outside() {
        return;
    }
    let site = Site::start().await;
    let mut trace = site.command(&["trace", "it", "--json"]);
    let mut trace = trace.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(trace.stdout.take().unwrap()).lines();
    // As above: nobody says when it begins to listen.
    let comes = async {
        loop {
            Client::connect(site.running.addr(), Version::V5, "it").await.leave().await;
        }
    };
    tokio::select! {
        line = lines.next_line() => {
            let packet: Value = serde_json::from_str(&line.unwrap().unwrap()).unwrap();
            assert!(["in", "out"].contains(&packet["direction"].as_str().unwrap()), "{packet}");
            assert!(packet["at"].is_u64() && packet["packet"].is_string(), "{packet}");
        }
        () = comes => {}
    }
    trace.kill().await.unwrap();
}
