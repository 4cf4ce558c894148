use std::collections::HashMap;
use std::net::SocketAddr;

use mqtt_codec::Topic;
use mqtt_hooks::run::Entered;
use mqtt_hooks::testing::{NOW, Recorder, foo};
use mqtt_hooks::{Access, Hooks, Verdict};
use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// A service that answers by path: a status, further header lines, a body.
pub(crate) struct Service {
    pub(crate) addr: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    answers: Mutex<HashMap<&'static str, String>>,
    /// What it was asked: first line and body.
    asked: Mutex<Vec<String>>,
    /// It closes after each answer, and does not say so.
    is_curt: AtomicBool,
    /// It closes in place of an answer.
    is_gone: AtomicBool,
    tls: Option<tokio_rustls::TlsAcceptor>,
}

impl Service {
    pub(crate) async fn start() -> Self {
        Self::with(State::default()).await
    }

    async fn with(state: State) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, state) = (listener.local_addr().unwrap(), Arc::new(state));
        let served = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = served.clone();
                tokio::spawn(async move {
                    match state.tls.clone() {
                        None => state.serve(stream).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                state.serve(stream).await;
                            }
                        }
                    }
                });
            }
        });
        Self { addr, state }
    }

    pub(crate) fn answer(&self, path: &'static str, status: u16, headers: &str, body: &str) {
        let text = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len());
        self.state.answers.lock().insert(path, text);
    }

    /// What it was asked since this was called last.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.state.asked.lock())
    }
}

impl State {
    async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut input = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&input).to_ascii_lowercase();
            let whole = text.split_once("\r\n\r\n").filter(|(head, body)| {
                let len = head
                    .split_once("content-length: ")
                    .map_or(0, |(_, rest)| rest.split("\r\n").next().unwrap().parse::<usize>().unwrap());
                body.len() >= len
            });
            if whole.is_none() {
                match stream.read_buf(&mut input).await {
                    Ok(1..) => continue,
                    Ok(0) | Err(_) => return,
                }
            }
            let text = String::from_utf8_lossy(&std::mem::take(&mut input)).into_owned();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            let line = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1");
            self.asked.lock().push(format!("{line} {body}").trim_end().to_owned());
            if self.is_gone.load(Relaxed) {
                return;
            }
            let path = line.split([' ', '?']).nth(1).unwrap();
            // Without an answer it hangs.
            let answer = self.answers.lock().get(path).cloned();
            let Some(answer) = answer else { return std::future::pending().await };
            if stream.write_all(answer.as_bytes()).await.is_err() || self.is_curt.load(Relaxed) {
                return;
            }
        }
    }
}

struct Rig {
    hooks: Arc<Hooks>,
    _entered: Entered,
    module: AuthHttp,
}

impl Rig {
    async fn new(config: HttpConfig, settings: Value) -> Self {
        let (hooks, module) = (Hooks::new(), AuthHttp::new(config, Arc::default()));
        let ctx = Ctx::new("auth_http", 0, Recorder::new(), Arc::new(settings));
        module.start(&ctx).await.unwrap();
        let entered = hooks.enter(ctx);
        Self { hooks, _entered: entered, module }
    }

    async fn login(&self, user: &str, password: &str) -> Login {
        let client = ConnectionInfo { client_id: "foo".into(), username: Some(user.into()), ..foo() };
        self.hooks.authenticate(&client, Some(password.as_bytes())).await
    }

    fn count(&self, outcome: &str) -> u64 {
        let all = self.module.counts.all();
        all.iter().find(|(name, _)| *name == outcome).unwrap().1.load(Relaxed)
    }
}

fn config(addr: SocketAddr) -> HttpConfig {
    HttpConfig { url: Some(format!("http://{addr}/auth")), ..HttpConfig::default() }
}

const REFUSED: Login = Login::Deny(ReasonCode::BadUserNameOrPassword);
const AWAY: Login = Login::Deny(ReasonCode::ServerUnavailable);

fn allowed() -> Login {
    Login::Allow(Grant::default())
}

#[tokio::test]
async fn the_service_says_who_comes_in() {
    let service = Service::start().await;
    let rig = Rig::new(config(service.addr), json!({"refused_seconds": 0})).await;
    for (status, body, expected) in [
        (200, "", allowed()),
        (200, "ignore", Login::Ignore),
        (401, "", REFUSED),
        (500, "", AWAY),
        (200, "{", AWAY),
        (
            200,
            r#"{"result": "allow", "acl": [{"permission": "allow", "topic": "a/#/b"}]}"#,
            Login::Deny(ReasonCode::NotAuthorized),
        ),
        (200, r#"{"result": "allow", "expire_at": 1}"#, Login::Deny(ReasonCode::NotAuthorized)),
    ] {
        service.answer("/auth", status, "", body);
        assert_eq!(rig.login("alice", "se cret").await, expected, "{status} {body}");
        let asked = service.asked();
        assert_eq!(asked, ["POST /auth clientid=foo&username=alice&password=se%20cret&ipaddress=127.0.0.1"]);
    }
}

#[tokio::test]
async fn what_it_allows_goes_with_the_grant() {
    let service = Service::start().await;
    let superuser = format!("http://{}/super?x=1", service.addr);
    let config = HttpConfig {
        super_url: Some(superuser),
        method: Some("get".to_owned()),
        params: Some("id=%c".to_owned()),
        ..config(service.addr)
    };
    let rig = Rig::new(config, json!({})).await;
    let in_a_minute = NOW / 1000 + 60;
    let body = json!({"result": "allow", "expire_at": in_a_minute, "acl": [{"allow": false, "topics": ["own/%c"]}]});
    service.answer("/auth", 200, "", &body.to_string());
    service.answer("/super", 403, "", "");
    let publish = |login: Login| {
        let Login::Allow(grant) = login else { panic!("{login:?}") };
        (grant.rules.decide(Access::Publish(&Topic::new("own/foo").unwrap())), grant.expires_at.is_some())
    };
    assert_eq!(publish(rig.login("a", "b").await), (Verdict::Deny(ReasonCode::NotAuthorized), true));
    assert_eq!(service.asked(), ["GET /auth?id=foo", "GET /super?x=1&id=foo"]);
    service.answer("/super", 200, "", "");
    assert_eq!(publish(rig.login("a", "b").await), (Verdict::Allow, true));
    service.answer("/super", 503, "", "");
    assert_eq!(rig.login("a", "b").await, AWAY, "half an answer is none");
}

#[tokio::test]
async fn an_answer_is_asked_for_again_when_it_is_over_and_by_another_password() {
    let service = Service::start().await;
    let rig = Rig::new(config(service.addr), json!({})).await;
    for (status, headers, asked) in [
        (200, "cache-control: private, max-age=60\r\n", 1),
        (200, "cache-control: no-store\r\n", 2),
        (200, "", 2),
        (403, "", 1),
        (403, "cache-control: no-store\r\n", 2),
    ] {
        service.answer("/auth", status, headers, "");
        let expected = if status == 200 { allowed() } else { REFUSED };
        let user = format!("{status}{headers}");
        for _ in 0..2 {
            assert_eq!(rig.login(&user, "1").await, expected);
        }
        assert_eq!(service.asked().len(), asked, "{status} {headers}");
        assert_eq!(rig.login(&user, "2").await, expected);
        assert_eq!(service.asked().len(), 1, "another question");
    }
    assert_eq!(rig.count("remembered"), 2);
}

#[tokio::test]
async fn wrong_passwords_make_their_pair_wait_without_asking() {
    let service = Service::start().await;
    service.answer("/auth", 401, "", "");
    let rig = Rig::new(config(service.addr), json!({})).await;
    for wrong in ["1", "2", "3", "4"] {
        assert_eq!(rig.login("alice", wrong).await, REFUSED);
    }
    assert_eq!(rig.login("alice", "5").await, Login::Deny(ReasonCode::ConnectionRateExceeded));
    assert_eq!(service.asked().len(), 4);
    assert_eq!(rig.login("bob", "5").await, REFUSED);
}

#[tokio::test]
async fn a_service_that_closes_in_between_is_asked_again() {
    let service = Service::start().await;
    service.answer("/auth", 200, "", "");
    let rig = Rig::new(config(service.addr), json!({})).await;
    assert_eq!(rig.login("a", "1").await, allowed());
    service.state.is_curt.store(true, Relaxed);
    for password in ["2", "3", "4"] {
        assert_eq!(rig.login("a", password).await, allowed());
    }
}

#[tokio::test]
async fn who_is_away_is_left_alone_and_nobody_comes_in_but_by_what_it_said_before() {
    let service = Service::start().await;
    service.answer("/auth", 200, "", "");
    for (stale, expected) in [(0, AWAY), (60, allowed())] {
        service.state.is_gone.store(false, Relaxed);
        let rig = Rig::new(config(service.addr), json!({"stale_if_error_seconds": stale})).await;
        assert_eq!(rig.login("alice", "right").await, allowed());
        service.state.is_gone.store(true, Relaxed);
        for _ in 0..5 {
            assert_eq!(rig.login("bob", "x").await, AWAY);
        }
        service.asked();
        assert_eq!(rig.login("alice", "right").await, expected);
        assert_eq!(rig.login("alice", "wrong").await, AWAY, "that was never said to be right");
        assert_eq!(service.asked(), [""; 0], "it is left alone");
        assert_eq!(rig.module.desk.read().as_ref().unwrap().waiting(), 0);
    }
}

#[tokio::test]
async fn nobody_waits_for_longer_than_is_set() {
    // It knows no path, and so never answers.
    let service = Service::start().await;
    let rig = Rig::new(config(service.addr), json!({"timeout_ms": 100})).await;
    assert_eq!(rig.login("alice", "right").await, AWAY);
}

/// One client that sends what the service stumbles over shuts out nobody else.
#[tokio::test]
async fn a_service_that_stumbles_is_asked_by_the_next() {
    let service = Service::start().await;
    let rig = Rig::new(config(service.addr), json!({})).await;
    service.answer("/auth", 500, "", "");
    for _ in 0..20 {
        assert_eq!(rig.login("eve", "'; --").await, AWAY);
    }
    service.answer("/auth", 200, "", "");
    assert_eq!(rig.login("alice", "right").await, allowed());
}

#[tokio::test]
async fn an_answer_without_end_is_none() {
    let service = Service::start().await;
    service.answer("/auth", 200, "", &"x".repeat(MAX_BODY + 1));
    let rig = Rig::new(config(service.addr), json!({})).await;
    assert_eq!(rig.login("a", "b").await, AWAY);
}

#[tokio::test]
async fn a_service_by_https_shows_who_it_is() {
    let key = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, key.cert.pem()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], key.signing_key.serialize_der().try_into().unwrap())
        .unwrap();
    let tls = Some(tokio_rustls::TlsAcceptor::from(Arc::new(server)));
    let service = Service::with(State { tls, ..State::default() }).await;
    service.answer("/auth", 200, "", "");
    let url = Some(format!("https://{}/auth", service.addr));
    let rig = Rig::new(HttpConfig { url: url.clone(), ca: Some(ca), ..HttpConfig::default() }, json!({})).await;
    assert_eq!([rig.login("a", "1").await, rig.login("a", "2").await], [allowed(), allowed()]);
    let other = folder.path().join("other.pem");
    let stranger = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&other, stranger.cert.pem()).unwrap();
    let rig = Rig::new(HttpConfig { url, ca: Some(other), ..HttpConfig::default() }, json!({})).await;
    assert_eq!(rig.login("a", "1").await, AWAY, "somebody else's certificate");
}

#[test]
fn what_can_t_be_used_is_named() {
    let url = || Some("http://127.0.0.1/".to_owned());
    let text = |text: &str| Some(text.to_owned());
    let of = |config: HttpConfig| config.check().unwrap_err();
    let headers = Some(crate::Secret("secret".to_owned()));
    for (config, start) in [
        (HttpConfig { url: text("127.0.0.1"), ..HttpConfig::default() }, "auth.http_url: \"127.0.0.1\""),
        (HttpConfig { url: url(), method: text("put"), ..HttpConfig::default() }, "auth.http_method: \"put\""),
        (HttpConfig { url: url(), params: text("x"), ..HttpConfig::default() }, "auth.http_params: wants"),
        (HttpConfig { url: url(), headers, ..HttpConfig::default() }, "auth.http_headers: wants headers"),
        (
            HttpConfig { url: text("https://a/"), ca: Some("/nowhere/ca".into()), ..HttpConfig::default() },
            "auth.http_ca: /nowhere/ca: ",
        ),
    ] {
        let why = of(config);
        assert!(why.starts_with(start) && !why.contains("secret"), "{why}");
    }
    assert!(HttpConfig::default().check().is_ok());
}
