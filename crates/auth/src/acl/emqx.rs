//! Rules as EMQ X 4.3 has them in `acl.conf`.

use super::erlang::{Form, Term, forms};
use super::{Action, Pattern, Rule, Topics, Who};
use crate::WrongLine;

/// Reads a file's text; `name` says where each rule stands.
pub(super) fn read(text: &str, name: &str) -> Result<Vec<Rule>, WrongLine> {
    let why = "wants Erlang terms like {allow, {user, \"NAME\"}, publish, [\"FILTER\"]}., each with a dot at its end";
    let forms = forms(text).map_err(|line| WrongLine { line, why: why.to_owned() })?;
    let rule = |Form { line, term }: Form| {
        let rule = rule(&term, format!("{name}:{line}"));
        rule.map_err(|why| WrongLine { line, why })
    };
    forms.into_iter().map(rule).collect()
}

fn rule(term: &Term, origin: String) -> Result<Rule, String> {
    let wrong = || {
        "wants {allow, WHO, ACTION, TOPICS}. or {deny, WHO, ACTION, TOPICS}., or {allow, all}. or {deny, all}."
            .to_owned()
    };
    let Term::Tuple(parts) = term else { return Err(wrong()) };
    let allow = match parts.first() {
        Some(Term::Atom(word)) if word == "allow" => true,
        Some(Term::Atom(word)) if word == "deny" => false,
        _ => return Err(wrong()),
    };
    match &parts[1..] {
        [who] => Ok(Rule { allow, who: self::who(who)?, action: Action::All, topics: Topics::All, origin }),
        [who, action, topics] => {
            let (who, action, topics) = (self::who(who)?, self::action(action)?, self::topics(topics)?);
            Ok(Rule { allow, who, action, topics, origin })
        }
        _ => Err(wrong()),
    }
}

fn who(term: &Term) -> Result<Who, String> {
    let wrong = || {
        "WHO is all, {user, \"NAME\"}, {client, \"ID\"}, {ipaddr, \"ADDRESS\"}, {ipaddrs, [\"ADDRESS\"]}, {'and', [WHO]} or {'or', [WHO]}".to_owned()
    };
    let several = |terms: &[Term]| terms.iter().map(who).collect::<Result<Vec<_>, _>>();
    let (kind, what) = match term {
        Term::Atom(word) if word == "all" => return Ok(Who::All),
        Term::Tuple(parts) => match &parts[..] {
            [Term::Atom(kind), what] => (kind.as_str(), what),
            _ => return Err(wrong()),
        },
        _ => return Err(wrong()),
    };
    match (kind, what) {
        ("user" | "client" | "clientid", Term::Atom(word)) if word == "all" => Ok(Who::All),
        ("user" | "client" | "clientid", Term::Tuple(_)) => {
            Err("{re, ...}: there are no regular expressions here; name them one by one with {'or', [...]}".to_owned())
        }
        ("user", Term::Text(name)) => Ok(Who::User(name.as_str().into())),
        ("client" | "clientid", Term::Text(id)) => Ok(Who::ClientId(id.as_str().into())),
        ("ipaddr", Term::Text(address)) => network(address),
        ("ipaddrs", Term::List(addresses)) => {
            let one = |term: &Term| match term {
                Term::Text(address) => network(address),
                _ => Err(wrong()),
            };
            addresses.iter().map(one).collect::<Result<_, _>>().map(Who::Or)
        }
        ("and", Term::List(all)) => several(all).map(Who::And),
        ("or", Term::List(any)) => several(any).map(Who::Or),
        _ => Err(wrong()),
    }
}

fn network(text: &str) -> Result<Who, String> {
    text.parse().map(Who::Address).map_err(|error: super::network::NoNetwork| error.to_string())
}

fn action(term: &Term) -> Result<Action, String> {
    match term {
        Term::Atom(word) if word == "publish" => Ok(Action::Publish),
        Term::Atom(word) if word == "subscribe" => Ok(Action::Subscribe),
        Term::Atom(word) if word == "pubsub" => Ok(Action::All),
        _ => Err("ACTION is publish, subscribe or pubsub".to_owned()),
    }
}

fn topics(term: &Term) -> Result<Topics, String> {
    let wrong = || "TOPICS is a list of \"FILTER\" and {eq, \"FILTER\"}".to_owned();
    let one = |term: &Term| match term {
        Term::Text(text) => Pattern::new(text).map_err(|error| error.to_string()),
        Term::Tuple(parts) => match &parts[..] {
            [Term::Atom(word), Term::Text(text)] if word == "eq" => {
                Pattern::exactly(text).map_err(|error| error.to_string())
            }
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    };
    match term {
        Term::List(terms) => terms.iter().map(one).collect::<Result<_, _>>().map(Topics::Any),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// EMQ X 4.3's own.
    const DEFAULT: &str = r##"
%%--------------------------------------------------------------------
%% [ACL](https://docs.emqx.io/broker/v3/en/config.html)
%%--------------------------------------------------------------------
{allow, {user, "dashboard"}, subscribe, ["$SYS/#"]}.

{allow, {ipaddr, "127.0.0.1"}, pubsub, ["$SYS/#", "#"]}.

{deny, all, subscribe, ["$SYS/#", {eq, "#"}]}.

{allow, all}.
"##;

    fn texts(texts: &[&str]) -> Topics {
        Topics::Any(texts.iter().map(|text| Pattern::new(text).unwrap()).collect())
    }

    #[test]
    fn the_file_that_comes_with_emqx_is_read_as_it_is() {
        let rules = read(DEFAULT, "acl.conf").unwrap();
        let rule =
            |allow, who, action, topics, line| Rule { allow, who, action, topics, origin: format!("acl.conf:{line}") };
        let sys = Topics::Any(vec![Pattern::new("$SYS/#").unwrap(), Pattern::exactly("#").unwrap()]);
        let here = Who::Address("127.0.0.1".parse().unwrap());
        assert_eq!(
            rules,
            [
                rule(true, Who::User("dashboard".into()), Action::Subscribe, texts(&["$SYS/#"]), 5),
                rule(true, here, Action::All, texts(&["$SYS/#", "#"]), 7),
                rule(false, Who::All, Action::Subscribe, sys, 9),
                rule(true, Who::All, Action::All, Topics::All, 11),
            ]
        );
    }

    #[test]
    fn all_that_can_be_said_of_somebody_is_understood() {
        let who = |text: &str| read(&format!("{{allow, {text}, publish, [\"a/%c\"]}}."), "f").unwrap().remove(0).who;
        let (user, id) = (Who::User("u".into()), Who::ClientId("c".into()));
        let addresses = || ["127.0.0.1", "10.0.0.0/8"].map(|text| Who::Address(text.parse().unwrap()));
        assert_eq!(who("{client, \"c\"}"), id);
        assert_eq!(who("{user, all}"), Who::All);
        assert_eq!(who("{ipaddrs, [\"127.0.0.1\", \"10.0.0.0/8\"]}"), Who::Or(addresses().into()));
        assert_eq!(who("{'and', [{user, \"u\"}, {client, \"c\"}]}"), Who::And(vec![user.clone(), id.clone()]));
        assert_eq!(who("{'or', [{user, \"u\"}, {'and', [{client, \"c\"}]}]}"), Who::Or(vec![user, Who::And(vec![id])]));
    }

    #[test]
    fn a_wrong_rule_is_named_with_what_is_wanted() {
        for (text, needle) in [
            ("{allow}.", "wants {allow, WHO"),
            ("{permit, all}.", "wants {allow, WHO"),
            ("{allow, everyone}.", "WHO is"),
            ("{allow, {user, {re, \"^a\"}}, publish, [\"a\"]}.", "regular expressions"),
            ("{allow, all, read, [\"a\"]}.", "ACTION is"),
            ("{allow, all, publish, \"a\"}.", "TOPICS is"),
            ("{allow, all, publish, [\"a#\"]}.", "\"a#\" is no topic filter"),
            ("{allow, {ipaddr, \"x\"}, publish, [\"a\"]}.", "\"x\" is no address"),
            ("{allow, all, publish}.", "wants {allow, WHO"),
        ] {
            let wrong = read(&format!("\n{text}"), "f").unwrap_err();
            assert!(wrong.line == 2 && wrong.why.contains(needle), "{text}: {wrong}");
        }
    }
}
