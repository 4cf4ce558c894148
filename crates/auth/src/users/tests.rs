use mqtt_hooks::Hooks;
use mqtt_hooks::run::Entered;
use mqtt_hooks::testing::{Recorder, foo};
use serde_json::json;

use super::*;

const SHA512: &str =
    "$6$VlkC7ZHaTbd0wkw6$367GPFpeTP8NIzeX+he4saCIQGJOH4PN3BYopztLTutpuyR6GEjXmq+ddCaA1H1JeKLRjrZ4NGjXJUvRq3CT/g==";

struct Desk {
    users: Users,
    hooks: Arc<Hooks>,
    host: Arc<Recorder>,
    entered: Option<Entered>,
}

impl Desk {
    async fn on(host: Arc<Recorder>) -> Self {
        Self::with_file(host, None).await
    }

    async fn with_file(host: Arc<Recorder>, file: Option<PathBuf>) -> Self {
        let (users, hooks) = (Users::new(file, Arc::default()), Hooks::new());
        users.restore(&*host, &host.records_of("users")).unwrap();
        let mut desk = Self { users, hooks, host, entered: None };
        desk.start().await;
        desk
    }

    async fn start(&mut self) {
        let ctx = Ctx::new("users", 0, self.host.clone(), Arc::default());
        self.users.start(&ctx).await.unwrap();
        self.entered = Some(self.hooks.enter(ctx));
    }

    async fn login(&self, username: Option<&str>, password: Option<&str>) -> Login {
        let client = ConnectionInfo { username: username.map(Into::into), ..foo() };
        self.hooks.authenticate(&client, password.map(str::as_bytes)).await
    }

    #[track_caller]
    fn check(&self, username: &str, password: &str, expected: Login) -> impl Future<Output = ()> {
        let at = std::panic::Location::caller();
        async move { assert_eq!(self.login(Some(username), Some(password)).await, expected, "{at}") }
    }
}

fn allowed() -> Login {
    Login::Allow(Grant::default())
}

const WRONG: Login = Login::Deny(ReasonCode::BadUserNameOrPassword);

#[tokio::test]
async fn nobody_is_asked_until_there_is_a_user() {
    let desk = Desk::on(Recorder::new()).await;
    assert!(!desk.hooks.has_authenticators());
    assert_eq!(desk.users.directory.add("alice", "secret").await, Ok(true));
    assert!(desk.hooks.has_authenticators());
    assert_eq!(desk.users.directory.add("bob", "other").await, Ok(false));
    assert_eq!(desk.users.directory.remove("alice"), Ok(false));
    assert_eq!(desk.users.directory.remove("bob"), Ok(true));
    assert!(!desk.hooks.has_authenticators());
}

#[tokio::test]
async fn who_gives_a_known_name_proves_it() {
    let desk = Desk::on(Recorder::new()).await;
    desk.users.directory.add("alice", "secret").await.unwrap();
    desk.check("alice", "secret", allowed()).await;
    desk.check("alice", "secret", allowed()).await;
    desk.check("alice", "Secret", WRONG).await;
    desk.check("alice", "", WRONG).await;
    assert_eq!(desk.login(Some("alice"), None).await, WRONG);
    // Others may know more.
    desk.check("bob", "secret", Login::Ignore).await;
    assert_eq!(desk.login(None, None).await, Login::Ignore);
    assert_eq!(desk.login(None, Some("secret")).await, Login::Ignore);
}

#[tokio::test]
async fn another_password_holds_at_once() {
    let desk = Desk::on(Recorder::new()).await;
    let directory = &desk.users.directory;
    directory.add("alice", "one").await.unwrap();
    desk.check("alice", "one", allowed()).await;
    directory.change_password("alice", "two").await.unwrap();
    desk.check("alice", "one", WRONG).await;
    desk.check("alice", "two", allowed()).await;
    directory.add("bob", "x").await.unwrap();
    directory.remove("alice").unwrap();
    desk.check("alice", "two", Login::Ignore).await;
}

#[tokio::test]
async fn users_are_there_after_a_restart_of_the_module_and_of_the_broker() {
    let host = Recorder::new();
    let mut desk = Desk::on(host.clone()).await;
    desk.users.directory.add("alice", "secret").await.unwrap();
    desk.users.directory.add("bob", "x").await.unwrap();
    desk.users.directory.remove("bob").unwrap();
    assert!(host.kept("users").iter().all(|(_, record)| !record.windows(6).any(|bytes| bytes == b"secret")));
    desk.entered = None;
    desk.users.stop().await;
    assert!(!desk.hooks.has_authenticators());
    assert_eq!(desk.users.directory.add("carol", "x").await, Err(directory::Unchanged::Stopped));
    desk.start().await;
    desk.check("alice", "secret", allowed()).await;
    let desk = Desk::on(host).await;
    desk.check("alice", "secret", allowed()).await;
    desk.check("bob", "x", Login::Ignore).await;
}

#[tokio::test]
async fn what_can_t_be_a_user_is_refused() {
    use directory::Unchanged::{Exists, Name, Password, Unknown};
    let desk = Desk::on(Recorder::new()).await;
    let directory = &desk.users.directory;
    directory.add("alice", "x").await.unwrap();
    for (name, password, expected) in [
        ("", "x", Name),
        ("a\nb", "x", Name),
        (&*"x".repeat(1025), "x", Name),
        ("bob", "", Password),
        ("bob", &"x".repeat(4097), Password),
        ("alice", "x", Exists("alice".to_owned())),
    ] {
        assert_eq!(directory.add(name, password).await, Err(expected), "{name:?}");
    }
    assert_eq!(directory.remove("bob"), Err(Unknown("bob".to_owned())));
    assert_eq!(directory.change_password("bob", "x").await, Err(Unknown("bob".to_owned())));
}

#[tokio::test]
async fn routes_add_list_change_and_remove() {
    use mqtt_hooks::route::{Answer, Method, Pair, Refusal, Request};
    let desk = Desk::on(Recorder::new()).await;
    let host: Arc<dyn Host> = desk.host.clone();
    let routes = desk.users.routes(&host);
    let ask = async |method: Method, body: Option<Value>, name: &str| {
        let has_name = |route: &&Route| route.path.contains("{username}") != name.is_empty();
        let route = routes.iter().filter(has_name).find(|route| route.method == method).unwrap();
        let path = vec![Pair { name: "username".to_owned(), value: name.to_owned() }];
        route.handler.handle(Request { path, body, ..Request::default() }).await
    };
    let text = |answer: Result<Answer, Refusal>| match answer.unwrap() {
        Answer::Done => String::new(),
        Answer::Data(data) => data.as_str().to_owned(),
        Answer::List { rows, .. } => rows.as_str().to_owned(),
        Answer::Events(_) | Answer::File { .. } => panic!("neither events nor a file here"),
    };
    let added = ask(Method::Post, Some(json!({"username": "alice", "password": "x"})), "").await;
    assert!(text(added).contains("this is the first user"));
    let added = ask(Method::Post, Some(json!({"username": "bob", "password": "x"})), "").await;
    assert_eq!(text(added), r#"{"username":"bob","note":null}"#);
    let again = ask(Method::Post, Some(json!({"username": "bob", "password": "x"})), "").await;
    assert!(matches!(again, Err(Refusal::Conflict(_))));
    let wrong = ask(Method::Post, Some(json!({"username": "bob", "pasword": "x"})), "").await;
    assert!(matches!(wrong, Err(Refusal::BadRequest(_))));
    assert_eq!(text(ask(Method::Put, Some(json!({"password": "y"})), "bob").await), "");
    desk.check("bob", "y", allowed()).await;
    let now = mqtt_hooks::testing::NOW;
    let expected = format!(r#"[{{"username":"alice","created_at":{now}}},{{"username":"bob","created_at":{now}}}]"#);
    assert_eq!(text(ask(Method::Get, None, "").await), expected);
    assert!(matches!(ask(Method::Delete, None, "carol").await, Err(Refusal::NotFound(_))));
    assert_eq!(text(ask(Method::Delete, None, "bob").await), r#"{"username":"bob","note":null}"#);
    assert!(text(ask(Method::Delete, None, "alice").await).contains("this was the last user"));
}

/// Whatever the file says, the pool's thread is waited for here by what it changes.
#[tokio::test]
async fn a_password_file_is_read_again_when_it_changes_and_a_bad_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("passwords");
    std::fs::write(&file, format!("alice:{SHA512}\n")).unwrap();
    let host = Recorder::new();
    let desk = Desk::with_file(host.clone(), Some(file.clone())).await;
    let watched = desk.users.file.clone().unwrap();
    let look_until = |is_bad: bool| {
        while watched.is_bad() != is_bad {
            host.clock.fetch_add(3_000, std::sync::atomic::Ordering::Relaxed);
            host.run_tasks();
            std::thread::yield_now();
        }
    };
    assert!(desk.hooks.has_authenticators());
    desk.check("alice", "secret", allowed()).await;
    desk.check("alice", "wrong", WRONG).await;
    desk.check("bob", "secret", Login::Ignore).await;
    std::fs::write(&file, format!("alice:{SHA512}\nbob:secret\n")).unwrap();
    look_until(true);
    let bad = |desk: &Desk| desk.users.numbers().into_iter().find(|number| number.name == "password_file.bad");
    assert!(bad(&desk).unwrap().alarm.is_some());
    desk.check("alice", "secret", allowed()).await;
    std::fs::write(&file, format!("bob:{SHA512}\n")).unwrap();
    look_until(false);
    desk.check("alice", "secret", Login::Ignore).await;
    desk.check("bob", "secret", allowed()).await;
    desk.users.directory.add("bob", "mine").await.unwrap();
    desk.check("bob", "secret", WRONG).await;
    desk.check("bob", "mine", allowed()).await;
    assert_eq!(desk.users.directory.remove("bob"), Ok(false), "the file is still there");
    desk.check("bob", "secret", allowed()).await;
}

#[tokio::test]
async fn a_password_file_that_can_t_be_used_is_no_start() {
    let users = Users::new(Some("/nowhere/passwords".into()), Arc::default());
    let ctx = Ctx::new("users", 0, Recorder::new(), Arc::default());
    let error = users.start(&ctx).await.unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/passwords: "), "{error}");
}

/// A client that knows a password, and what it was told.
struct Peer {
    password: &'static str,
    bare: String,
    challenge: String,
    /// Lies about its proof.
    lies: bool,
}

#[async_trait::async_trait]
impl mqtt_hooks::Challenge for Peer {
    async fn challenge(&mut self, data: bytes::Bytes) -> bytes::Bytes {
        use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
        self.challenge = String::from_utf8(data.to_vec()).unwrap();
        let parts: Vec<_> = self.challenge.split(',').collect();
        let salt = BASE64_STANDARD.decode(&parts[1][2..]).unwrap();
        let iterations: NonZeroU32 = parts[2][2..].parse().unwrap();
        let mut salted = [0; 32];
        let algorithm = aws_lc_rs::pbkdf2::PBKDF2_HMAC_SHA256;
        aws_lc_rs::pbkdf2::derive(algorithm, iterations, &salt, self.password.as_bytes(), &mut salted);
        let hmac = |key: &[u8], data: &[u8]| sign(&Key::new(HMAC_SHA256, key), data).as_ref().to_vec();
        let client_key = hmac(&salted, b"Client Key");
        let stored_key = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &client_key);
        let without_proof = format!("c=biws,{}", parts[0]);
        let said = format!("{},{},{without_proof}", self.bare, self.challenge);
        let signature = hmac(stored_key.as_ref(), said.as_bytes());
        let proof: Vec<_> = client_key.iter().zip(signature).map(|(a, b)| a ^ b ^ u8::from(self.lies)).collect();
        format!("{without_proof},p={}", BASE64_STANDARD.encode(proof)).into()
    }
}

impl Desk {
    /// What comes of SCRAM, and what the client was challenged with.
    async fn scram(&self, user: &str, password: &'static str, lies: bool) -> (Login, String, bool) {
        let bare = format!("n={user},r=nonce");
        let mut peer = Peer { password, bare: bare.clone(), challenge: String::new(), lies };
        let mut exchange = Exchange::new(scram::METHOD, format!("n,,{bare}").into(), &mut peer);
        let client = ConnectionInfo { username: None, ..foo() };
        let login = self.hooks.exchange(&client, &mut exchange).await;
        let is_concluded = exchange.into_conclusion().is_some_and(|proof| proof.starts_with(b"v="));
        (login, peer.challenge, is_concluded)
    }
}

#[tokio::test]
async fn scram_proves_a_password_without_saying_it() {
    let desk = Desk::on(Recorder::new()).await;
    assert!(!desk.hooks.has_method(scram::METHOD), "nobody is there to know it");
    desk.users.directory.add("alice", "secret").await.unwrap();
    assert!(desk.hooks.has_method(scram::METHOD));
    let (login, challenge, is_concluded) = desk.scram("alice", "secret", false).await;
    assert_eq!(login, Login::Allow(Grant { username: Some("alice".into()), ..Grant::default() }));
    assert!(is_concluded && challenge.ends_with(",i=100000"), "{challenge}");
    let denied = Login::Deny(ReasonCode::NotAuthorized);
    for (user, password, lies) in [("alice", "Secret", false), ("alice", "secret", true), ("bob", "secret", false)] {
        let (login, challenge, is_concluded) = desk.scram(user, password, lies).await;
        assert_eq!((login, is_concluded), (denied.clone(), false), "{user} {password}");
        assert!(challenge.ends_with(",i=100000"), "nobody's is like somebody's: {challenge}");
    }
    let salt = |challenge: &str| challenge.split(',').nth(1).unwrap().to_owned();
    let (one, other) = (desk.scram("bob", "x", false).await, desk.scram("bob", "y", false).await);
    assert_eq!(salt(&one.1), salt(&other.1), "as somebody's would be");
    desk.users.directory.change_password("alice", "other").await.unwrap();
    assert_eq!(desk.scram("alice", "secret", false).await.0, denied);
}
