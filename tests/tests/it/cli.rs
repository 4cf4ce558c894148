//! The binary: its ready line, its errors, its end.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::OnceLock,
};

use mqtt_codec::{Connect, Packet, ReasonCode, Version};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout, Command},
};

use crate::{
    broker::outside,
    client::{Client, connect, will},
    events::{Event, Watcher},
};

/// `rollcall` of the same profile, built if it is not up to date.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        let folder = test.parent().and_then(Path::parent).expect("target/debug/deps/it");
        let profile = match folder.file_name().and_then(OsStr::to_str) {
            Some("debug") => "dev",
            Some(other) => other,
            None => panic!("{folder:?} names no profile"),
        };
        let status = std::process::Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--package",
                "server",
                "--bin",
                "rollcall",
                "--profile",
                profile,
                "--target-dir",
            ])
            .arg(folder.parent().expect("target"))
            .status()
            .unwrap();
        assert!(status.success());
        folder.join("rollcall")
    })
}

pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ROLLCALL_") {
            command.env_remove(name);
        }
    }
    // Flags come before it.
    command
        .env("ROLLCALL_DATA_DIR", "memory")
        .env("ROLLCALL_ADMIN__BIND", "off")
        .env("ROLLCALL_LISTENERS__WS__BIND", "off")
        .args(args)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// The same, but no file can become longer than `blocks` of 512 bytes, until [`Running::lift_limit`].
pub(crate) fn command_with_short_files(blocks: u32, args: &[&str]) -> Command {
    // An ignored signal stays ignored, so a file that is too long is an error like a full disk and not the end.
    let script = format!("trap '' XFSZ; ulimit -S -f {blocks}; exec \"$0\" \"$@\"");
    let plain = command(args);
    let plain = plain.as_std();
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(plain.get_program()).args(plain.get_args());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

pub(crate) async fn output(command: &mut Command) -> Output {
    command.output().await.unwrap()
}

/// A running broker.
pub(crate) struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    ready: String,
}

impl Running {
    pub(crate) async fn start(command: &mut Command) -> Self {
        Self::spawn(command.stderr(Stdio::null())).await
    }

    /// The same, and its log goes to this file.
    pub(crate) async fn start_with_log(command: &mut Command, log: &Path) -> Self {
        Self::spawn(command.stderr(std::fs::File::create(log).unwrap())).await
    }

    async fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut ready = String::new();
        stdout.read_line(&mut ready).await.unwrap();
        Self { child, stdout, ready }
    }

    /// A word of the ready line.
    #[track_caller]
    pub(crate) fn word(&self, name: &str) -> &str {
        let words = self.ready.trim().split(' ');
        words.filter_map(|word| word.split_once('=')).find(|(key, _)| *key == name).expect(name).1
    }

    /// What the words of the ready line are called, in order.
    pub(crate) fn words(&self) -> Vec<&str> {
        self.ready.trim().split(' ').filter_map(|word| word.split_once('=')).map(|(name, _)| name).collect()
    }

    #[track_caller]
    pub(crate) fn addr(&self) -> std::net::SocketAddr {
        self.word("mqtt").parse().unwrap()
    }

    /// See [`command_with_short_files`].
    pub(crate) async fn lift_limit(&self) {
        let pid = self.child.id().expect("it runs").to_string();
        let status = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited"]).status().await;
        assert!(status.unwrap().success());
    }

    /// Ends it as `kill -9` does, and returns when it is gone.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Ends it in order, and returns when it is gone.
    pub(crate) async fn stop(mut self) {
        self.signal("TERM").await;
        assert_eq!(self.child.wait().await.unwrap().code(), Some(0));
    }

    pub(crate) async fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id().expect("it runs"));
        assert!(Command::new("sh").args(["-c", &kill]).status().await.unwrap().success());
    }
}

pub(crate) async fn check_error(args: &[&str], needles: &[&str]) {
    let output = output(&mut command(args)).await;
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
    assert_eq!(text.lines().count(), 1, "{args:?}: {text}");
    assert!(output.stdout.is_empty(), "{args:?}");
    for needle in needles {
        assert!(text.contains(needle), "{args:?}: no {needle} in {text}");
    }
}

#[tokio::test]
async fn the_ready_line_tells_where_it_listens() {
    if outside() {
        return;
    }
    let one = Running::start(&mut command(&["--bind", "127.0.0.1:0"])).await;
    assert!(one.ready.starts_with("rollcall ready mqtt=127.0.0.1:"), "{}", one.ready);
    for (name, value) in [("ws", "off"), ("admin", "off"), ("node", "rollcall@127.0.0.1")] {
        assert_eq!(one.word(name), value);
    }
    assert_eq!(one.word("pid"), one.child.id().unwrap().to_string());
    // A second one beside it.
    let args =
        ["--bind", "127.0.0.1:0", "--node", "second", "--data-dir", "memory", "--ws-bind", "off", "--admin", "off"];
    let two = Running::start(&mut command(&args)).await;
    assert_eq!(two.word("node"), "second");
    assert_ne!(one.addr(), two.addr());
    for running in [&one, &two] {
        Client::connect(running.addr(), Version::V5, "a").await.leave().await;
    }
}

#[tokio::test]
async fn a_mistake_is_one_line_and_code_2() {
    if outside() {
        return;
    }
    check_error(&["--set", "mqtt.bnd=127.0.0.1:0"], &["mqtt.bnd", "mqtt.bind"]).await;
    check_error(&["--set", "limits.max_packet_size=lots"], &["limits.max_packet_size"]).await;
    check_error(&["--set", "nonsense"], &["nonsense"]).await;
    check_error(&["--bnd", "127.0.0.1:0"], &["--bnd"]).await;
    check_error(&["--bind", "somewhere"], &["somewhere"]).await;
    check_error(&["--config", "/nowhere/rollcall.toml"], &["/nowhere/rollcall.toml"]).await;
    check_error(&["--config", "/"], &["/"]).await;
    check_error(&["chek-config"], &["chek-config"]).await;
    check_error(&["--bind", "0.0.0.0:0"], &["auth.anonymous"]).await;
    check_error(&["--set", "limits.flapping.rate=3/1m", "--set", "limits.flapping.by="], &["limits.flapping.by"]).await;
    for key in ["auth.password_file", "auth.acl_file", "auth.jwt_keys"] {
        let what = format!("error: --set: {key}: /nowhere: ");
        check_error(&["check-config", "--set", &format!("{key}=/nowhere")], &[&what]).await;
    }
    check_error(&["check-config", "--set", "auth.http_url=nowhere"], &["error: --set: auth.http_url: "]).await;
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    if outside() {
        return;
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    check_error(&["--bind", &addr], &[&addr, "--bind"]).await;
    check_error(&["--bind", "127.0.0.1:0", "--admin", &addr], &[&addr, "--admin"]).await;
}

#[tokio::test]
async fn files_and_the_environment_are_read() {
    if outside() {
        return;
    }
    let folder = std::env::temp_dir().join(format!("rollcall-cli-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("rollcall.toml");
    let path = file.to_str().unwrap();

    let printed = output(&mut command(&["print-config"])).await;
    assert!(printed.status.success());
    std::fs::write(&file, &printed.stdout).unwrap();
    assert!(
        output(&mut command(&["check-config", "--config", path])).await.status.success(),
        "its own output is right"
    );

    std::fs::write(&file, "[mqtt]\nbind = \"127.0.0.1:0\"\n\n[node]\nname = \"from-file\"\n").unwrap();
    let running = Running::start(&mut command(&["--config", path])).await;
    assert_eq!(running.word("node"), "from-file");
    let running = Running::start(command(&["--config", path]).env("ROLLCALL_NODE__NAME", "from-env")).await;
    assert_eq!(running.word("node"), "from-env");
    let args = ["--config", path, "--set", "node.name=from-set"];
    let running = Running::start(command(&args).env("ROLLCALL_NODE__NAME", "from-env")).await;
    assert_eq!(running.word("node"), "from-set");

    std::fs::write(&file, "[mqtt]\nbnd = \"127.0.0.1:0\"\n").unwrap();
    check_error(&["--config", path], &["mqtt.bnd", "mqtt.bind", path]).await;
    check_error(&["check-config", "--config", path], &["mqtt.bnd"]).await;
    std::fs::write(&file, "[mqtt\n").unwrap();
    check_error(&["--config", path], &[path]).await;
    let wrong = output(command(&["--bind", "127.0.0.1:0"]).env("ROLLCALL_MQTT__BND", "x")).await;
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("ROLLCALL_MQTT__BND"));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn variables_that_kubernetes_sets_are_warned_about_once_and_stop_nothing() {
    if outside() {
        return;
    }
    let beside_a_service = |args: &[&str]| {
        let mut command = command(args);
        command.env("ROLLCALL_PORT", "tcp://10.0.0.1:1883").env("ROLLCALL_SERVICE_HOST", "10.0.0.1");
        command
    };
    let checked = output(&mut beside_a_service(&["check-config"])).await;
    assert!(checked.status.success());
    let text = String::from_utf8(checked.stderr).unwrap();
    assert_eq!(
        text,
        "warning: variables that begin with ROLLCALL_ and are no settings: ROLLCALL_PORT, ROLLCALL_SERVICE_HOST\n"
    );
    assert!(output(&mut command(&["check-config"])).await.stderr.is_empty());

    let file = std::env::temp_dir().join(format!("rollcall-cli-log-{}", std::process::id()));
    let log = std::fs::File::create(&file).unwrap();
    let mut command = beside_a_service(&["--bind", "127.0.0.1:0"]);
    let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).await.unwrap();
    assert!(ready.starts_with("rollcall ready "), "{ready}");
    child.kill().await.unwrap();
    let log = std::fs::read_to_string(&file).unwrap();
    let warnings: Vec<_> = log.lines().filter(|line| line.contains("ROLLCALL_")).collect();
    let [warning] = &*warnings else { panic!("{log}") };
    assert!(warning.contains("WARN") && warning.contains("ROLLCALL_PORT, ROLLCALL_SERVICE_HOST"), "{warning}");
    std::fs::remove_file(&file).unwrap();
}

#[tokio::test]
async fn help_and_version_end_well() {
    if outside() {
        return;
    }
    for flag in ["--help", "--version"] {
        let output = output(&mut command(&[flag])).await;
        assert!(output.status.success() && !output.stdout.is_empty());
    }
}

#[tokio::test]
async fn a_signal_ends_it_in_order() {
    if outside() {
        return;
    }
    for signal in ["TERM", "INT", "QUIT"] {
        let mut running = Running::start(&mut command(&["--bind", "127.0.0.1:0"])).await;
        let mut watcher = Watcher::start(running.addr()).await;
        let mut clients = Vec::new();
        for version in crate::client::VERSIONS {
            let asked = Connect { will: Some(will("will/it", "left")), ..connect(version, &format!("{version:?}")) };
            clients.push(Client::connect_with(running.addr(), asked).await.0);
            watcher.connected(&format!("{version:?}")).await;
        }
        running.signal(signal).await;
        let packets = watcher.read_to_end().await;
        for mut client in clients {
            client.expect_disconnect(ReasonCode::ServerShuttingDown).await;
        }
        let (mut wills, mut gone) = (0, 0);
        for packet in packets {
            let Packet::Publish(publish) = packet else { continue };
            if publish.payload == "left" {
                wills += 1;
            } else {
                let event = Event::read(publish).unwrap();
                assert_eq!(event.object.text("reason"), "server_shutting_down");
                gone += usize::from(event.client_id != "watcher");
            }
        }
        assert_eq!((wills, gone), (3, 3));
        assert_eq!(running.child.wait().await.unwrap().code(), Some(0));
        let mut rest = String::new();
        while running.stdout.read_line(&mut rest).await.unwrap() > 0 {}
        assert_eq!(rest, "", "nothing but the ready line on stdout");
    }
}

/// A terminal that is closed and a script that rotates logs are no reason to disconnect everybody.
#[tokio::test]
async fn signals_that_mean_something_else_elsewhere_do_not_end_it() {
    if outside() {
        return;
    }
    let running = Running::start(&mut command(&["--bind", "127.0.0.1:0"])).await;
    let mut client = Client::connect(running.addr(), Version::V3_1_1, "stays").await;
    for name in ["HUP", "USR1", "USR2"] {
        running.signal(name).await;
        client.ping().await;
    }
    running.stop().await;
}

#[tokio::test]
async fn each_command_has_a_page_of_the_manual() {
    if outside() {
        return;
    }
    let printed = output(&mut command(&["man"])).await;
    assert!(printed.status.success() && String::from_utf8(printed.stdout).unwrap().contains(".TH rollcall"));
    let folder = tempfile::tempdir().unwrap();
    let written = output(&mut command(&["man", "--out", folder.path().to_str().unwrap()])).await;
    assert!(written.status.success() && written.stdout.is_empty());
    for page in ["rollcall.1", "rollcall-clients.1", "rollcall-clients-kick.1"] {
        assert!(std::fs::read_to_string(folder.path().join(page)).unwrap().contains(".TH rollcall"), "{page}");
    }
    check_error(&["man", "--out", "/nowhere"], &["/nowhere"]).await;
}

#[tokio::test]
async fn a_service_manager_is_told_of_the_start_of_each_moment_and_of_the_end() {
    if outside() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
    let told = async || {
        let mut text = [0; 256];
        let len = socket.recv(&mut text).await.unwrap();
        String::from_utf8_lossy(&text[..len]).trim().to_owned()
    };
    let mut command = command(&["--bind", "127.0.0.1:0"]);
    let running = Running::start(command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "60000")).await;
    assert_eq!(told().await, "READY=1");
    for _ in 0..3 {
        assert_eq!(told().await, "WATCHDOG=1");
    }
    // A broker that gets to nothing says nothing: what had been sent before is there, and then no more.
    running.signal("STOP").await;
    while tokio::time::timeout(std::time::Duration::from_millis(500), told()).await.is_ok() {}
    running.signal("CONT").await;
    assert_eq!(told().await, "WATCHDOG=1");
    running.signal("TERM").await;
    let mut last = told().await;
    while last == "WATCHDOG=1" {
        last = told().await;
    }
    assert_eq!(last, "STOPPING=1");
    // Nobody listens any more, and it ends all the same.
    running.stop().await;
}
