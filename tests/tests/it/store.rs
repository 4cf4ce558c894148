//! A store's files that are not as they were written.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use mqtt_codec::{Qos, ReasonCode, Version};
use tempfile::TempDir;

use crate::broker::outside;
use crate::cli::{Running, command, output};
use crate::client::{Client, retained};

fn flags(folder: &Path) -> [&str; 4] {
    ["--bind", "127.0.0.1:0", "--data-dir", folder.to_str().unwrap()]
}

async fn store(folder: &Path, args: &[&str]) -> Output {
    output(command(&[&["store"], args].concat()).arg("--data-dir").arg(folder)).await
}

#[track_caller]
fn check(output: &Output, code: i32, out: &[&str], err: &[&str]) {
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert_eq!(output.status.code(), Some(code), "{stdout}\n{stderr}");
    for (text, needles) in [(&stdout, out), (&stderr, err)] {
        for needle in needles {
            assert!(text.contains(needle), "no {needle} in {text}");
        }
    }
}

/// All files and what is in them, but for the lock.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut contents: Vec<_> =
        paths.filter(|path| path.is_file()).map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    contents.sort();
    contents
}

/// With three retained messages, of which the second is damaged on the disk.
async fn damaged() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(&mut command(&flags(folder.path()))).await;
    let mut client = Client::connect(running.addr(), Version::V5, "c").await;
    for topic in ["r/one", "r/two", "r/three"] {
        assert_eq!(
            client.publish(retained(topic, topic.to_uppercase(), Qos::AtLeastOnce)).await,
            ReasonCode::NoMatchingSubscribers
        );
    }
    let all = store(folder.path(), &["check"]).await;
    check(&all, 2, &[], &["a broker runs on"]);
    running.stop().await;
    check(&store(folder.path(), &["check"]).await, 0, &["all is whole"], &[]);
    check(&store(folder.path(), &["repair"]).await, 0, &["all is whole"], &[]);
    let segment = folder.path().join("0000000000000001.log");
    let mut bytes = fs::read(&segment).unwrap();
    let at = bytes.windows(5).position(|text| text == b"R/TWO").unwrap();
    bytes[at] ^= 1;
    fs::write(&segment, bytes).unwrap();
    folder
}

#[tokio::test]
async fn a_damaged_store_is_told_and_repaired() {
    if outside() {
        return;
    }
    let folder = damaged().await;
    let before = contents(folder.path());
    let start = output(&mut command(&flags(folder.path()))).await;
    check(&start, 2, &[], &["0000000000000001.log is damaged at byte", "in table", "rollcall store repair --data-dir"]);
    check(&store(folder.path(), &["check"]).await, 1, &["0000000000000001.log at byte"], &["not whole"]);
    let asked = store(folder.path(), &["repair"]).await;
    check(&asked, 1, &["0000000000000001.log at byte"], &["damaged-", "nothing was changed", "--yes"]);
    let same = contents(folder.path()) == before;
    assert!(same, "nothing was changed so far");

    check(&store(folder.path(), &["repair", "--yes"]).await, 0, &["it is whole now", "damaged-"], &[]);
    check(&store(folder.path(), &["check", "--json"]).await, 0, &["\"whole\":true"], &[]);
    let beside =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap();
    let segment = before.iter().find(|(path, _)| path.ends_with("0000000000000001.log")).unwrap();
    assert!(fs::read(beside.join("0000000000000001.log")).unwrap() == segment.1, "the file as it was");

    let running = Running::start(&mut command(&flags(folder.path()))).await;
    let mut reader = Client::connect(running.addr(), Version::V5, "reader").await;
    reader.subscribe("r/#", Qos::AtMostOnce).await;
    let mut texts = [reader.take_text().await, reader.take_text().await];
    texts.sort();
    assert_eq!(texts, ["R/ONE", "R/THREE"]);
    reader.ping().await;
}

#[tokio::test]
async fn a_store_in_memory_has_nothing_to_check() {
    if outside() {
        return;
    }
    let answer = output(&mut command(&["store", "check", "--data-dir", "memory"])).await;
    check(&answer, 2, &[], &["memory"]);
    let nothing = tempfile::tempdir().unwrap();
    check(&store(nothing.path(), &["check"]).await, 2, &[], &["there is none in this folder"]);
    assert_eq!(fs::read_dir(nothing.path()).unwrap().count(), 0);
}
