//! What a module sees of messages, and does to them, in a broker.

use std::sync::{Arc, OnceLock};

use mqtt_codec::{Connect, Message, Property, Qos, ReasonCode, Topic, Version};
use mqtt_hooks::{
    Authenticate, ConnectionInfo, Ctx, Delivery, DropReason, Fact, Grant, Host, Incoming, Info, Intercept, Login,
    Module, Moment, Observe, ObserveAcks, ObserveDrops, Passage, Publisher, StartError, SubscribeError,
};
use mqtt_modules::Modules;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{
    broker::Broker,
    client::{Client, ask, connect, filter, keeping, message, will},
};

/// Tells of every message it sees, and does to it what the topic says.
#[derive(Clone)]
struct Spy {
    told: UnboundedSender<String>,
    host: Arc<OnceLock<Arc<dyn Host>>>,
}

#[async_trait::async_trait]
impl Module for Spy {
    fn info(&self) -> Info {
        Info { name: "spy", title: "Spy", description: "Sees all.", default_on: false, settings: &[] }
    }

    async fn start(&self, ctx: &Ctx) -> Result<(), StartError> {
        let _ = self.host.set(ctx.host());
        ctx.observe(Arc::new(self.clone()));
        ctx.authenticate(Arc::new(self.clone()));
        ctx.intercept(Arc::new(self.clone()));
        ctx.observe_drops(Arc::new(self.clone()));
        ctx.observe_acks(Arc::new(self.clone()));
        Ok(())
    }
}

impl Spy {
    fn tell(&self, text: String) {
        // The test has ended.
        let _ = self.told.send(text);
    }
}

impl Observe for Spy {
    fn observe(&self, fact: &Fact<'_>, _: &mut dyn Moment) {
        if let Fact::Refused { client_id, reason, .. } = fact {
            self.tell(format!("refused {client_id} {}", reason.name()));
        }
    }
}

#[async_trait::async_trait]
impl Authenticate for Spy {
    async fn authenticate(&self, client: &ConnectionInfo, _password: Option<&[u8]>) -> Login {
        let now = self.host.get().expect("it has started").clock_ms();
        match &*client.client_id {
            "brief" => {
                Login::Allow(Grant { username: Some("guest".into()), expires_at: Some(now + 1000), ..Grant::default() })
            }
            "late" => Login::Allow(Grant { expires_at: Some(now), ..Grant::default() }),
            _ => Login::Ignore,
        }
    }
}

impl Intercept for Spy {
    fn publish(&self, incoming: &mut Incoming<'_>, moment: &mut dyn Moment) -> Passage {
        let topic = incoming.message.topic.clone();
        self.tell(match incoming.publisher {
            Publisher::Client(info) => format!("client {} {topic}", info.client_id),
            Publisher::Will { client_id } => format!("will {client_id} {topic}"),
            Publisher::Broker => format!("broker {topic}"),
            Publisher::Module(name) => format!("{name} {topic}"),
            _ => format!("someone {topic}"),
        });
        match topic.as_str() {
            "drop" => return Passage::Drop,
            "raise" => incoming.message.qos = Qos::ExactlyOnce,
            "lower" => incoming.message.qos = Qos::AtMostOnce,
            "rename" => incoming.message.topic = Topic::new("renamed").unwrap(),
            "echo" => moment.publish(message("echoed", "x", Qos::AtMostOnce)),
            _ => {}
        }
        Passage::Pass
    }
}

impl ObserveDrops for Spy {
    fn dropped(&self, delivery: &Delivery<'_>, reason: DropReason) {
        self.tell(format!("dropped {} {} {reason:?}", delivery.client_id, delivery.message.topic));
    }
}

impl ObserveAcks for Spy {
    fn acknowledged(&self, delivery: &Delivery<'_>) {
        self.tell(format!("acknowledged {} {} {}", delivery.client_id, delivery.message.topic, delivery.qos as u8));
    }
}

struct Watched {
    broker: Broker,
    seen: UnboundedReceiver<String>,
    host: Arc<dyn Host>,
}

impl Watched {
    /// `None`: another broker's modules are not ours.
    async fn start() -> Option<Self> {
        Self::with(|config| {
            config.sys.heartbeat = std::time::Duration::from_secs(1);
            config.limits.max_client_id = 20;
        })
        .await
    }

    async fn with(change: impl FnOnce(&mut mqtt_config::Config)) -> Option<Self> {
        let broker = Broker::with(change).await?;
        let (told, seen) = unbounded_channel();
        let host = Arc::<OnceLock<_>>::default();
        let registry = broker.server().registry();
        registry.register(Arc::new(Spy { told, host: host.clone() }), serde_json::Value::Null);
        registry.start("spy").await.unwrap();
        let host = host.get().expect("it has started").clone();
        Some(Self { broker, seen, host })
    }

    /// What is seen up to this, that included.
    async fn until(&mut self, text: &str) -> Vec<String> {
        let mut seen = Vec::new();
        while seen.last().is_none_or(|last| last != text) {
            seen.push(self.seen.recv().await.expect("the broker lives"));
        }
        seen
    }
}

#[tokio::test]
async fn a_module_sees_what_anyone_publishes() {
    let Some(mut watched) = Watched::start().await else { return };
    let willing = Connect { will: Some(will("left", "x")), ..connect(Version::V5, "willing") };
    let (mut client, _) = Client::connect_with(watched.broker.addr, willing).await;
    let presence = |what| format!("presence $SYS/brokers/rollcall@127.0.0.1/clients/willing/{what}");
    watched.until(&presence("connected")).await;
    client.publish(message("a", "x", Qos::AtLeastOnce)).await;
    watched.until("client willing a").await;
    client.cut().await;
    watched.until("will willing left").await;
    watched.until(&presence("disconnected")).await;
    watched.until("broker $SYS/brokers/rollcall@127.0.0.1/uptime").await;
}

#[tokio::test]
async fn what_a_module_publishes_itself_it_does_not_see() {
    let Some(mut watched) = Watched::start().await else { return };
    let mut client = Client::connect(watched.broker.addr, Version::V5, "c").await;
    client.subscribe("echoed", Qos::AtMostOnce).await;
    client.send_publish(message("echo", "x", Qos::AtMostOnce)).await;
    assert_eq!(client.take_text().await, "x");
    client.publish(message("end", "x", Qos::AtLeastOnce)).await;
    assert!(watched.until("client c end").await.iter().all(|seen| !seen.contains("echoed")));
}

#[tokio::test]
async fn a_publisher_is_answered_as_it_asked_whatever_a_module_does() {
    let Some(watched) = Watched::start().await else { return };
    for version in [Version::V3_1_1, Version::V5] {
        let mut client = Client::connect(watched.broker.addr, version, "c").await;
        client.subscribe("raise", Qos::ExactlyOnce).await;
        let mut other = Client::connect(watched.broker.addr, version, "other").await;
        other.subscribe("#", Qos::ExactlyOnce).await;
        client.send_publish(message("raise", "x", Qos::AtMostOnce)).await;
        assert_eq!(client.take().await.qos, Qos::ExactlyOnce);
        assert_eq!(other.take().await.qos, Qos::ExactlyOnce);
        for (topic, seen, qos, arrives) in [
            ("lower", "lower", Qos::AtLeastOnce, Qos::AtMostOnce),
            ("lower", "lower", Qos::ExactlyOnce, Qos::AtMostOnce),
            ("rename", "renamed", Qos::AtLeastOnce, Qos::AtLeastOnce),
        ] {
            assert_eq!(client.publish(message(topic, "x", qos)).await, ReasonCode::Success, "{topic}");
            let got = other.take().await;
            assert_eq!((got.topic.unwrap().as_str(), got.qos), (seen, arrives));
        }
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
            assert_eq!(client.publish(message("drop", "x", qos)).await, ReasonCode::Success);
        }
        other.ping().await;
        client.leave().await;
        other.leave().await;
    }
}

#[tokio::test]
async fn what_becomes_of_deliveries_is_told() {
    let Some(mut watched) = Watched::start().await else { return };
    let addr = watched.broker.addr;
    let mut taker = Client::connect(addr, Version::V5, "taker").await;
    taker.subscribe("t/#", Qos::ExactlyOnce).await;
    let narrow = Connect { properties: [Property::MaximumPacketSize(50)].into(), ..connect(Version::V5, "narrow") };
    let (mut narrow, _) = Client::connect_with(addr, narrow).await;
    narrow.subscribe("t/#", Qos::AtMostOnce).await;
    let (mut away, _) = Client::connect_with(addr, keeping(Version::V3_1_1, "away")).await;
    away.subscribe("t/0", Qos::AtMostOnce).await;
    away.leave().await;

    let mut publisher = Client::connect(addr, Version::V5, "publisher").await;
    for (qos, text) in [(Qos::AtMostOnce, "t/0"), (Qos::AtLeastOnce, "t/1"), (Qos::ExactlyOnce, "t/2")] {
        publisher.publish(message(text, "x".repeat(100), qos)).await;
        taker.take().await;
    }
    let seen = watched.until("acknowledged taker t/2 2").await;
    for told in [
        "dropped away t/0 Offline",
        "dropped narrow t/0 TooLarge",
        "dropped narrow t/1 TooLarge",
        "dropped narrow t/2 TooLarge",
        "acknowledged taker t/1 1",
    ] {
        assert_eq!(seen.iter().filter(|seen| *seen == told).count(), 1, "{told}: {seen:?}");
    }
}

#[tokio::test]
async fn deliveries_that_are_given_up_while_they_wait_are_told() {
    let change = |config: &mut mqtt_config::Config| config.sys.interval = std::time::Duration::from_millis(100);
    let Some(mut watched) = Watched::with(change).await else { return };
    let addr = watched.broker.addr;
    let (mut away, _) = Client::connect_with(addr, keeping(Version::V5, "away")).await;
    away.subscribe("w/#", Qos::AtLeastOnce).await;
    away.leave().await;
    let mut publisher = Client::connect(addr, Version::V5, "publisher").await;
    let brief =
        Message { properties: [Property::MessageExpiry(1)].into(), ..message("w/brief", "x", Qos::AtLeastOnce) };
    publisher.publish(brief).await;
    watched.until("dropped away w/brief Expired").await;

    publisher.publish(message("w/large", "x".repeat(100), Qos::AtLeastOnce)).await;
    publisher.publish(message("w/sent", "x", Qos::AtLeastOnce)).await;
    let narrow = keeping(Version::V5, "away");
    let properties = narrow.properties.iter().chain([Property::MaximumPacketSize(50)]).collect();
    let (mut away, _) = Client::connect_with(addr, Connect { properties, ..narrow }).await;
    watched.until("dropped away w/large TooLarge").await;
    away.receive_publish().await;
    away.leave().await;
    publisher.publish(message("w/queued", "x", Qos::AtLeastOnce)).await;
    let _away = Client::connect(addr, Version::V5, "away").await;
    let seen = watched.until("dropped away w/queued SessionEnded").await;
    assert_eq!(seen.iter().filter(|seen| *seen == "dropped away w/sent SessionEnded").count(), 1, "{seen:?}");
    assert_eq!(seen.iter().filter(|seen| seen.starts_with("dropped")).count(), 2, "{seen:?}");
}

#[tokio::test]
async fn what_another_member_of_a_group_gets_is_not_lost() {
    let Some(mut watched) = Watched::start().await else { return };
    let addr = watched.broker.addr;
    let (mut away, _) = Client::connect_with(addr, keeping(Version::V5, "away")).await;
    for filter in ["$share/g/shared", "$share/g/alone"] {
        away.subscribe(filter, Qos::AtLeastOnce).await;
    }
    away.leave().await;
    let mut publisher = Client::connect(addr, Version::V5, "publisher").await;
    publisher.publish(message("shared", "x", Qos::AtLeastOnce)).await;
    publisher.publish(message("alone", "x", Qos::AtLeastOnce)).await;
    let mut other = Client::connect(addr, Version::V5, "other").await;
    other.subscribe("$share/g/shared", Qos::AtLeastOnce).await;
    let _away = Client::connect(addr, Version::V5, "away").await;
    assert_eq!(other.take_text().await, "x");
    let seen = watched.until("dropped away alone SessionEnded").await;
    publisher.publish(message("end", "x", Qos::AtMostOnce)).await;
    let later = watched.until("client publisher end").await;
    let dropped = |seen: &[String]| seen.iter().filter(|seen| seen.starts_with("dropped")).count();
    assert_eq!((dropped(&seen), dropped(&later)), (1, 0), "{seen:?} {later:?}");
}

#[tokio::test]
async fn who_is_not_let_in_is_told() {
    let Some(mut watched) = Watched::start().await else { return };
    let long = "x".repeat(21);
    let (_, answer) = Client::try_connect(watched.broker.addr, connect(Version::V5, &long)).await;
    assert_eq!(answer.reason, ReasonCode::ClientIdNotValid);
    watched.until(&format!("refused {long} {}", ReasonCode::ClientIdNotValid.name())).await;
}

#[tokio::test]
async fn a_module_looks_up_subscribes_and_kicks_clients() {
    let Some(watched) = Watched::start().await else { return };
    let (addr, host) = (watched.broker.addr, &watched.host);
    assert!(host.connection("c").is_none());
    assert_eq!(host.subscribe("c", &ask("a", Qos::AtMostOnce)), Err(SubscribeError::Offline));
    assert!(!host.unsubscribe("c", &filter("a")) && !host.kick("c"));

    let mut client = Client::connect(addr, Version::V5, "c").await;
    assert_eq!(host.connection("c").unwrap().version, Version::V5);
    assert_eq!(host.subscribe("c", &ask("a", Qos::AtMostOnce)), Ok(()));
    client.send_publish(message("a", "x", Qos::AtMostOnce)).await;
    assert_eq!(client.take_text().await, "x");
    assert!(host.unsubscribe("c", &filter("a")));
    client.send_publish(message("a", "x", Qos::AtMostOnce)).await;
    client.ping().await;
    assert!(host.kick("c"));
    client.expect_disconnect(ReasonCode::AdministrativeAction).await;
}

#[tokio::test]
async fn a_client_may_stay_as_long_as_it_was_granted() {
    let Some(watched) = Watched::start().await else { return };
    let addr = watched.broker.addr;
    let (_, answer) = Client::try_connect(addr, connect(Version::V5, "late")).await;
    assert_eq!(answer.reason, ReasonCode::NotAuthorized);
    for version in [Version::V5, Version::V3_1_1] {
        let mut brief = Client::connect(addr, version, "brief").await;
        assert_eq!(watched.host.connection("brief").unwrap().username.as_deref(), Some("guest"));
        brief.ping().await;
        if version == Version::V5 {
            brief.expect_disconnect(ReasonCode::NotAuthorized).await;
        } else {
            brief.expect_end().await;
        }
    }
}
