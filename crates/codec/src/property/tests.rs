use super::*;

fn list() -> Properties {
    Properties::from([
        Property::UserProperty("a".into(), "1".into()),
        Property::MessageExpiry(60),
        Property::CorrelationData(Bytes::from_static(b"\xFF\0")),
        Property::SubscriptionId(300),
        Property::UserProperty("a".into(), "2".into()),
        Property::TopicAlias(7),
        Property::ReasonString("why".into()),
        Property::RequestProblemInformation(false),
    ])
}

#[test]
fn each_is_found_behind_any_other() {
    let list = list();
    assert_eq!(list.message_expiry(), Some(60));
    assert_eq!(list.subscription_id(), Some(300));
    assert_eq!(list.topic_alias(), Some(7));
    assert_eq!(list.reason_string().as_deref(), Some("why"));
    assert_eq!(list.request_problem_information(), Some(false));
    assert_eq!(list.session_expiry(), None);
    assert_eq!(list.iter().count(), 8);
}

#[test]
fn retain_keeps_order_and_costs_nothing_if_all_stay() {
    let list = list();
    let all = list.retain(|_| true);
    assert_eq!(all.as_bytes().as_ptr(), list.as_bytes().as_ptr());
    let users = list.retain(|property| matches!(property, Property::UserProperty(..)));
    let expected = [Property::UserProperty("a".into(), "1".into()), Property::UserProperty("a".into(), "2".into())];
    assert_eq!(users, Properties::from(expected));
    assert!(list.retain(|_| false).is_empty());
}

#[test]
fn what_does_not_fit_is_cut_at_a_character() {
    let long = "é".repeat(40_000);
    let list = Properties::from([Property::ReasonString(long.into()), Property::SubscriptionId(u32::MAX)]);
    assert_eq!(list.reason_string().map(|text| text.len()), Some(65_534));
    assert_eq!(list.subscription_id(), Some(268_435_455));
}

#[test]
fn every_known_identifier_is_read_as_the_property_that_writes_it() {
    let values = [&[1][..], &[0, 1, b'a'], &[0, 1], &[0, 0, 0, 1], &[0, 1, b'a', 0, 1, b'b']];
    for id in (0..=0x2A).filter(|&id| id::Kind::of(id).is_some()) {
        let read = values.iter().find_map(|value| {
            let bytes = Bytes::from([&[id], *value].concat());
            let whole = wire::check(&bytes, id::Ids::of(&[id]), 1).is_ok();
            whole.then(|| Properties(bytes)).filter(|list| Properties::from_iter(list.iter()) == *list)
        });
        // Authentication data never stands alone.
        assert!(read.is_some() || id == id::AUTHENTICATION_DATA, "{id:#x}");
    }
}
