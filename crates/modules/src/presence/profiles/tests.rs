use mqtt_codec::{Property, ReasonCode};
use mqtt_hooks::testing::{NOW, foo};
use mqtt_hooks::{ConnectionInfo, Reason};
use serde_json::{Value, json};

use super::schema::{Kind, keys};
use super::*;
use crate::presence::event::Gone;

const NODE: &str = "n@1";

/// An event of foo's, told as this profile has it.
fn told(profile: Profile, end: Option<Reason>, properties: &Properties, extended: bool) -> String {
    let client = foo();
    let end = end.map(|reason| Gone { reason, reason_string: None, at: NOW + 5 });
    let event = Event {
        client: &client,
        number: 7,
        told_at: NOW + 6,
        seq: if end.is_none() { 5 } else { 6 },
        flaps: 1,
        properties,
        receive_maximum: 20,
        end,
    };
    let style = Style { missing_username: Some("undefined"), extended: extended.then_some(NODE) };
    String::from_utf8(profile.write(&event, style, NODE)).unwrap()
}

fn parsed(profile: Profile, end: Option<Reason>) -> Value {
    serde_json::from_str(&told(profile, end, &Properties::EMPTY, false)).unwrap()
}

/// What each profile is to have, written down apart from what makes it.
const TABLE: &[(Profile, &str, &str)] = &[
    (
        Profile::Emqx4,
        "username ts sockport proto_ver proto_name keepalive ipaddress expiry_interval connected_at connack clientid clean_start",
        "username ts sockport reason proto_ver proto_name ipaddress disconnected_at clientid",
    ),
    (
        Profile::Emqx5,
        "username ts sockport protocol proto_ver proto_name keepalive ipaddress expiry_interval connected_at clientid clean_start",
        "username ts sockport reason protocol proto_ver proto_name ipaddress disconnected_at connected_at clientid",
    ),
    (
        Profile::Emqx6,
        "username ts sockport receive_maximum protocol proto_ver proto_name keepalive ipaddress expiry_interval connected_at \
         conn_props clientid client_attrs clean_start",
        "username ts sockport reason protocol proto_ver proto_name ipaddress disconnected_at disconn_props connected_at clientid \
         client_attrs",
    ),
    (
        Profile::Aws,
        "clientId timestamp eventType sessionIdentifier principalIdentifier ipAddress versionNumber",
        "clientId timestamp eventType sessionIdentifier principalIdentifier clientInitiatedDisconnect disconnectReason \
         versionNumber",
    ),
    (
        Profile::CloudEvents,
        "specversion id source type subject time datacontenttype data",
        "specversion id source type subject time datacontenttype data",
    ),
];

#[test]
fn each_event_has_the_keys_of_its_profile_and_no_others() {
    assert_eq!(TABLE.len(), Profile::ALL.len());
    for (profile, connected, disconnected) in TABLE {
        for (expected, end) in [(connected, None), (disconnected, Some(Reason::Kicked))] {
            let expected: Vec<_> = expected.split(' ').collect();
            let text = told(*profile, end, &Properties::EMPTY, false);
            let value: Value = serde_json::from_str(&text).unwrap();
            let found = value.as_object().unwrap();
            let places: Vec<_> = expected.iter().map(|key| text.find(&format!("\"{key}\":"))).collect();
            assert!(places.is_sorted() && !places.contains(&None), "{expected:?} {text}");
            assert_eq!(found.len(), expected.len(), "{text}");
            let schema = keys(*profile, end.is_none());
            assert_eq!(schema.iter().map(|key| key.0).collect::<Vec<_>>(), expected);
            for key in schema {
                let value = &found[key.0];
                let fits = match key.1 {
                    Kind::Text => value.is_string(),
                    Kind::TextOrNull => value.is_string() || value.is_null(),
                    Kind::Number => value.is_u64(),
                    Kind::Switch => value.is_boolean(),
                    Kind::Object => value.is_object(),
                };
                assert!(fits, "{}: {value}", key.0);
            }
        }
    }
}

#[test]
fn extended_keys_come_once() {
    for profile in Profile::ALL {
        for end in [None, Some(Reason::Kicked)] {
            let text = told(profile, end, &Properties::EMPTY, true);
            for key in ["connected_at", "seq", "event", "clientid"] {
                let count = text.matches(&format!("\"{key}\":")).count();
                assert_eq!(count, usize::from(profile != Profile::Aws), "{key} {text}");
            }
        }
    }
}

#[test]
fn emqx5_tells_a_takeover_and_times_in_its_own_way() {
    let gone = parsed(Profile::Emqx5, Some(Reason::TakenOver));
    assert_eq!(
        (&gone["reason"], &gone["connected_at"], &gone["disconnected_at"]),
        (&json!("takenover"), &json!(NOW), &json!(NOW + 5))
    );
    assert_eq!(parsed(Profile::Emqx4, Some(Reason::TakenOver))["reason"], "takeovered");
    let client = ConnectionInfo { expiry_interval: 7200, ..foo() };
    let event = Event {
        client: &client,
        number: 1,
        told_at: NOW,
        seq: 1,
        flaps: 1,
        properties: &Properties::EMPTY,
        receive_maximum: 1,
        end: None,
    };
    let style = Style { missing_username: None, extended: None };
    for (profile, expected) in [(Profile::Emqx4, 7200), (Profile::Emqx5, 7_200_000), (Profile::Emqx6, 7_200_000)] {
        let value: Value = serde_json::from_slice(&profile.write(&event, style, NODE)).unwrap();
        assert_eq!(value["expiry_interval"], expected);
    }
}

#[test]
fn emqx6_prints_properties_by_their_names() {
    let come = parsed(Profile::Emqx6, None);
    assert_eq!(
        (&come["receive_maximum"], &come["conn_props"], &come["client_attrs"]),
        (&json!(20), &json!({"User-Property": {}}), &json!({}))
    );
    let pair = |key: &str, value: &str| Property::UserProperty(key.into(), value.into());
    let all: Properties = [
        Property::SessionExpiry(60),
        pair("a", "1"),
        pair("a", "2"),
        Property::RequestProblemInformation(true),
        Property::AuthenticationMethod("SCRAM-SHA-256".into()),
        Property::AuthenticationData("secret".into()),
    ]
    .into();
    let value: Value = serde_json::from_str(&told(Profile::Emqx6, None, &all, false)).unwrap();
    let expected = json!({
        "User-Property": {"a": "2"},
        "User-Property-Pairs": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}],
        "Session-Expiry-Interval": 60,
        "Request-Problem-Information": 1,
        "Authentication-Method": "SCRAM-SHA-256",
    });
    assert_eq!(value["conn_props"], expected);
    let said: Properties = [Property::ReasonString("tired".into())].into();
    let gone = told(Profile::Emqx6, Some(Reason::Client(ReasonCode::Success)), &said, false);
    let gone: Value = serde_json::from_str(&gone).unwrap();
    assert_eq!(gone["disconn_props"], json!({"User-Property": {}, "Reason-String": "tired"}));
    // Who says much does not say it to all who watch.
    let much: Properties = [Property::SessionExpiry(60), pair("a", &"x".repeat(5000))].into();
    let value: Value = serde_json::from_str(&told(Profile::Emqx6, None, &much, false)).unwrap();
    assert_eq!(value["conn_props"], json!({"User-Property": {}, "Session-Expiry-Interval": 60}));
}

#[test]
fn aws_names_its_own_reasons() {
    let refused = Reason::Refused;
    for (reason, expected) in [
        (Reason::Client(ReasonCode::Success), "CLIENT_INITIATED_DISCONNECT"),
        (Reason::Client(ReasonCode::DisconnectWithWill), "CLIENT_INITIATED_DISCONNECT"),
        (Reason::Closed("tcp_closed"), "CONNECTION_LOST"),
        (Reason::Socket("econnreset"), "CONNECTION_LOST"),
        (Reason::KeepAliveTimeout, "MQTT_KEEP_ALIVE_TIMEOUT"),
        (Reason::Kicked, "API_INITIATED_DISCONNECT"),
        (Reason::TakenOver, "DUPLICATE_CLIENTID"),
        (Reason::Discarded, "DUPLICATE_CLIENTID"),
        (Reason::AuthExpired, "CUSTOMAUTH_TTL_EXPIRATION"),
        (refused(ReasonCode::NotAuthorized), "AUTH_ERROR"),
        (refused(ReasonCode::Banned), "FORBIDDEN_ACCESS"),
        (refused(ReasonCode::ProtocolError), "CLIENT_ERROR"),
        (Reason::SlowConsumer, "THROTTLED"),
        (Reason::ServerShuttingDown, "SERVER_INITIATED_DISCONNECT"),
        (Reason::ListenerStopped, "SERVER_INITIATED_DISCONNECT"),
        (Reason::NodeDown, "SERVER_ERROR"),
    ] {
        let gone = parsed(Profile::Aws, Some(reason));
        assert_eq!(gone["disconnectReason"], expected, "{reason:?}");
        assert_eq!(gone["clientInitiatedDisconnect"], expected == "CLIENT_INITIATED_DISCONNECT");
    }
    let (come, gone) = (parsed(Profile::Aws, None), parsed(Profile::Aws, Some(Reason::Kicked)));
    assert_eq!((&come["versionNumber"], &gone["versionNumber"]), (&json!(2), &json!(2)));
    assert_eq!(come["sessionIdentifier"], gone["sessionIdentifier"]);
    assert_eq!((&come["timestamp"], &gone["timestamp"]), (&json!(NOW), &json!(NOW + 5)));
}

#[test]
fn a_cloud_event_is_told_apart_by_source_and_id() {
    let come = parsed(Profile::CloudEvents, None);
    let (id, source) = (&come["id"], &come["source"]);
    assert_eq!((id, source, &come["time"]), (&json!("7"), &json!("/brokers/n@1"), &json!("2021-07-06T11:50:13.873Z")));
    assert_eq!((&come["subject"], &come["data"]["event"]), (&json!("emqtt-8348fe27a87976ad4db3"), &json!(7)));
    let gone = parsed(Profile::CloudEvents, Some(Reason::Kicked));
    assert_eq!((&gone["type"], &gone["data"]["reason"]), (&json!("rollcall.client.disconnected"), &json!("kicked")));
}

#[test]
fn each_profile_has_its_topics() {
    let topics = Topics::new(NODE).unwrap();
    let topic = |profile: Profile, id: &str, has_come| {
        profile.topic(&topics, None, id, has_come).map(|topic| topic.to_string())
    };
    assert_eq!(topic(Profile::Emqx6, "a", true).unwrap(), "$SYS/brokers/n@1/clients/a/connected");
    assert_eq!(topic(Profile::CloudEvents, "a", false).unwrap(), "$SYS/brokers/n@1/clients/a/cloudevent");
    assert_eq!(topic(Profile::Aws, "a/b", false).unwrap(), "$aws/events/presence/disconnected/a/b");
    for id in ["+", "a#"] {
        assert_eq!(topic(Profile::Aws, id, true), Err(TopicError::Wildcard));
    }
    let longest = "x".repeat(65_535 - "$aws/events/presence/disconnected/".len());
    for (id, is_fit) in [(longest.clone(), true), (longest + "x", false)] {
        assert_eq!([topic(Profile::Aws, &id, true).is_ok(), topic(Profile::Aws, &id, false).is_ok()], [is_fit; 2]);
    }
}

#[test]
fn what_aws_tells_is_as_closed_as_sys() {
    let reserved = aws::Reserved;
    for (text, expected) in [
        ("$aws/events/presence/connected/a", true),
        ("$aws/events/presence/#", true),
        ("$aws/events/+/+/a", true),
        ("$aws/#", true),
        ("$aws/events/presence", false),
        ("$aws/things/#", false),
        ("$awsx/events/presence/a", false),
        ("#", false),
        ("+/events/presence/#", false),
    ] {
        assert_eq!(reserved.closes(&Filter::new(text).unwrap()), expected, "{text}");
    }
    assert!(reserved.owns(&Topic::new("$aws/events/presence/x").unwrap()));
    assert!(!reserved.owns(&Topic::new("$aws/events/other").unwrap()));
}

#[test]
fn of_those_with_the_same_topics_one_is_on() {
    use Profile::{Aws, CloudEvents, Emqx4, Emqx5};
    Profiles::check(&[Emqx5, Aws, CloudEvents]).unwrap();
    for wrong in [&[Emqx4, Emqx5][..], &[Aws, Aws], &[Emqx4, CloudEvents, Emqx4]] {
        let why = Profiles::check(wrong).unwrap_err().to_string();
        assert!(why.starts_with("profiles: "), "{why}");
    }
}

#[test]
fn every_event_is_described() {
    let described = schema::async_api();
    for profile in Profile::ALL {
        for has_come in [true, false] {
            let name = schema::name(profile, has_come);
            let id = name.replace('/', "_");
            let address = described["channels"][&id]["address"].as_str().unwrap();
            let topics = Topics::new("{node}").unwrap();
            assert_eq!(profile.topic(&topics, None, "{clientid}", has_come).unwrap().as_str(), address);
            assert_eq!(described["components"]["messages"][&id]["title"], name);
            assert_eq!(schema::of(profile)[name.split_once('/').unwrap().1]["title"], name);
        }
    }
}
