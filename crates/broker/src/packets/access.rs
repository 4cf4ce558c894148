//! The rules that hold before any module is asked: the broker's own, then those by which the client was let in.

use mqtt_codec::{Filter, ReasonCode, Topic};
use mqtt_hooks::{Access, ConnectionInfo, Hooks, Rules, Verdict};

use crate::config::{Sys, SysSubscribe};

/// Why not, and by which rule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    pub(crate) code: ReasonCode,
    /// For the log.
    pub(crate) rule: &'static str,
}

impl Refusal {
    const fn not_authorized(rule: &'static str) -> Self {
        Self { code: ReasonCode::NotAuthorized, rule }
    }
}

/// May this client publish to this topic?
pub(crate) fn publish(hooks: &Hooks, rules: &Rules, client: &ConnectionInfo, topic: &Topic) -> Result<(), Refusal> {
    if is_sys(topic.as_str()) {
        return Err(Refusal::not_authorized("$SYS is the broker's own"));
    }
    ask(hooks, rules, client, Access::Publish(topic))
}

/// May this client subscribe with this filter? `+/...` and `#` never reach `$SYS`, so its first level tells.
pub(crate) fn subscribe(
    hooks: &Hooks,
    rules: &Rules,
    sys: &Sys,
    client: &ConnectionInfo,
    filter: &Filter,
) -> Result<(), Refusal> {
    if is_sys(filter.pattern()) {
        let is_allowed = match sys.subscribe {
            SysSubscribe::All => true,
            SysSubscribe::Loopback => client.peer.ip().to_canonical().is_loopback(),
            SysSubscribe::None => false,
        };
        if !is_allowed {
            return Err(Refusal::not_authorized("sys.subscribe"));
        }
    }
    ask(hooks, rules, client, Access::Subscribe(filter))
}

fn is_sys(text: &str) -> bool {
    text.strip_prefix("$SYS").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn ask(hooks: &Hooks, rules: &Rules, client: &ConnectionInfo, access: Access<'_>) -> Result<(), Refusal> {
    match rules.decide(access) {
        Verdict::Allow => return Ok(()),
        Verdict::Deny(code) => return Err(Refusal { code, rule: "one of its grant" }),
        Verdict::Ignore => {}
    }
    match hooks.authorize(client, access) {
        Verdict::Ignore | Verdict::Allow => Ok(()),
        Verdict::Deny(code) => Err(Refusal { code, rule: "a module's" }),
    }
}

#[cfg(test)]
mod tests {
    use super::is_sys;

    #[test]
    fn sys_is_its_first_level_only() {
        for (text, expected) in [
            ("$SYS", true),
            ("$SYS/", true),
            ("$SYS/#", true),
            ("$SYST/a", false),
            ("a/$SYS", false),
            ("$sys/a", false),
        ] {
            assert_eq!(is_sys(text), expected, "{text}");
        }
    }
}
