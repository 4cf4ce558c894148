//! The rules that hold before any module is asked: the broker's own, then those by which the client was let in.

use mqtt_codec::{Filter, ReasonCode, Topic};
use mqtt_hooks::{Access, ConnectionInfo, Hooks, Rules, Verdict, is_sys};

use crate::config::{Sys, SysSubscribe};

/// Why not, and by which rule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    pub(crate) code: ReasonCode,
    /// For the log.
    pub(crate) rule: &'static str,
}

impl Refusal {
    pub(crate) const fn new(code: ReasonCode, rule: &'static str) -> Self {
        Self { code, rule }
    }
}

/// Why no client publishes to this topic, if none does.
fn reserved(hooks: &Hooks, topic: &Topic) -> Option<Refusal> {
    hooks.why_reserved(topic).map(|rule| Refusal::new(ReasonCode::NotAuthorized, rule))
}

/// Whether this filter is for those alone whom `sys.subscribe` or somebody else lets.
pub(crate) fn is_closed(hooks: &Hooks, filter: &Filter) -> bool {
    is_sys(filter.pattern()) || hooks.is_closed(filter)
}

/// May this client publish to this topic?
pub(crate) fn may_publish(hooks: &Hooks, rules: &Rules, client: &ConnectionInfo, topic: &Topic) -> Result<(), Refusal> {
    if let Some(refusal) = reserved(hooks, topic) {
        return Err(refusal);
    }
    ask(hooks, rules, client, Access::Publish(topic))
}

/// May this client subscribe with this filter? `+/...` and `#` never reach `$SYS`, so its first level tells. What is closed there
/// is open to whom somebody allows it outright.
pub(crate) fn may_subscribe(
    hooks: &Hooks,
    rules: &Rules,
    sys: &Sys,
    client: &ConnectionInfo,
    filter: &Filter,
) -> Result<(), Refusal> {
    let access = Access::Subscribe(filter);
    match may_subscribe_sys(hooks, sys, client, filter) {
        Ok(()) => ask(hooks, rules, client, access),
        Err(_) if granted(rules, access)? || hooks.authorize(client, access) == Verdict::Allow => Ok(()),
        Err(refusal) => Err(refusal),
    }
}

/// The rule of `sys.subscribe` alone.
fn may_subscribe_sys(hooks: &Hooks, sys: &Sys, client: &ConnectionInfo, filter: &Filter) -> Result<(), Refusal> {
    if is_closed(hooks, filter) {
        let is_allowed = match sys.subscribe {
            SysSubscribe::All => true,
            SysSubscribe::Loopback => client.peer.ip().to_canonical().is_loopback(),
            SysSubscribe::None => false,
        };
        if !is_allowed {
            return Err(Refusal::new(ReasonCode::NotAuthorized, "sys.subscribe"));
        }
    }
    Ok(())
}

/// May this client be let in with a will to this topic?
///
/// One below `$SYS` is no reason to keep it out: mosquitto's bridges have such a will unless they are told otherwise, and many a client
/// has one to where a module tells the same. It is dropped when it would be published.
pub(crate) fn may_have_will(
    hooks: &Hooks,
    rules: &Rules,
    client: &ConnectionInfo,
    topic: &Topic,
) -> Result<(), Refusal> {
    if reserved(hooks, topic).is_some() { Ok(()) } else { ask(hooks, rules, client, Access::Publish(topic)) }
}

fn ask(hooks: &Hooks, rules: &Rules, client: &ConnectionInfo, access: Access<'_>) -> Result<(), Refusal> {
    // What the grant allows is allowed: modules are not asked about it again at each packet.
    if granted(rules, access)? {
        return Ok(());
    }
    match hooks.authorize(client, access) {
        Verdict::Ignore | Verdict::Allow => Ok(()),
        Verdict::Deny(code) => Err(Refusal::new(code, "a module's")),
    }
}

/// Whether the rules of its grant say that it may; false: they say nothing.
fn granted(rules: &Rules, access: Access<'_>) -> Result<bool, Refusal> {
    match rules.decide(access) {
        Verdict::Allow => Ok(true),
        Verdict::Deny(code) => Err(Refusal::new(code, "one of its grant")),
        Verdict::Ignore => Ok(false),
    }
}
