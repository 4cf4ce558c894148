//! Variables that begin like settings.

use std::fmt;

use crate::layers::PREFIX;

/// Variables that begin with `ROLLCALL_` and are no settings, as Kubernetes sets them beside a service called rollcall
/// (`ROLLCALL_PORT`, `ROLLCALL_SERVICE_HOST`). Shown as a list, those first that are nearly a setting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignored {
    near: Vec<String>,
    far: Vec<String>,
}

/// From 0 to 1: so alike are a setting's name and one that was probably meant for it. A missing underscore in the
/// shortest, `ROLLCALL_WS_BIND`, is 0.87.
const LIKENESS: f64 = 0.8;

impl Ignored {
    /// What they are, for people.
    pub const WHAT: &str = "variables that begin with ROLLCALL_ and are no settings";

    /// True if there are none.
    pub const fn is_empty(&self) -> bool {
        self.near.is_empty() && self.far.is_empty()
    }

    /// Notes a variable that is none of the `keys`.
    pub(crate) fn add(&mut self, variable: &str, keys: impl Iterator<Item = String>) {
        let likeness = |known: &str| {
            let [one, other] = [variable, known].map(|name| name.trim_start_matches(PREFIX));
            strsim::normalized_damerau_levenshtein(&one.to_ascii_uppercase(), other)
        };
        let known = keys.map(|key| format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase()));
        let known = known.map(|known| (likeness(&known), known)).max_by(|(one, _), (other, _)| one.total_cmp(other));
        let variable = variable.escape_debug();
        match known {
            Some((likeness, known)) if likeness >= LIKENESS => self.near.push(format!("{variable} (nearly {known})")),
            _ => self.far.push(variable.to_string()),
        }
    }
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, variable) in self.near.iter().chain(&self.far).enumerate() {
            f.write_str(if at > 0 { ", " } else { "" })?;
            f.write_str(variable)?;
        }
        Ok(())
    }
}
