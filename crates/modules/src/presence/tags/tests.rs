use mqtt_codec::Properties;
use mqtt_hooks::testing::foo;
use mqtt_hooks::{Attribute, read_settings};
use serde_json::json;

use super::*;

fn rules(rules: Value) -> Result<Rules, String> {
    let settings = read_settings::<crate::presence::Settings>(&json!({ "tags": rules }));
    settings.and_then(|settings| Rules::new(&settings.tags)).map_err(|error| error.to_string())
}

/// The tags that a rule gives, each with what is thought of it.
fn given(rule: Value, client_id: &str, said: &Said<'_>) -> Vec<(String, Origin)> {
    let (roster, unfit) = (Arc::default(), Arc::default());
    let tagger = Tagger { rules: rules(json!([rule])).unwrap(), roster, unfit };
    let client = ConnectionInfo { client_id: client_id.into(), ..foo() };
    let mut tags = Vec::new();
    tagger.tags(&client, said, &mut tags);
    tags.into_iter().map(|tag| (tag.name.into(), tag.origin)).collect()
}

static NO_PROPERTIES: Properties = Properties::EMPTY;

const fn said_nothing() -> Said<'static> {
    Said { properties: &NO_PROPERTIES, claims: None, subject: &[] }
}

#[track_caller]
fn check(rule: Value, client_id: &str, said: &Said<'_>, expected: &[&str], origin: Origin) {
    let expected: Vec<_> = expected.iter().map(|&tag| (tag.to_owned(), origin)).collect();
    assert_eq!(given(rule.clone(), client_id, said), expected, "{rule} of {client_id}");
}

#[test]
fn a_tag_is_made_of_what_wildcards_stand_for() {
    let check = |rule, id, expected: &[&str]| check(rule, id, &said_nothing(), expected, Origin::Proven);
    let site = json!({"match": "dev-*-*", "tag": "site-$1"});
    check(site.clone(), "dev-rome-7", &["site-rome"]);
    check(site.clone(), "dev-7", &[]);
    // Too long for a tag, and what can't be one.
    let long = format!("dev-{}-7", "x".repeat(64));
    check(site.clone(), &long, &[]);
    check(site, "dev-a/b-7", &[]);
    check(json!({}), "it", &["it"]);
    check(json!({"match": "m*", "tag": "meters"}), "m1", &["meters"]);
    check(json!({"match": "*-??-*", "tag": "$4.$1$$2"}), "a-bc-d", &["d.a$b"]);
    check(json!({"from": "username"}), "it", &["foo"]);
}

#[test]
fn what_others_vouch_for_makes_tags_too() {
    let claims = Some(r#"{"groups": ["rome", "x/y", 7, "paris"], "site": "oslo", "n": 1}"#);
    let attribute = |name: &str, value: &str| Attribute { name: name.into(), value: value.into() };
    let subject = [attribute("OU", "ops"), attribute("CN", "it"), attribute("OU", "field")];
    let said = Said { claims, subject: &subject, ..said_nothing() };
    let check = |rule, expected: &[&str]| check(rule, "it", &said, expected, Origin::Proven);
    check(json!({"from": "claim", "name": "groups"}), &["rome", "paris"]);
    check(json!({"from": "claim", "name": "site", "match": "o*"}), &["slo"]);
    check(json!({"from": "claim", "name": "n"}), &[]);
    check(json!({"from": "claim", "name": "none"}), &[]);
    check(json!({"from": "certificate", "name": "OU"}), &["ops", "field"]);
}

#[test]
fn what_a_client_says_itself_counts_as_that() {
    let user = |name: &str, value: &str| Property::UserProperty(name.into(), value.into());
    let properties = Properties::from([user("site", "rome"), user("other", "admin"), user("site", "paris")]);
    let said = Said { properties: &properties, ..said_nothing() };
    check(json!({"from": "user_property", "name": "site"}), "it", &said, &["rome", "paris"], Origin::Said);
    let many: Properties = (0..1000).map(|n| user("site", &n.to_string())).collect();
    let said = Said { properties: &many, ..said_nothing() };
    assert_eq!(given(json!({"from": "user_property", "name": "site"}), "it", &said).len(), TEXTS);
    let long = Properties::from([user("site", &"x".repeat(TEXT + 1))]);
    check(
        json!({"from": "user_property", "name": "site"}),
        "it",
        &Said { properties: &long, ..said_nothing() },
        &[],
        Origin::Said,
    );
}

#[test]
fn what_is_wrong_is_named() {
    for (rule, why) in [
        (json!({"from": "claim"}), "name: is missing"),
        (json!({"name": "x"}), "name: means nothing"),
        (json!({"match": ""}), "match: wants 1 to 256 bytes"),
        (json!({"match": "a", "tag": "$1"}), "tag: $1 stands for nothing: match has 0 wildcards"),
        (json!({"match": "*", "tag": "$2"}), "tag: $2 stands for nothing: match has 1 wildcards"),
        (json!({"tag": "a/b"}), "tag: \"a/b\" can be no tag"),
        (json!({"tag": ""}), "tag: \"\" can be no tag"),
        (json!({"from": "password"}), "password"),
    ] {
        let error = rules(json!([{}, rule])).unwrap_err();
        assert!(error.contains(why) && error.contains("entry 2"), "{error}");
    }
}
