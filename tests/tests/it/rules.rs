//! What clients may do by the rules that they were let in with.

use std::sync::Arc;

use mqtt_codec::{Auth, Connect, Filter, Packet, Properties, Property, Qos, ReasonCode, Version};
use mqtt_hooks::{
    Access, Action, Authenticate, Authorize, ConnectionInfo, Ctx, Exchange, Grant, Host, Info, Login, Module, Reach,
    Rule, Rules, StartError, Verdict, filter_for,
};
use mqtt_modules::Modules;
use tokio::sync::OnceCell;

use crate::{
    broker::Broker,
    client::{Client, VERSIONS, ask, connect, filter, message, topic, will},
};

/// Lets all in: they may publish to `own/` and their client id, to nothing else in `own`, and subscribe in `own` as they
/// like but for `own/secret`. Whoever authorizes denies what is in `own` and in `closed`.
#[derive(Clone)]
struct Desk(Arc<OnceCell<Arc<dyn Host>>>);

#[async_trait::async_trait]
impl Module for Desk {
    fn info(&self) -> Info {
        Info { name: "desk", title: "Desk", description: "Hands out rules.", default_on: false, settings: &[] }
    }

    async fn start(&self, ctx: &Ctx) -> Result<(), StartError> {
        let _ = self.0.set(ctx.host());
        ctx.authenticate(Arc::new(self.clone()));
        ctx.authorize(Arc::new(self.clone()));
        Ok(())
    }
}

fn rule(allow: bool, action: Action, filter: Filter) -> Rule {
    Rule { allow, action, topics: vec![Reach::Matching(filter)] }
}

#[async_trait::async_trait]
impl Authenticate for Desk {
    async fn authenticate(&self, client: &ConnectionInfo, _password: Option<&[u8]>) -> Login {
        let Some(own) = filter_for(client, "own/%c/#") else { return Login::Deny(ReasonCode::ClientIdNotValid) };
        let rules = Rules::new(vec![
            rule(true, Action::Publish, own),
            rule(false, Action::Publish, filter("own/#")),
            rule(false, Action::Subscribe, filter("own/secret")),
            rule(true, Action::Subscribe, filter("own/#")),
        ]);
        Login::Allow(Grant { rules, ..Grant::default() })
    }

    fn methods(&self) -> &[&str] {
        &["filter"]
    }

    /// May do everything with what the filter matches, which is the data; may do nothing else.
    async fn exchange(&self, _client: &ConnectionInfo, exchange: &mut Exchange<'_>) -> Login {
        let text = String::from_utf8(exchange.data.to_vec()).unwrap();
        let rules = Rules::new(vec![rule(true, Action::All, filter(&text)), rule(false, Action::All, filter("#"))]);
        Login::Allow(Grant { rules, ..Grant::default() })
    }
}

impl Authorize for Desk {
    fn authorize(&self, _client: &ConnectionInfo, access: Access<'_>) -> Verdict {
        let text = match access {
            Access::Publish(topic) => topic.as_str(),
            Access::Subscribe(filter) => filter.pattern(),
        };
        let is_denied = ["own", "closed"].iter().any(|closed| text.starts_with(closed));
        if is_denied { Verdict::Deny(ReasonCode::QuotaExceeded) } else { Verdict::Ignore }
    }
}

struct Ruled {
    broker: Broker,
    host: Arc<dyn Host>,
}

impl Ruled {
    /// `None`: another broker's modules are not ours.
    async fn start() -> Option<Self> {
        let broker = Broker::with(|_| ()).await?;
        let host = Arc::<OnceCell<_>>::default();
        let registry = broker.server().registry();
        registry.register(Arc::new(Desk(host.clone())), serde_json::Value::Null);
        registry.start("desk").await.unwrap();
        let host = host.get().expect("it has started").clone();
        Some(Self { broker, host })
    }
}

fn data(text: &'static str) -> Properties {
    [Property::AuthenticationMethod("filter".into()), Property::AuthenticationData(text.into())].into()
}

#[tokio::test]
async fn a_client_does_what_its_rules_say_and_then_what_modules_say() {
    let Some(ruled) = Ruled::start().await else { return };
    let mut client = Client::connect(ruled.broker.addr, Version::V5, "c").await;
    for (text, reason) in [
        ("own/secret", ReasonCode::NotAuthorized),
        ("own/+", ReasonCode::NotAuthorized),
        ("#", ReasonCode::NotAuthorized),
        ("$share/g/own/secret", ReasonCode::NotAuthorized),
        ("own/open", ReasonCode::Success),
        ("own/c/#", ReasonCode::Success),
        ("$share/g/own/c/#", ReasonCode::Success),
        ("closed", ReasonCode::QuotaExceeded),
        ("else", ReasonCode::Success),
    ] {
        assert_eq!(client.subscribe(text, Qos::AtMostOnce).await, reason, "{text}");
    }
    for (text, reason) in [
        ("own/c/x", ReasonCode::NoMatchingSubscribers),
        ("own/d/x", ReasonCode::NotAuthorized),
        ("own/secret", ReasonCode::NotAuthorized),
        ("closed", ReasonCode::QuotaExceeded),
        ("free", ReasonCode::NoMatchingSubscribers),
    ] {
        client.unsubscribe(&["own/c/#", "$share/g/own/c/#"]).await;
        assert_eq!(client.publish(message(text, "x", Qos::AtLeastOnce)).await, reason, "{text}");
    }
}

#[tokio::test]
async fn rules_hold_in_every_version() {
    let Some(ruled) = Ruled::start().await else { return };
    for version in VERSIONS {
        let mut client = Client::connect(ruled.broker.addr, version, "c").await;
        client.subscribe("own/c/#", Qos::AtMostOnce).await;
        client.subscribe("own/d/#", Qos::AtMostOnce).await;
        for text in ["own/d/x", "own/c/x"] {
            client.send_publish(message(text, text, Qos::AtMostOnce)).await;
        }
        assert_eq!(client.take_text().await, "own/c/x");
        client.leave().await;
    }
}

#[tokio::test]
async fn a_will_is_held_to_the_rules() {
    let Some(ruled) = Ruled::start().await else { return };
    for version in VERSIONS {
        for (text, is_in) in [("own/d/x", false), ("own/c/x", true)] {
            let willing = Connect { will: Some(will(text, "x")), ..connect(version, "c") };
            let (_, answer) = Client::try_connect(ruled.broker.addr, willing).await;
            assert_eq!(!answer.reason.is_error(), is_in, "{version:?} {text}");
        }
    }
}

#[tokio::test]
async fn a_name_with_wildcards_gets_nothing_that_is_not_its_own() {
    let Some(ruled) = Ruled::start().await else { return };
    for id in ["#", "+", "a/b", "$share"] {
        let (_, answer) = Client::try_connect(ruled.broker.addr, connect(Version::V5, id)).await;
        assert_eq!(answer.reason, ReasonCode::ClientIdNotValid, "{id}");
    }
}

/// For modules that publish on behalf of a client.
#[tokio::test]
async fn a_module_that_asks_for_a_client_is_told_by_its_rules() {
    let Some(ruled) = Ruled::start().await else { return };
    let mut client = Client::connect(ruled.broker.addr, Version::V5, "c").await;
    client.ping().await;
    let info = ruled.host.connection("c").unwrap();
    let may = |text| ruled.host.may_publish(&info, &topic(text));
    assert_eq!(may("own/c/x"), Ok(()));
    assert_eq!(may("own/d/x"), Err(ReasonCode::NotAuthorized));
    assert_eq!(may("closed"), Err(ReasonCode::QuotaExceeded));
    // An operator's or a module's doing is not the client's.
    assert_eq!(ruled.host.subscribe("c", &ask("own/secret", Qos::AtMostOnce)), Ok(()));
}

#[tokio::test]
async fn who_is_authenticated_again_goes_by_the_new_rules() {
    let Some(ruled) = Ruled::start().await else { return };
    let (mut client, _) =
        Client::connect_with(ruled.broker.addr, Connect { properties: data("a/#"), ..connect(Version::V5, "c") }).await;
    let publish = async |client: &mut Client, text: &str| client.publish(message(text, "x", Qos::AtLeastOnce)).await;
    assert_eq!(publish(&mut client, "a/x").await, ReasonCode::NoMatchingSubscribers);
    assert_eq!(publish(&mut client, "b/x").await, ReasonCode::NotAuthorized);
    client.send(Packet::Auth(Auth { reason: ReasonCode::Reauthenticate, properties: data("b/#") })).await;
    assert!(matches!(client.receive().await, Packet::Auth(Auth { reason: ReasonCode::Success, .. })));
    assert_eq!(publish(&mut client, "a/x").await, ReasonCode::NotAuthorized);
    assert_eq!(publish(&mut client, "b/x").await, ReasonCode::NoMatchingSubscribers);
    assert_eq!(client.subscribe("a/x", Qos::AtMostOnce).await, ReasonCode::NotAuthorized);
    assert_eq!(client.subscribe("b/+", Qos::AtMostOnce).await, ReasonCode::Success);
}

#[tokio::test]
async fn what_is_forbidden_by_new_rules_is_unsubscribed() {
    let Some(ruled) = Ruled::start().await else { return };
    let addr = ruled.broker.addr;
    let with = |text: &'static str| {
        let properties = data(text).iter().chain([Property::SessionExpiry(1000)]).collect();
        Connect { clean_start: false, properties, ..connect(Version::V5, "c") }
    };
    let (mut client, _) = Client::connect_with(addr, with("a/#")).await;
    client.subscribe("a/1", Qos::AtMostOnce).await;
    client.subscribe("a/2", Qos::AtMostOnce).await;
    client.leave().await;
    let (mut client, answer) = Client::connect_with(addr, with("a/1")).await;
    assert!(answer.session_present);
    let mut publisher = Client::connect(addr, Version::V5, "publisher").await;
    for text in ["a/2", "a/1"] {
        publisher.publish(message(text, text, Qos::AtMostOnce)).await;
    }
    assert_eq!(client.take_text().await, "a/1");
    client.send(Packet::Auth(Auth { reason: ReasonCode::Reauthenticate, properties: data("b") })).await;
    assert!(matches!(client.receive().await, Packet::Auth(_)));
    publisher.publish(message("a/1", "x", Qos::AtMostOnce)).await;
    client.ping().await;
    assert_eq!(client.unsubscribe(&["a/1", "a/2"]).await, [ReasonCode::NoSubscriptionExisted; 2]);
}
