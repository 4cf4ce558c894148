use mqtt_codec::{Message, Qos};
use mqtt_hooks::testing::{NOW, Recorder, came, foo, went};
use mqtt_hooks::{ConnectionInfo, Hooks, Listener, Reason, read_config};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{ChangeError, MemoryStates, Modules, Registry};

/// Milliseconds, some more than there are pieces of who is known.
const LOOKING: u64 = 100;

/// Starts presence, and returns when it has looked for what happened before, which it does a piece each millisecond. A recorder knows of no
/// connection, so whoever came before that is over would be found gone, or not, as its hash is.
pub(super) async fn start(registry: &Registry, host: &Recorder) {
    let times = [&host.now, &host.clock];
    for time in times {
        time.fetch_sub(LOOKING, Ordering::Relaxed);
    }
    registry.start("presence").await.unwrap();
    for _ in 0..LOOKING {
        host.run_tasks();
        for time in times {
            time.fetch_add(1, Ordering::Relaxed);
        }
    }
    host.run_tasks();
}

/// Presence, started, with a host that remembers.
struct Rig {
    host: Arc<Recorder>,
    hooks: Arc<Hooks>,
    registry: Registry,
    presence: Arc<Presence>,
}

impl Rig {
    async fn try_new(host: Arc<Recorder>, config: Value) -> Result<Self, ChangeError> {
        let hooks = Hooks::new();
        let registry = Registry::new(host.clone(), hooks.clone(), Arc::new(MemoryStates::default()));
        let presence = Arc::new(Presence::new(History::new()));
        registry.register(presence.clone(), config);
        registry.start("presence").await?;
        Ok(Self { host, hooks, registry, presence })
    }

    fn new(config: Value) -> Self {
        block_on(Self::try_new(Recorder::new(), config)).unwrap()
    }

    fn connected(&self, client: &ConnectionInfo) -> Option<Message> {
        self.hooks.observe(&came(client, 1), &mut self.host.moment());
        self.only()
    }

    fn disconnected(&self, client: &ConnectionInfo, reason: Reason) -> Option<Message> {
        self.hooks.observe(&went(client, reason, 2), &mut self.host.moment());
        self.only()
    }

    fn only(&self) -> Option<Message> {
        let mut published = self.host.take();
        assert!(published.len() <= 1);
        published.pop()
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn text(message: &Message) -> &str {
    std::str::from_utf8(&message.payload).unwrap()
}

fn parse(message: &Message) -> Value {
    serde_json::from_slice(&message.payload).unwrap()
}

#[test]
fn events_are_those_of_the_manual() {
    let rig = Rig::new(Value::Null);
    let connected = rig.connected(&foo()).unwrap();
    assert_eq!(
        text(&connected),
        r#"{"username":"foo","ts":1625572213873,"sockport":1883,"proto_ver":4,"proto_name":"MQTT","keepalive":60,"ipaddress":"127.0.0.1","expiry_interval":0,"connected_at":1625572213873,"connack":0,"clientid":"emqtt-8348fe27a87976ad4db3","clean_start":true}"#
    );
    let disconnected = rig.disconnected(&foo(), Reason::Closed("tcp_closed")).unwrap();
    assert_eq!(
        text(&disconnected),
        r#"{"username":"foo","ts":1625572213873,"sockport":1883,"reason":"tcp_closed","proto_ver":4,"proto_name":"MQTT","ipaddress":"127.0.0.1","disconnected_at":1625572213873,"clientid":"emqtt-8348fe27a87976ad4db3"}"#
    );
    for (message, what) in [(connected, "connected"), (disconnected, "disconnected")] {
        let topic = format!("$SYS/brokers/rollcall@127.0.0.1/clients/emqtt-8348fe27a87976ad4db3/{what}");
        assert_eq!(message.topic.as_str(), topic);
        assert_eq!(message.qos, Qos::AtLeastOnce);
        assert!(!message.retain);
        let properties: Vec<_> = message.properties.iter().collect();
        let schema =
            if message.topic.as_str().ends_with("/connected") { "emqx4/connected" } else { "emqx4/disconnected" };
        let schema = Property::UserProperty("schema".into(), schema.into());
        assert_eq!(properties, [Property::ContentType("application/json".into()), schema]);
    }
}

#[test]
fn extended_events_have_more_keys_after_those() {
    let plain = Rig::new(Value::Null);
    let rig = Rig::new(json!({"extended": true}));
    let own = r#","node":"rollcall@127.0.0.1","peerport":50123,"listener":"mqtt","epoch":3,"conn_id":41,"#;

    let all = rig.connected(&foo()).unwrap();
    let few = plain.connected(&foo()).unwrap();
    let (more, end) = (text(&all).strip_prefix(text(&few).trim_end_matches('}')).unwrap(), "}");
    let rest = r#""seq":1,"event":1,"session_present":false,"initiator":"client","reason_code":0,"reason_string":null,"flaps":1,"estimated":false"#;
    assert_eq!(more, format!("{own}{rest}{end}"));

    let all = rig.disconnected(&foo(), Reason::TakenOver).unwrap();
    let few = plain.disconnected(&foo(), Reason::TakenOver).unwrap();
    let more = text(&all).strip_prefix(text(&few).trim_end_matches('}')).unwrap();
    let rest = r#""seq":2,"event":2,"session_present":false,"initiator":"server","reason_code":142,"reason_string":null,"flaps":1,"estimated":false"#;
    assert_eq!(more, format!(r#","connected_at":1625572213873{own}{rest}{end}"#));

    let dead = parse(&rig.disconnected(&foo(), Reason::NodeDown).unwrap());
    assert_eq!((&dead["reason_code"], &dead["estimated"]), (&Value::Null, &Value::Bool(true)));
}

#[test]
fn versions_are_shown_by_level_and_name() {
    use mqtt_codec::Version;
    let rig = Rig::new(Value::Null);
    for (version, level, name) in [(Version::V3_1, 3, "MQIsdp"), (Version::V3_1_1, 4, "MQTT"), (Version::V5, 5, "MQTT")]
    {
        let client = ConnectionInfo { version, ..foo() };
        for event in
            [rig.connected(&client), rig.disconnected(&client, Reason::Client(mqtt_codec::ReasonCode::Success))]
        {
            let event = parse(&event.unwrap());
            assert_eq!((&event["proto_ver"], &event["proto_name"]), (&json!(level), &json!(name)));
        }
    }
}

#[test]
fn addresses_are_plain() {
    let rig = Rig::new(Value::Null);
    for (peer, shown) in [
        ("192.0.2.7:1", "192.0.2.7"),
        ("[::ffff:192.0.2.7]:1", "192.0.2.7"),
        ("[2001:db8:0:0:0:0:0:1]:1", "2001:db8::1"),
        ("[fe80::1%3]:1", "fe80::1"),
        ("[::1]:1", "::1"),
    ] {
        let client = ConnectionInfo { peer: peer.parse().unwrap(), ..foo() };
        assert_eq!(parse(&rig.connected(&client).unwrap())["ipaddress"], shown);
        assert_eq!(parse(&rig.disconnected(&client, Reason::Kicked).unwrap())["ipaddress"], shown);
    }
}

#[test]
fn a_missing_user_name_is_undefined_or_null() {
    let nobody = ConnectionInfo { username: None, ..foo() };
    let empty = ConnectionInfo { username: Some("".into()), ..foo() };
    for (config, shown) in [
        (json!({}), json!("undefined")),
        (json!({"missing_username": "undefined"}), json!("undefined")),
        (json!({"missing_username": "null"}), Value::Null),
    ] {
        let rig = Rig::new(config);
        assert_eq!(parse(&rig.connected(&nobody).unwrap())["username"], shown);
        assert_eq!(parse(&rig.disconnected(&nobody, Reason::Kicked).unwrap())["username"], shown);
        assert_eq!(parse(&rig.connected(&empty).unwrap())["username"], "");
    }
}

#[test]
fn ts_is_when_it_is_told_whatever_the_clock_shows() {
    let rig = Rig::new(Value::Null);
    rig.host.now.store(NOW - 5_000, Ordering::Relaxed);
    assert_eq!(parse(&rig.connected(&foo()).unwrap())["ts"], NOW);
    assert_eq!(parse(&rig.disconnected(&foo(), Reason::Kicked).unwrap())["ts"], NOW);
}

#[test]
fn numbers_are_shown_up_to_their_ends() {
    let rig = Rig::new(Value::Null);
    let listener = Arc::new(Listener::new("mqtt", u16::MAX));
    let client = ConnectionInfo { keep_alive: u16::MAX, expiry_interval: u32::MAX, listener, ..foo() };
    let event = parse(&rig.connected(&client).unwrap());
    assert_eq!(event["keepalive"], 65_535);
    assert_eq!(event["expiry_interval"], 4_294_967_295_u32);
    assert_eq!(event["sockport"], 65_535);
}

#[test]
fn odd_characters_are_escaped() {
    let rig = Rig::new(Value::Null);
    let username = Some("\"\\\u{1}\u{1f}\n\t\u{8}\u{c}/é\u{1F600}".into());
    let client = ConnectionInfo { client_id: "\"\\".into(), username, ..foo() };
    for event in [rig.connected(&client), rig.disconnected(&client, Reason::Kicked)] {
        let event = event.unwrap();
        assert!(text(&event).starts_with(r#"{"username":"\"\\\u0001\u001f\n\t\b\f/é😀","ts""#), "{}", text(&event));
        assert!(text(&event).contains(r#""clientid":"\"\\""#), "{}", text(&event));
    }
}

#[test]
fn quality_of_service_is_a_setting() {
    for (level, qos) in [(0, Qos::AtMostOnce), (1, Qos::AtLeastOnce), (2, Qos::ExactlyOnce)] {
        let rig = Rig::new(json!({ "qos": level }));
        assert_eq!(rig.connected(&foo()).unwrap().qos, qos);
    }
}

#[test]
fn wrong_settings_are_named() {
    for (config, why) in [
        (json!({"qos": 3}), "module presence did not start: qos: 3 is not from 0 to 2"),
        (json!({"qos": "1"}), "module presence did not start: qos: invalid type: string \"1\", expected u8"),
        (json!({"qso": 1}), "module presence did not start: unknown field `qso`, expected one of"),
        (
            json!({"missing_username": "none"}),
            "module presence did not start: missing_username: unknown variant `none`",
        ),
        (json!({"history": 10_000_001}), "module presence did not start: history: 10000001 is not from 0 to 10000000"),
        (json!({"extended": 1}), "module presence did not start: extended: invalid type"),
    ] {
        let error = block_on(Rig::try_new(Recorder::new(), config)).err().unwrap().to_string();
        assert!(error.starts_with(why), "{error}");
    }
}

#[test]
fn a_node_whose_name_is_no_part_of_a_topic_is_refused() {
    let error = block_on(Rig::try_new(Recorder::with_node("a+b"), Value::Null)).err().unwrap().to_string();
    assert!(error.contains("node"), "{error}");
}

#[track_caller]
fn check_topic(client_id: &str, level: &str) {
    let rig = Rig::new(Value::Null);
    let client = ConnectionInfo { client_id: client_id.to_owned().into(), ..foo() };
    for (message, what) in
        [(rig.connected(&client), "connected"), (rig.disconnected(&client, Reason::Discarded), "disconnected")]
    {
        let message = message.unwrap();
        assert_eq!(message.topic.as_str(), format!("$SYS/brokers/rollcall@127.0.0.1/clients/{level}/{what}"));
        assert_eq!(parse(&message)["clientid"], client_id);
    }
}

#[test]
fn client_ids_stand_in_topics_as_they_are() {
    check_topic("a/b", "a/b");
    check_topic("/", "/");
    check_topic("", "");
    check_topic("日本 é\u{1F600}", "日本 é\u{1F600}");
    check_topic("a\"b\\c", "a\"b\\c");
    check_topic("50%", "50%");
    check_topic("%2b %41 %", "%2b %41 %");
}

/// Also ids that look as if they were escaped already: each has a topic of its own.
#[test]
fn client_ids_never_share_a_topic() {
    check_topic("%2B", "%252B");
    check_topic("%23", "%2523");
    check_topic("%25", "%2525");
    check_topic("%252B", "%25252B");
    check_topic("%+", "%%2B");
    check_topic("%2+", "%2%2B");
    let parts = ["+", "#", "%", "2", "B", "5"];
    let rig = Rig::new(Value::Null);
    let mut topics = std::collections::HashSet::new();
    for n in 0..6_u32.pow(5) {
        let id: String = (0..5).map(|place| parts[(n / 6_u32.pow(place) % 6) as usize]).collect();
        let client = ConnectionInfo { client_id: id.into(), ..foo() };
        assert!(topics.insert(rig.connected(&client).unwrap().topic), "{}", client.client_id);
    }
}

#[test]
fn wildcards_in_client_ids_are_escaped_in_the_topic_only() {
    check_topic("+", "%2B");
    check_topic("#", "%23");
    check_topic("a+é#/+", "a%2Bé%23/%2B");
}

#[test]
fn a_client_id_too_long_for_either_topic_has_neither_event() {
    let rig = Rig::new(Value::Null);
    let longest = 65_535 - "$SYS/brokers/rollcall@127.0.0.1/clients//disconnected".len();
    let fits = ConnectionInfo { client_id: "x".repeat(longest).into(), ..foo() };
    assert!(rig.connected(&fits).is_some());
    assert_eq!(rig.disconnected(&fits, Reason::Kicked).unwrap().topic.as_str().len(), 65_535);
    assert_eq!(rig.presence.history().counts().skipped, 0);

    for client_id in ["x".repeat(longest + 1), format!("+{}", "x".repeat(longest - 1)), "#".repeat(65_535)] {
        let before = rig.presence.history().counts().skipped;
        let long = ConnectionInfo { client_id: client_id.into(), ..foo() };
        assert!(rig.connected(&long).is_none());
        assert!(rig.disconnected(&long, Reason::Kicked).is_none());
        assert_eq!(rig.presence.history().counts().skipped, before + 2);
    }
}

#[test]
fn nothing_is_written_while_nobody_listens() {
    let rig = Rig::new(Value::Null);
    rig.host.wanted.store(false, Ordering::Relaxed);
    assert!(rig.connected(&foo()).is_none());
    assert!(rig.disconnected(&foo(), Reason::Kicked).is_none());
}

#[test]
fn stop_and_start_hold_from_the_next_fact_on() {
    let rig = Rig::new(Value::Null);
    block_on(rig.registry.stop("presence")).unwrap();
    assert!(!rig.hooks.has_observers());
    assert!(rig.connected(&foo()).is_none());
    block_on(rig.registry.start("emqx_mod_presence")).unwrap();
    assert!(rig.host.take().is_empty(), "nothing is replayed");
    assert!(rig.disconnected(&foo(), Reason::Kicked).is_some());
}

#[test]
fn events_alternate_as_the_facts_do() {
    const CLIENTS: usize = 20;
    const ROUNDS: u64 = 50;
    let rig = Rig::new(json!({"extended": true}));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (hooks, host) = (rig.hooks.clone(), rig.host.clone());
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    for n in 0..CLIENTS {
                        let client_id = format!("{thread}-{n}").into();
                        let client = &ConnectionInfo { client_id, conn_id: round, ..foo() };
                        let seq = 2 * round;
                        hooks.observe(&came(client, seq), &mut host.moment());
                        hooks.observe(&went(client, Reason::TakenOver, seq + 1), &mut host.moment());
                    }
                }
            });
        }
    });
    let mut told = std::collections::HashMap::<String, u64>::new();
    for message in rig.host.take() {
        let event = parse(&message);
        let next = told.entry(event["clientid"].as_str().unwrap().to_owned()).or_default();
        let what = if next.is_multiple_of(2) { "/connected" } else { "/disconnected" };
        assert!(message.topic.as_str().ends_with(what), "{}", message.topic);
        assert_eq!(event["seq"], *next);
        *next += 1;
    }
    assert_eq!(told.len(), 4 * CLIENTS);
    assert!(told.values().all(|count| *count == 2 * ROUNDS));
}

proptest! {
    #[test]
    fn any_text_comes_out_of_the_json_as_it_went_in(client_id in "\\PC{0,40}", username in "[^\0]{0,40}") {
        let client = ConnectionInfo { client_id: client_id.clone().into(), username: Some(username.clone().into()), ..foo() };
        for extended in [false, true] {
            let rig = Rig::new(json!({ "extended": extended }));
            for message in [rig.connected(&client), rig.disconnected(&client, Reason::Kicked)] {
                let message = message.unwrap();
                let event = parse(&message);
                prop_assert_eq!(event["clientid"].as_str(), Some(client_id.as_str()));
                prop_assert_eq!(event["username"].as_str(), Some(username.as_str()));
                prop_assert!(!message.topic.as_str().contains(['+', '#']));
                prop_assert!(text(&message).bytes().all(|byte| byte >= b' '));
            }
        }
    }
}

#[test]
fn settings_for_people_are_the_settings() {
    let presence = Rig::new(json!({})).presence;
    let info = presence.info();
    for setting in info.settings {
        let default: Value = serde_json::from_str(setting.default).unwrap();
        let config = Value::Object([(setting.name.to_owned(), default)].into_iter().collect());
        assert_eq!(read_config::<Settings>(&config).unwrap(), Settings::default(), "{}", setting.name);
    }
    let wrong = json!({"qos": 3});
    assert!(presence.check(&wrong).unwrap_err().to_string().starts_with("qos: 3"));
}
