//! What a token says.

use std::sync::Arc;

use mqtt_hooks::{Action, ConnectionInfo, Reach, Rule, Rules, filter_for};
use serde::Deserialize;

use super::token::Wrong;
use crate::acl::{self, Pattern, RuleText, Topics};

/// Seconds by which clocks may differ where a token is not valid yet.
const LEEWAY: f64 = 30.0;

/// Filters and rules of a token.
const MAX_RULES: usize = 1_000;

/// The claims that mean something here.
#[derive(Deserialize)]
pub(super) struct Claims {
    /// Seconds since the Unix epoch, which may have a fraction.
    exp: f64,
    nbf: Option<f64>,
    username: Option<String>,
    sub: Option<String>,
    #[serde(alias = "client_id")]
    clientid: Option<String>,
    acl: Option<Acl>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Acl {
    Rules(Vec<RuleText>),
    Lists(Lists),
}

/// As EMQ X has them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Lists {
    r#pub: Vec<String>,
    sub: Vec<String>,
    all: Vec<String>,
}

impl Claims {
    /// Milliseconds for which it is valid still.
    pub(super) fn left(&self, now_ms: u64) -> Result<u64, Wrong> {
        let now = now_ms as f64 / 1000.0;
        if self.nbf.is_some_and(|nbf| nbf > now + LEEWAY) {
            return Err(Wrong::Early);
        }
        let left = (self.exp - now) * 1000.0;
        // Not a number is not above either.
        if left >= 1.0 { Ok(left as u64) } else { Err(Wrong::Expired) }
    }

    /// As whom the client comes in.
    pub(super) fn username(&self, client: &ConnectionInfo) -> Result<Arc<str>, Wrong> {
        let ours = self.username.as_deref().or(self.sub.as_deref()).filter(|name| !name.is_empty());
        let ours = ours.ok_or(Wrong::Claims)?;
        if client.username.as_deref().is_some_and(|theirs| theirs != ours) {
            return Err(Wrong::User);
        }
        if self.clientid.as_deref().is_some_and(|ours| *ours != *client.client_id) {
            return Err(Wrong::Client);
        }
        Ok(ours.into())
    }

    /// What it may do; empty: the token does not say.
    pub(super) fn rules(&self, client: &ConnectionInfo) -> Result<Rules, Wrong> {
        let rules = match &self.acl {
            None => return Ok(Rules::default()),
            Some(Acl::Rules(texts)) => texts.iter().map(|text| of_text(text, client)).collect::<Result<Vec<_>, _>>()?,
            Some(Acl::Lists(Lists { r#pub, sub, all })) => {
                let lists = [(Action::Publish, r#pub), (Action::Subscribe, sub), (Action::All, all)];
                let allowed = lists.into_iter().map(|(action, texts)| allowed(action, texts, client));
                let rest = Rule { allow: false, action: Action::All, topics: vec![Reach::Everything] };
                allowed.chain([Ok(rest)]).collect::<Result<_, _>>()?
            }
        };
        if rules.iter().map(|rule| rule.topics.len()).sum::<usize>() > MAX_RULES {
            return Err(Wrong::Claims);
        }
        Ok(Rules::new(rules))
    }
}

/// A filter that a client can't have, for what it is called, is not allowed.
fn allowed(action: Action, texts: &[String], client: &ConnectionInfo) -> Result<Rule, Wrong> {
    let mut topics = Vec::new();
    for text in texts {
        let pattern = Pattern::new(text).map_err(|_| Wrong::Claims)?;
        topics.extend(reach(&pattern, client));
    }
    Ok(Rule { allow: true, action, topics })
}

fn of_text(text: &RuleText, client: &ConnectionInfo) -> Result<Rule, Wrong> {
    let rule = text.rule(String::new()).map_err(|_| Wrong::Claims)?;
    let action = match rule.action {
        acl::Action::Publish => Action::Publish,
        acl::Action::Subscribe => Action::Subscribe,
        acl::Action::All => Action::All,
    };
    // A token is about its client: whom else a rule is about makes no sense.
    if rule.who != acl::Who::All {
        return Err(Wrong::Claims);
    }
    let topics = match &rule.topics {
        Topics::All => vec![Reach::Everything],
        Topics::Any(patterns) => {
            let found: Vec<_> = patterns.iter().filter_map(|pattern| reach(pattern, client)).collect();
            // What is forbidden with a placeholder that has no meaning would be allowed.
            if !rule.allow && found.len() < patterns.len() {
                return Err(Wrong::Client);
            }
            found
        }
    };
    Ok(Rule { allow: rule.allow, action, topics })
}

fn reach(pattern: &Pattern, client: &ConnectionInfo) -> Option<Reach> {
    match pattern {
        Pattern::Matching(filter) => Some(Reach::Matching(filter.clone())),
        Pattern::Exactly(filter) => Some(Reach::Exactly(filter.clone())),
        Pattern::OfClient(text) => filter_for(client, text).map(Reach::Matching),
    }
}
