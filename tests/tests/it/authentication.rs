//! Extended authentication: challenges by AUTH, before a client is in and while it is.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mqtt_codec::{Auth, ConnAck, Connect, Disconnect, Packet, Properties, Property, Publish, Qos, ReasonCode, Version};
use mqtt_config::Config;
use mqtt_hooks::{
    Authenticate, ConnectionInfo, Ctx, Exchange, Fact, Grant, Host, Info, Login, Module, Moment, Observe, StartError,
};
use mqtt_modules::Modules;
use tokio::sync::{OnceCell, mpsc};

use crate::{
    broker::Broker,
    client::{Client, connect, keeping, message},
    clock,
    events::Watcher,
    trace,
};

/// Knows two methods. `steps` has two challenges; `token` has none, and grants what the token says.
#[derive(Clone)]
struct Gate {
    told: mpsc::UnboundedSender<String>,
    host: Arc<OnceCell<Arc<dyn Host>>>,
}

#[async_trait::async_trait]
impl Module for Gate {
    fn info(&self) -> Info {
        Info { name: "gate", title: "Gate", description: "Challenges.", default_on: false, settings: &[] }
    }

    async fn start(&self, ctx: &Ctx) -> Result<(), StartError> {
        let _ = self.host.set(ctx.host());
        ctx.authenticate(Arc::new(self.clone()));
        ctx.observe(Arc::new(self.clone()));
        Ok(())
    }
}

impl Observe for Gate {
    fn observe(&self, fact: &Fact<'_>, _: &mut dyn Moment) {
        if let Fact::Refused { client_id, reason, .. } = fact {
            // The test has ended.
            let _ = self.told.send(format!("refused {client_id} {}", reason.name()));
        }
    }
}

#[async_trait::async_trait]
impl Authenticate for Gate {
    async fn authenticate(&self, _client: &ConnectionInfo, _password: Option<&[u8]>) -> Login {
        Login::Ignore
    }

    fn methods(&self) -> &[&str] {
        &["steps", "token"]
    }

    async fn exchange(&self, client: &ConnectionInfo, exchange: &mut Exchange<'_>) -> Login {
        if exchange.method == "steps" {
            let name = String::from_utf8(exchange.data.to_vec()).unwrap();
            let _ = self.told.send(format!("{} begins as {name}, again: {}", client.client_id, exchange.is_renewal));
            for step in ["1", "2"] {
                if exchange.challenge(format!("{step}?")).await != format!("{step}!") {
                    return Login::Deny(ReasonCode::BadUserNameOrPassword);
                }
            }
            exchange.conclude("welcome");
            return Login::Allow(Grant { username: Some(name.into()), ..Grant::default() });
        }
        let now = self.host.get().expect("it has started").clock_ms();
        match &exchange.data[..] {
            b"for ever" => Login::Allow(Grant::default()),
            b"for a second" => Login::Allow(Grant { expires_at: Some(now + 1000), ..Grant::default() }),
            b"for no time" => Login::Allow(Grant { expires_at: Some(now), ..Grant::default() }),
            b"for another" => Login::Allow(Grant { username: Some("another".into()), ..Grant::default() }),
            b"unavailable" => Login::Deny(ReasonCode::ServerUnavailable),
            b"panic" => panic!("asked"),
            _ => Login::Ignore,
        }
    }
}

struct Gated {
    broker: Broker,
    told: mpsc::UnboundedReceiver<String>,
    host: Arc<dyn Host>,
}

impl Gated {
    /// `None`: another broker's modules are not ours.
    async fn start() -> Option<Self> {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Config)) -> Option<Self> {
        let broker = Broker::with(change).await?;
        let (sender, told) = mpsc::unbounded_channel();
        let host = Arc::<OnceCell<_>>::default();
        let registry = broker.server().registry();
        registry.register(Arc::new(Gate { told: sender, host: host.clone() }), serde_json::Value::Null);
        registry.start("gate").await.unwrap();
        let host = host.get().expect("it has started").clone();
        Some(Self { broker, told, host })
    }

    async fn expect_told(&mut self, text: &str) {
        assert_eq!(self.told.recv().await.as_deref(), Some(text));
    }

    /// A client that has been sent the first challenge.
    async fn challenged(&self, client_id: &str) -> Client {
        let mut client = Client::open(self.broker.addr, Version::V5).await;
        client.send(asking(client_id, "steps", "name")).await;
        client.expect_auth(ReasonCode::ContinueAuthentication, "steps", "1?").await;
        client
    }

    /// One that is in by a token.
    async fn with_token(&self, client_id: &str, token: &'static str) -> Client {
        let mut client = Client::open(self.broker.addr, Version::V5).await;
        client.send(asking(client_id, "token", token)).await;
        assert_eq!(client.expect_connack().await.reason, ReasonCode::Success);
        client
    }
}

impl Client {
    async fn expect_connack(&mut self) -> ConnAck {
        match self.receive().await {
            Packet::ConnAck(answer) => answer,
            other => panic!("no CONNACK but {other:?}"),
        }
    }

    async fn expect_auth(&mut self, reason: ReasonCode, method: &str, data: &'static str) {
        match self.receive().await {
            Packet::Auth(auth) => {
                assert_eq!((auth.reason, told(&auth.properties)), (reason, (method.into(), data.into())))
            }
            other => panic!("no AUTH but {other:?}"),
        }
    }

    async fn expect_refusal(&mut self, reason: ReasonCode) {
        let answer = self.expect_connack().await;
        assert_eq!(answer, ConnAck { session_present: false, reason, properties: Properties::EMPTY });
        self.expect_end().await;
    }
}

/// Method and data.
fn told(properties: &Properties) -> (String, Bytes) {
    let method = properties.authentication_method().expect("[MQTT-4.12.0-5]");
    (method.to_string(), properties.authentication_data().unwrap_or_default())
}

fn properties(method: &str, data: &'static str) -> Properties {
    [Property::AuthenticationMethod(method.into()), Property::AuthenticationData(data.into())].into()
}

fn asking(client_id: &str, method: &str, data: &'static str) -> Packet {
    Packet::Connect(Box::new(Connect { properties: properties(method, data), ..connect(Version::V5, client_id) }))
}

fn answer(method: &str, data: &'static str) -> Packet {
    Packet::Auth(Auth { reason: ReasonCode::ContinueAuthentication, properties: properties(method, data) })
}

fn again(method: &str, data: &'static str) -> Packet {
    Packet::Auth(Auth { reason: ReasonCode::Reauthenticate, properties: properties(method, data) })
}

/// [MQTT-4.12.0-2] [MQTT-4.12.0-3] [MQTT-4.12.0-5], byte by byte.
#[tokio::test]
async fn a_client_is_let_in_after_two_challenges() {
    let Some(mut gated) = Gated::start().await else { return };
    let mut client = Client::open(gated.broker.addr, Version::V5).await;
    client.send_bytes(b"\x10\x1D\0\x04MQTT\x05\x02\0\x3C\x0F\x15\0\x05steps\x16\0\x04name\0\x01c").await;
    client.expect_auth(ReasonCode::ContinueAuthentication, "steps", "1?").await;
    gated.expect_told("c begins as name, again: false").await;
    assert!(gated.host.connection("c").is_none(), "it is not in yet");
    // As slowly as it likes.
    client.send_bytes(b"\xF0\x0F\x18\x0D\x15").await;
    client.send_bytes(b"\0\x05steps\x16\0\x021!").await;
    client.expect_auth(ReasonCode::ContinueAuthentication, "steps", "2?").await;
    client.send_bytes(b"\xF0\x0F\x18\x0D\x15\0\x05steps\x16\0\x022!").await;
    let connack = client.expect_connack().await;
    assert_eq!((connack.reason, told(&connack.properties)), (ReasonCode::Success, ("steps".into(), "welcome".into())));
    assert_eq!(gated.host.connection("c").unwrap().username.as_deref(), Some("name"));
    client.ping().await;
}

#[tokio::test]
async fn while_a_client_is_challenged_its_session_is_the_other_one_s() {
    let Some(gated) = Gated::start().await else { return };
    let (mut first, _) = Client::connect_with(gated.broker.addr, keeping(Version::V5, "c")).await;
    first.subscribe("a", Qos::AtLeastOnce).await;
    let mut second = gated.challenged("c").await;
    first.ping().await;
    second.send(answer("steps", "wrong")).await;
    second.expect_refusal(ReasonCode::BadUserNameOrPassword).await;
    first.send_publish(message("a", "x", Qos::AtMostOnce)).await;
    assert_eq!(first.take_text().await, "x");
    let mut third = gated.challenged("c").await;
    third.send(answer("steps", "1!")).await;
    third.expect_auth(ReasonCode::ContinueAuthentication, "steps", "2?").await;
    first.ping().await;
    third.send(answer("steps", "2!")).await;
    assert_eq!(third.expect_connack().await.reason, ReasonCode::Success);
    first.expect_disconnect(ReasonCode::SessionTakenOver).await;
}

#[tokio::test]
async fn a_wrong_answer_is_told_as_a_wrong_password_is() {
    let Some(mut gated) = Gated::start().await else { return };
    let mut client = gated.challenged("c").await;
    gated.expect_told("c begins as name, again: false").await;
    client.send(answer("steps", "1!")).await;
    client.expect_auth(ReasonCode::ContinueAuthentication, "steps", "2?").await;
    client.send(answer("steps", "3!")).await;
    client.expect_refusal(ReasonCode::BadUserNameOrPassword).await;
    gated.expect_told("refused c bad_user_name_or_password").await;
}

#[tokio::test]
async fn who_names_a_method_brings_its_proof_or_stays_out() {
    let Some(gated) = Gated::start().await else { return };
    // Anonymous clients may come in here.
    Client::connect(gated.broker.addr, Version::V5, "c").await.leave().await;
    for (method, data, reason) in [
        ("token", "", ReasonCode::NotAuthorized),
        ("token", "for no time", ReasonCode::NotAuthorized),
        ("token", "unavailable", ReasonCode::ServerUnavailable),
        ("token", "panic", ReasonCode::ServerUnavailable),
        ("other", "for ever", ReasonCode::BadAuthenticationMethod),
    ] {
        let mut client = Client::open(gated.broker.addr, Version::V5).await;
        client.send(asking("c", method, data)).await;
        client.expect_refusal(reason).await;
    }
    gated.broker.server().registry().stop("gate").await.unwrap();
    let mut client = Client::open(gated.broker.addr, Version::V5).await;
    client.send(asking("c", "token", "for ever")).await;
    client.expect_refusal(ReasonCode::BadAuthenticationMethod).await;
}

/// [MQTT-3.1.2-30]
#[tokio::test]
async fn a_client_that_is_challenged_sends_nothing_but_small_answers() {
    let Some(gated) = Gated::start().await else { return };
    let publish = Publish {
        dup: false,
        qos: Qos::AtMostOnce,
        retain: false,
        topic: Some(crate::client::topic("a")),
        packet_id: None,
        properties: Properties::EMPTY,
        payload: "x".into(),
    };
    let large = Property::AuthenticationData(vec![0; 20_000].into());
    let large = [Property::AuthenticationMethod("steps".into()), large].into();
    let large = Packet::Auth(Auth { reason: ReasonCode::ContinueAuthentication, properties: large });
    for (packet, reason) in [
        (Packet::PingReq, ReasonCode::ProtocolError),
        (Packet::Publish(publish.clone()), ReasonCode::ProtocolError),
        (asking("c", "steps", "name"), ReasonCode::ProtocolError),
        (answer("token", "1!"), ReasonCode::ProtocolError),
        (again("steps", "1!"), ReasonCode::ProtocolError),
        (large, ReasonCode::PacketTooLarge),
    ] {
        let mut client = gated.challenged("c").await;
        client.send(packet).await;
        client.expect_refusal(reason).await;
    }
    for (bytes, reason) in [
        (&b"\xF0\0"[..], ReasonCode::ProtocolError),
        (b"\xF1\x02\x18\0", ReasonCode::MalformedPacket),
        (b"\xF0\x02\x18\0", ReasonCode::ProtocolError),
        // The rest of it need not come.
        (b"\x30\xFF\xFF\x7F", ReasonCode::ProtocolError),
        (b"\xF0\xFF\xFF\x7F", ReasonCode::PacketTooLarge),
    ] {
        let mut client = gated.challenged("c").await;
        client.send_bytes(bytes).await;
        client.expect_refusal(reason).await;
    }
    let mut client = gated.challenged("c").await;
    client.send(Packet::Disconnect(Disconnect { reason: ReasonCode::Success, properties: Properties::EMPTY })).await;
    client.expect_end().await;

    // Nor before it was asked anything.
    let mut client = Client::open(gated.broker.addr, Version::V5).await;
    let mut bytes = BytesMut::new();
    asking("c", "token", "for ever").encode(Version::V5, &mut bytes).unwrap();
    Packet::Publish(publish).encode(Version::V5, &mut bytes).unwrap();
    client.send_bytes(&bytes).await;
    client.expect_refusal(ReasonCode::ProtocolError).await;
}

/// What is kept of their answers is from what all share of whom nobody knows who they are.
#[tokio::test]
async fn who_is_challenged_can_t_take_all_the_room_for_those_who_come() {
    const MANY: usize = 30;
    let Some(gated) = Gated::with(|config| config.limits.memory = Some(2 << 20)).await else { return };
    let (tell, mut told) = mpsc::unbounded_channel();
    for n in 0..MANY {
        let mut client = gated.challenged(&format!("c{n}")).await;
        let tell = tell.clone();
        tokio::spawn(async move {
            // An AUTH of 16,000 bytes, and most of it.
            client.send_bytes(&[&[0xF0, 0x80, 0x7D][..], &[0; 15_000]].concat()).await;
            let _ = tell.send(client.expect_connack().await.reason);
        });
    }
    // The others wait for more of it.
    for _ in 0..MANY / 2 {
        assert_eq!(told.recv().await, Some(ReasonCode::QuotaExceeded));
    }
    gated.with_token("comes", "for ever").await.ping().await;
}

#[tokio::test]
async fn a_challenge_without_an_answer_ends_with_the_connect_timeout() {
    let Some(gated) = Gated::with(|config| config.mqtt.connect_timeout = Duration::from_millis(300)).await else {
        return;
    };
    let mut client = gated.challenged("c").await;
    client.expect_end().await;
}

#[tokio::test]
async fn a_trace_shows_the_challenges_before_a_client_is_in() {
    let Some(gated) = Gated::with(trace::with_admin).await else { return };
    let admin = gated.broker.server().addresses().admin.expect("it is on");
    let mut lines = trace::follow(admin, "c").await;
    let mut client = gated.challenged("c").await;
    client.send(answer("steps", "1!")).await;
    client.expect_auth(ReasonCode::ContinueAuthentication, "steps", "2?").await;
    client.send(answer("steps", "2!")).await;
    assert_eq!(client.expect_connack().await.reason, ReasonCode::Success);
    let mut other = gated.challenged("c").await;
    other.send(answer("steps", "wrong")).await;
    other.expect_refusal(ReasonCode::BadUserNameOrPassword).await;
    for (direction, start) in [
        ("in", "CONNECT version="),
        ("out", "AUTH continue_authentication"),
        ("in", "AUTH continue_authentication"),
        ("out", "AUTH continue_authentication"),
        ("in", "AUTH continue_authentication"),
        ("out", "CONNACK success"),
        ("in", "CONNECT version="),
        ("out", "AUTH continue_authentication"),
        ("in", "AUTH continue_authentication"),
        ("out", "CONNACK bad_user_name_or_password"),
    ] {
        let line = lines.event("packet").await;
        trace::check(&line, direction, start);
        assert!(line["packet"].as_str().unwrap().contains("hidden") || direction == "out", "{line}");
    }
}

/// [MQTT-3.1.2-24]
#[tokio::test]
async fn a_challenge_that_the_client_can_t_take_is_not_sent() {
    let Some(gated) = Gated::start().await else { return };
    let mut client = Client::open(gated.broker.addr, Version::V5).await;
    let small = properties("steps", "name").iter().chain([Property::MaximumPacketSize(10)]).collect();
    client.send(Packet::Connect(Box::new(Connect { properties: small, ..connect(Version::V5, "c") }))).await;
    client.expect_end().await;
}

/// [MQTT-4.12.0-6] [MQTT-4.12.0-7]
#[tokio::test]
async fn auth_is_for_those_who_named_a_method() {
    let Some(gated) = Gated::start().await else { return };
    for packet in [again("token", "for ever"), answer("token", "for ever")] {
        let (mut client, connack) = Client::connect_with(gated.broker.addr, connect(Version::V5, "c")).await;
        assert_eq!(connack.properties.authentication_method(), None);
        client.send(packet).await;
        client.expect_disconnect(ReasonCode::ProtocolError).await;
    }
}

/// [MQTT-4.12.1-1]: what goes on meanwhile goes on.
#[tokio::test]
async fn a_client_is_authenticated_again_while_it_is_served() {
    let Some(mut gated) = Gated::start().await else { return };
    let mut client = gated.challenged("c").await;
    client.send(answer("steps", "1!")).await;
    client.expect_auth(ReasonCode::ContinueAuthentication, "steps", "2?").await;
    client.send(answer("steps", "2!")).await;
    assert_eq!(client.expect_connack().await.reason, ReasonCode::Success);
    client.subscribe("a", Qos::AtMostOnce).await;
    gated.expect_told("c begins as name, again: false").await;
    for _ in 0..2 {
        client.send(again("steps", "name")).await;
        client.expect_auth(ReasonCode::ContinueAuthentication, "steps", "1?").await;
        gated.expect_told("c begins as name, again: true").await;
        client.send_publish(message("a", "x", Qos::AtMostOnce)).await;
        assert_eq!(client.take_text().await, "x");
        client.send(answer("steps", "1!")).await;
        client.expect_auth(ReasonCode::ContinueAuthentication, "steps", "2?").await;
        client.ping().await;
        client.send(answer("steps", "2!")).await;
        client.expect_auth(ReasonCode::Success, "steps", "welcome").await;
    }
    client.ping().await;
}

#[tokio::test]
async fn what_is_granted_anew_ends_when_it_says() {
    let Some(gated) = Gated::start().await else { return };
    let mut watcher = Watcher::start(gated.broker.addr).await;
    let mut longer = gated.with_token("longer", "for a second").await;
    longer.send(again("token", "for ever")).await;
    longer.expect_auth(ReasonCode::Success, "token", "").await;
    watcher.connected("longer").await;
    let mut shorter = gated.with_token("shorter", "for ever").await;
    watcher.connected("shorter").await;
    shorter.send(again("token", "for a second")).await;
    shorter.expect_auth(ReasonCode::Success, "token", "").await;
    shorter.expect_disconnect(ReasonCode::NotAuthorized).await;
    watcher.disconnected("shorter", "auth_expired").await;
    clock::wait(gated.broker.addr, 2).await;
    longer.ping().await;
}

/// [MQTT-4.12.1-2]
#[tokio::test]
async fn a_client_that_can_t_be_authenticated_again_is_disconnected() {
    let Some(gated) = Gated::with(|config| config.mqtt.connect_timeout = Duration::from_secs(1)).await else { return };
    let mut watcher = Watcher::start(gated.broker.addr).await;
    for token in ["", "for no time", "for another", "unavailable", "panic"] {
        let mut client = gated.with_token("c", "for ever").await;
        watcher.connected("c").await;
        client.send(again("token", token)).await;
        client.expect_disconnect(ReasonCode::NotAuthorized).await;
        watcher.disconnected("c", "not_authorized").await;
    }
    // And one that does not answer.
    let mut client = gated.challenged("c").await;
    client.send(answer("steps", "1!")).await;
    client.expect_auth(ReasonCode::ContinueAuthentication, "steps", "2?").await;
    client.send(answer("steps", "2!")).await;
    assert_eq!(client.expect_connack().await.reason, ReasonCode::Success);
    watcher.connected("c").await;
    client.send(again("steps", "name")).await;
    client.expect_auth(ReasonCode::ContinueAuthentication, "steps", "1?").await;
    client.expect_disconnect(ReasonCode::NotAuthorized).await;
    watcher.disconnected("c", "not_authorized").await;
}

#[tokio::test]
async fn an_auth_that_nobody_waits_for_ends_the_connection() {
    let Some(gated) = Gated::start().await else { return };
    for packet in [answer("token", "x"), again("steps", "name"), answer("steps", "1!")] {
        let mut client = gated.with_token("c", "for ever").await;
        client.send(packet).await;
        client.expect_disconnect(ReasonCode::ProtocolError).await;
    }
    // Once more, while it is under way.
    let mut client = gated.challenged("c").await;
    client.send(answer("steps", "1!")).await;
    client.expect_auth(ReasonCode::ContinueAuthentication, "steps", "2?").await;
    client.send(answer("steps", "2!")).await;
    assert_eq!(client.expect_connack().await.reason, ReasonCode::Success);
    client.send(again("steps", "name")).await;
    client.expect_auth(ReasonCode::ContinueAuthentication, "steps", "1?").await;
    client.send(again("steps", "name")).await;
    client.expect_disconnect(ReasonCode::ProtocolError).await;
}
