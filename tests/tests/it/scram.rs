//! SCRAM-SHA-256 by AUTH, packet for packet: the client's side of RFC 5802.

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use mqtt_codec::{Auth, Connect, Packet, Properties, Property, ReasonCode, Version};
use serde_json::{Value, json};

use crate::{
    admin::{ask, send, start},
    client::{Client, connect},
};

const METHOD: &str = "SCRAM-SHA-256";

fn properties(data: impl Into<Bytes>) -> Properties {
    [Property::AuthenticationMethod(METHOD.into()), Property::AuthenticationData(data.into())].into()
}

fn text(properties: &Properties) -> String {
    let data = properties.authentication_data().expect("it has data");
    String::from_utf8(data.to_vec()).unwrap()
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

/// What a client says first, without the head.
fn first(user: &str) -> String {
    format!("n={user},r=fyko+d2lbbFgONRv9qkxdawL")
}

/// The answer to a challenge, and what the server has to show then.
fn answer(user: &str, password: &str, challenge: &str) -> (String, String) {
    let part =
        |name: &str| challenge.split(',').find_map(|part| part.strip_prefix(name)).expect("it is there").to_owned();
    let salt = BASE64_STANDARD.decode(part("s=")).unwrap();
    let iterations: NonZeroU32 = part("i=").parse().unwrap();
    let mut salted = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, password.as_bytes(), &mut salted);
    let without_proof = format!("c=biws,r={}", part("r="));
    let said = format!("{},{challenge},{without_proof}", first(user));
    let client_key = mac(&salted, "Client Key");
    let stored = digest::digest(&digest::SHA256, &client_key);
    let proof: Vec<_> = client_key.iter().zip(mac(stored.as_ref(), &said)).map(|(key, mask)| key ^ mask).collect();
    let server = BASE64_STANDARD.encode(mac(&mac(&salted, "Server Key"), &said));
    (format!("{without_proof},p={}", BASE64_STANDARD.encode(proof)), format!("v={server}"))
}

/// Comes in as this user; what it is told instead where it does not.
async fn login(addr: std::net::SocketAddr, user: &str, password: &str) -> Result<Client, ReasonCode> {
    let mut client = Client::open(addr, Version::V5).await;
    let connect = Connect { properties: properties(format!("n,,{}", first(user))), ..connect(Version::V5, "c") };
    client.send(Packet::Connect(Box::new(connect))).await;
    let proof = challenged(&mut client, user, password).await;
    match client.receive().await {
        Packet::ConnAck(connack) if connack.reason == ReasonCode::Success => {
            assert_eq!(text(&connack.properties), proof, "the server knows the password too");
            Ok(client)
        }
        Packet::ConnAck(connack) => Err(connack.reason),
        other => panic!("no CONNACK but {other:?}"),
    }
}

async fn challenged(client: &mut Client, user: &str, password: &str) -> String {
    let challenge = match client.receive().await {
        Packet::Auth(auth) if auth.reason == ReasonCode::ContinueAuthentication => text(&auth.properties),
        other => panic!("no challenge but {other:?}"),
    };
    let (data, proof) = answer(user, password, &challenge);
    let properties = properties(data);
    client.send(Packet::Auth(Auth { reason: ReasonCode::ContinueAuthentication, properties })).await;
    proof
}

#[tokio::test]
async fn a_user_proves_a_password_without_saying_it_and_does_so_again() {
    let Some((broker, admin)) = start().await else { return };
    let added = send(admin, "POST /api/v4/auth/users", r#"{"username":"alice","password":"secret"}"#).await;
    assert_eq!(added.status, 200, "{added:?}");
    let mut alice = login(broker.addr, "alice", "secret").await.unwrap();
    let listed = ask(admin, "GET /api/v4/clients/c").await.json();
    assert_eq!(listed["data"][0]["username"], json!("alice"));
    for (user, password) in [("alice", "wrong"), ("bob", "secret")] {
        // By an id of its own it would take over; it does not get that far.
        assert_eq!(login(broker.addr, user, password).await.err(), Some(ReasonCode::NotAuthorized), "{user}");
    }
    let again = |user| {
        Packet::Auth(Auth { reason: ReasonCode::Reauthenticate, properties: properties(format!("n,,{}", first(user))) })
    };
    alice.send(again("alice")).await;
    let proof = challenged(&mut alice, "alice", "secret").await;
    match alice.receive().await {
        Packet::Auth(auth) if auth.reason == ReasonCode::Success => assert_eq!(text(&auth.properties), proof),
        other => panic!("no success but {other:?}"),
    }
    alice.ping().await;
    alice.send(again("alice")).await;
    challenged(&mut alice, "alice", "wrong").await;
    alice.expect_disconnect(ReasonCode::NotAuthorized).await;
    let gone: Value = ask(admin, "GET /api/v4/clients/c").await.json();
    assert_eq!(gone["data"], json!([]), "{gone}");
}
