use std::net::IpAddr;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn tags_are_groups_too_and_not_in_the_way_of_others() {
    let (mut groups, mut online) = (Groups::new(), Online::default());
    for n in 0..10_000 {
        groups.note("wss", ip("10.2.0.1"), [&*format!("made-up-{n}")].into_iter(), Tally::one(true));
    }
    for n in 0..6 {
        let tags = || ["hall", "made-up-1"].into_iter();
        if n < 4 {
            groups.note("mqtt", ip("10.3.0.1"), tags(), Tally::one(true));
        } else {
            online.count("mqtt", ip("10.3.0.1"), tags());
        }
    }
    online.begin(&groups);
    let suspects = online.suspects();
    assert!(suspects.contains(&"listener:mqtt".to_owned()) && suspects.contains(&"tag:made-up-1".to_owned()));
    assert_eq!((groups.tags().len(), groups.tags()["made-up-1"].went), (50, 5));
    assert_eq!(groups.listeners().len(), 2);
}

#[test]
fn groups_that_lose_more_than_half_are_suspects() {
    let mut groups = Groups::new();
    let mut online = Online::default();
    // Of wss 6 of 10 go, of mqtt 5 of 10; of one network all who are there.
    for n in 0..10 {
        let address = if n < 6 { "10.2.0.1" } else { "10.3.0.1" };
        if n < 6 {
            groups.note("wss", ip(address), [].into_iter(), Tally::one(true));
        } else {
            online.count("wss", ip(address), [].into_iter());
        }
        if n < 5 {
            groups.note("mqtt", ip("2001:db8:1::1"), [].into_iter(), Tally::one(true));
        } else {
            online.count("mqtt", ip("2001:db8:2::1"), [].into_iter());
        }
    }
    online.begin(&groups);
    assert_eq!(online.suspects(), ["listener:wss", "subnet:10.2.0.0/16"]);
    // In the next second another of mqtt goes, and three of wss are back.
    let mut groups = Groups::new();
    groups.note("mqtt", ip("2001:db8:2::1"), [].into_iter(), Tally::one(true));
    (0..3).for_each(|_| groups.note("wss", ip("10.2.0.1"), [].into_iter(), Tally::one(false)));
    online.go_on(&groups);
    assert_eq!(online.suspects(), ["listener:mqtt", "subnet:2001:db8::/32"]);
}

#[test]
fn one_client_by_itself_is_no_suspect() {
    let mut groups = Groups::new();
    groups.note("mqtt", ip("::ffff:10.2.3.4"), [].into_iter(), Tally::one(true));
    let mut online = Online::default();
    online.begin(&groups);
    assert!(online.suspects().is_empty());
    groups.note("mqtt", ip("10.2.4.4"), [].into_iter(), Tally::one(true));
    online.begin(&groups);
    assert_eq!(online.suspects(), ["listener:mqtt", "subnet:10.2.0.0/16"]);
}
