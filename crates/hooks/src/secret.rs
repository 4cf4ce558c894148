//! Texts among settings that are not shown.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use crate::{ListOf, Setting, SettingKind};

/// A text that is not shown, for a field of [`settings!`](crate::settings!).
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What is shown instead of a secret. Who takes one refuses this text: it was copied from where it is shown.
pub const HIDDEN: &str = "********";

/// Puts [`HIDDEN`] instead of each secret that is set.
pub fn hide_secrets(form: &[Setting], settings: &mut Value) {
    for setting in form {
        let Some(value) = settings.get_mut(setting.name) else { continue };
        match setting.kind {
            SettingKind::Secret if value != "" => *value = HIDDEN.into(),
            SettingKind::List { of: ListOf::Tables(fields), .. } => {
                value.as_array_mut().into_iter().flatten().for_each(|entry| hide_secrets(fields, entry));
            }
            _ => {}
        }
    }
}

/// Puts the secrets of `known` where they are hidden: settings that were shown, changed and sent back have the ones there were.
/// Entries of lists are told apart by their `name`.
pub fn reveal_secrets(form: &[Setting], settings: &mut Value, known: &Value) {
    for setting in form {
        let (Some(value), Some(known)) = (settings.get_mut(setting.name), known.get(setting.name)) else { continue };
        match setting.kind {
            SettingKind::Secret if value == HIDDEN => *value = known.clone(),
            SettingKind::List { of: ListOf::Tables(fields), .. } => {
                for entry in value.as_array_mut().into_iter().flatten() {
                    let is_it = |known: &&Value| known.get("name").is_some() && known.get("name") == entry.get("name");
                    let same = known.as_array().and_then(|known| known.iter().find(is_it));
                    if let Some(same) = same {
                        reveal_secrets(fields, entry, same);
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Settings as _;

    crate::settings! {
        /// Doors.
        struct Doors {
            /// Key
            ///
            /// Of all.
            key: Secret = "",
            /// Rooms
            ///
            /// Behind them.
            rooms: Vec<Room> = [] in 0..=9,
        }
    }

    crate::settings! {
        /// A room.
        struct Room {
            /// Name
            ///
            /// Its own.
            name: String = "",
            /// Key
            ///
            /// Its own.
            key: Secret = "",
        }
    }

    #[test]
    fn what_is_hidden_comes_back_and_what_is_said_anew_stays() {
        let known = json!({"key": "k", "rooms": [{"name": "a", "key": "1"}, {"name": "b", "key": ""}, {"name": "c"}]});
        let mut shown = known.clone();
        hide_secrets(Doors::FORM, &mut shown);
        let hidden =
            json!({"key": HIDDEN, "rooms": [{"name": "a", "key": HIDDEN}, {"name": "b", "key": ""}, {"name": "c"}]});
        assert_eq!(shown, hidden);
        reveal_secrets(Doors::FORM, &mut shown, &known);
        assert_eq!(shown, known);
        let mut changed = json!({"key": "new", "rooms": [{"name": "d", "key": HIDDEN}, {"name": "a", "key": HIDDEN}]});
        reveal_secrets(Doors::FORM, &mut changed, &known);
        assert_eq!(changed, json!({"key": "new", "rooms": [{"name": "d", "key": HIDDEN}, {"name": "a", "key": "1"}]}));
        for odd in [Value::Null, json!([]), json!({"rooms": 1, "key": {}})] {
            let mut same = odd.clone();
            reveal_secrets(Doors::FORM, &mut same, &known);
            assert_eq!(same, odd);
        }
        assert_eq!(format!("{:?}", Secret("s".to_owned())), "Secret(..)");
    }
}
