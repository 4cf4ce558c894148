//! A filter and a topic, parted by a line end: what is accepted, and whether they match, beside the rules written
//! down once more in another way.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mqtt_codec::{Filter, Topic};

fuzz_target!(|data: &str| {
    let Some((filter_text, topic_text)) = data.split_once('\n') else { return };
    let filter = Filter::new(filter_text);
    let topic = Topic::new(topic_text);
    assert_eq!(filter.is_ok(), is_filter(filter_text), "{filter_text:?}");
    assert_eq!(topic.is_ok(), is_text(topic_text) && !topic_text.contains(['+', '#']), "{topic_text:?}");
    let (Ok(filter), Ok(topic)) = (filter, topic) else { return };
    assert_eq!(filter.has_wildcard(), filter.pattern().contains(['+', '#']));
    if let Some(group) = filter.group() {
        let share = if filter.as_str().starts_with("$queue/") { "" } else { "$share/" };
        assert_eq!(filter.as_str(), format!("{share}{group}/{}", filter.pattern()));
    }
    let levels = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
    let hidden = topic_text.starts_with('$') && filter.pattern().starts_with(['+', '#']);
    let expected = !hidden && matches(&levels(filter.pattern()), &levels(topic_text));
    assert_eq!(filter.matches(&topic), expected, "{filter} {topic}");
});

fn is_text(text: &str) -> bool {
    !text.is_empty() && text.len() <= 65_535 && !text.contains(char::is_control)
}

fn is_filter(text: &str) -> bool {
    let wildcards_alone = |text: &str| {
        let last = text.split('/').count() - 1;
        text.split('/').enumerate().all(|(at, level)| match level {
            "+" => true,
            "#" => at == last,
            level => !level.contains(['+', '#']),
        })
    };
    let shared = |text: &str| {
        let mut parts = text.splitn(3, '/').skip(1);
        let named = parts.next().is_some_and(|group| !group.is_empty() && !group.contains(['+', '#']));
        named && parts.next().is_some_and(|filter| !filter.is_empty())
    };
    is_text(text) && wildcards_alone(text) && text != "$queue/" && (!text.starts_with("$share/") || shared(text))
}

fn matches(filter: &[String], topic: &[String]) -> bool {
    let mut topic = topic.iter();
    for level in filter {
        if level == "#" {
            return true;
        }
        match topic.next() {
            Some(name) if level == "+" || level == name => {}
            _ => return false,
        }
    }
    topic.next().is_none()
}
