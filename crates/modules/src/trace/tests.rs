use std::net::IpAddr;

use mqtt_codec::{Filter, Topic};

use super::about::{About, Asked};
use super::file::LogFile;

fn about(asked: Asked) -> About {
    About::new(&asked).unwrap()
}

fn topic(text: &str) -> Topic {
    Topic::new(text.to_owned()).unwrap()
}

#[test]
fn a_trace_is_about_a_client_a_topic_or_an_address() {
    let (here, there): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
    let client = about(Asked::Clientid { clientid: "c".to_owned() });
    assert!(client.is_about_client("c", here) && !client.is_about_client("d", here));
    assert!(client.is_about_message(Some("c"), &topic("a")) && !client.is_about_message(None, &topic("c")));
    let messages = about(Asked::Topic { topic: "a/+".to_owned() });
    assert!(messages.is_about_message(None, &topic("a/b")) && !messages.is_about_message(Some("c"), &topic("a")));
    assert!(!messages.is_about_client("c", here));
    for (filter, is_about) in [("#", true), ("+/b", true), ("b/#", false)] {
        let filter = Filter::new(filter).unwrap();
        assert_eq!(messages.is_about_filter("c", here, &filter), is_about, "{filter:?}");
    }
    let address = about(Asked::IpAddress { ip_address: "::ffff:10.0.0.1".to_owned() });
    assert!(address.is_about_client("c", here) && !address.is_about_client("c", there));
    assert!(!address.is_about_message(Some("c"), &topic("a")), "it has not come");
    address.note_client(&"c".into(), here);
    address.note_client(&"d".into(), there);
    assert!(address.is_about_message(Some("c"), &topic("a")) && !address.is_about_message(Some("d"), &topic("a")));
    address.forget_client("c");
    assert!(!address.is_about_message(Some("c"), &topic("a")));
}

#[test]
fn what_a_trace_can_t_be_about_is_refused() {
    for asked in [
        Asked::Clientid { clientid: String::new() },
        Asked::Topic { topic: "a/#/b".to_owned() },
        Asked::IpAddress { ip_address: "10.0.0".to_owned() },
    ] {
        assert!(About::new(&asked).is_err(), "{asked:?}");
    }
}

#[test]
fn a_file_has_a_bound_and_says_what_was_left_out() {
    let folder = std::env::temp_dir().join(format!("trace-{}", std::process::id()));
    let file = LogFile::new(folder.join("a.log"));
    assert!(!file.write("before\n", 100), "it was not made");
    file.create().unwrap();
    assert!(file.write("one\n", 100));
    file.drop_line();
    file.drop_line();
    assert!(file.write("two\n", 100));
    let text = "one\n... 2 lines are left out\ntwo\n";
    assert_eq!(String::from_utf8(file.read(0, 1000).unwrap()).unwrap(), text);
    assert_eq!(file.read(4, 3).unwrap(), b"...");
    assert_eq!(file.read(u64::MAX, u64::MAX).unwrap(), b"");
    assert!(!file.write(&"x".repeat(100), 100) && file.is_full());
    assert!(!file.write("x", 100), "not even what would fit");
    assert_eq!(file.size(), text.len() as u64);
    file.remove();
    assert!(!folder.join("a.log").exists());
    std::fs::remove_dir(folder).unwrap();
}
