//! What is or was wrong.

use serde::{Serialize, Serializer};

/// Something that is or was wrong, as EMQ X 4.3 shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alarm {
    /// What: `store_failing`.
    pub name: String,
    /// For people.
    pub message: String,
    /// More about it.
    pub details: serde_json::Value,
    /// When it began, in microseconds since the Unix epoch.
    pub activate_at: u64,
    /// When it was over, in microseconds since the Unix epoch, or `"infinity"`.
    pub deactivate_at: Until,
    /// It is not over.
    pub activated: bool,
}

impl Alarm {
    /// One that begins.
    pub fn new(name: impl Into<String>, message: impl Into<String>, details: serde_json::Value, now_us: u64) -> Self {
        Self {
            name: name.into(),
            message: message.into(),
            details,
            activate_at: now_us,
            deactivate_at: Until::Infinity,
            activated: true,
        }
    }

    /// The same, over.
    #[must_use]
    pub fn over(self, now_us: u64) -> Self {
        Self { deactivate_at: Until::At(now_us.max(self.activate_at)), activated: false, ..self }
    }
}

/// A time that may not have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Until {
    /// Microseconds since the Unix epoch.
    At(u64),
    /// Not yet.
    #[serde(serialize_with = "infinity")]
    Infinity,
}

fn infinity<S: Serializer>(serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("infinity")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_alarm_looks_like_emqxs() {
        let alarm = Alarm::new("a", "b", json!({"c": 1}), 2);
        let mut shown = json!({
            "name": "a", "message": "b", "details": {"c": 1}, "activate_at": 2, "deactivate_at": "infinity", "activated": true,
        });
        assert_eq!(serde_json::to_value(&alarm).unwrap(), shown);
        (shown["deactivate_at"], shown["activated"]) = (json!(3), json!(false));
        assert_eq!(serde_json::to_value(alarm.over(3)).unwrap(), shown);
    }
}
