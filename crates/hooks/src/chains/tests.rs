use mqtt_codec::{Message, Properties, Qos, Topic};

use super::*;
use crate::testing::{Recorder, foo};
use crate::{Delivery, DropReason, Publisher, Walk};

/// Answers every question the same way, and notes that it was asked.
struct Say {
    answer: Answer,
    asked: Arc<AtomicU64>,
}

#[derive(Clone, Copy)]
enum Answer {
    Verdict(Verdict),
    /// Changes what it is handed, then panics.
    Panic,
    /// Appends this level.
    Level(&'static str),
    Drop,
}

impl Say {
    fn verdict(&self) -> Verdict {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match self.answer {
            Answer::Verdict(verdict) => verdict,
            Answer::Panic => panic!("asked"),
            Answer::Level(_) | Answer::Drop => Verdict::Ignore,
        }
    }
}

#[async_trait::async_trait]
impl Authenticate for Say {
    async fn authenticate(&self, _client: &ConnectionInfo, _password: Option<&[u8]>) -> Login {
        self.verdict().into()
    }
}

impl Authorize for Say {
    fn authorize(&self, _client: &ConnectionInfo, _access: Access<'_>) -> Verdict {
        self.verdict()
    }
}

impl Intercept for Say {
    fn publish(&self, incoming: &mut Incoming<'_>, _: &mut dyn Moment) -> Passage {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match self.answer {
            Answer::Level(level) => incoming.message.topic = topic(&format!("{}/{level}", incoming.message.topic)),
            Answer::Panic => {
                incoming.message.topic = topic("broken");
                *incoming.expires_at = None;
                panic!("publish");
            }
            Answer::Drop => return Passage::Drop,
            Answer::Verdict(_) => {}
        }
        Passage::Pass
    }

    fn subscribe(&self, _client: &ConnectionInfo, filter: &mut Filter, options: &mut SubscribeOptions) {
        match self.answer {
            Answer::Level(level) => *filter = self::filter(&format!("{filter}/{level}")),
            Answer::Panic => {
                *filter = self::filter("broken");
                options.no_local = true;
                panic!("subscribe");
            }
            Answer::Verdict(_) | Answer::Drop => {}
        }
    }
}

fn topic(text: &str) -> Topic {
    Topic::new(text.to_owned()).unwrap()
}

fn filter(text: &str) -> Filter {
    Filter::new(text.to_owned()).unwrap()
}

fn message() -> Message {
    let (payload, properties) = (bytes::Bytes::new(), Properties::EMPTY);
    Message { topic: topic("t"), payload, qos: Qos::AtMostOnce, retain: false, properties }
}

fn ctx(place: usize) -> Ctx {
    Ctx::new("say", place, Recorder::new(), Arc::default())
}

/// Hooks with these answers, in this order, and what counts the questions.
fn hooks(answers: &[Answer]) -> (Arc<Hooks>, Vec<Entered>, Arc<AtomicU64>) {
    let (hooks, asked) = (Hooks::new(), Arc::<AtomicU64>::default());
    let entered = answers.iter().enumerate().map(|(place, &answer)| {
        let say = Arc::new(Say { answer, asked: asked.clone() });
        let ctx = ctx(place);
        ctx.authenticate(say.clone());
        ctx.authorize(say.clone());
        ctx.intercept(say);
        hooks.enter(ctx)
    });
    let entered = entered.collect();
    (hooks, entered, asked)
}

/// Lets the interceptors at a message that is published on behalf of `acting`, and expires.
fn passes(hooks: &Hooks, message: &mut Message, acting: Acting) -> bool {
    let (host, mut expires_at) = (Recorder::new(), Some(7));
    let mut moment = host.moment();
    moment.set_acting(acting);
    let publisher = Publisher::Client(&foo());
    let mut incoming = Incoming { publisher, message, expires_at: &mut expires_at };
    let passage = hooks.intercept(&mut incoming, &mut moment);
    assert_eq!((moment.acting(), expires_at), (acting, Some(7)));
    passage == Passage::Pass
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Both questions, asked of hooks with these answers: their verdicts, and how many hooks each reached.
#[track_caller]
fn check(answers: &[Answer], authorize: Verdict, authenticate: Verdict, reached: u64) {
    let (hooks, _entered, asked) = hooks(answers);
    assert_eq!(hooks.authorize(&foo(), Access::Publish(&topic("t"))), authorize);
    assert_eq!(asked.swap(0, Ordering::Relaxed), reached);
    assert_eq!(block_on(hooks.authenticate(&foo(), None)), Login::from(authenticate));
    assert_eq!(asked.load(Ordering::Relaxed), reached);
}

const IGNORE: Answer = Answer::Verdict(Verdict::Ignore);
const ALLOW: Answer = Answer::Verdict(Verdict::Allow);
const DENY: Answer = Answer::Verdict(Verdict::Deny(ReasonCode::Banned));

#[test]
fn the_first_that_decides_decides() {
    let banned = Verdict::Deny(ReasonCode::Banned);
    check(&[], Verdict::Ignore, Verdict::Ignore, 0);
    check(&[IGNORE, IGNORE], Verdict::Ignore, Verdict::Ignore, 2);
    check(&[IGNORE, ALLOW, DENY], Verdict::Allow, Verdict::Allow, 2);
    check(&[DENY, ALLOW], banned, banned, 1);
}

#[test]
fn a_panic_denies() {
    let (authorize, authenticate) = (ReasonCode::NotAuthorized, ReasonCode::ServerUnavailable);
    check(&[IGNORE, Answer::Panic, ALLOW], Verdict::Deny(authorize), Verdict::Deny(authenticate), 2);
}

#[test]
fn interceptors_change_what_the_next_one_sees() {
    let (hooks, _entered, _) = hooks(&[Answer::Level("a"), Answer::Level("b")]);
    let mut message = message();
    assert!(passes(&hooks, &mut message, Acting::BROKER));
    assert_eq!(message.topic.as_str(), "t/a/b");
    let (mut filter, mut options) = (filter("f"), SubscribeOptions::default());
    hooks.intercept_subscribe(&foo(), &mut filter, &mut options);
    assert_eq!(filter.as_str(), "f/a/b");
}

#[test]
fn what_a_panicking_interceptor_changed_is_put_back() {
    let (hooks, entered, _) = hooks(&[Answer::Level("a"), Answer::Panic, Answer::Level("b")]);
    let mut message = message();
    assert!(passes(&hooks, &mut message, Acting::BROKER));
    assert_eq!(message.topic.as_str(), "t/a/b");
    let (mut filter, mut options) = (filter("f"), SubscribeOptions::default());
    hooks.intercept_subscribe(&foo(), &mut filter, &mut options);
    assert_eq!((filter.as_str(), options), ("f/a/b", SubscribeOptions::default()));
    assert_eq!(entered[1].panics(), 2);
}

#[test]
fn nobody_sees_a_dropped_message() {
    let (hooks, _entered, asked) = hooks(&[Answer::Drop, Answer::Level("a")]);
    assert!(!passes(&hooks, &mut message(), Acting::BROKER));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[test]
fn hooks_leave_one_start_at_a_time() {
    let (hooks, mut entered, _) = hooks(&[IGNORE, ALLOW]);
    entered.pop();
    assert!(hooks.has_authenticators() && hooks.has_authorizers() && hooks.has_interceptors());
    assert_eq!(hooks.authorize(&foo(), Access::Subscribe(&filter("f"))), Verdict::Ignore);
    entered.pop();
    assert!(!hooks.has_authenticators() && !hooks.has_authorizers() && !hooks.has_interceptors());
    assert!(!hooks.has_observers());
}

#[test]
fn the_order_is_that_of_registration_whoever_starts_first() {
    let (hooks, asked) = (Hooks::new(), Arc::<AtomicU64>::default());
    let enter = |place, level| {
        let say = |level| Arc::new(Say { answer: Answer::Level(level), asked: asked.clone() });
        let ctx = ctx(place);
        ctx.intercept(say(level));
        ctx.intercept(say("x"));
        hooks.enter(ctx)
    };
    let _entered = (enter(2, "two"), enter(0, "zero"), enter(1, "one"));
    let mut message = message();
    assert!(passes(&hooks, &mut message, Acting::BROKER));
    assert_eq!(message.topic.as_str(), "t/zero/x/one/x/two/x");
}

#[test]
fn nobody_sees_what_it_had_a_part_in() {
    let (hooks, _entered, _) = hooks(&[Answer::Level("a"), Answer::Level("b"), Answer::Level("c")]);
    let by_b = Acting::of("b", 1);
    for (acting, seen) in [(by_b, "t/a/c"), (by_b.then("a", 0), "t/c"), (Acting::of("z", 99), "t/a/b/c")] {
        let mut message = message();
        assert!(passes(&hooks, &mut message, acting));
        assert_eq!(message.topic.as_str(), seen);
    }
}

/// Publishes a message of its own at each that it sees.
struct Echo;

impl Intercept for Echo {
    fn publish(&self, incoming: &mut Incoming<'_>, moment: &mut dyn Moment) -> Passage {
        assert_eq!(moment.acting().module(), Some("say"));
        moment.publish(incoming.message.clone());
        Passage::Pass
    }
}

#[test]
fn what_a_hook_publishes_is_its_module_s() {
    let hooks = Hooks::new();
    let ctx = ctx(0);
    ctx.intercept(Arc::new(Echo));
    let entered = hooks.enter(ctx);
    assert!(passes(&hooks, &mut message(), Acting::BROKER));
    assert_eq!(entered.panics(), 0);
}

/// Notes what it is told.
#[derive(Default)]
struct Ledger(Mutex<Vec<String>>);

impl ObserveDrops for Ledger {
    fn dropped(&self, delivery: &Delivery<'_>, reason: DropReason) {
        self.0.lock().push(format!("{} {} {reason:?}", delivery.client_id, delivery.message.topic));
        assert!(reason != DropReason::Expired, "dropped says no");
    }
}

impl ObserveAcks for Ledger {
    fn acknowledged(&self, delivery: &Delivery<'_>) {
        self.0.lock().push(format!("{} {} acknowledged", delivery.client_id, delivery.message.topic));
    }
}

impl ObserveMessages for Ledger {
    fn published(&self, message: &Message, _: Option<&str>) {
        self.0.lock().push(format!("{} published", message.topic));
        panic!("published says no");
    }

    fn taken(&self, delivery: &Delivery<'_>) {
        self.0.lock().push(format!("{} {} taken", delivery.client_id, delivery.message.topic));
    }

    fn unwanted(&self, message: &Message) {
        self.0.lock().push(format!("{} unwanted", message.topic));
    }
}

#[test]
fn who_watches_messages_is_told_while_it_is_in_and_turned_on() {
    let (hooks, ledger, ctx) = (Hooks::new(), Arc::new(Ledger::default()), ctx(0));
    let standby = ctx.observe_messages_when(ledger.clone());
    let message = message();
    let tell = || {
        hooks.published(&message, None);
        hooks.taken(&Delivery { client_id: "c", message: &message, qos: Qos::AtLeastOnce, accepted_at: None });
        hooks.unwanted(&message);
    };
    let entered = hooks.enter(ctx);
    tell();
    assert!(ledger.0.lock().is_empty() && !hooks.has_message_observers());
    standby.set(true);
    tell();
    let told = ledger.0.lock().join(", ");
    assert_eq!((&*told, entered.panics()), ("t published, c t taken, t unwanted", 1));
    drop(entered);
    tell();
    assert_eq!(ledger.0.lock().len(), 3);
}

#[test]
fn who_watches_deliveries_is_told_while_it_is_in() {
    let (hooks, ledger, ctx) = (Hooks::new(), Arc::new(Ledger::default()), ctx(0));
    ctx.observe_drops(ledger.clone());
    ctx.observe_acks(ledger.clone());
    let message = message();
    let delivery = Delivery { client_id: "c", message: &message, qos: Qos::AtLeastOnce, accepted_at: None };
    let entered = hooks.enter(ctx);
    hooks.dropped(&delivery, DropReason::Expired);
    hooks.acknowledged(&delivery);
    assert_eq!((ledger.0.lock().join(", "), entered.panics()), ("c t Expired, c t acknowledged".to_owned(), 1));
    drop(entered);
    hooks.dropped(&delivery, DropReason::QueueFull);
    hooks.acknowledged(&delivery);
    assert!(!hooks.has_ack_observers() && ledger.0.lock().len() == 2);
}

/// Knows of one topic and one client, unless it panics.
struct One {
    panics: bool,
}

impl States for One {
    fn is_about(&self, filter: &Filter) -> bool {
        filter.as_str() == "t"
    }

    fn find(&self, _filter: &Filter, walk: &mut Walk, found: &mut Vec<Box<str>>) -> bool {
        assert!(!self.panics, "find says no");
        walk.at += 1;
        found.push("one".into());
        walk.at < 3
    }

    fn state(&self, name: &str) -> Option<Message> {
        (name == "one").then(message)
    }

    fn done(&self, _walk: &Walk) -> Option<Message> {
        None
    }
}

impl Remember for One {
    fn last_connection(&self, client_id: &str) -> Option<ConnectionInfo> {
        assert!(!self.panics, "last_connection says no");
        (client_id == &*foo().client_id).then(foo)
    }
}

#[test]
fn states_and_clients_are_told_of_while_their_module_is_in() {
    let (hooks, filter) = (Hooks::new(), Filter::new("t").unwrap());
    let enter = |panics: bool| {
        let (ctx, one) = (ctx(usize::from(!panics)), Arc::new(One { panics }));
        ctx.states(one.clone());
        ctx.remember(one);
        hooks.enter(ctx)
    };
    assert!(hooks.states_about(&filter).is_none() && hooks.last_connection(&foo().client_id).is_none());
    let entered = enter(false);
    assert!(hooks.states_about(&Filter::new("u").unwrap()).is_none());
    let states = hooks.states_about(&filter).unwrap();
    let (mut walk, mut found) = (Walk::default(), Vec::new());
    while states.find(&filter, &mut walk, &mut found) {}
    assert_eq!((found.len(), states.state("one"), states.state("other")), (3, Some(message()), None));
    assert_eq!(hooks.last_connection(&foo().client_id), Some(foo()));
    assert_eq!(hooks.last_connection("other"), None);
    // One that panics knows nothing, and the next is asked.
    let panicking = enter(true);
    assert_eq!(hooks.last_connection(&foo().client_id), Some(foo()));
    assert!(!hooks.states_about(&filter).unwrap().find(&filter, &mut walk, &mut found));
    assert_eq!(panicking.panics(), 2);
    drop((entered, panicking));
    assert!(!hooks.has_states() && hooks.last_connection(&foo().client_id).is_none());
}

/// Has `own/...`, reads of `own/#` are closed, and panics where it is asked about `odd`.
struct Owner;

impl Reserve for Owner {
    fn owns(&self, topic: &Topic) -> bool {
        assert_ne!(topic.as_str(), "odd");
        topic.as_str().starts_with("own/")
    }

    fn closes(&self, filter: &Filter) -> bool {
        filter.pattern() == "own/#"
    }
}

#[test]
fn topics_are_a_module_s_own_from_its_start_to_its_end_over_a_restart() {
    let hooks = Hooks::new();
    let owner = || {
        let ctx = ctx(0);
        ctx.reserve(Arc::new(Owner));
        ctx
    };
    assert!(!hooks.has_reserved() && !hooks.is_reserved(&topic("own/a")));
    let mut entered = hooks.enter(owner());
    assert!(hooks.is_reserved(&topic("own/a")) && !hooks.is_reserved(&topic("other")));
    assert!(hooks.is_closed(&filter("own/#")) && !hooks.is_closed(&filter("own/a")));
    assert!(hooks.is_reserved(&topic("odd")));
    assert_eq!(entered.panics(), 1);
    assert!(entered.retire());
    assert!(hooks.is_reserved(&topic("own/a")));
    let entered = hooks.replace(entered, owner());
    assert!(hooks.is_reserved(&topic("own/a")));
    drop(entered);
    assert!(!hooks.has_reserved() && !hooks.is_closed(&filter("own/#")));
}
