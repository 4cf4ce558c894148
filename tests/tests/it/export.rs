//! `rollcall export` of a running broker, and a broker that starts on what `rollcall import rollcall` made of it.

use std::os::unix::fs::PermissionsExt as _;

use bytes::Bytes;
use bytestring::ByteString;
use mqtt_codec::{Connect, Message, Property, Qos, ReasonCode, Version};

use crate::{
    backup::{run, start_on},
    broker::outside,
    client::{Client, connect, retained},
};

fn login(password: &'static str) -> Connect {
    let (username, password) = (Some(ByteString::from("alice")), Some(Bytes::from_static(password.as_bytes())));
    Connect { username, password, ..connect(Version::V5, "a") }
}

#[tokio::test]
async fn users_rules_bans_roster_modules_and_retained_messages_move_in_one_file() {
    if outside() {
        return;
    }
    let bench = tempfile::tempdir().unwrap();
    let path = |name: &str| bench.path().join(name);
    let text = |name: &str| path(name).to_str().unwrap().to_owned();
    for (name, content) in [("secret", "correct horse"), ("roster.csv", "clientid,tags\nmissing-1,hall\n")] {
        std::fs::write(path(name), content).unwrap();
    }
    let running = start_on(&path("a")).await;
    let on_a = async |words: &[&str]| {
        let (code, told) = run(&[&["--data-dir", &text("a")], words].concat()).await;
        assert_eq!(code, Some(0), "{words:?}: {told}");
        told
    };
    on_a(&["users", "add", "alice", "--password-file", &text("secret")]).await;
    on_a(&["banned", "add", "clientid", "bad", "--reason", "noise"]).await;
    on_a(&["roster", "import", &text("roster.csv")]).await;
    on_a(&["modules", "start", "delayed_publish"]).await;
    let mut client = Client::connect(running.addr(), Version::V5, "p").await;
    let own = Property::UserProperty("k".into(), "v".into());
    let kept = Message { properties: [own.clone()].into_iter().collect(), ..retained("kept", "x", Qos::AtLeastOnce) };
    client.publish(kept).await;
    client.leave().await;

    let told = on_a(&["export", &text("state.json")]).await;
    assert!(told.contains("users 1") && told.contains("roster 1") && told.contains("retained 1"), "{told}");
    assert_eq!(path("state.json").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let file = std::fs::read_to_string(path("state.json")).unwrap();
    assert!(file.contains("\"alice\"") && !file.contains("correct horse"));
    assert!(!path("state.json.store").exists(), "the copy it was read from is gone");
    let (code, told) = run(&["--data-dir", &text("a"), "import", "rollcall", &text("state.json")]).await;
    assert!(code == Some(2) && told.contains("stop it first"), "{told}");
    running.stop().await;

    std::fs::write(path("damaged.json"), file.replace("\"noise\"", "\"music\"")).unwrap();
    let (code, told) = run(&["--data-dir", &text("b"), "import", "rollcall", &text("damaged.json")]).await;
    assert!(code == Some(1) && told.contains("the part \"banned\" is not as it was written"), "{told}");
    assert!(!path("b").exists());
    let (code, told) = run(&["--data-dir", &text("b"), "import", "rollcall", &text("state.json")]).await;
    assert_eq!(code, Some(0), "{told}");

    let other = start_on(&path("b")).await;
    let (mut alice, _) = Client::connect_with(other.addr(), login("correct horse")).await;
    let (_, connack) = Client::try_connect(other.addr(), login("wrong")).await;
    assert_eq!(connack.reason, ReasonCode::BadUserNameOrPassword);
    let (_, connack) = Client::try_connect(other.addr(), connect(Version::V5, "bad")).await;
    assert_eq!(connack.reason, ReasonCode::Banned);
    alice.subscribe("kept", Qos::AtLeastOnce).await;
    let message = alice.take().await;
    assert_eq!((&*message.payload, message.properties.iter().next()), (&b"x"[..], Some(own)));
    let (_, missing) = run(&["--data-dir", &text("b"), "presence", "missing"]).await;
    assert!(missing.contains("missing-1") && missing.contains("hall"), "{missing}");
    let (_, modules) = run(&["--data-dir", &text("b"), "modules", "list", "--json"]).await;
    assert!(modules.lines().any(|line| line.contains("delayed") && line.contains("\"active\":true")), "{modules}");
    other.stop().await;
}
