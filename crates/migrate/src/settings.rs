//! Settings of ours that are being made, with where each comes from.

use std::fmt;

use toml::Value;

/// Settings of ours: sections with keys, each with where it comes from.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    sections: Vec<Section>,
    rules: Vec<(Value, String)>,
    notes: Vec<String>,
}

#[derive(Clone, Debug)]
struct Section {
    name: String,
    about: Vec<String>,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    key: String,
    value: Value,
    from: String,
}

/// The order of the sections in a file; what begins like one of them stands there.
const ORDER: [&str; 11] =
    ["", "node", "listeners.", "mqtt", "admin", "auth", "limits", "session", "storage", "sys", "log"];

/// Where rules stand: behind the section they belong to, for a key behind them would be one of the last rule's.
const RULES_BEHIND: &str = "auth";

impl Settings {
    /// Sets a key, instead of what it was before. `from` is for people: where that stood.
    pub fn set(&mut self, section: &str, key: &str, value: impl Into<Value>, from: impl Into<String>) {
        let entry = Entry { key: key.to_owned(), value: value.into(), from: from.into() };
        let entries = &mut self.section(section).entries;
        match entries.iter_mut().find(|known| known.key == key) {
            Some(known) => *known = entry,
            None => entries.push(entry),
        }
    }

    /// Has a comment stand above a section's keys.
    pub fn say(&mut self, section: &str, about: impl Into<String>) {
        self.section(section).about.push(about.into());
    }

    /// Adds a rule behind the others.
    pub fn rule(&mut self, rule: Value, from: impl Into<String>) {
        self.rules.push((rule, from.into()));
    }

    /// Has a comment stand at the end.
    pub fn note(&mut self, line: impl Into<String>) {
        self.notes.push(line.into());
    }

    /// How a key is set.
    pub fn value(&self, section: &str, key: &str) -> Option<&Value> {
        let section = self.sections.iter().find(|known| known.name == section)?;
        section.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The rules, in their order.
    pub fn rules(&self) -> impl Iterator<Item = &Value> {
        self.rules.iter().map(|(rule, _)| rule)
    }

    fn section(&mut self, name: &str) -> &mut Section {
        let at = self.sections.iter().position(|known| known.name == name).unwrap_or_else(|| {
            self.sections.push(Section { name: name.to_owned(), about: Vec::new(), entries: Vec::new() });
            self.sections.len() - 1
        });
        &mut self.sections[at]
    }
}

/// Sorting by it keeps those of a place in the order in which they were made.
fn place(name: &str) -> usize {
    let is_there = |known: &&str| name == *known || (!known.is_empty() && name.starts_with(known));
    ORDER.iter().position(is_there).unwrap_or(ORDER.len())
}

/// A text may have what ends a line, and a comment with it.
fn comment(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    writeln!(f, "# {}", text.replace(char::is_control, " "))
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sections: Vec<_> = self.sections.iter().collect();
        sections.sort_by_key(|section| place(&section.name));
        let mut rules_are_due = !self.rules.is_empty();
        for (number, section) in sections.iter().enumerate() {
            if rules_are_due && place(&section.name) > place(RULES_BEHIND) {
                rules_are_due = false;
                self.write_rules(f)?;
            }
            if number > 0 {
                writeln!(f)?;
            }
            section.about.iter().try_for_each(|about| comment(f, about))?;
            if !section.name.is_empty() {
                writeln!(f, "[{}]", section.name)?;
            }
            for Entry { key, value, from } in &section.entries {
                if !from.is_empty() {
                    comment(f, from)?;
                }
                writeln!(f, "{key} = {value}")?;
            }
        }
        if rules_are_due {
            self.write_rules(f)?;
        }
        if !self.notes.is_empty() {
            writeln!(f)?;
        }
        self.notes.iter().try_for_each(|note| comment(f, note))
    }
}

impl Settings {
    fn write_rules(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (rule, from) in &self.rules {
            writeln!(f)?;
            if !from.is_empty() {
                comment(f, from)?;
            }
            writeln!(f, "[[auth.rules]]")?;
            for (key, value) in rule.as_table().into_iter().flatten() {
                writeln!(f, "{key} = {value}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_reads_as_toml_with_rules_where_they_belong() {
        let mut settings = Settings::default();
        settings.set("sys", "interval", "5s", "m.conf:3");
        settings.set("auth", "default", "deny", "");
        settings.rule(toml::toml! { allow = true }.into(), "x\ny = 1");
        settings.set("listeners.mqtt", "bind", "a\"b", "m.conf:1");
        settings.set("listeners.mqtt", "bind", "off", "m.conf:2");
        settings.set("", "data_dir", "/d", "");
        settings.note("the end");
        let text = settings.to_string();
        let read: toml::Table = text.parse().unwrap();
        assert_eq!(read["listeners"]["mqtt"]["bind"].as_str(), Some("off"));
        assert_eq!(read["auth"]["rules"][0]["allow"].as_bool(), Some(true));
        assert_eq!(read["sys"]["interval"].as_str(), Some("5s"));
        assert!(
            text.starts_with("data_dir") && text.ends_with("# the end\n") && text.contains("# x y = 1\n"),
            "{text}"
        );
    }
}
