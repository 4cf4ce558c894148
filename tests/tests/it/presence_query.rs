//! Presence asked over MQTT 5.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use bytes::Bytes;
use mqtt_codec::{Connect, Message, Property, Qos, ReasonCode, Version};
use serde_json::{Value, json};

use crate::broker::Broker;
use crate::client::{Client, connect, message, will};

const QUERY: &str = "$presence/query";

fn question(query: &Value, response: Option<&str>, correlation: &'static [u8]) -> Message {
    let response = response.map(|topic| Property::ResponseTopic(topic.into()));
    let correlation = Property::CorrelationData(Bytes::from_static(correlation));
    let properties = response.into_iter().chain([correlation]).collect();
    Message { properties, ..message(QUERY, query.to_string(), Qos::AtLeastOnce) }
}

async fn asker(addr: SocketAddr) -> Client {
    let mut asker = Client::connect(addr, Version::V5, "asker").await;
    asker.subscribe("answers/asker", Qos::AtLeastOnce).await;
    asker
}

async fn ask(asker: &mut Client, query: Value) -> Value {
    let code = asker.publish(question(&query, Some("answers/asker"), b"\x00who")).await;
    assert_eq!(code, ReasonCode::Success, "{query}");
    let answer = asker.take().await;
    assert_eq!(answer.topic.as_ref().unwrap().as_str(), "answers/asker");
    let has = |property: Property| answer.properties.iter().any(|other| other == property);
    assert!(has(Property::CorrelationData(Bytes::from_static(b"\x00who"))));
    assert!(has(Property::ContentType("application/json".into())));
    serde_json::from_slice(&answer.payload).unwrap()
}

fn ids(answer: &Value) -> BTreeSet<&str> {
    let clients = answer["clients"].as_array().unwrap();
    assert_eq!(answer["count"], clients.len());
    clients.iter().map(|client| client["clientid"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_question_is_answered_on_its_response_topic_and_seen_by_nobody() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let mut spy = Client::connect(broker.addr, Version::V5, "spy").await;
    for filter in ["#", QUERY, "$presence/#", "+/query"] {
        spy.subscribe(filter, Qos::AtLeastOnce).await;
    }
    let mut asker = asker(broker.addr).await;
    let _online = Client::connect(broker.addr, Version::V5, "dev-1").await;
    Client::connect(broker.addr, Version::V3_1_1, "dev-2").await.leave().await;
    let one = ask(&mut asker, json!({"clientid": "dev-2"})).await;
    let two = &one["clients"][0];
    assert_eq!((&two["state"], &two["reason"], &two["seq"]), (&json!("offline"), &json!("normal"), &json!(2)));
    assert!(one["event"].as_u64() >= two["event"].as_u64());
    assert_eq!(ids(&ask(&mut asker, json!({"clientid": "nobody"})).await), [].into());
    for (query, expected) in [
        (json!({}), vec!["asker", "dev-1", "dev-2", "spy"]),
        (json!({"like": "dev-*"}), vec!["dev-1", "dev-2"]),
        (json!({"like": "dev-*", "state": "online"}), vec!["dev-1"]),
        (json!({"state": "offline"}), vec!["dev-2"]),
        (json!({"since_gt": two["event"].as_u64().unwrap() - 1}), vec!["dev-2"]),
        (json!({"since_gt": two["event"]}), vec![]),
        (json!({"tag": "no such tag"}), vec![]),
    ] {
        let answer = ask(&mut asker, query.clone()).await;
        assert_eq!((ids(&answer), &answer["next"]), (expected.into_iter().collect(), &Value::Null), "{query}");
    }
    // By pages.
    let (mut all, mut after) = (BTreeSet::new(), None);
    loop {
        let mut query = json!({"limit": 1});
        if let Some(after) = after {
            query["after"] = after;
        }
        let answer = ask(&mut asker, query).await;
        assert!(ids(&answer).len() <= 1);
        all.extend(ids(&answer).into_iter().map(str::to_owned));
        if answer["next"].is_null() {
            break;
        }
        after = Some(answer["next"].clone());
    }
    assert_eq!(all.len(), 4);
    // A will is no question, and nobody sees it.
    let dying = Connect { will: Some(will(QUERY, "{}")), ..connect(Version::V5, "dying") };
    Client::connect_with(broker.addr, dying).await.0.cut().await;
    asker.publish(message("end", "", Qos::AtLeastOnce)).await;
    loop {
        let publish = spy.take().await;
        match publish.topic.as_ref().unwrap().as_str() {
            "answers/asker" => {}
            "end" => break,
            other => panic!("{other}"),
        }
    }
    spy.ping().await;
}

#[tokio::test]
async fn a_question_that_cannot_be_answered_is_refused() {
    let Some(broker) = Broker::with(|config| config.sys.subscribe = mqtt_config::SysSubscribe::Loopback).await else {
        return;
    };
    let mut asker = asker(broker.addr).await;
    for (query, response, code) in [
        (json!({}), None, ReasonCode::ImplementationSpecific),
        (json!({}), Some("$SYS/answers"), ReasonCode::NotAuthorized),
        (json!({"who": "me"}), Some("answers/asker"), ReasonCode::PayloadFormatInvalid),
        (json!({"after": "x"}), Some("answers/asker"), ReasonCode::PayloadFormatInvalid),
        (json!([]), Some("answers/asker"), ReasonCode::PayloadFormatInvalid),
    ] {
        assert_eq!(asker.publish(question(&query, response, b"")).await, code, "{query} {response:?}");
    }
    asker.ping().await;
    // One with a wildcard is no topic, and ends the connection as it does everywhere. [MQTT-3.3.2-14]
    let mut other = Client::connect(broker.addr, Version::V5, "other").await;
    other.send_publish(question(&json!({}), Some("answers/+"), b"")).await;
    other.expect_disconnect(ReasonCode::ProtocolError).await;
    // An answer to a question on a question's topic is asked of nobody.
    assert_eq!(asker.publish(question(&json!({}), Some(QUERY), b"")).await, ReasonCode::Success);
    assert_eq!(ids(&ask(&mut asker, json!({"state": "online"})).await), ["asker"].into());
    asker.ping().await;
}

#[tokio::test]
async fn only_who_may_see_the_states_of_clients_may_ask() {
    let closed = |config: &mut mqtt_config::Config| config.sys.subscribe = mqtt_config::SysSubscribe::None;
    let Some(broker) = Broker::with(closed).await else { return };
    let mut asker = asker(broker.addr).await;
    let asked = question(&json!({}), Some("answers/asker"), b"");
    assert_eq!(asker.publish(asked).await, ReasonCode::NotAuthorized);
    asker.ping().await;
}
