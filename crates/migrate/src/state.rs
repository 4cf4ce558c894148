//! A broker's state as one file of JSON: what `rollcall export` writes and `rollcall import rollcall` takes.
//!
//! Each part has a checksum of its own, so that a damaged file is refused with the part that is damaged. They are of the part's
//! JSON without blanks and with keys in order, so a file may be laid out anew and is the same.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

/// What a file says that it is.
const FORMAT: &str = "rollcall state";

/// What this version writes, and the highest that it reads.
const VERSION: u64 = 1;

/// Bytes of a file.
pub const MAX_BYTES: usize = 256 << 20;

/// The parts with digests of passwords, keys or what clients sent.
const SECRETS: [&str; 3] = ["users", "modules", "retained"];

/// What is in a file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct State {
    /// Users that operators have added, with digests of their passwords.
    pub users: Vec<Record>,
    /// Rules that operators have set; `None`: those of the configuration hold.
    pub rules: Option<Vec<Value>>,
    /// Who may not come in.
    pub banned: Vec<Ban>,
    /// Who is expected.
    pub roster: Vec<Record>,
    /// What is wanted of modules, and their settings.
    pub modules: BTreeMap<String, Value>,
    /// Retained messages.
    pub retained: Vec<Retained>,
}

/// A record as the store has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Whose.
    pub name: String,
    /// In Base64.
    pub record: Bytes,
}

/// Bytes, in Base64.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

/// Someone may not come in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ban {
    /// What `who` is.
    #[serde(rename = "as")]
    pub kind: BanKind,
    /// The id, name or address.
    pub who: String,
    /// Why.
    pub reason: String,
    /// By whom.
    pub by: String,
    /// Since when: seconds since the Unix epoch.
    pub at: u64,
    /// Until when.
    pub until: u64,
}

/// What of a client is compared with a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BanKind {
    /// Its id.
    ClientId,
    /// Its user name.
    Username,
    /// The IP address it comes from.
    PeerHost,
}

/// A retained message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retained {
    /// Where.
    pub topic: String,
    /// 0, 1 or 2.
    pub qos: u8,
    /// In Base64.
    pub payload: Bytes,
    /// Its payload is said to be UTF-8 text, or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_is_text: Option<bool>,
    /// What its payload is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Where answers go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_topic: Option<String>,
    /// What an answer is known by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_data: Option<Bytes>,
    /// In order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub user_properties: Vec<(String, String)>,
    /// Milliseconds since the Unix epoch, by the system's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

/// Why a file is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongState {
    /// It can't be read as JSON, or as this.
    #[error("line {line}, column {column}: {why}; take another copy of the file, or export it again")]
    Malformed {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong.
        why: String,
    },
    /// It is something else.
    #[error("this is no file of `rollcall export`: wants \"format\": \"{FORMAT}\"")]
    Format,
    /// A later version wrote it.
    #[error("it has version {found}, written by {by}, and this version reads up to {VERSION}: import it with that one")]
    Later {
        /// Which.
        found: u64,
        /// Who says so.
        by: String,
    },
    /// A part is not as it was written.
    #[error("the part \"{0}\" is not as it was written: take another copy of the file, or export it again")]
    Damaged(String),
    /// A part is as it was written, and makes no sense to this version.
    #[error("the part \"{part}\": {why}; import it with the version that wrote it")]
    Unknown {
        /// Which.
        part: String,
        /// What is wrong.
        why: String,
    },
    /// It would not be read again.
    #[error("there is too much for one file ({0} bytes; {MAX_BYTES} at the most): rollcall backup copies all there is")]
    TooLarge(usize),
}

#[derive(Serialize, Deserialize)]
struct File {
    format: String,
    version: u64,
    made_by: String,
    /// Milliseconds since the Unix epoch.
    made_at: u64,
    /// Whoever has these parts is to keep them close.
    #[serde(default)]
    secrets: Vec<String>,
    sha256: BTreeMap<String, String>,
    state: BTreeMap<String, Value>,
}

impl State {
    /// The file's text. Only its owner should be able to read it.
    ///
    /// # Errors
    /// [`WrongState::TooLarge`].
    pub fn write(&self, made_by: &str, made_at: u64) -> Result<String, WrongState> {
        let state = serde_json::to_value(self).expect("texts, numbers and lists are JSON");
        let Value::Object(parts) = state else { unreachable!("a struct is an object") };
        let state: BTreeMap<String, Value> = parts.into_iter().collect();
        let file = File {
            format: FORMAT.to_owned(),
            version: VERSION,
            made_by: made_by.to_owned(),
            made_at,
            secrets: SECRETS.map(str::to_owned).to_vec(),
            sha256: state.iter().map(|(name, part)| (name.clone(), checksum(part))).collect(),
            state,
        };
        let mut text = serde_json::to_string_pretty(&file).expect("texts, numbers and lists are JSON");
        text.push('\n');
        if text.len() > MAX_BYTES { Err(WrongState::TooLarge(text.len())) } else { Ok(text) }
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// It is not as it was written, or is of a later version; nothing of it is to be used then.
    pub fn read(text: &str) -> Result<Self, WrongState> {
        let malformed = |error: serde_json::Error| WrongState::Malformed {
            line: error.line(),
            column: error.column(),
            why: error.to_string(),
        };
        let value: Value = serde_json::from_str(text).map_err(malformed)?;
        // Before anything else is looked at: a later version may have written the rest in another way.
        if value.get("format").and_then(Value::as_str) != Some(FORMAT) {
            return Err(WrongState::Format);
        }
        let by = value.get("made_by").and_then(Value::as_str).unwrap_or("a later version").to_owned();
        if let Some(found) = value.get("version").and_then(Value::as_u64).filter(|&found| found > VERSION) {
            return Err(WrongState::Later { found, by: by.replace(char::is_control, " ") });
        }
        let file: File = serde_json::from_str(text).map_err(malformed)?;
        let names: std::collections::BTreeSet<_> = file.sha256.keys().chain(file.state.keys()).collect();
        for name in names {
            let said = file.sha256.get(name);
            let found = file.state.get(name).map(checksum);
            if said != found.as_ref() {
                return Err(WrongState::Damaged(name.replace(char::is_control, " ")));
            }
        }
        let parts: serde_json::Map<_, _> = file.state.into_iter().collect();
        let known = serde_json::to_value(Self::default()).expect("it is JSON");
        if let Some(missing) = known.as_object().into_iter().flatten().find(|(name, _)| !parts.contains_key(*name)) {
            return Err(WrongState::Damaged(missing.0.clone()));
        }
        // Part by part, so that the error names it.
        for (name, part) in &parts {
            let alone = serde_json::Map::from_iter([(name.clone(), part.clone())]);
            Self::deserialize(Value::Object(alone))
                .map_err(|error| WrongState::Unknown { part: name.clone(), why: error.to_string() })?;
        }
        Ok(Self::deserialize(Value::Object(parts)).expect("each part was read"))
    }
}

/// Of a part, however it is laid out.
fn checksum(part: &Value) -> String {
    let text = ordered(part).to_string();
    digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// With keys in order, however objects are kept in memory.
fn ordered(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let sorted: BTreeMap<_, _> = object.iter().collect();
            Value::Object(sorted.into_iter().map(|(key, value)| (key.clone(), ordered(value))).collect())
        }
        Value::Array(list) => list.iter().map(ordered).collect(),
        other => other.clone(),
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64_STANDARD.decode(text).map(Self).map_err(|error| de::Error::custom(format!("no Base64: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn state() -> State {
        let record = |name: &str| Record { name: name.to_owned(), record: Bytes(vec![1, 2, 255]) };
        State {
            users: vec![record("alice")],
            rules: Some(vec![json!({"allow": true, "action": "all"})]),
            banned: vec![Ban {
                kind: BanKind::PeerHost,
                who: "192.0.2.7".to_owned(),
                reason: String::new(),
                by: "jo".to_owned(),
                at: 1,
                until: 2,
            }],
            roster: vec![record("c")],
            modules: [("presence".to_owned(), json!({"wanted": true}))].into(),
            retained: vec![Retained {
                topic: "a/b".to_owned(),
                qos: 1,
                payload: Bytes(b"x".to_vec()),
                user_properties: vec![("k".to_owned(), "v".to_owned())],
                ..Retained::default()
            }],
        }
    }

    #[test]
    fn what_is_written_is_read_again_however_it_is_laid_out() {
        let text = state().write("rollcall 1", 7).unwrap();
        assert_eq!(State::read(&text), Ok(state()));
        let other: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(State::read(&other.to_string()), Ok(state()));
        let secrets = other["secrets"].as_array().unwrap();
        assert!(secrets.contains(&json!("users")), "{secrets:?}");
    }

    #[test]
    fn a_part_that_was_changed_is_named() {
        let text = state().write("rollcall 1", 7).unwrap();
        for (from, to, part) in [
            ("\"alice\"", "\"alicf\"", "users"),
            ("\"allow\": true", "\"allow\": false", "rules"),
            ("\"until\": 2", "\"until\": 3", "banned"),
            ("\"wanted\": true", "\"wanted\": false", "modules"),
            ("\"topic\": \"a/b\"", "\"topic\": \"a/c\"", "retained"),
        ] {
            assert!(text.contains(from), "{from}");
            assert_eq!(State::read(&text.replace(from, to)), Err(WrongState::Damaged(part.to_owned())));
        }
        let mut less: Value = serde_json::from_str(&text).unwrap();
        less["state"].as_object_mut().unwrap().remove("roster");
        assert_eq!(State::read(&less.to_string()), Err(WrongState::Damaged("roster".to_owned())));
        less["sha256"].as_object_mut().unwrap().remove("roster");
        assert_eq!(State::read(&less.to_string()), Err(WrongState::Damaged("roster".to_owned())));
    }

    #[test]
    fn what_is_something_else_or_later_or_cut_says_so() {
        let text = state().write("rollcall 1", 7).unwrap();
        assert_eq!(State::read("{}"), Err(WrongState::Format));
        let later = text.replace("\"version\": 1", "\"version\": 2");
        assert_eq!(State::read(&later), Err(WrongState::Later { found: 2, by: "rollcall 1".to_owned() }));
        for len in (0..text.len() - 2).step_by(7) {
            let Err(WrongState::Malformed { line, .. }) = State::read(&text[..len]) else { panic!("{len}") };
            assert!(line <= text.lines().count());
        }
        let mut strange: Value = serde_json::from_str(&text).unwrap();
        strange["state"]["banned"] = json!([{"as": "shoe size"}]);
        strange["sha256"]["banned"] = json!(checksum(&strange["state"]["banned"]));
        assert!(matches!(State::read(&strange.to_string()), Err(WrongState::Unknown { part, .. }) if part == "banned"));
    }
}
