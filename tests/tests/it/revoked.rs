//! Certificates that are no longer good while their clients are connected.

use mqtt_codec::{Packet, Qos, ReasonCode, Version};
use mqtt_config::{Config, CrlStale, Verify};

use crate::{
    admin::{ask, start_with},
    broker::Broker,
    client::{Client, connect, will},
    doors::{Authority, add_doors, dial_tls, dial_web},
    events::Watcher,
};

/// After all that is signed here.
const NEVER: i32 = 4090;

fn with_list(config: &mut Config, authority: &Authority, stale: CrlStale, year: i32) {
    add_doors(config, authority, Verify::Required);
    for tls in config.listeners.iter_mut().filter_map(|listener| listener.tls.as_mut()) {
        (tls.crl, tls.crl_stale) = (Some(authority.revoke(&["nobody"], year)), stale);
    }
}

/// Shows the certificate of this name at this listener, and whether that is enough.
async fn come_in(broker: &Broker, authority: &Authority, listener: &str, name: &str) -> Option<Client> {
    let addr = broker.server().addresses().listener(listener).unwrap();
    let shown = (authority.path(&format!("{name}.pem")), authority.path(&format!("{name}.key")));
    let stream = dial_tls(addr, authority.trusted(Some(&shown))).await.unwrap();
    let mut client = match listener {
        "wss" => Client::over(dial_web(stream).await, Version::V5),
        _ => Client::over(stream, Version::V5),
    };
    let id = format!("{name}-{listener}");
    let connect = mqtt_codec::Connect { will: Some(will("$will", "gone")), ..connect(Version::V5, &id) };
    client.send(Packet::Connect(Box::new(connect))).await;
    match client.receive_or_end().await? {
        Packet::ConnAck(connack) => assert_eq!(connack.reason, ReasonCode::Success),
        other => panic!("{other:?}"),
    }
    Some(client)
}

#[tokio::test]
async fn who_is_revoked_while_connected_is_sent_away_with_its_will_and_told_of() {
    let authority = Authority::new();
    let Some(broker) = Broker::with(|config| with_list(config, &authority, CrlStale::Allow, NEVER)).await else {
        return;
    };
    for name in ["good", "bad"] {
        authority.sign(name);
    }
    let mut watcher = Watcher::start(broker.addr).await;
    let mut heir = Client::connect(broker.addr, Version::V5, "heir").await;
    watcher.connected("heir").await;
    heir.subscribe("$will", Qos::AtMostOnce).await;
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for listener in ["mqtts", "wss"] {
        for (name, clients) in [("good", &mut good), ("bad", &mut bad)] {
            clients.push(come_in(&broker, &authority, listener, name).await.unwrap());
            watcher.connected(&format!("{name}-{listener}")).await;
        }
    }
    authority.revoke(&["nobody", "bad"], NEVER);
    broker.server().reload();
    let mut gone = Vec::new();
    for _ in &bad {
        let event = watcher.event().await;
        assert_eq!(event.object.text("reason"), "not_authorized");
        gone.push(event.object.text("clientid").to_owned());
        assert_eq!(&*heir.receive_publish().await.payload, b"gone");
    }
    gone.sort_unstable();
    assert_eq!(gone, ["bad-mqtts", "bad-wss"]);
    for client in &mut bad {
        client.expect_disconnect(ReasonCode::NotAuthorized).await;
    }
    assert!(come_in(&broker, &authority, "mqtts", "bad").await.is_none());
    for client in &mut good {
        client.ping().await;
    }
}

#[tokio::test]
async fn a_list_that_is_out_of_date_is_an_alarm_and_refuses_newcomers_if_that_is_said() {
    let authority = Authority::new();
    authority.sign("good");
    for stale in [CrlStale::Allow, CrlStale::Refuse] {
        let Some((broker, addr)) = start_with(|config| with_list(config, &authority, stale, 2021)).await else {
            return;
        };
        assert_eq!(come_in(&broker, &authority, "mqtts", "good").await.is_some(), stale == CrlStale::Allow);
        let told = loop {
            let alarms = ask(addr, "GET /api/v4/alarms/activated").await.json();
            let rows = alarms["data"].as_array().unwrap().clone();
            let rows = rows.iter().flat_map(|node| node["alarms"].as_array().into_iter().flatten());
            if let Some(alarm) = rows.into_iter().find(|alarm| alarm["name"] == "crl_stale") {
                break alarm["message"].as_str().unwrap().to_owned();
            }
        };
        assert!(told.contains("out of date"), "{told}");
    }
}
