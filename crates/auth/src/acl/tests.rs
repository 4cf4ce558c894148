use mqtt_hooks::testing::foo;
use mqtt_hooks::{Origin, Tag, Tags};
use proptest::prelude::*;

use super::*;

fn pattern(text: &str) -> Pattern {
    text.strip_prefix("eq ").map_or_else(|| Pattern::new(text), Pattern::exactly).unwrap()
}

fn rule(allow: bool, who: Who, action: Action, texts: &[&str]) -> Rule {
    let topics = Topics::Any(texts.iter().map(|text| pattern(text)).collect());
    Rule { allow, who, action, topics, origin: String::new() }
}

fn everything(allow: bool) -> Rule {
    Rule { allow, who: Who::All, action: Action::All, topics: Topics::All, origin: String::new() }
}

fn client(id: &str, username: Option<&str>) -> ConnectionInfo {
    ConnectionInfo { client_id: id.into(), username: username.map(Into::into), ..foo() }
}

/// `+` may, `-` may not, `?` no rule is about it, `$` the broker says.
fn says(acl: &Acl, client: &ConnectionInfo, access: Access<'_>) -> char {
    match acl.decide(client, access) {
        Decision::Allowed(_) => '+',
        Decision::Denied(_) | Decision::Default { denied: true } => '-',
        Decision::Default { denied: false } => '?',
        Decision::Sys(_) => '$',
    }
}

fn publish(acl: &Acl, client: &ConnectionInfo, topic: &str) -> char {
    says(acl, client, Access::Publish(&Topic::new(topic.to_owned()).unwrap()))
}

fn subscribe(acl: &Acl, client: &ConnectionInfo, filter: &str) -> char {
    says(acl, client, Access::Subscribe(&Filter::new(filter.to_owned()).unwrap()))
}

#[test]
fn the_first_rule_about_somebody_decides() {
    let acl = Acl {
        rules: vec![
            rule(false, Who::User("bob".into()), Action::Publish, &["a/#"]),
            rule(true, Who::All, Action::All, &["a/b", "c"]),
            rule(false, Who::All, Action::Subscribe, &["a/#"]),
        ],
        denies_others: false,
    };
    let (alice, bob) = (client("1", Some("alice")), client("2", Some("bob")));
    assert_eq!(["a/b", "a/c", "c"].map(|topic| publish(&acl, &alice, topic)), ['+', '?', '+']);
    assert_eq!(["a/b", "a/c", "c"].map(|topic| publish(&acl, &bob, topic)), ['-', '-', '+']);
    let filters = ["a/b", "a/+", "#", "c", "d", "$share/g/a/b", "$share/g/a/+"];
    assert_eq!(filters.map(|filter| subscribe(&acl, &bob, filter)), ['+', '-', '-', '+', '?', '+', '-']);
    let strict = Acl { denies_others: true, ..acl };
    assert_eq!(["a/b", "d"].map(|topic| publish(&strict, &alice, topic)), ['+', '-']);
}

#[test]
fn a_rule_about_a_tag_is_not_about_who_only_says_that_it_has_it() {
    let acl = Acl { rules: vec![rule(true, Who::Tag("ops".into()), Action::All, &["a"])], denies_others: true };
    for (origin, expected) in [(Origin::Listed, '+'), (Origin::Proven, '+'), (Origin::Said, '-')] {
        let tags = Tags::new(vec![Tag { name: "ops".into(), origin }]);
        assert_eq!(publish(&acl, &client("1", None).with_tags(tags), "a"), expected, "{origin:?}");
    }
    assert_eq!(publish(&acl, &client("1", None), "a"), '-');
}

#[test]
fn a_wide_filter_does_not_get_at_what_is_denied() {
    let acl =
        Acl { rules: vec![rule(false, Who::All, Action::All, &["secret/#"]), everything(true)], denies_others: false };
    for filter in ["#", "+/#", "+/a", "secret/a", "secret/+", "secret", "$share/g/#", "$queue/#"] {
        assert_eq!(subscribe(&acl, &foo(), filter), '-', "{filter}");
    }
    for filter in ["a/#", "secrets/#", "+", "/secret"] {
        // `+` overlaps `secret`, which `secret/#` matches.
        let expected = if filter == "+" { '-' } else { '+' };
        assert_eq!(subscribe(&acl, &foo(), filter), expected, "{filter}");
    }
}

#[test]
fn a_client_s_own_topics_are_its_own_whatever_it_is_called() {
    let own = rule(true, Who::All, Action::All, &["own/%c/%u/#"]);
    let acl = Acl { rules: vec![own], denies_others: true };
    let alice = client("1", Some("alice"));
    assert_eq!(publish(&acl, &alice, "own/1/alice/x"), '+');
    assert_eq!(subscribe(&acl, &alice, "own/1/alice/#"), '+');
    assert_eq!([publish(&acl, &alice, "own/2/alice/x"), subscribe(&acl, &alice, "own/#")], ['-', '-']);
    assert_eq!(publish(&acl, &client("1", None), "own/1//x"), '-');
    for id in ["#", "+", "1/alice", "", "$SYS", "%u"] {
        for filter in ["own/#", "own/+/alice/#", "own/1/alice/#", "own/1/alice/alice/#"] {
            assert_eq!(subscribe(&acl, &client(id, Some("alice")), filter), '-', "{id:?} {filter}");
        }
    }
    // What is put in is not looked through again.
    assert_eq!(subscribe(&acl, &client("%u", Some("alice")), "own/%u/alice/#"), '+');
}

#[test]
fn an_exact_text_is_about_itself_only() {
    let acl = Acl { rules: vec![rule(false, Who::All, Action::Subscribe, &["eq #", "eq a"])], denies_others: false };
    let filters = ["#", "$share/g/#", "+/#", "a/#", "a", "+"];
    assert_eq!(filters.map(|filter| subscribe(&acl, &foo(), filter)), ['-', '-', '?', '?', '-', '?']);
    assert_eq!(publish(&acl, &foo(), "a"), '?');
}

#[test]
fn sys_is_opened_only_by_a_rule_that_says_it() {
    let open = Acl { rules: vec![everything(true)], denies_others: false };
    assert_eq!(["$SYS/#", "$SYS/a", "#"].map(|filter| subscribe(&open, &foo(), filter)), ['$', '$', '+']);
    let named = rule(true, Who::User("foo".into()), Action::Subscribe, &["a", "$SYS/#"]);
    let acl = Acl { rules: vec![named, everything(true)], denies_others: false };
    assert_eq!(["$SYS/#", "$SYS/a"].map(|filter| subscribe(&acl, &foo(), filter)), ['+', '+']);
    assert_eq!(subscribe(&acl, &client("c", Some("other")), "$SYS/#"), '$');
    let acl = Acl { rules: vec![rule(true, Who::All, Action::All, &["#", "+/a"])], denies_others: false };
    assert_eq!(subscribe(&acl, &foo(), "$SYS/a"), '$');
    let acl = Acl { denies_others: true, ..Acl::default() };
    assert_eq!(subscribe(&acl, &foo(), "$SYS/a"), '-');
}

#[test]
fn conditions_are_about_all_that_is_known_of_a_client() {
    let here = Who::Address("127.0.0.0/8".parse().unwrap());
    let all = Who::And(vec![Who::User("foo".into()), here.clone(), Who::Listener("mqtt".into())]);
    for (who, expected) in [
        (Who::All, true),
        (Who::ClientId(foo().client_id.to_string().into()), true),
        (Who::ClientId("other".into()), false),
        (Who::NoUser, false),
        (here, true),
        (all.clone(), true),
        (Who::And(vec![all.clone(), Who::Listener("other".into())]), false),
        (Who::Or(vec![Who::NoUser, all]), true),
        (Who::Or(Vec::new()), false),
    ] {
        assert_eq!(who.is(&foo()), expected, "{who:?}");
    }
}

/// Plainly, level by level, with nothing of the codec's.
fn oracle_matches(pattern: &str, topic: &str) -> bool {
    if topic.starts_with('$') && pattern.starts_with(['#', '+']) {
        return false;
    }
    let (pattern, topic): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), topic.split('/').collect());
    for (at, level) in pattern.iter().enumerate() {
        match (*level, topic.get(at)) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (level, Some(other)) if level == *other => {}
            _ => return false,
        }
    }
    pattern.len() == topic.len()
}

/// What the first rule about one topic says; `None`: none is.
fn oracle(rules: &[(bool, String)], topic: &str) -> Option<bool> {
    rules.iter().find(|(_, pattern)| oracle_matches(pattern, topic)).map(|(allow, _)| *allow)
}

fn texts() -> impl Strategy<Value = String> {
    let level = prop::sample::select(vec!["a", "b", "", "+"]);
    let levels = prop::collection::vec(level, 1..4);
    (levels, any::<bool>()).prop_map(|(levels, has_more)| {
        let text = levels.join("/");
        if has_more {
            format!("{text}/#")
        } else if text.is_empty() {
            "#".to_owned()
        } else {
            text
        }
    })
}

/// All topics of up to four of these levels.
fn topics() -> Vec<String> {
    let levels = ["a", "b", "", "c"];
    let mut all: Vec<String> = levels.iter().map(|&level| level.to_owned()).collect();
    let mut last = all.clone();
    for _ in 1..4 {
        last = last.iter().flat_map(|text| levels.iter().map(move |level| format!("{text}/{level}"))).collect();
        all.extend(last.iter().cloned());
    }
    all.retain(|text| !text.is_empty());
    all
}

proptest! {
    #[test]
    fn no_subscription_brings_what_is_forbidden_topic_by_topic(
        lines in prop::collection::vec((any::<bool>(), texts()), 0..5),
        filter in texts(),
        denies_others in any::<bool>(),
    ) {
        let rules = lines.iter().map(|(allow, text)| rule(*allow, Who::All, Action::All, &[text])).collect();
        let acl = Acl { rules, denies_others };
        let verdict = subscribe(&acl, &foo(), &filter);
        for topic in topics() {
            let of_topic = oracle(&lines, &topic);
            let expected = match of_topic {
                Some(true) => '+',
                Some(false) => '-',
                None if denies_others => '-',
                None => '?',
            };
            // A publish is about one topic.
            prop_assert_eq!(publish(&acl, &foo(), &topic), expected, "{}", topic);
            if oracle_matches(&filter, &topic) {
                match verdict {
                    '+' => prop_assert_eq!(of_topic, Some(true), "{} {}", filter, topic),
                    '?' => prop_assert_ne!(of_topic, Some(false), "{} {}", filter, topic),
                    _ => {}
                }
            }
        }
        // And what has no wildcard is decided as a publish is.
        if !filter.contains(['+', '#']) {
            prop_assert_eq!(verdict, publish(&acl, &foo(), &filter));
        }
    }

    /// The quick look leaves out nothing.
    #[test]
    fn a_pattern_has_nothing_that_begins_unlike_it(
        levels in prop::collection::vec(prop::sample::select(vec!["a", "%c", "%u", "x%c", "%cb%u", "%", "%%c", "+", "", "b"]), 1..5),
        has_more: bool,
        names in (prop::sample::select(vec!["a", "b", "a/b", "+", "$a", ""]), prop::option::of(prop::sample::select(vec!["a", "ab"]))),
        filter in texts(),
    ) {
        let text = levels.join("/") + if has_more { "/#" } else { "" };
        let client = client(names.0, names.1);
        let literal = Pattern::literal(&text).ok();
        for pattern in [Pattern::new(&text).ok(), literal].into_iter().flatten() {
            let filter = Filter::new(filter.clone()).unwrap();
            let topics = topics().into_iter().chain(["xa/b", "ab/ab", "%/a", "a/%c", "%a"].map(str::to_owned));
            for topic in topics.map(|topic| Topic::new(topic).unwrap()) {
                let wanted = [Access::Publish(&topic), Access::Subscribe(&filter)];
                for (access, allow) in wanted.into_iter().flat_map(|access| [(access, true), (access, false)]) {
                    let has = pattern.really_has(&client, access, allow);
                    prop_assert!(pattern.may_have(&client, access, allow) || !has, "{} {:?}", pattern, access);
                }
            }
        }
    }
}
