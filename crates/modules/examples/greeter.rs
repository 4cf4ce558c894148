//! A module as an outsider writes one: it greets each client that connects on `greetings/${clientid}`.
//!
//! `cargo run -p mqtt-modules --example greeter` runs it on a broker that only prints.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use mqtt_codec::{Message, Properties, Qos, ReasonCode, Topic, Version};
use mqtt_hooks::{
    Acting, ConnectionInfo, Ctx, Fact, Hooks, Host, Info, Listener, Module, Moment, Observe, Reason, RecordTable,
    StartError, Stop, Task,
};
use mqtt_modules::{ChangeError, MemoryStates, Modules, Registry};
use serde::Deserialize;
use serde_json::{Value, json};

/// The module. It keeps nothing: what a start needs lives in the hook.
struct Greeter;

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    words: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { words: "Hello".to_owned() }
    }
}

#[async_trait]
impl Module for Greeter {
    fn info(&self) -> Info {
        Info {
            name: "greeter",
            title: "Greeter",
            description: "Greets clients as they connect.",
            default_on: false,
            settings: &[],
        }
    }

    async fn start(&self, ctx: &Ctx) -> Result<(), StartError> {
        let Settings { words } = ctx.config()?;
        if words.is_empty() {
            return Err(StartError::Config("words: a greeting needs some".to_owned()));
        }
        ctx.observe(Arc::new(Greet { words }));
        Ok(())
    }
}

/// Its hook.
struct Greet {
    words: String,
}

impl Observe for Greet {
    fn observe(&self, fact: &Fact<'_>, moment: &mut dyn Moment) {
        let Fact::Connected { client, .. } = fact else { return };
        // A client id may hold what no topic can, such as `#`.
        let Ok(topic) = Topic::new(format!("greetings/{}", client.client_id)) else { return };
        moment.publish_if_wanted(&topic, &mut || Message {
            topic: topic.clone(),
            payload: format!("{}, {}!", self.words, client.client_id).into(),
            qos: Qos::AtMostOnce,
            retain: false,
            properties: Properties::EMPTY,
        });
    }
}

/// A broker that prints what modules publish.
struct Printer;

impl Host for Printer {
    fn node(&self) -> &str {
        "printer@127.0.0.1"
    }

    fn now_ms(&self) -> u64 {
        1_625_572_213_873
    }

    fn clock_ms(&self) -> u64 {
        self.now_ms()
    }

    fn epoch(&self) -> u64 {
        1
    }

    fn records(&self, _table: &RecordTable, _visit: &mut dyn FnMut(&[u8], &[u8])) -> std::io::Result<()> {
        Ok(())
    }

    fn may_publish(&self, _client: &ConnectionInfo, _topic: &Topic) -> Result<(), ReasonCode> {
        Ok(())
    }

    fn act(&self, _acting: Acting, act: &mut dyn FnMut(&mut dyn Moment)) {
        act(&mut Printing);
    }

    fn spawn(&self, task: Task) -> Box<dyn Stop> {
        Box::new(Running(tokio::spawn(task)))
    }

    fn sleep_until(&self, _clock_ms: u64) -> Task {
        Box::pin(std::future::pending())
    }
}

/// A module's task.
struct Running(tokio::task::JoinHandle<()>);

impl Stop for Running {
    fn stop(&self) {
        self.0.abort();
    }
}

/// Everything happens at once.
struct Printing;

impl Moment for Printing {
    fn publish(&mut self, message: Message) {
        let payload = String::from_utf8_lossy(&message.payload);
        // Whoever reads may have gone, as `head` does.
        let _ = writeln!(std::io::stdout(), "{}  {payload}", message.topic);
    }

    fn publish_if_wanted(&mut self, _topic: &Topic, build: &mut dyn FnMut() -> Message) -> bool {
        self.publish(build());
        true
    }

    fn keep(&mut self, _table: &RecordTable, _key: &[u8], _record: &[u8]) {}

    fn forget(&mut self, _table: &RecordTable, _key: &[u8]) {}

    fn acting(&self) -> Acting {
        Acting::BROKER
    }

    fn set_acting(&mut self, _acting: Acting) {}
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), ChangeError> {
    let hooks = Hooks::new();
    let registry = Registry::new(Arc::new(Printer), hooks.clone(), Arc::new(MemoryStates::default()));
    for module in mqtt_modules::shipped() {
        registry.register(module, Value::Null);
    }
    registry.register(Arc::new(Greeter), json!({ "words": "Welcome" }));
    registry.start_wanted().await;

    registry.start("greeter").await?;
    visit(&hooks, "thermometer");
    registry.configure("greeter", json!({ "words": "Good evening" })).await?;
    visit(&hooks, "barometer");
    registry.stop("greeter").await?;
    visit(&hooks, "hygrometer");
    registry.stop_all().await;
    Ok(())
}

/// What a broker tells of a client that comes and goes.
fn visit(hooks: &Hooks, client_id: &'static str) {
    let client = &ConnectionInfo {
        client_id: client_id.into(),
        username: None,
        version: Version::V5,
        is_bridge: false,
        peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000)),
        listener: Arc::new(Listener::new("mqtt", 1883)),
        keep_alive: 60,
        clean_start: true,
        expiry_interval: 0,
        connected_at: 1_625_572_213_873,
        session_present: false,
        epoch: 1,
        conn_id: 1,
    };
    let (flaps, noticed) = (1, Instant::now());
    let told_at = client.connected_at;
    let (properties, receive_maximum) = (&Properties::EMPTY, 100);
    let came = Fact::Connected { client, told_at, seq: 0, flaps, properties, receive_maximum, noticed };
    hooks.observe(&came, &mut Printing);
    let (reason, at) = (Reason::Client(ReasonCode::Success), client.connected_at + 5);
    let went = Fact::Disconnected {
        client,
        reason,
        reason_string: None,
        properties,
        at,
        told_at: at,
        seq: 1,
        flaps,
        last_heard: at,
        noticed,
    };
    hooks.observe(&went, &mut Printing);
}
