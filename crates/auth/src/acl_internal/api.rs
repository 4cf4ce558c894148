//! What the module answers: the rules, and which one decides.

use std::sync::Arc;

use mqtt_codec::{Filter, Topic, Version};
use mqtt_hooks::route::{Answer, Handle, Method, Refusal, Request, Returns, Route, Takes};
use mqtt_hooks::{ConnectionInfo, Host, Listener, Origin, Tag, Tags};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{STORED, Shared, read};
use crate::acl::{Decision, Rule, Wanted};

pub(super) fn routes(shared: &Arc<Shared>, host: &Arc<dyn Host>) -> Vec<Route> {
    use Takes::{Choice, Text};
    let (shared, host) = (|| shared.clone(), || host.clone());
    vec![
        Route::get("/auth/rules", "The rules, in the order in which they are looked at.", List(shared()))
            .returns(Returns::Data(list_schema())),
        Route::new(
            Method::Put,
            "/auth/rules",
            "Sets rules, which hold at once and instead of those of the configuration; subscriptions that they forbid end.",
            Set(shared(), host()),
        )
        .body(set_schema())
        .returns(Returns::Data(changed_schema()))
        .while_running(),
        Route::new(
            Method::Delete,
            "/auth/rules",
            "Forgets the rules that were set here: those of the configuration hold again.",
            Forget(shared(), host()),
        )
        .returns(Returns::Data(changed_schema()))
        .while_running(),
        Route::get("/auth/explain", "Says which rule decides about a client.", Explain(shared(), host()))
            .parameter("clientid", Text, "The client's id; what is said of it here holds instead of what is known.")
            .parameter("username", Text, "Its user name.")
            .parameter("address", Text, "Its address; 127.0.0.1 if nothing is known.")
            .parameter("listener", Text, "The listener it came in by; \"mqtt\" if nothing is known.")
            .parameter("tag", Text, "A tag that it has, instead of those that are known.")
            .parameter("action", Choice(&["publish", "subscribe"]), "What it wants to do.")
            .parameter("topic", Text, "The topic, or the filter.")
            .returns(Returns::Data(explained_schema())),
    ]
}

struct List(Arc<Shared>);
struct Set(Arc<Shared>, Arc<dyn Host>);
struct Forget(Arc<Shared>, Arc<dyn Host>);
struct Explain(Arc<Shared>, Arc<dyn Host>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRules {
    rules: Vec<Value>,
}

#[derive(Serialize)]
struct Rules {
    default: &'static str,
    /// They hold instead of those of the configuration.
    are_set: bool,
    rules: Vec<Value>,
    /// The first of them, as they were given.
    given: Vec<Value>,
}

#[derive(Serialize)]
struct Changed {
    rules: usize,
    /// Subscriptions that ended.
    unsubscribed: usize,
}

#[derive(Serialize)]
struct Explained {
    allowed: bool,
    /// For people: where the rule stands, or what else decides.
    by: String,
    rule: Option<Value>,
}

fn set_schema() -> Value {
    let one_or_more = json!({"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]});
    let who = json!({
        "type": "object",
        "description": "All of it must be so; of a list one. Left out: everybody.",
        "properties": {
            "user": one_or_more, "clientid": one_or_more, "address": one_or_more, "listener": one_or_more,
            "tag": one_or_more,
        },
    });
    let topics = json!({
        "type": "array",
        "items": {"type": "string"},
        "description": "Filters, with %c and %u; after \"eq \" a text as it is. Left out: all.",
    });
    let action = json!({"type": "string", "enum": ["publish", "subscribe", "all"]});
    let rule = json!({
        "type": "object",
        "properties": {"allow": {"type": "boolean"}, "who": who, "action": action, "topics": topics},
        "required": ["allow"],
    });
    json!({"type": "object", "properties": {"rules": {"type": "array", "items": rule}}, "required": ["rules"]})
}

fn list_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "default": {
                "type": "string",
                "enum": ["allow", "deny"],
                "description": "What holds where no rule is about it.",
            },
            "are_set": {"type": "boolean", "description": "They hold instead of those of the configuration."},
            "rules": {"type": "array", "items": {"type": "object"}},
            "given": {
                "type": "array",
                "items": {"type": "object"},
                "description": "The first of them, as PUT takes them; what follows is of the file.",
            },
        },
        "required": ["default", "are_set", "rules", "given"],
    })
}

fn changed_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "rules": {"type": "integer", "description": "That hold now."},
            "unsubscribed": {"type": "integer", "description": "Subscriptions of connected clients that ended."},
        },
        "required": ["rules", "unsubscribed"],
    })
}

fn explained_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "allowed": {"type": "boolean"},
            "by": {"type": "string", "description": "Where the rule stands that decides, or what else does."},
            "rule": {"type": ["object", "null"]},
        },
        "required": ["allowed", "by", "rule"],
    })
}

#[async_trait::async_trait]
impl Handle for List {
    async fn handle(&self, _request: Request) -> Result<Answer, Refusal> {
        let (are_set, given, acl) = {
            let sources = self.0.sources.lock();
            (sources.stored.is_some(), sources.first().given.clone(), self.0.acl.load_full())
        };
        let default = if acl.denies_others { "deny" } else { "allow" };
        Answer::data(&Rules { default, are_set, rules: acl.rules.iter().map(Rule::shown).collect(), given })
    }
}

/// Changes the rules, and holds everybody to them.
async fn change(shared: &Shared, host: &dyn Host, values: Option<(Vec<Rule>, &[Value])>) -> Result<Answer, Refusal> {
    let is_done = shared.set(values).map_err(|error| {
        tracing::error!(%error, "rules can't be kept");
        Refusal::Internal
    })?;
    if !is_done {
        return Err(Refusal::Unavailable("the module acl_internal does not run".to_owned()));
    }
    let unsubscribed = host.review().await;
    let rules = shared.acl.load().rules.len();
    tracing::info!(rules, unsubscribed, "rules changed");
    Answer::data(&Changed { rules, unsubscribed })
}

#[async_trait::async_trait]
impl Handle for Set {
    async fn handle(&self, request: Request) -> Result<Answer, Refusal> {
        let NewRules { rules: values } = request.json()?;
        let rules = read(&values, STORED).map_err(Refusal::BadRequest)?;
        change(&self.0, &*self.1, Some((rules, &values))).await
    }
}

#[async_trait::async_trait]
impl Handle for Forget {
    async fn handle(&self, _request: Request) -> Result<Answer, Refusal> {
        change(&self.0, &*self.1, None).await
    }
}

#[async_trait::async_trait]
impl Handle for Explain {
    async fn handle(&self, request: Request) -> Result<Answer, Refusal> {
        let wanted = wanted(&request)?;
        let client = client(&request, &*self.1)?;
        let acl = self.0.acl.load_full();
        let default = |denied: bool| {
            let word = if denied { "deny" } else { "allow" };
            format!("no rule is about it: auth.default is \"{word}\"")
        };
        let of = |allowed, rule: &Rule| (allowed, rule.origin.clone(), Some(rule.shown()));
        let (allowed, by, rule) = match acl.decide(&client, wanted.access()) {
            // The broker asks no module about it.
            _ if wanted.is_to_sys() => (false, "the broker: nobody publishes below $SYS".to_owned(), None),
            Decision::Allowed(rule) => of(true, rule),
            Decision::Denied(rule) => of(false, rule),
            Decision::Default { denied } => (!denied, default(denied), None),
            Decision::Sys(_) => {
                let is_here = client.peer.ip().to_canonical().is_loopback();
                let by = "no rule that says $SYS is about it: sys.subscribe, as it is by default".to_owned();
                (is_here, by, None)
            }
        };
        Answer::data(&Explained { allowed, by, rule })
    }
}

fn wanted(request: &Request) -> Result<Wanted, Refusal> {
    let missing = |name: &str| Refusal::BadRequest(format!("{name}: it is missing"));
    let topic = request.text("topic")?.ok_or_else(|| missing("topic"))?;
    let wrong = |error: &dyn std::fmt::Display| Refusal::BadRequest(format!("topic: {error}"));
    match request.choice("action", &["publish", "subscribe"])? {
        Some("publish") => Topic::new(topic.to_owned()).map(Wanted::Publish).map_err(|error| wrong(&error)),
        Some(_) => Filter::new(topic.to_owned()).map(Wanted::Subscribe).map_err(|error| wrong(&error)),
        None => Err(missing("action")),
    }
}

/// As it is connected, with what is said otherwise; or as it would be.
fn client(request: &Request, host: &dyn Host) -> Result<ConnectionInfo, Refusal> {
    let client_id = request.text("clientid")?.unwrap_or_default();
    let mut client = host.connection(client_id).unwrap_or_else(|| ConnectionInfo {
        client_id: client_id.into(),
        username: None,
        version: Version::V5,
        is_bridge: false,
        peer: ([127, 0, 0, 1], 0).into(),
        listener: Arc::new(Listener::new("mqtt", 0)),
        keep_alive: 0,
        clean_start: true,
        expiry_interval: 0,
        connected_at: 0,
        session_present: false,
        epoch: 0,
        conn_id: 0,
    });
    if let Some(username) = request.text("username")? {
        client.username = Some(username.into());
    }
    if let Some(address) = request.text("address")? {
        let address = address.parse().map_err(|error| Refusal::BadRequest(format!("address: {error}")))?;
        client.peer.set_ip(address);
    }
    if let Some(name) = request.text("listener")? {
        let tags = client.tags().clone();
        client.listener = Arc::new(Listener::new(name, client.listener.port));
        client.set_tags(tags);
    }
    if let Some(name) = request.text("tag")? {
        client.set_tags(Tags::new(vec![Tag { name: name.into(), origin: Origin::Proven }]));
    }
    Ok(client)
}
