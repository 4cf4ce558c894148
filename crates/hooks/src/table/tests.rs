use mqtt_codec::{Properties, Qos, Topic};

use super::*;
use crate::testing::{Recorder, foo};

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
    async fn authenticate(&self, _client: &ConnectionInfo, _password: Option<&[u8]>) -> Verdict {
        self.verdict()
    }
}

impl Authorize for Say {
    fn authorize(&self, _client: &ConnectionInfo, _access: Access<'_>) -> Verdict {
        self.verdict()
    }
}

impl Intercept for Say {
    fn publish(&self, _client: &ConnectionInfo, message: &mut Message) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match self.answer {
            Answer::Level(level) => message.topic = topic(&format!("{}/{level}", message.topic)),
            Answer::Panic => {
                message.topic = topic("broken");
                panic!("publish");
            }
            Answer::Drop => return false,
            Answer::Verdict(_) => {}
        }
        true
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

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Both questions, asked of hooks with these answers: their verdicts, and how many hooks each reached.
#[track_caller]
fn check(answers: &[Answer], authorize: Verdict, authenticate: Verdict, reached: u64) {
    let (hooks, _entered, asked) = hooks(answers);
    assert_eq!(hooks.authorize(&foo(), Access::Publish(&topic("t"))), authorize);
    assert_eq!(asked.swap(0, Ordering::Relaxed), reached);
    assert_eq!(block_on(hooks.authenticate(&foo(), None)), authenticate);
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
    assert!(hooks.intercept_publish(&foo(), &mut message));
    assert_eq!(message.topic.as_str(), "t/a/b");
    let (mut filter, mut options) = (filter("f"), SubscribeOptions::default());
    hooks.intercept_subscribe(&foo(), &mut filter, &mut options);
    assert_eq!(filter.as_str(), "f/a/b");
}

#[test]
fn what_a_panicking_interceptor_changed_is_put_back() {
    let (hooks, entered, _) = hooks(&[Answer::Level("a"), Answer::Panic, Answer::Level("b")]);
    let mut message = message();
    assert!(hooks.intercept_publish(&foo(), &mut message));
    assert_eq!(message.topic.as_str(), "t/a/b");
    let (mut filter, mut options) = (filter("f"), SubscribeOptions::default());
    hooks.intercept_subscribe(&foo(), &mut filter, &mut options);
    assert_eq!((filter.as_str(), options), ("f/a/b", SubscribeOptions::default()));
    assert_eq!(entered[1].panics(), 2);
}

#[test]
fn nobody_sees_a_dropped_message() {
    let (hooks, _entered, asked) = hooks(&[Answer::Drop, Answer::Level("a")]);
    assert!(!hooks.intercept_publish(&foo(), &mut message()));
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
    assert!(hooks.intercept_publish(&foo(), &mut message));
    assert_eq!(message.topic.as_str(), "t/zero/x/one/x/two/x");
}
