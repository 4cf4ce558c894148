use std::net::IpAddr;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn groups_that_lose_more_than_half_are_suspects() {
    let mut groups = Groups::new();
    let mut online = Online::default();
    // Of wss 6 of 10 go, of mqtt 5 of 10; of one network all who are there.
    for n in 0..10 {
        let address = if n < 6 { "10.2.0.1" } else { "10.3.0.1" };
        if n < 6 {
            groups.note("wss", ip(address), Tally::one(true));
        } else {
            online.count("wss", ip(address));
        }
        if n < 5 {
            groups.note("mqtt", ip("2001:db8:1::1"), Tally::one(true));
        } else {
            online.count("mqtt", ip("2001:db8:2::1"));
        }
    }
    online.begin(&groups);
    assert_eq!(online.suspects(), ["listener:wss", "subnet:10.2.0.0/16"]);
    // In the next second another of mqtt goes, and three of wss are back.
    let mut groups = Groups::new();
    groups.note("mqtt", ip("2001:db8:2::1"), Tally::one(true));
    (0..3).for_each(|_| groups.note("wss", ip("10.2.0.1"), Tally::one(false)));
    online.go_on(&groups);
    assert_eq!(online.suspects(), ["listener:mqtt", "subnet:2001:db8::/32"]);
}

#[test]
fn one_client_by_itself_is_no_suspect() {
    let mut groups = Groups::new();
    groups.note("mqtt", ip("::ffff:10.2.3.4"), Tally::one(true));
    let mut online = Online::default();
    online.begin(&groups);
    assert!(online.suspects().is_empty());
    groups.note("mqtt", ip("10.2.4.4"), Tally::one(true));
    online.begin(&groups);
    assert_eq!(online.suspects(), ["listener:mqtt", "subnet:10.2.0.0/16"]);
}
