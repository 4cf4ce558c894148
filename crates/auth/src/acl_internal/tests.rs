use mqtt_codec::Topic;
use mqtt_hooks::Hooks;
use mqtt_hooks::route::{Answer, Method, Refusal, Request};
use mqtt_hooks::run::Entered;
use mqtt_hooks::testing::{Recorder, foo};
use serde_json::json;

use super::*;

struct Desk {
    module: AclInternal,
    hooks: Arc<Hooks>,
    host: Arc<Recorder>,
    _entered: Entered,
}

impl Desk {
    async fn start(host: Arc<Recorder>, config: &Config) -> Result<Self, StartError> {
        let (module, hooks) = (AclInternal::new(config), Hooks::new());
        module.restore(&*host, &host.records_of("acl_internal"))?;
        let ctx = Ctx::new("acl_internal", 0, host.clone(), Arc::default());
        module.start(&ctx).await?;
        let entered = hooks.enter(ctx);
        Ok(Self { module, hooks, host, _entered: entered })
    }

    fn may_publish(&self, topic: &str) -> bool {
        let topic = Topic::new(topic.to_owned()).unwrap();
        !matches!(self.hooks.authorize(&foo(), Access::Publish(&topic)), Verdict::Deny(_))
    }

    async fn ask(&self, method: Method, path: &str, request: Request) -> Result<Value, Refusal> {
        let host: Arc<dyn Host> = self.host.clone();
        let routes = self.module.routes(&host);
        let route = routes.iter().find(|route| route.method == method && route.path == path).unwrap();
        match route.handler.handle(request).await? {
            Answer::Data(data) => Ok(serde_json::from_str(data.as_str()).unwrap()),
            _ => panic!("no data"),
        }
    }

    async fn set(&self, rules: Value) -> Result<Value, Refusal> {
        let body = Some(json!({ "rules": rules }));
        self.ask(Method::Put, "/auth/rules", Request { body, ..Request::default() }).await
    }
}

fn config(rules: &[Value]) -> Config {
    Config { rules: rules.to_vec(), ..Config::default() }
}

#[tokio::test]
async fn without_rules_nobody_is_asked() {
    let desk = Desk::start(Recorder::new(), &Config::default()).await.unwrap();
    assert!(!desk.hooks.has_authorizers());
    desk.set(json!([{"allow": false, "topics": ["a"]}])).await.unwrap();
    assert!(desk.hooks.has_authorizers() && !desk.may_publish("a") && desk.may_publish("b"));
    desk.set(json!([])).await.unwrap();
    assert!(!desk.hooks.has_authorizers());
    let denying = Config { denies_others: true, ..Config::default() };
    let desk = Desk::start(Recorder::new(), &denying).await.unwrap();
    assert!(desk.hooks.has_authorizers() && !desk.may_publish("a"));
}

#[tokio::test]
async fn what_was_set_holds_instead_of_the_configuration_and_after_a_restart() {
    let host = Recorder::new();
    let config = config(&[json!({"allow": false, "topics": ["a"]})]);
    let desk = Desk::start(host.clone(), &config).await.unwrap();
    assert!(!desk.may_publish("a"));
    assert_eq!(desk.set(json!([{"allow": false, "topics": ["b"]}])).await, Ok(json!({"rules": 1, "unsubscribed": 0})));
    assert!(desk.may_publish("a") && !desk.may_publish("b"));
    let desk = Desk::start(host.clone(), &config).await.unwrap();
    assert!(desk.may_publish("a") && !desk.may_publish("b"));
    let listed = desk.ask(Method::Get, "/auth/rules", Request::default()).await.unwrap();
    assert_eq!((&listed["are_set"], &listed["rules"][0]["origin"]), (&json!(true), &json!("/auth/rules, rule 1")));
    desk.ask(Method::Delete, "/auth/rules", Request::default()).await.unwrap();
    assert!(!desk.may_publish("a") && desk.may_publish("b"));
    let desk = Desk::start(host, &config).await.unwrap();
    assert!(!desk.may_publish("a") && desk.may_publish("b"));
}

#[tokio::test]
async fn a_wrong_rule_changes_nothing() {
    let desk = Desk::start(Recorder::new(), &config(&[json!({"allow": false, "topics": ["a"]})])).await.unwrap();
    let error = desk.set(json!([{"allow": true}, {"allow": true, "topics": ["a#"]}])).await.unwrap_err();
    assert_eq!(error, Refusal::BadRequest("/auth/rules, rule 2: topics: \"a#\" is no topic filter".to_owned()));
    assert!(!desk.may_publish("a"));
    let error = Desk::start(Recorder::new(), &config(&[json!({"alow": true})])).await.err().unwrap().to_string();
    assert!(error.starts_with("auth.rules, rule 1: unknown field `alow`"), "{error}");
}

#[tokio::test]
async fn a_file_of_rules_comes_after_and_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("acl.conf");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("{deny, all, publish, [\"a\", \"b\"]}.\n{allow, all}.");
    let host = Recorder::new();
    let config = Config { acl_file: Some(file.clone()), ..config(&[json!({"allow": true, "topics": ["a"]})]) };
    let desk = Desk::start(host.clone(), &config).await.unwrap();
    let look = || {
        host.clock.fetch_add(PERIOD, std::sync::atomic::Ordering::Relaxed);
        host.run_tasks();
    };
    host.run_tasks();
    look();
    assert!(desk.may_publish("a") && !desk.may_publish("b"));
    write("{deny, all, publish, [\"b\"}.");
    look();
    assert!(desk.module.file.as_ref().unwrap().is_bad() && !desk.may_publish("b"));
    write("user foo\ntopic write b\n");
    look();
    assert!(desk.may_publish("a") && desk.may_publish("b") && !desk.may_publish("c"));
    write("{deny");
    let why = Desk::start(Recorder::new(), &config).await.err().unwrap().to_string();
    assert!(why.contains("acl.conf:1: wants Erlang terms"), "{why}");
}

#[tokio::test]
async fn explain_names_the_rule_that_decides() {
    let rules = [
        json!({"allow": false, "who": {"user": "bob"}, "topics": ["a/#"]}),
        json!({"allow": true, "who": {"address": "192.0.2.0/24"}, "topics": ["a/%c"]}),
    ];
    let desk = Desk::start(Recorder::new(), &config(&rules)).await.unwrap();
    let explain = async |query: &[(&str, &str)]| desk.ask(Method::Get, "/auth/explain", Request::asking(query)).await;
    let query = [("clientid", "x"), ("username", "bob"), ("action", "subscribe"), ("topic", "#")];
    let answer = explain(&query).await.unwrap();
    assert_eq!((&answer["allowed"], &answer["by"]), (&json!(false), &json!("auth.rules, rule 1")));
    let query = [("clientid", "x"), ("address", "192.0.2.7"), ("action", "publish"), ("topic", "a/x")];
    let answer = explain(&query).await.unwrap();
    assert_eq!((&answer["allowed"], &answer["rule"]["topics"]), (&json!(true), &json!(["a/%c"])));
    let answer = explain(&[("clientid", "y"), ("action", "publish"), ("topic", "b")]).await.unwrap();
    assert_eq!((&answer["allowed"], &answer["rule"]), (&json!(true), &Value::Null));
    let answer = explain(&[("action", "publish"), ("topic", "$SYS/a")]).await.unwrap();
    assert_eq!(answer["allowed"], json!(false));
    for wrong in [&[("topic", "a")][..], &[("action", "publish")], &[("action", "publish"), ("topic", "a/+")]] {
        assert!(matches!(explain(wrong).await, Err(Refusal::BadRequest(_))), "{wrong:?}");
    }
}
