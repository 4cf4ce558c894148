//! Bridges to other brokers.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use mqtt_codec::{
    Ack, ConnAck, Connect, Decoder, Packet, Properties, Publish, Qos, ReasonCode, Role, SubAck, Topic, Version,
};
use mqtt_config::{Config, Verify};
use mqtt_modules::Modules;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::admin::{ask, send, start_with};
use crate::broker::Broker;
use crate::client::{Client, QOS, connect, id, message, retained};
use crate::doors::{Authority, add_doors};
use crate::events::Object;

/// The way to a broker that may move, be cut, and stand still.
pub(crate) struct Way {
    addr: SocketAddr,
    to: Arc<Mutex<SocketAddr>>,
    state: watch::Sender<State>,
    moving: watch::Sender<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    kind: Kind,
    /// Another after each change: who has come before does not go on.
    number: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Open,
    /// Nothing moves; what is open stays open.
    Still,
    /// Nobody gets through.
    Shut,
}

impl Way {
    pub(crate) async fn new(to: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (addr, to) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(to)));
        let (state, seen) = watch::channel(State { kind: Kind::Open, number: 0 });
        let (moving, target) = (watch::Sender::new(0), Arc::clone(&to));
        let count = moving.clone();
        tokio::spawn(async move {
            loop {
                let Ok((near, _)) = listener.accept().await else { return };
                let (to, mut seen) = (*target.lock().unwrap(), seen.clone());
                if seen.borrow_and_update().kind == Kind::Shut {
                    continue;
                }
                let Ok(far) = TcpStream::connect(to).await else { continue };
                tokio::spawn(carry(near, far, seen, count.clone()));
            }
        });
        Self { addr, to, state, moving }
    }

    pub(crate) fn lead_to(&self, to: SocketAddr) {
        *self.to.lock().unwrap() = to;
        self.cut();
    }

    fn change(&self, kind: Kind) {
        self.state.send_modify(|state| *state = State { kind, number: state.number + 1 });
    }

    /// What is on the way does not arrive.
    pub(crate) fn cut(&self) {
        self.change(Kind::Open);
    }

    pub(crate) fn shut(&self) {
        self.change(Kind::Shut);
    }

    /// Nothing moves from when this returns: not what is on the way either.
    pub(crate) async fn stand_still(&self) {
        self.change(Kind::Still);
        self.moving.subscribe().wait_for(|moving| *moving == 0).await.unwrap();
    }

    pub(crate) fn url(&self) -> String {
        format!("mqtt://{}", self.addr)
    }
}

async fn carry(
    mut near: TcpStream,
    mut far: TcpStream,
    mut seen: watch::Receiver<State>,
    moving: watch::Sender<usize>,
) {
    moving.send_modify(|moving| *moving += 1);
    if seen.borrow().kind == Kind::Open {
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
            _ = seen.changed() => {}
        }
    }
    moving.send_modify(|moving| *moving -= 1);
    if seen.borrow().kind == Kind::Still {
        let _ = seen.changed().await;
    }
}

/// Settings of a bridge that tries often.
pub(crate) fn bridge(name: &str, remote: &str, more: Value) -> Value {
    let mut bridge = json!({"name": name, "remote": remote, "restart_timeout": "20ms", "restart_timeout_max": "100ms"});
    bridge.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    bridge
}

fn with_bridges(config: &mut Config, bridges: Value) {
    config.modules.entry("bridge".to_owned()).or_default().settings = json!({ "bridges": bridges });
}

/// Watches one bridge's state.
pub(crate) struct States(Client, String);

impl States {
    pub(crate) async fn of(addr: SocketAddr, name: &str) -> Self {
        let mut client = Client::connect(addr, Version::V5, &format!("states of {name}")).await;
        client.subscribe(&format!("$SYS/brokers/+/bridges/{name}/state"), Qos::AtLeastOnce).await;
        Self(client, name.to_owned())
    }

    pub(crate) async fn until(&mut self, state: &str) -> Object {
        loop {
            let publish = self.0.take().await;
            let told: Object = serde_json::from_slice(&publish.payload).unwrap();
            assert_eq!(told.text("name"), self.1);
            if told.text("state") == state {
                return told;
            }
        }
    }

    /// Until it says why it is down, in these words among others.
    pub(crate) async fn until_down_for(&mut self, reason: &str) {
        loop {
            let told = self.until("down").await;
            if told.text("reason").contains(reason) {
                return;
            }
        }
    }
}

fn both_ways() -> Value {
    json!({
        "out": [{"topic": "up/#", "remote_prefix": "site1/"}],
        "in": [{"topic": "down/#", "local_prefix": "hq/"}],
    })
}

#[tokio::test]
async fn messages_cross_in_both_directions_with_their_quality() {
    for protocol in [5, 4] {
        let Some(there) = Broker::with(|_| {}).await else { return };
        let mut plan = both_ways();
        plan["protocol"] = json!(protocol);
        let bridges = json!([bridge("b", &format!("mqtt://{}", there.addr), plan)]);
        let here = Broker::with(|config| with_bridges(config, bridges)).await.unwrap();
        States::of(here.addr, "b").await.until("up").await;
        let mut far = Client::connect(there.addr, Version::V5, "far").await;
        let mut near = Client::connect(here.addr, Version::V5, "near").await;
        far.subscribe("site1/#", Qos::ExactlyOnce).await;
        near.subscribe("hq/#", Qos::ExactlyOnce).await;
        for qos in QOS {
            near.publish(message("up/a", "out", qos)).await;
            near.publish(message("other", "stays", qos)).await;
            let came = far.take().await;
            assert_eq!((came.topic.unwrap().as_str(), came.qos, &came.payload[..]), ("site1/up/a", qos, &b"out"[..]));
            far.publish(message("down/a", "in", qos)).await;
            let came = near.take().await;
            assert_eq!((came.topic.unwrap().as_str(), came.qos, &came.payload[..]), ("hq/down/a", qos, &b"in"[..]));
        }
        near.ping().await;
        far.ping().await;
    }
}

/// The session here is there from the start.
#[tokio::test]
async fn what_is_published_before_the_remote_broker_is_there_waits_for_it() {
    let Some(there) = Broker::with(|_| {}).await else { return };
    let way = Way::new(there.addr).await;
    way.shut();
    let bridges = json!([bridge("b", &way.url(), both_ways())]);
    let here = Broker::with(|config| with_bridges(config, bridges)).await.unwrap();
    let mut states = States::of(here.addr, "b").await;
    states.until_down_for("closed the connection").await;
    let mut far = Client::connect(there.addr, Version::V5, "far").await;
    far.subscribe("site1/#", Qos::ExactlyOnce).await;
    let mut near = Client::connect(here.addr, Version::V5, "near").await;
    for number in 0..20 {
        near.publish(message("up/a", number.to_string(), QOS[1 + number % 2])).await;
    }
    way.cut();
    states.until("up").await;
    for number in 0..20 {
        assert_eq!(far.take_text().await, number.to_string());
    }
}

#[tokio::test]
async fn what_is_retained_goes_along_and_is_retained_there() {
    for protocol in [5, 4] {
        let Some(there) = Broker::with(|_| {}).await else { return };
        let way = Way::new(there.addr).await;
        way.shut();
        let mut plan = both_ways();
        plan["protocol"] = json!(protocol);
        let bridges = json!([bridge("b", &way.url(), plan)]);
        let here = Broker::with(|config| with_bridges(config, bridges)).await.unwrap();
        for (broker, name) in [(&here, "up/kept"), (&there, "down/kept")] {
            let mut client = Client::connect(broker.addr, Version::V5, "publisher").await;
            client.publish(retained(name, name, Qos::AtLeastOnce)).await;
            client.leave().await;
        }
        way.cut();
        let mut states = States::of(here.addr, "b").await;
        states.until("up").await;
        // It comes with what follows it.
        for (broker, other, name, to) in
            [(&here, &there, "up/live", "site1/up/#"), (&there, &here, "down/live", "hq/down/#")]
        {
            let mut watcher = Client::connect(other.addr, Version::V5, "watcher").await;
            watcher.subscribe(to, Qos::AtLeastOnce).await;
            let mut client = Client::connect(broker.addr, Version::V5, "publisher").await;
            client.publish(message(name, "live", Qos::AtLeastOnce)).await;
            while watcher.take_text().await != "live" {}
            let mut late = Client::connect(other.addr, Version::V5, "late").await;
            late.subscribe(to, Qos::AtLeastOnce).await;
            let kept = late.take().await;
            assert!(kept.retain, "{kept:?}");
            assert!(kept.topic.unwrap().as_str().ends_with("/kept"));
        }
        // Once: it is not sent again for each connection.
        let mut watcher = Client::connect(there.addr, Version::V5, "watcher").await;
        watcher.subscribe("site1/#", Qos::AtLeastOnce).await;
        assert!(watcher.take().await.retain);
        way.cut();
        states.until("down").await;
        states.until("up").await;
        let mut client = Client::connect(here.addr, Version::V5, "publisher").await;
        client.publish(message("up/live", "again", Qos::AtLeastOnce)).await;
        assert_eq!(watcher.take_text().await, "again");
    }
}

#[tokio::test]
async fn a_remote_broker_that_refuses_is_an_alarm_that_says_why() {
    let refuses = |config: &mut Config| config.auth.anonymous = mqtt_config::Anonymous::None;
    let Some(there) = Broker::with(refuses).await else { return };
    let bridges = json!([bridge("b", &format!("mqtt://{}", there.addr), both_ways())]);
    let Some((here, addr)) = start_with(|config| with_bridges(config, bridges)).await else { return };
    States::of(here.addr, "b").await.until_down_for("refuses the bridge: not_authorized").await;
    let told = ask(addr, "GET /api/v4/bridges/b").await.json();
    assert_eq!((&told["data"]["state"], &told["data"]["connections"]), (&json!("down"), &json!(0)));
    loop {
        let alarms = ask(addr, "GET /api/v4/alarms/activated").await.json().to_string();
        if alarms.contains("bridge_down") {
            assert!(alarms.contains("not_authorized"), "{alarms}");
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_remote_broker_that_stops_reading_loses_nothing() {
    const MESSAGES: usize = 400;
    let Some(there) = Broker::with(|_| {}).await else { return };
    let way = Way::new(there.addr).await;
    let bridges = json!([bridge("b", &way.url(), both_ways())]);
    let here = Broker::with(|config| with_bridges(config, bridges)).await.unwrap();
    let mut states = States::of(here.addr, "b").await;
    states.until("up").await;
    let mut far = Client::connect(there.addr, Version::V5, "far").await;
    far.subscribe("site1/#", Qos::ExactlyOnce).await;
    way.stand_still().await;
    let mut near = Client::connect(here.addr, Version::V5, "near").await;
    for number in 0..MESSAGES {
        let payload = format!("{number} {}", "x".repeat(20_000));
        assert_eq!(near.publish(message("up/a", payload, Qos::ExactlyOnce)).await, ReasonCode::Success);
    }
    way.cut();
    for number in 0..MESSAGES {
        let text = far.take_text().await;
        assert_eq!(text.split(' ').next(), Some(number.to_string().as_str()));
    }
    far.ping().await;
}

/// What comes back by another bridge is an ordinary message of that one, so it is seen once more; and that is all.
#[tokio::test]
async fn two_brokers_that_are_bridges_to_each_other_send_nothing_round() {
    let Some(one) = Broker::with(|_| {}).await else { return };
    let other = Broker::with(|_| {}).await.unwrap();
    let all = json!({"out": [{"topic": "a/#"}]});
    for (here, there, name) in [(&one, &other, "there"), (&other, &one, "back")] {
        let bridges = json!({"bridges": [bridge(name, &format!("mqtt://{}", there.addr), all.clone())]});
        here.server().registry().configure("bridge", bridges).await.unwrap();
        States::of(here.addr, name).await.until("up").await;
    }
    let mut near = Client::connect(one.addr, Version::V5, "near").await;
    let mut far = Client::connect(other.addr, Version::V5, "far").await;
    near.subscribe("a/#", Qos::ExactlyOnce).await;
    far.subscribe("a/#", Qos::ExactlyOnce).await;
    let mut publisher = Client::connect(one.addr, Version::V5, "publisher").await;
    for number in 0..10 {
        publisher.publish(message("a/b", number.to_string(), QOS[1 + number % 2])).await;
    }
    let (mut here, mut there) = (vec![0; 10], vec![0; 10]);
    for _ in 0..10 {
        let number: usize = far.take_text().await.parse().unwrap();
        there[number] += 1;
    }
    for _ in 0..20 {
        let number: usize = near.take_text().await.parse().unwrap();
        here[number] += 1;
    }
    // What has come back would be sent before this.
    publisher.publish(message("a/b", "last", Qos::ExactlyOnce)).await;
    assert_eq!([near.take_text().await, near.take_text().await, far.take_text().await], ["last"; 3]);
    assert_eq!((here, there), (vec![2; 10], vec![1; 10]));
    near.ping().await;
    far.ping().await;
}

/// It would send back what it gets otherwise.
#[tokio::test]
async fn one_bridge_carries_the_same_topics_in_both_directions() {
    for protocol in [5, 4] {
        let Some(there) = Broker::with(|_| {}).await else { return };
        let plan = json!({"protocol": protocol, "out": [{"topic": "#"}], "in": [{"topic": "#"}]});
        let bridges = json!([bridge("b", &format!("mqtt://{}", there.addr), plan)]);
        let here = Broker::with(|config| with_bridges(config, bridges)).await.unwrap();
        States::of(here.addr, "b").await.until("up").await;
        let mut far = Client::connect(there.addr, Version::V5, "far").await;
        let mut near = Client::connect(here.addr, Version::V5, "near").await;
        far.subscribe("#", Qos::ExactlyOnce).await;
        near.subscribe("#", Qos::ExactlyOnce).await;
        let mut publishers = Vec::new();
        for broker in [&here, &there] {
            publishers.push(Client::connect(broker.addr, Version::V5, "publisher").await);
        }
        for number in 0..10 {
            publishers[0].publish(message("a/b", number.to_string(), Qos::ExactlyOnce)).await;
            assert_eq!([near.take_text().await, far.take_text().await], [number.to_string(), number.to_string()]);
            publishers[1].publish(message("a/b", "back", Qos::AtLeastOnce)).await;
            assert_eq!([near.take_text().await, far.take_text().await], ["back", "back"]);
        }
        near.ping().await;
        far.ping().await;
    }
}

/// A remote broker of which each packet is the test's.
struct Remote {
    stream: TcpStream,
    decoder: Decoder,
    input: BytesMut,
}

impl Remote {
    /// The bridge has said CONNECT.
    async fn hear(listener: &TcpListener) -> (Self, Connect) {
        let (stream, _) = listener.accept().await.unwrap();
        let mut remote = Self { stream, decoder: Decoder::new(Role::Server, u32::MAX), input: BytesMut::new() };
        let Packet::Connect(connect) = remote.receive().await else { panic!("no CONNECT") };
        assert!(!connect.clean_start);
        (remote, *connect)
    }

    /// Lets the bridge in.
    async fn accept(listener: &TcpListener, session_present: bool) -> Self {
        let (mut remote, _) = Self::hear(listener).await;
        remote.answer(session_present, ReasonCode::Success).await;
        remote
    }

    async fn answer(&mut self, session_present: bool, reason: ReasonCode) {
        self.send(Packet::ConnAck(ConnAck { session_present, reason, properties: Properties::EMPTY })).await;
    }

    async fn send(&mut self, packet: Packet) {
        let mut bytes = BytesMut::new();
        packet.encode(self.decoder.version().unwrap(), &mut bytes).unwrap();
        self.stream.write_all(&bytes).await.unwrap();
    }

    async fn receive(&mut self) -> Packet {
        loop {
            if let Some(packet) = self.decoder.decode(&mut self.input).unwrap() {
                return packet;
            }
            assert_ne!(self.stream.read_buf(&mut self.input).await.unwrap(), 0, "the bridge has closed");
        }
    }

    async fn grant(&mut self) {
        let Packet::Subscribe(asked) = self.receive().await else { panic!("no SUBSCRIBE") };
        let reasons = vec![ReasonCode::GrantedQos2; asked.filters.len()];
        self.send(Packet::SubAck(SubAck { packet_id: asked.packet_id, reasons, properties: Properties::EMPTY })).await;
    }

    async fn publish(&mut self, text: &'static str) {
        let publish = Publish {
            dup: false,
            qos: Qos::ExactlyOnce,
            retain: false,
            topic: Some(Topic::new("down/a").unwrap()),
            packet_id: Some(id(1)),
            properties: Properties::EMPTY,
            payload: text.into(),
        };
        self.send(Packet::Publish(publish)).await;
    }
}

/// Its ids begin anew, and one of them is still held here.
#[tokio::test]
async fn a_remote_broker_that_has_forgotten_its_session_loses_no_message_by_that() {
    for protocol in [5, 4] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut plan = both_ways();
        plan["protocol"] = json!(protocol);
        let remote = format!("mqtt://{}", listener.local_addr().unwrap());
        let bridges = json!([bridge("b", &remote, plan)]);
        let Some(here) = Broker::with(|config| with_bridges(config, bridges)).await else { return };
        let mut near = Client::connect(here.addr, Version::V5, "near").await;
        near.subscribe("hq/#", Qos::ExactlyOnce).await;
        let mut there = Remote::accept(&listener, false).await;
        there.grant().await;
        there.publish("before").await;
        assert_eq!(there.receive().await, Packet::PubRec(Ack::new(id(1), ReasonCode::Success)));
        assert_eq!(near.take_text().await, "before");
        drop(there);
        // With its session it releases the message, and nothing comes twice.
        let mut there = Remote::accept(&listener, true).await;
        there.grant().await;
        there.publish("before").await;
        assert_eq!(there.receive().await, Packet::PubRec(Ack::new(id(1), ReasonCode::Success)));
        drop(there);
        let mut there = Remote::accept(&listener, false).await;
        there.grant().await;
        there.publish("after").await;
        assert_eq!(there.receive().await, Packet::PubRec(Ack::new(id(1), ReasonCode::Success)));
        assert_eq!(near.take_text().await, "after");
    }
}

#[tokio::test]
async fn it_says_that_it_is_a_bridge_to_who_takes_that() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let remote = format!("mqtt://{}", listener.local_addr().unwrap());
    let refuse = async || {
        let (mut there, connect) = Remote::hear(&listener).await;
        assert!(connect.is_bridge);
        there.answer(false, ReasonCode::UnsupportedProtocolVersion).await;
    };
    let mut plan = both_ways();
    plan["protocol"] = json!(4);
    let bridges = json!([bridge("b", &remote, plan)]);
    let Some(here) = Broker::with(|config| with_bridges(config, bridges)).await else { return };
    refuse().await;
    let (mut there, connect) = Remote::hear(&listener).await;
    assert!(!connect.is_bridge);
    there.answer(false, ReasonCode::Success).await;
    there.grant().await;
    States::of(here.addr, "b").await.until("up").await;
    // Where it would be sent back what it brings it stays away.
    let plan = json!({"protocol": 4, "out": [{"topic": "a/#"}], "in": [{"topic": "+/b"}]});
    let bridges = json!({"bridges": [bridge("b", &remote, plan)]});
    here.server().registry().configure("bridge", bridges).await.unwrap();
    refuse().await;
    States::of(here.addr, "b").await.until_down_for("out has \"a/#\" and in has \"+/b\"").await;
    refuse().await;
}

#[tokio::test]
async fn a_bridge_for_which_much_waits_is_an_alarm_and_a_stopped_one_is_down() {
    const MAX: usize = 10;
    let Some(there) = Broker::with(|_| {}).await else { return };
    let way = Way::new(there.addr).await;
    let bridges = json!([bridge("b", &way.url(), both_ways())]);
    let Some((here, addr)) = start_with(|config| {
        config.session.max_queued = MAX;
        with_bridges(config, bridges);
    })
    .await
    else {
        return;
    };
    let mut states = States::of(here.addr, "b").await;
    states.until("up").await;
    way.shut();
    states.until("down").await;
    let mut near = Client::connect(here.addr, Version::V5, "near").await;
    for _ in 0..MAX + 3 {
        near.publish(message("up/a", "x", Qos::AtLeastOnce)).await;
    }
    let told = ask(addr, "GET /api/v4/bridges/b").await.json();
    assert_eq!((&told["data"]["waiting"], &told["data"]["queue_dropped"]), (&json!(MAX), &json!(3)));
    let mut wanted = vec!["bridge_behind", "bridge_queue_dropped_b"];
    while !wanted.is_empty() {
        let alarms = ask(addr, "GET /api/v4/alarms/activated").await.json().to_string();
        wanted.retain(|name| !alarms.contains(name));
    }
    way.cut();
    states.until("up").await;
    here.server().registry().stop("bridge").await.unwrap();
    assert_eq!(states.until("down").await.text("reason"), "the module is stopped");
}

#[tokio::test]
async fn tls_is_verified_and_a_certificate_is_shown() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let Some(there) = Broker::with(|config| add_doors(config, &authority, Verify::Required)).await else { return };
    let remote = format!("mqtts://{}", there.server().addresses().listener("mqtts").unwrap());
    let (cert, key) = authority.sign("bridge");
    let good = json!({"ca": authority.path("ca.pem"), "server_name": "localhost", "cert": cert, "key": key});
    let with = |name: &str, more: Value| {
        let mut plan = good.clone();
        plan.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let topic = json!({"out": [{"topic": name}], "in": [{"topic": format!("{name}/in")}]});
        plan.as_object_mut().unwrap().extend(topic.as_object().unwrap().clone());
        bridge(name, &remote, plan)
    };
    let bridges = json!([
        with("good", json!({})),
        with("stranger", json!({"ca": stranger.path("ca.pem")})),
        with("other-name", json!({"server_name": ""})),
        with("nobody", json!({"cert": "", "key": ""})),
    ]);
    let here = Broker::with(|config| with_bridges(config, bridges)).await.unwrap();
    States::of(here.addr, "good").await.until("up").await;
    for (name, why) in
        [("stranger", "invalid peer certificate"), ("other-name", "not valid for name"), ("nobody", "ertificate")]
    {
        let mut states = States::of(here.addr, name).await;
        let told = loop {
            let told = states.until("down").await;
            if told.text("reason") != "it has not been connected yet" {
                break told;
            }
        };
        assert!(told.text("reason").contains(why), "{name}: {told:?}");
    }
}

#[tokio::test]
async fn an_operator_sees_bridges_and_restarts_them() {
    let Some(there) = Broker::with(|_| {}).await else { return };
    let remote = format!("mqtt://{}", there.addr);
    let bridges = json!([bridge("b", &remote, both_ways())]);
    let Some((here, addr)) = start_with(|config| with_bridges(config, bridges)).await else { return };
    let mut events = Client::connect(here.addr, Version::V5, "events").await;
    events.subscribe("$SYS/brokers/+/bridges/#", Qos::AtLeastOnce).await;
    let mut states = States::of(here.addr, "b").await;
    states.until("up").await;
    let told = ask(addr, "GET /api/v4/bridges").await.json();
    let told = &told["data"][0];
    assert_eq!((&told["name"], &told["remote"], &told["state"]), (&json!("b"), &json!(remote), &json!("up")));
    assert_eq!((&told["client_id"], &told["connections"]), (&json!("$bridge:b"), &json!(1)));
    assert_eq!(ask(addr, "GET /api/v4/bridges/c").await.status, 404);
    let client = ask(addr, "GET /api/v4/clients/$bridge:b").await.json();
    assert_eq!((&client["data"][0]["is_bridge"], &client["data"][0]["connected"]), (&json!(true), &json!(true)));
    assert_eq!(ask(addr, "POST /api/v4/bridges/b/restart").await.json(), json!({"code": 0}));
    assert_eq!(states.until("down").await.text("reason"), "restarted by an operator");
    states.until("up").await;
    let mut told = Vec::new();
    while told.last().map(String::as_str) != Some("up") || told.len() < 2 {
        let topic = events.take().await.topic.unwrap();
        told.push(topic.as_str().rsplit('/').next().unwrap().to_owned());
    }
    assert_eq!(told[told.len() - 2..], ["down", "up"]);
    // Nobody takes its session over.
    let (_, refused) = Client::try_connect(here.addr, connect(Version::V5, "$bridge:b")).await;
    assert_eq!(refused.reason, ReasonCode::ClientIdNotValid);
}

#[tokio::test]
async fn what_is_no_longer_carried_is_given_up_at_both_ends() {
    let Some((there, there_admin)) = crate::admin::start().await else { return };
    let remote = format!("mqtt://{}", there.addr);
    let plan =
        |topics: [&str; 2]| json!({"out": [{"topic": topics[0]}], "in": [{"topic": topics[1]}], "client_id": "bridge"});
    let bridges = json!([bridge("b", &remote, plan(["a", "c"]))]);
    let Some((here, here_admin)) = start_with(|config| with_bridges(config, bridges)).await else { return };
    let mut states = States::of(here.addr, "b").await;
    states.until("up").await;
    let filters = async |admin, client: &str| {
        let answer = ask(admin, &format!("GET /api/v4/subscriptions/{client}")).await.json();
        let rows = answer["data"].as_array().unwrap().iter().map(|row| row["topic"].as_str().unwrap().to_owned());
        rows.collect::<Vec<_>>()
    };
    assert_eq!(
        (filters(here_admin, "$bridge:b").await, filters(there_admin, "bridge").await),
        (vec!["a".to_owned()], vec!["c".to_owned()])
    );
    let change = async |bridges: Value| {
        here.server().registry().configure("bridge", json!({ "bridges": bridges })).await.unwrap();
    };
    change(json!([bridge("b", &remote, plan(["b", "d"]))])).await;
    let mut states = States::of(here.addr, "b").await;
    states.until("up").await;
    assert_eq!(
        (filters(here_admin, "$bridge:b").await, filters(there_admin, "bridge").await),
        (vec!["b".to_owned()], vec!["d".to_owned()])
    );
    // Without the bridge nothing is kept for it.
    change(json!([])).await;
    while ask(here_admin, "GET /api/v4/clients/$bridge:b").await.json()["data"] != json!([]) {
        tokio::task::yield_now().await;
    }
}

/// It needs no user and no rule of its own here.
#[tokio::test]
async fn a_bridge_is_let_in_where_nobody_else_is() {
    let Some(there) = Broker::with(|_| {}).await else { return };
    let bridges = json!([bridge("b", &format!("mqtt://{}", there.addr), both_ways())]);
    let closed = |config: &mut Config| {
        config.auth.anonymous = mqtt_config::Anonymous::None;
        config.auth.default = mqtt_config::AuthDefault::Deny;
        with_bridges(config, bridges);
    };
    let Some((_here, addr)) = start_with(closed).await else { return };
    let told = async || ask(addr, "GET /api/v4/bridges/b").await.json()["data"].clone();
    while told().await["state"] != "up" {
        tokio::task::yield_now().await;
    }
    let mut far = Client::connect(there.addr, Version::V5, "far").await;
    far.subscribe("site1/#", Qos::ExactlyOnce).await;
    let body = json!({"topic": "up/a", "payload": "out", "qos": 1, "clientid": "operator"}).to_string();
    assert_eq!(send(addr, "POST /api/v4/mqtt/publish", &body).await.json()["code"], 0);
    assert_eq!(far.take_text().await, "out");
    let mut publisher = Client::connect(there.addr, Version::V5, "publisher").await;
    publisher.publish(message("down/a", "in", Qos::AtLeastOnce)).await;
    while told().await["received"] != 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(told().await["refused"], 0);
}
