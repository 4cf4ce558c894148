//! What telling that a client came or went costs, with and without anyone who wants to know.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mqtt_codec::{Message, ReasonCode, Topic};
use mqtt_hooks::testing::{came, foo, went};
use mqtt_hooks::{Acting, ConnectionInfo, Hooks, Host, Moment, Reason, RecordTable, Stop, Task};
use mqtt_modules::presence::{History, Presence};
use mqtt_modules::{MemoryStates, Registry};

/// A broker that throws away what is published.
struct Silent {
    subscribed: bool,
}

impl Host for Silent {
    fn node(&self) -> &str {
        "rollcall@127.0.0.1"
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
        act(&mut Wasted(self.subscribed));
    }

    fn spawn(&self, _task: Task) -> Box<dyn Stop> {
        Box::new(Unneeded)
    }

    fn sleep_until(&self, _clock_ms: u64) -> Task {
        Box::pin(std::future::pending())
    }
}

/// What would end a task, were it run.
struct Unneeded;

impl Stop for Unneeded {
    fn stop(&self) {}
}

/// A moment of which nothing is left; true: someone subscribes.
struct Wasted(bool);

impl Moment for Wasted {
    fn publish(&mut self, message: Message) {
        black_box(message);
    }

    fn publish_if_wanted(&mut self, topic: &Topic, build: &mut dyn FnMut() -> Message) -> bool {
        black_box(topic);
        if self.0 {
            black_box(build());
        }
        self.0
    }

    fn keep(&mut self, _table: &RecordTable, key: &[u8], record: &[u8]) {
        black_box((key, record));
    }

    fn forget(&mut self, _table: &RecordTable, key: &[u8]) {
        black_box(key);
    }

    fn acting(&self) -> Acting {
        Acting::BROKER
    }

    fn set_acting(&mut self, _acting: Acting) {}
}

fn hooks(subscribed: bool) -> (Arc<Hooks>, Registry) {
    let hooks = Hooks::new();
    let registry = Registry::new(Arc::new(Silent { subscribed }), hooks.clone(), Arc::new(MemoryStates::default()));
    registry.register(Arc::new(Presence::new(History::new())), serde_json::Value::Null);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    assert!(runtime.block_on(registry.start_wanted()).is_empty(), "presence starts");
    (hooks, registry)
}

fn observe(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("presence");
    group.throughput(Throughput::Elements(1));
    let (client, reason) = (foo(), Reason::Client(ReasonCode::Success));
    for (name, subscribed) in [("subscribed", true), ("nobody subscribed", false)] {
        let (hooks, _registry) = hooks(subscribed);
        for (event, fact) in [("connected", came(&client, 1)), ("disconnected", went(&client, reason, 2))] {
            group.bench_function(format!("{event}/{name}"), |bencher| {
                bencher.iter(|| hooks.observe(black_box(&fact), &mut Wasted(subscribed)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, observe);
criterion_main!(benches);
