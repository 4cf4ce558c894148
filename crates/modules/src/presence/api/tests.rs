use mqtt_codec::{Message, Qos, Topic};
use mqtt_hooks::route::{Answer, Event, Feed};
use mqtt_hooks::testing::{NOW, Recorder, came, foo, went};
use mqtt_hooks::{ConnectionInfo, Delivery, DropReason, Hooks, Reason};
use serde_json::Value;

use super::*;
use crate::presence::Presence;
use crate::{MemoryStates, Modules, Registry};

/// Presence, started, and what it answers.
pub(super) struct Rig {
    pub(super) host: Arc<Recorder>,
    pub(super) hooks: Arc<Hooks>,
    pub(super) registry: Registry,
}

impl Rig {
    pub(super) async fn new() -> Self {
        Self::with(Value::Null).await
    }

    pub(super) async fn with(config: Value) -> Self {
        let (host, hooks) = (Recorder::new(), Hooks::new());
        let registry = Registry::new(host.clone(), hooks.clone(), Arc::new(MemoryStates::default()));
        registry.register(Arc::new(Presence::new(History::new())), config);
        registry.start("presence").await.unwrap();
        Self { host, hooks, registry }
    }

    pub(super) fn visit(&self, client_id: &'static str) {
        let client = ConnectionInfo { client_id: client_id.into(), ..foo() };
        self.hooks.observe(&came(&client, 1), &mut self.host.moment());
        self.hooks.observe(&went(&client, Reason::TakenOver, 2), &mut self.host.moment());
    }

    async fn ask(&self, path: &str, request: Request) -> Result<Answer, Refusal> {
        self.do_at(Method::Get, path, request).await
    }

    pub(super) async fn do_at(&self, method: Method, path: &str, request: Request) -> Result<Answer, Refusal> {
        let mut offers = self.registry.routes().into_iter();
        let found = offers.find(|offer| offer.route.path == path && offer.route.method == method).expect("a route");
        found.route.handler.handle(request).await
    }

    /// The rows of a list, and what is next.
    pub(super) async fn rows(&self, path: &str, query: &[(&str, &str)]) -> (Vec<Value>, Option<String>) {
        let answer = self.ask(path, Request::asking(query)).await.unwrap();
        let Answer::List { rows, position } = answer else { panic!("{answer:?}") };
        (serde_json::from_str(rows.as_str()).unwrap(), position.next.filter(|_| position.has_next))
    }

    /// Whose events are on a page, and what is next.
    async fn page(&self, query: &[(&str, &str)]) -> (Vec<String>, Option<String>) {
        let (rows, next) = self.rows("/presence/events", query).await;
        let short =
            |row: &Value| format!("{}{}", row["clientid"].as_str().unwrap(), &row["event"].as_str().unwrap()[..1]);
        (rows.iter().map(short).collect(), next)
    }

    async fn stream(&self, request: Request) -> Box<dyn Feed> {
        match self.ask("/presence/stream", request).await.unwrap() {
            Answer::Events(feed) => feed,
            other => panic!("{other:?}"),
        }
    }
}

fn id_of(event: Event) -> u64 {
    assert_eq!(event.name, "presence");
    event.id.unwrap().parse().unwrap()
}

#[tokio::test]
async fn events_come_by_pages_also_while_presence_is_stopped() {
    let rig = Rig::new().await;
    ["a", "b"].into_iter().for_each(|id| rig.visit(id));
    rig.registry.stop("presence").await.unwrap();
    let (first, next) = rig.page(&[("_limit", "3")]).await;
    assert_eq!(first, ["ac", "ad", "bc"]);
    assert_eq!(rig.page(&[("_limit", "3"), ("since", &next.unwrap())]).await, (vec!["bd".to_owned()], None));
    let (_, next) = rig.page(&[("_limit", "1")]).await;
    assert_eq!(rig.page(&[("after", &next.unwrap())]).await.0, ["ad", "bc", "bd"]);
    assert_eq!(rig.page(&[("order", "desc"), ("clientid", "a")]).await.0, ["ad", "ac"]);
    for wrong in [("order", "up"), ("_limit", "-1"), ("since", "x")] {
        let refused = rig.ask("/presence/events", Request::asking(&[wrong])).await;
        assert!(matches!(refused, Err(Refusal::BadRequest(_))), "{wrong:?}");
    }
}

#[tokio::test]
async fn since_when_events_are_kept_is_told_where_older_ones_are_gone() {
    let rig = Rig::with(serde_json::json!({ "history": 8 })).await;
    let kept_since =
        async |query: &[(&str, &str)]| match rig.ask("/presence/events", Request::asking(query)).await.unwrap() {
            Answer::List { position, .. } => position.kept_since,
            other => panic!("{other:?}"),
        };
    assert_eq!(kept_since(&[]).await, None, "there are none");
    rig.visit("a");
    assert_eq!(kept_since(&[("clientid", "a")]).await, None, "there were no others");
    assert_eq!(kept_since(&[("clientid", "b")]).await, Some(NOW));
    for seq in 3..20 {
        let client = ConnectionInfo { client_id: "b".into(), connected_at: NOW + seq, ..foo() };
        rig.hooks.observe(&came(&client, seq), &mut rig.host.moment());
    }
    assert_eq!(kept_since(&[("clientid", "a")]).await, None, "b has written over its own");
    assert_eq!(kept_since(&[("clientid", "b")]).await, Some(NOW + 14));
    assert_eq!(kept_since(&[]).await, Some(NOW));
}

#[tokio::test]
async fn a_stream_goes_on_after_the_last_event_heard() {
    let rig = Rig::new().await;
    ["a", "b"].into_iter().for_each(|id| rig.visit(id));
    let mut all = rig.stream(Request::asking(&[("since", "0")])).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(id_of(all.next().await.unwrap()));
    }
    assert!(ids.is_sorted());
    // What it said last counts more than where it once began.
    let again = Request { last_event_id: Some(ids[1].to_string()), ..Request::asking(&[("since", "0")]) };
    assert_eq!(id_of(rig.stream(again).await.next().await.unwrap()), ids[2]);
    let mut new = rig.stream(Request::asking(&[("prefix", "c")])).await;
    ["d", "c"].into_iter().for_each(|id| rig.visit(id));
    assert_eq!(id_of(new.next().await.unwrap()), ids[3] + 3);
}

#[tokio::test]
async fn events_that_a_subscriber_did_not_get_are_counted() {
    let rig = Rig::new().await;
    rig.visit("a");
    let told = &rig.host.take()[0];
    let other = Message { topic: Topic::new("a").unwrap(), ..told.clone() };
    for (message, reason) in [
        (told, DropReason::QueueFull),
        (told, DropReason::OutboxFull),
        (told, DropReason::Offline),
        (&other, DropReason::QueueFull),
    ] {
        rig.hooks.dropped(&Delivery { client_id: "watcher", message, qos: Qos::AtMostOnce, accepted_at: None }, reason);
    }
    let numbers = rig.registry.numbers();
    let of = |key: &str| numbers[0].numbers.iter().find(|number| number.key() == key).expect("a number").value.clone();
    assert_eq!(of("events.dropped"), mqtt_hooks::Reading::Counter(2));
    assert_eq!(of("events.connected"), mqtt_hooks::Reading::Counter(1));
    assert_eq!(of("events.kept"), mqtt_hooks::Reading::Gauge(2.0));
}
