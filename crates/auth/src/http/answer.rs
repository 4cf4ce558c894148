//! What an answer means.

use std::sync::Arc;
use std::time::Duration;

use mqtt_fetch::Answer;
use serde::Deserialize;

use crate::granted::Granted;

/// Longer bodies are not remembered.
const MAX_REMEMBERED: usize = 1 << 10;

/// The longest that an answer is remembered, whatever it says.
pub(super) const MAX_AGE: Duration = Duration::from_secs(60 * 60);

/// What the service has decided.
#[derive(Clone, Debug)]
pub(super) enum Decision {
    Allow(Arc<Terms>),
    Deny,
    /// It is the next one's to say.
    Ignore,
}

/// For what, and for how long.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Terms {
    result: Option<Word>,
    pub(super) is_superuser: bool,
    pub(super) acl: Option<Granted>,
    /// Seconds since the Unix epoch.
    pub(super) expire_at: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Allow,
    Deny,
    Ignore,
}

/// For how long an answer holds that says something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    /// It does not say.
    Unsaid,
    For(Duration),
    /// It is not to be kept at all.
    Never,
}

/// It decides nothing: why.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoDecision {
    #[error("it answers with status {0}")]
    Status(u16),
    #[error("its answer can't be read")]
    Body,
}

impl Terms {
    /// The same for who may do everything.
    pub(super) fn of_superuser(&self) -> Self {
        Self { is_superuser: true, ..self.clone() }
    }
}

impl NoDecision {
    /// Who it asks is away, or whoever stands before it says that it is. Any other answer may be for what the client has said,
    /// and one client is not to be able to shut out all others by that.
    pub(super) const fn is_away(&self) -> bool {
        matches!(self, Self::Status(502..=504))
    }
}

impl Decision {
    /// As EMQ X 4.3 takes it, where a status of 200 allows and the body `ignore` passes on; and as EMQX 5 does, where the body
    /// is an object with `result`.
    pub(super) fn read(answer: &Answer) -> Result<Self, NoDecision> {
        match answer.status {
            200 | 204 => {}
            // It has no time to decide.
            408 | 425 | 429 => return Err(NoDecision::Status(answer.status)),
            400..=499 => return Ok(Self::Deny),
            status => return Err(NoDecision::Status(status)),
        }
        let body = answer.body.trim_ascii();
        if body.eq_ignore_ascii_case(b"ignore") {
            return Ok(Self::Ignore);
        }
        if body.first() != Some(&b'{') {
            return Ok(Self::Allow(Arc::default()));
        }
        let terms: Terms = serde_json::from_slice(body).map_err(|_| NoDecision::Body)?;
        Ok(match terms.result {
            Some(Word::Deny) => Self::Deny,
            Some(Word::Ignore) => Self::Ignore,
            Some(Word::Allow) | None => Self::Allow(Arc::new(terms)),
        })
    }
}

impl Age {
    pub(super) fn of(answer: &Answer) -> Self {
        if answer.body.len() > MAX_REMEMBERED {
            return Self::Never;
        }
        Self::said(answer.cache_control.as_deref())
    }

    /// As `Cache-Control` has it.
    pub(crate) fn said(cache_control: Option<&str>) -> Self {
        let mut age = Self::Unsaid;
        let directives = cache_control.iter().flat_map(|text| text.split(','));
        for directive in directives {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"'));
            match name.as_str() {
                "no-store" | "no-cache" => return Self::Never,
                // One that is no number, or too large, is not to be relied upon.
                "max-age" => age = Self::For(Duration::from_secs(value.parse().unwrap_or_default()).min(MAX_AGE)),
                _ => {}
            }
        }
        age
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str, cache_control: Option<&str>) -> Answer {
        Answer {
            status,
            cache_control: cache_control.map(str::to_owned),
            retry_after: None,
            body: body.to_owned().into(),
        }
    }

    #[test]
    fn answers_of_both_emqx_are_understood_and_what_is_not_lets_nobody_in() {
        for (status, body, expected) in [
            (200, "", "Allow"),
            (204, "", "Allow"),
            (200, "ok", "Allow"),
            (200, " ignore\n", "Ignore"),
            (200, r#"{"is_superuser": true}"#, "Allow"),
            (200, r#"{"result": "allow", "client_attrs": {}}"#, "Allow"),
            (200, r#"{"result": "deny"}"#, "Deny"),
            (200, r#"{"result": "ignore"}"#, "Ignore"),
            (200, r#"{"result": "perhaps"}"#, "it"),
            (200, r#"{"result": "allow""#, "its"),
            (200, r#"{"acl": [{"permission": "allow"}]}"#, "its"),
            (200, r#"{"is_superuser": "yes"}"#, "its"),
            (400, "", "Deny"),
            (401, r#"{"result": "allow"}"#, "Deny"),
            (404, "ignore", "Deny"),
            (429, "", "it"),
            (500, "", "it"),
            (503, "ignore", "it"),
            (302, "", "it"),
            (206, "", "it"),
        ] {
            let found = match Decision::read(&answer(status, body, None)) {
                Ok(decision) => format!("{decision:?}"),
                Err(why) => why.to_string(),
            };
            assert!(found.starts_with(expected), "{status} {body}: {found}");
        }
    }

    #[test]
    fn an_answer_is_kept_for_as_long_as_it_says() {
        let seconds = |seconds| Age::For(Duration::from_secs(seconds));
        for (said, expected) in [
            (None, Age::Unsaid),
            (Some("private"), Age::Unsaid),
            (Some("private, Max-Age=60"), seconds(60)),
            (Some("max-age=\"5\""), seconds(5)),
            (Some("max-age=0"), seconds(0)),
            (Some("max-age=99999999"), Age::For(MAX_AGE)),
            (Some("max-age=-1"), seconds(0)),
            (Some("max-age=60, no-store"), Age::Never),
            (Some("NO-CACHE,max-age=60"), Age::Never),
        ] {
            assert_eq!(Age::of(&answer(200, "", said)), expected, "{said:?}");
        }
        assert_eq!(Age::of(&answer(200, &"x".repeat(2000), Some("max-age=60"))), Age::Never);
    }
}
