//! A roster in a file.

use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::Deserialize;
use serde_json::{Value, json};

/// A line of it, with what stands for nothing in a table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    clientid: String,
    #[serde(default)]
    tags: String,
    #[serde(default)]
    keepalive: String,
    #[serde(default)]
    maintenance_until: String,
}

/// An object of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    clientid: String,
    #[serde(default)]
    tags: Vec<String>,
    keepalive: Option<u16>,
    maintenance_until: Option<Time>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Time {
    Milliseconds(u64),
    Text(String),
}

/// The members in a file, as the broker takes them. What is wrong is told with its place.
pub(super) fn read(path: &Path) -> Result<Vec<Value>, String> {
    let wrong = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let is = |extension: &str| path.extension().is_some_and(|own| own.eq_ignore_ascii_case(extension));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
    if is("csv") {
        table(&text).map_err(|(line, why)| format!("{}:{line}: {why}", path.display()))
    } else if is("json") {
        objects(&text).map_err(|why| wrong(&why))
    } else {
        Err(wrong(&"wants a name that ends in .csv or .json"))
    }
}

/// Of a table, with the line of what is wrong.
fn table(text: &str) -> Result<Vec<Value>, (u64, String)> {
    // Spreadsheets write a mark before the first byte.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let mut members = Vec::new();
    let headers = reader.headers().map_err(|error| (1, error.to_string()))?.clone();
    for record in reader.records() {
        let place = |error: &csv::Error| error.position().map_or(1, csv::Position::line);
        let record = record.map_err(|error| (place(&error), error.to_string()))?;
        let at = record.position().map_or(1, csv::Position::line);
        let line: Line = record.deserialize(Some(&headers)).map_err(|error| match error.kind() {
            csv::ErrorKind::Deserialize { err, .. } => (at, err.kind().to_string()),
            _ => (at, error.to_string()),
        })?;
        let tags = line.tags.split(';').map(str::trim).filter(|tag| !tag.is_empty()).collect::<Vec<_>>();
        let keep_alive = match &*line.keepalive {
            "" => None,
            text => Some(text.parse::<u16>().map_err(|_| (at, format!("keepalive: {text:?} is not 0 to 65535")))?),
        };
        let until = match &*line.maintenance_until {
            "" => None,
            text => Some(time(text).map_err(|why| (at, why))?),
        };
        members.push(member(&line.clientid, &tags, keep_alive, until));
    }
    Ok(members)
}

fn objects(text: &str) -> Result<Vec<Value>, String> {
    let objects: Vec<Object> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let member = |(at, object): (usize, Object)| {
        let until = match object.maintenance_until {
            None => None,
            Some(Time::Milliseconds(until)) => Some(until),
            Some(Time::Text(text)) => Some(time(&text).map_err(|why| format!("entry {}: {why}", at + 1))?),
        };
        Ok(member(&object.clientid, &object.tags, object.keepalive, until))
    };
    objects.into_iter().enumerate().map(member).collect()
}

fn member(client_id: &str, tags: &[impl AsRef<str>], keep_alive: Option<u16>, until: Option<u64>) -> Value {
    let tags: Vec<_> = tags.iter().map(AsRef::as_ref).collect();
    json!({"clientid": client_id, "tags": tags, "keepalive": keep_alive, "maintenance_until": until})
}

/// Milliseconds since the Unix epoch.
fn time(text: &str) -> Result<u64, String> {
    if let Ok(milliseconds) = text.parse() {
        return Ok(milliseconds);
    }
    let time = humantime::parse_rfc3339_weak(text).ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let milliseconds = time.and_then(|since| u64::try_from(since.as_millis()).ok());
    milliseconds.ok_or_else(|| format!("maintenance_until: {text:?} is no time such as 2026-01-31T08:00:00Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read() {
        let text = "\u{feff}clientid, tags ,keepalive,maintenance_until\r\nlift-1,hall; old;,60,\r\n\"a,\"\"b\"\"\",,,1970-01-01T00:00:01Z\r\n";
        let expected =
            [member("lift-1", &["hall", "old"], Some(60), None), member("a,\"b\"", &[""; 0], None, Some(1000))];
        assert_eq!(table(text).unwrap(), expected);
        assert_eq!(table("tags,clientid\nx,c\n").unwrap(), [member("c", &["x"], None, None)]);
        assert_eq!(table("clientid\n").unwrap(), [Value::Null; 0]);
    }

    #[test]
    fn what_is_wrong_in_a_table_is_told_with_its_line() {
        for (text, line, why) in [
            ("clientid,keepalive\na,1\nb,x\n", 3, "keepalive: \"x\" is not 0 to 65535"),
            ("clientid,maintenance_until\na,tomorrow\n", 2, "maintenance_until: \"tomorrow\" is no time"),
            ("clientid,tag\na,x\n", 2, "unknown field `tag`"),
            ("tags\nx\n", 2, "missing field `clientid`"),
            ("clientid,tags\na\n", 2, "CSV error"),
        ] {
            let (at, found) = table(text).unwrap_err();
            assert!(at == line && found.starts_with(why), "{at}: {found}");
        }
    }

    #[test]
    fn objects_are_read() {
        let text = r#"[{"clientid": "a"}, {"clientid": "b", "tags": ["x"], "keepalive": 5, "maintenance_until": 7}]"#;
        assert_eq!(objects(text).unwrap(), [member("a", &[""; 0], None, None), member("b", &["x"], Some(5), Some(7))]);
        let why = objects(r#"[{"clientid": "a"}, {"clientid": "b", "maintenance_until": "soon"}]"#).unwrap_err();
        assert!(why.starts_with("entry 2: maintenance_until"), "{why}");
        assert!(objects(r#"[{"id": "a"}]"#).unwrap_err().starts_with("unknown field `id`"));
    }
}
