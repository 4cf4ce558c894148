//! Rules as mosquitto has them in its `acl_file`.

use super::{Action, Pattern, Rule, Topics, Who};
use crate::WrongLine;

/// Rules of one kind of client, as mosquitto looks at them: what is denied first.
#[derive(Default)]
struct List {
    denied: Vec<Rule>,
    allowed: Vec<Rule>,
}

/// Reads a file's text; `name` says where each rule stands.
///
/// What is in none of its lines is forbidden. Patterns come after what is said of a user or of who has none, and of each the
/// denied ones first, as mosquitto has it.
pub(super) fn read(text: &str, name: &str) -> Result<Vec<Rule>, WrongLine> {
    let (mut topics, mut patterns) = (List::default(), List::default());
    let mut who = Who::NoUser;
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let wrong = |why: String| WrongLine { line, why };
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let rest = rest.trim();
        let origin = format!("{name}:{line}");
        match word {
            "user" if !rest.is_empty() => who = Who::User(rest.into()),
            "topic" => topics.add(rest, who.clone(), origin, Pattern::literal).map_err(wrong)?,
            "pattern" => patterns.add(rest, Who::All, origin, Pattern::new).map_err(wrong)?,
            _ => return Err(wrong("wants user NAME, topic [ACCESS] FILTER or pattern [ACCESS] FILTER".to_owned())),
        }
    }
    let end = Rule {
        allow: false,
        who: Who::All,
        action: Action::All,
        topics: Topics::All,
        origin: format!("{name}: what no line allows"),
    };
    let lists = [topics, patterns].into_iter().flat_map(|list| list.denied.into_iter().chain(list.allowed));
    Ok(lists.chain([end]).collect())
}

impl List {
    fn add(
        &mut self,
        text: &str,
        who: Who,
        origin: String,
        pattern: impl Fn(&str) -> Result<Pattern, super::NoPattern>,
    ) -> Result<(), String> {
        let (allow, action, filter) = match text.split_once(char::is_whitespace) {
            Some(("read", filter)) => (true, Action::Subscribe, filter),
            Some(("write", filter)) => (true, Action::Publish, filter),
            Some(("readwrite", filter)) => (true, Action::All, filter),
            Some(("deny", filter)) => (false, Action::All, filter),
            // A filter may have spaces.
            _ => (true, Action::All, text),
        };
        let pattern = pattern(filter.trim_start()).map_err(|error| error.to_string())?;
        let rule = Rule { allow, who, action, topics: Topics::Any(vec![pattern]), origin };
        if allow {
            self.allowed.push(rule)
        } else {
            self.denied.push(rule)
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_rules_in_the_order_in_which_mosquitto_looks() {
        let text =
            "# anonymous\ntopic read $SYS/#\n\nuser a b\n topic a/%c \ntopic deny a/secret\npattern write c/%c/#\n";
        let rules = read(text, "acl").unwrap();
        let shown: Vec<_> = rules.iter().map(|rule| rule.shown().to_string()).collect();
        let rule = |who: &str, action: &str, allow, topic: &str, line: &str| {
            let topics = if topic.is_empty() { "null".to_owned() } else { format!("[{topic:?}]") };
            format!(r#"{{"action":"{action}","allow":{allow},"origin":"acl:{line}","topics":{topics},"who":{who}}}"#)
        };
        let user = r#"{"user":"a b"}"#;
        assert_eq!(
            shown,
            [
                rule(user, "all", false, "a/secret", "6"),
                rule(r#"{"user":null}"#, "subscribe", true, "$SYS/#", "2"),
                rule(user, "all", true, "a/%c", "5"),
                rule("null", "publish", true, "c/%c/#", "7"),
                rule("null", "all", false, "", " what no line allows"),
            ]
        );
        assert!(matches!(&rules[2].topics, Topics::Any(patterns) if matches!(patterns[0], Pattern::Matching(_))));
        assert!(matches!(&rules[3].topics, Topics::Any(patterns) if matches!(patterns[0], Pattern::OfClient(_))));
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (text, needle) in [
            ("usr a", "wants user NAME"),
            ("user", "wants user NAME"),
            ("topic", "is no topic filter"),
            ("topic read a#", "\"a#\" is no topic filter"),
            ("pattern %c#", "is no topic filter"),
        ] {
            let wrong = read(&format!("topic a\n{text}\n"), "acl").unwrap_err();
            assert!(wrong.line == 2 && wrong.why.contains(needle), "{text}: {wrong}");
        }
    }
}
