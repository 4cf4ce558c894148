//! The configuration as a commented file.

use std::fmt::Write;

use super::{
    error::Place,
    file::{File, SECTIONS},
};

/// Every key with what it means, and with where it was said if it was.
pub(super) fn print<'a>(file: &File, place: impl Fn(&str) -> Option<&'a Place>) -> String {
    let all = toml::Value::try_from(file).expect("every value of the file form is TOML");
    let mut out = String::new();
    for section in &SECTIONS {
        if !out.is_empty() {
            out.push('\n');
        }
        comment(&mut out, section.about);
        let mut values = Some(&all);
        if !section.name.is_empty() {
            line(&mut out, format_args!("[{}]", section.name));
            values = section.name.split('.').try_fold(&all, |table, name| table.get(name));
        }
        for key in section.keys {
            comment(&mut out, key.about);
            let dotted = [section.name, key.name].join(".");
            // A file name may hold what would end the comment.
            let place =
                place(dotted.trim_start_matches('.')).map(|place| place.to_string().replace(char::is_control, " "));
            match (values.and_then(|table| table.get(key.name)), place) {
                (None, None) => line(&mut out, format_args!("# {} is not set", key.name)),
                (None, Some(place)) => {
                    line(&mut out, format_args!("# {} is a secret and not shown: {place}", key.name))
                }
                (Some(value), None) => line(&mut out, format_args!("{} = {value}", key.name)),
                (Some(value), Some(place)) => line(&mut out, format_args!("{} = {value} # {place}", key.name)),
            }
        }
    }
    out
}

fn comment(out: &mut String, about: &[&str]) {
    for text in about {
        line(out, format_args!("#{text}"));
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("a String takes everything");
}
