//! The configuration as a commented file.

use std::fmt::Write;

use toml::{Table, Value};

use crate::{
    Said, Sources,
    error::Place,
    schema::{Key, Schema, Section},
};

/// Every key with what it means, and with where it was said if it was.
pub(crate) fn print<'a>(schema: &Schema, all: &Table, place: impl Fn(&str) -> Option<&'a Place>) -> String {
    let mut out = String::new();
    for (section, rows) in rows(schema, all, place) {
        if !out.is_empty() {
            out.push('\n');
        }
        comment(&mut out, &section.about);
        if !section.name.is_empty() {
            line(&mut out, format_args!("[{}]", section.name));
        }
        for Row { key, value, place } in rows {
            comment(&mut out, &key.about);
            match (value, place) {
                (None, None) => line(&mut out, format_args!("# {} is not set", key.name)),
                (None, Some(place)) => {
                    line(&mut out, format_args!("# {} is a secret and not shown: {place}", key.name));
                }
                (Some(value), None) => line(&mut out, format_args!("{} = {value}", key.name)),
                (Some(value), Some(place)) => line(&mut out, format_args!("{} = {value} # {place}", key.name)),
            }
        }
    }
    out
}

/// The same as data.
pub(crate) fn sources<'a>(schema: &Schema, all: &Table, place: impl Fn(&str) -> Option<&'a Place>) -> Sources {
    let settings = rows(schema, all, place).flat_map(|(section, rows)| {
        rows.into_iter().map(|Row { key, value, place }| Said {
            key: section.dotted(key),
            about: key.about.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" "),
            value: value.map(|value| value.to_string()),
            place,
        })
    });
    Sources(settings.collect())
}

/// A key as it is. What has no value is not set, or a secret if it has a place.
struct Row<'a> {
    key: &'a Key,
    value: Option<Value>,
    place: Option<Place>,
}

fn rows<'a, 's>(
    schema: &'s Schema,
    all: &Table,
    place: impl Fn(&str) -> Option<&'a Place>,
) -> impl Iterator<Item = (&'s Section, Vec<Row<'s>>)> {
    schema.sections.iter().map(move |section| {
        let mut names = section.name.split('.').filter(|name| !name.is_empty());
        let values = names.try_fold(all, |table, name| table.get(name).and_then(Value::as_table));
        let row = |key: &'s Key| {
            let value = values.and_then(|table| table.get(key.name)).cloned();
            Row { key, value, place: place(&section.dotted(key)).cloned() }
        };
        (section, section.keys.iter().map(row).collect())
    })
}

fn comment(out: &mut String, about: &[String]) {
    for text in about {
        line(out, format_args!("#{text}"));
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("a String takes everything");
}
