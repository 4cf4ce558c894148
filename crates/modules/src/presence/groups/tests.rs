use std::sync::atomic::Ordering::Relaxed;

use mqtt_hooks::testing::{NOW, Recorder, Told as Fact, foo};
use mqtt_hooks::{ConnectionInfo, Hooks, Origin, Reason, Tag, Tags};
use serde_json::{Value, json};

use super::*;
use crate::presence::Presence;
use crate::presence::roster::Member;
use crate::presence::tests::start;
use crate::{MemoryStates, Modules, Registry};

const PREFIX: &str = "$SYS/brokers/rollcall@127.0.0.1/presence/groups/";

struct Rig {
    host: Arc<Recorder>,
    hooks: Arc<Hooks>,
    registry: Registry,
    presence: Arc<Presence>,
}

impl Rig {
    /// `m*` are missed after ten minutes.
    async fn new() -> Self {
        let (host, hooks) = (Recorder::new(), Hooks::new());
        host.wanted.store(false, Relaxed);
        let registry = Registry::new(host.clone(), hooks.clone(), Arc::new(MemoryStates::default()));
        let presence = Arc::new(Presence::new(History::new()));
        registry.register(presence.clone(), json!({"absence": [{"name": "m", "match": "m*", "after": ["10m"]}]}));
        start(&registry, &host).await;
        Self { host, hooks, registry, presence }
    }

    /// Later than the start.
    fn at(&self, ms: u64) -> &Self {
        self.host.now.store(NOW + ms, Relaxed);
        self.host.clock.store(NOW + ms, Relaxed);
        self.host.run_tasks();
        self
    }

    fn fact(&self, client_id: &str, tags: &[&str], reason: Option<Reason>) -> &Self {
        let tag = |name: &&str| Tag { name: (*name).into(), origin: Origin::Proven };
        let tags = Tags::new(tags.iter().map(tag).collect());
        let at = self.host.now_ms();
        let client = ConnectionInfo { client_id: client_id.into(), connected_at: at, ..foo() }.with_tags(tags);
        let told = Fact { at, ..Fact::of(&client) };
        let fact = reason.map_or_else(|| told.came(), |reason| told.went(reason));
        self.hooks.observe(&fact, &mut self.host.moment());
        self
    }

    fn come(&self, client_id: &str, tags: &[&str]) -> &Self {
        self.fact(client_id, tags, None)
    }

    fn go(&self, client_id: &str, tags: &[&str]) -> &Self {
        self.fact(client_id, tags, Some(Reason::Kicked))
    }

    fn list(&self, client_id: &str, tags: &[&str], until: Option<u64>) -> &Self {
        let tags = tags.iter().map(|&tag| tag.to_owned()).collect();
        let member = Member::new(client_id, tags, None, until).unwrap();
        self.presence.roster.change(vec![(client_id.into(), member)], &[]).unwrap();
        self
    }

    /// What was published of groups since the last time.
    fn told(&self) -> Vec<(String, String)> {
        let of_group = |message: &Message| {
            let tag = message.topic.as_str().strip_prefix(PREFIX)?.strip_suffix("/counts")?.to_owned();
            Some((tag, short(message)))
        };
        self.host.take().iter().filter_map(of_group).collect()
    }

    /// What who subscribes is sent.
    fn subscribe(&self, filter: &str) -> Vec<(String, String)> {
        let filter = Filter::new(filter.to_owned()).unwrap();
        let states = self.hooks.states_about(&filter).expect("it is about states");
        let (mut walk, mut names) = (Walk::default(), Vec::new());
        while states.find(&filter, &mut walk, &mut names) {}
        names.into_iter().map(|name| (name.to_string(), short(&states.state(&name).unwrap()))).collect()
    }
}

/// The counts that are not 0.
fn short(message: &Message) -> String {
    let Value::Object(shown) = serde_json::from_slice(&message.payload).unwrap() else { panic!("{message:?}") };
    let names = ["members", "online", "offline", "absent", "silent", "never_seen", "maintenance"];
    let count = |name: &&str| shown[*name].as_u64().filter(|count| *count > 0).map(|count| format!("{count} {name}"));
    names.iter().filter_map(count).collect::<Vec<_>>().join(", ")
}

fn owned(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(tag, counts)| ((*tag).to_owned(), (*counts).to_owned())).collect()
}

#[tokio::test]
async fn who_subscribes_is_sent_counts_from_the_tables() {
    let rig = Rig::new().await;
    rig.list("m1", &["hall"], None).list("never", &["hall"], None).list("served", &["hall"], Some(NOW + 3_600_000));
    rig.come("m1", &["hall", "rome"]).come("b", &["rome"]).come("c", &[]).go("m1", &["hall", "rome"]);
    let before = owned(&[
        ("hall", "3 members, 1 offline, 1 never_seen, 1 maintenance"),
        ("rome", "2 members, 1 online, 1 offline"),
    ]);
    assert_eq!(rig.subscribe("$SYS/brokers/+/presence/groups/+/counts"), before);
    assert_eq!(rig.subscribe(&format!("{PREFIX}rome/counts")), before[1..]);
    assert!(rig.subscribe(&format!("{PREFIX}none/counts")).is_empty());
    // Nobody subscribes, so nothing is kept; then it is counted anew.
    rig.at(600_000);
    let after = owned(&[("hall", "3 members, 1 absent, 1 never_seen, 1 maintenance")]);
    assert_eq!(rig.subscribe(&format!("{PREFIX}hall/counts")), after);
    assert!(rig.host.take().is_empty());
}

#[tokio::test]
async fn what_changes_is_told_at_most_once_a_second_and_nothing_else() {
    let rig = Rig::new().await;
    rig.come("a", &["x"]).come("b", &["y"]);
    rig.host.named.store(true, Relaxed);
    assert_eq!(rig.subscribe("$SYS/brokers/+/presence/groups/+/counts").len(), 2);
    rig.at(1000);
    assert!(rig.told().is_empty(), "it has been sent that");
    for _ in 0..5 {
        rig.go("a", &["x"]).come("a", &["x"]);
    }
    rig.go("a", &["x"]).at(1500);
    assert!(rig.told().is_empty());
    rig.at(2000);
    assert_eq!(rig.told(), owned(&[("x", "1 members, 1 offline")]));
    rig.come("a", &["z"]).at(3000);
    let mut told = rig.told();
    told.sort();
    assert_eq!(told, owned(&[("x", ""), ("z", "1 members, 1 online")]), "x has nobody any more");
    rig.at(4000).at(20_000);
    assert!(rig.told().is_empty());
    rig.host.named.store(false, Relaxed);
    rig.go("a", &["z"]).at(30_000);
    assert!(rig.told().is_empty());
    rig.registry.stop("presence").await.unwrap();
}

#[test]
fn who_makes_up_tags_finds_an_end() {
    let mut counting = Counting::default();
    for n in 0..GROUPS + 10 {
        counting.count([&*n.to_string()].into_iter(), Standing::Online);
    }
    counting.count(["0", "x"].into_iter(), Standing::Offline);
    assert_eq!((counting.groups.len(), counting.groups["0"].members), (GROUPS, 2));
}
