//! Nobody gets past a module that is started anew.

use std::sync::atomic::AtomicUsize;

use mqtt_codec::{Message, Properties, Qos, ReasonCode, Topic};
use mqtt_hooks::{
    Access, Authenticate, Authorize, ConnectionInfo, Incoming, Intercept, Login, Passage, Publisher, Verdict,
};

use super::*;

/// Says no to everything, and counts how often it is asked.
#[derive(Default)]
struct No {
    asked: AtomicUsize,
}

impl No {
    fn ask(&self) {
        self.asked.fetch_add(1, Ordering::Relaxed);
    }
}

#[async_trait::async_trait]
impl Authenticate for No {
    async fn authenticate(&self, _client: &ConnectionInfo, _password: Option<&[u8]>) -> Login {
        self.ask();
        Login::Deny(ReasonCode::NotAuthorized)
    }
}

impl Authorize for No {
    fn authorize(&self, _client: &ConnectionInfo, _access: Access<'_>) -> Verdict {
        self.ask();
        Verdict::Deny(ReasonCode::NotAuthorized)
    }
}

impl Intercept for No {
    fn publish(&self, _incoming: &mut Incoming<'_>, _: &mut dyn Moment) -> Passage {
        self.ask();
        Passage::Drop
    }
}

/// Registers [`No`], then does as its settings say; and stands by for who comes in.
struct Gate(Arc<No>);

#[async_trait::async_trait]
impl Module for Gate {
    fn info(&self) -> Info {
        Info { name: "gate", title: "Gate", description: "Says no.", default_on: true, settings: &[] }
    }

    async fn start(&self, ctx: &Ctx) -> Result<(), StartError> {
        ctx.authorize(self.0.clone());
        ctx.intercept(self.0.clone());
        ctx.authenticate_when(self.0.clone()).set(true);
        match ctx.config::<Settings>()?.act {
            Act::Fail => Err(StartError::Other("no luck".to_owned())),
            Act::Hang => pending().await,
            Act::Start | Act::Harm => Ok(()),
            Act::Panic => panic!("out of coffee"),
        }
    }
}

struct Closed {
    rig: Rig,
    no: Arc<No>,
}

impl Closed {
    async fn new() -> Self {
        let (rig, no) = (Rig::new(), Arc::<No>::default());
        rig.registry.register(Arc::new(Gate(no.clone())), Value::Null);
        assert!(rig.registry.start_wanted().await.is_empty());
        Self { rig, no }
    }

    /// How many of the three questions are answered with a no, and by how many hooks in all.
    fn answers(&self) -> [usize; 2] {
        let before = self.no.asked.load(Ordering::Relaxed);
        let (hooks, client, topic) = (&self.rig.hooks, foo(), Topic::new("a").unwrap());
        let may_not = hooks.authorize(&client, Access::Publish(&topic)) != Verdict::Ignore;
        let mut login = Box::pin(hooks.authenticate(&client, None));
        let is_out = match login.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            std::task::Poll::Ready(login) => login != Login::Ignore,
            std::task::Poll::Pending => panic!("nothing is waited for"),
        };
        let (payload, properties) = (bytes::Bytes::new(), Properties::EMPTY);
        let mut message = Message { topic, payload, qos: Qos::AtMostOnce, retain: false, properties };
        let (publisher, host) = (Publisher::Client(&client), Recorder::new());
        let mut incoming = Incoming { publisher, message: &mut message, expires_at: &mut None };
        let goes_nowhere = hooks.intercept(&mut incoming, &mut host.moment()) == Passage::Drop;
        let said_no = [may_not, is_out, goes_nowhere].into_iter().filter(|said| *said).count();
        [said_no, self.no.asked.load(Ordering::Relaxed) - before]
    }

    async fn configure(&self, act: &str) -> Result<(), ChangeError> {
        self.rig.registry.configure("gate", json!({ "act": act })).await
    }
}

const CLOSED: [usize; 2] = [3, 3];

#[tokio::test]
async fn while_a_module_is_started_anew_it_is_asked_as_before() {
    let closed = Closed::new().await;
    assert_eq!(closed.answers(), CLOSED);
    closed.rig.registry.restart("gate").await.unwrap();
    assert_eq!(closed.answers(), CLOSED, "each is asked once");
    {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut change = Box::pin(closed.configure("hang"));
        assert!(change.as_mut().poll(cx).is_pending());
        assert_eq!(closed.answers(), CLOSED, "it starts");
    }
    assert_eq!((closed.answers(), closed.rig.status().running), (CLOSED, false), "nobody waits for its start any more");
    closed.rig.registry.start("gate").await.unwrap();
    assert_eq!((closed.answers(), closed.rig.status().running), (CLOSED, true));
    closed.rig.registry.stop("gate").await.unwrap();
    assert_eq!(closed.answers(), [0, 0]);
}

/// Its second start and those after it fail.
struct Spent(Gate, AtomicBool);

#[async_trait::async_trait]
impl Module for Spent {
    fn info(&self) -> Info {
        self.0.info()
    }

    async fn start(&self, ctx: &Ctx) -> Result<(), StartError> {
        self.0.start(ctx).await?;
        if self.1.swap(true, Ordering::Relaxed) { Err(StartError::Other("spent".to_owned())) } else { Ok(()) }
    }
}

#[tokio::test]
async fn a_module_that_does_not_start_again_lets_nobody_through() {
    let (rig, no) = (Rig::new(), Arc::<No>::default());
    rig.registry.register(Arc::new(Spent(Gate(no.clone()), AtomicBool::default())), Value::Null);
    rig.registry.start("gate").await.unwrap();
    let closed = Closed { rig, no };
    let why = "spent; clients are held to what it said before, until it is started or stopped";
    fails(closed.rig.registry.restart("gate").await, &format!("module gate did not start: {why}"));
    let status = closed.rig.status();
    assert_eq!((closed.answers(), status.running, status.error.as_deref()), (CLOSED, false, Some(why)));
    closed.rig.registry.start("gate").await.unwrap_err();
    assert_eq!(closed.answers(), CLOSED, "nor the second time");
    closed.rig.registry.stop("gate").await.unwrap();
    let status = closed.rig.status();
    assert_eq!((closed.answers(), status.running, status.error), ([0, 0], false, None));
}

#[tokio::test]
async fn settings_that_fail_let_nobody_through() {
    let closed = Closed::new().await;
    for act in ["fail", "panic"] {
        closed.configure(act).await.unwrap_err();
        assert_eq!((closed.answers(), closed.rig.status().running), (CLOSED, true));
    }
}
