//! Modules as the dashboard of EMQ X's enterprise edition asks for them.
//!
//! The two editions answer `/modules` in ways of their own, and a script of the one can't read the other. Scripts know the
//! open-source one's, so that is what is answered; see [`Edition`] for who gets the other.

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use mqtt_hooks::run::{Status, enterprise_name};
use mqtt_hooks::{Setting, SettingKind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::catalogue::ModuleSetting;
use crate::Shared;
use crate::extract::Query;
use crate::guard::{self, CSRF_HEADER};
use crate::reply::Refusal;

/// Whose answer is asked for: said by `?edition=`; else a page in a browser that shows a name and a password is that dashboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Edition {
    /// What scripts are used to.
    OpenSource,
    /// What its dashboard is used to.
    Enterprise,
}

#[derive(Deserialize)]
struct Said {
    edition: Option<Edition>,
}

impl<S: Send + Sync> FromRequestParts<S> for Edition {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Query(Said { edition }) = Query::from_request_parts(parts, state).await.map_err(Refusal::without_code)?;
        Ok(edition.unwrap_or_else(|| Self::of(&parts.headers)))
    }
}

impl Edition {
    fn of(headers: &HeaderMap) -> Self {
        // That dashboard shows a name and a password like any script. But it is a page, and our own show no password.
        let is_theirs =
            headers.contains_key(AUTHORIZATION) && guard::is_page(headers) && !headers.contains_key(CSRF_HEADER);
        if is_theirs { Self::Enterprise } else { Self::OpenSource }
    }
}

/// A text in the languages that dashboard speaks.
#[derive(Serialize, ToSchema)]
pub(super) struct Words {
    /// English.
    en: &'static str,
    /// Chinese, where there is such a text; else English.
    zh: &'static str,
}

impl Words {
    const fn new(en: &'static str, zh: &'static str) -> Self {
        Self { en, zh: if zh.is_empty() { en } else { zh } }
    }
}

/// A module that was added, as the enterprise edition shows it.
#[derive(Serialize, ToSchema)]
pub(super) struct Instance {
    /// Its name.
    #[schema(example = "presence")]
    id: &'static str,
    /// Its name in the catalogue.
    #[schema(example = "presence")]
    r#type: &'static str,
    title: Words,
    description: Words,
    /// It runs.
    enabled: bool,
    /// Its settings as they are.
    config: Value,
}

impl Instance {
    pub(super) fn new(shared: &Shared, status: &Status) -> Self {
        let (info, listing) = (status.info, status.listing);
        Self {
            id: info.name,
            r#type: enterprise_name(info.name),
            title: Words::new(info.title, listing.title_zh),
            description: Words::new(info.description, listing.description_zh),
            enabled: status.running,
            config: Value::Object(config(shared, status)),
        }
    }
}

/// A module that can be added.
#[derive(Serialize, ToSchema)]
pub(super) struct CatalogueEntry {
    /// Its name in the catalogue; what to send as `type` to add it.
    #[schema(example = "presence")]
    name: &'static str,
    /// Its name.
    r#type: &'static str,
    title: Words,
    description: Words,
    /// What can be set, by key: `type`, `title`, `description`, `default`, `required`, `order`, `enum` of a choice.
    #[schema(value_type = Object)]
    params: Map<String, Value>,
    /// The same as a list.
    settings: Vec<ModuleSetting>,
}

impl From<Status> for CatalogueEntry {
    fn from(Status { info, listing, .. }: Status) -> Self {
        Self {
            name: enterprise_name(info.name),
            r#type: info.name,
            title: Words::new(info.title, listing.title_zh),
            description: Words::new(info.description, listing.description_zh),
            params: params(info.settings),
            settings: info.settings.iter().map(|setting| (*setting).into()).collect(),
        }
    }
}

/// A form, as that dashboard draws it. It has no field for a list, which stays as it is set.
fn params(settings: &[Setting]) -> Map<String, Value> {
    let drawn = settings.iter().filter(|setting| !matches!(setting.kind, SettingKind::List { .. }));
    let params = drawn.zip(1..).map(|(setting, order)| {
        let ModuleSetting { name, title, description, kind, min, max, choices, default, .. } = (*setting).into();
        let mut param = json!({
            "title": Words::new(title, ""),
            "description": Words::new(description, ""),
            "required": true,
            "order": order,
            "type": match kind {
                "switch" => "boolean",
                "number" => "number",
                _ => "string",
            },
            // It takes every object for words in two languages, and null for an object.
            "default": if default.is_null() { Value::from("") } else { default },
        });
        for (key, value) in [("minimum", min), ("maximum", max)] {
            value.into_iter().for_each(|value| param[key] = value.into());
        }
        if let Some(choices) = choices {
            param["enum"] = choices.into();
        }
        (name.to_owned(), param)
    });
    params.collect()
}

/// All settings of a module, those too that are as they are unless set.
fn config(shared: &Shared, status: &Status) -> Map<String, Value> {
    let defaults = status.info.settings.iter().map(|setting| {
        let ModuleSetting { name, default, .. } = (*setting).into();
        (name.to_owned(), default)
    });
    defaults.chain(as_set(shared, status.info.name)).collect()
}

fn as_set(shared: &Shared, name: &str) -> Map<String, Value> {
    match shared.modules.settings(name) {
        Ok(Value::Object(settings)) => settings,
        _ => Map::new(),
    }
}

/// The settings of a module with what a form says of them: a form has not all.
pub(super) fn changed(shared: &Shared, name: &str, said: Map<String, Value>) -> Value {
    Value::Object(as_set(shared, name).into_iter().chain(said).collect())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use mqtt_hooks::ListOf;

    use super::*;

    #[test]
    fn a_page_that_is_not_ours_is_the_enterprise_editions() {
        for (names, edition) in [
            (&[][..], Edition::OpenSource),
            (&["authorization"], Edition::OpenSource),
            (&["authorization", "referer"], Edition::Enterprise),
            (&["authorization", "sec-fetch-site"], Edition::Enterprise),
            (&["authorization", "referer", CSRF_HEADER], Edition::OpenSource),
            (&["cookie", "referer", "sec-fetch-site"], Edition::OpenSource),
        ] {
            let headers = names.iter().map(|name| (name.parse().unwrap(), HeaderValue::from_static("x"))).collect();
            assert_eq!(Edition::of(&headers), edition, "{names:?}");
        }
    }

    #[test]
    fn a_form_has_no_null_and_every_text_in_both_languages() {
        let setting = |name, kind, default| Setting { name, title: "Title", description: "About", kind, default };
        let params = params(&[
            setting("on", SettingKind::Switch, "true"),
            setting("count", SettingKind::Number { min: 1, max: 9 }, "null"),
            setting("list", SettingKind::List { of: ListOf::Texts, max: 9 }, "[]"),
            setting("how", SettingKind::Choice(&["a", "b"]), "\"a\""),
        ]);
        let words = |text: &str| json!({"en": text, "zh": text});
        let expected = |kind: &str, default: Value, order: u64| json!({"type": kind, "title": words("Title"), "description": words("About"), "required": true, "order": order, "default": default});
        assert_eq!(params["on"], expected("boolean", json!(true), 1));
        let mut count = expected("number", json!(""), 2);
        (count["minimum"], count["maximum"]) = (json!(1), json!(9));
        assert_eq!(params["count"], count);
        let mut how = expected("string", json!("a"), 3);
        how["enum"] = json!(["a", "b"]);
        assert!(!params.contains_key("list"));
        assert_eq!(params["how"], how);
    }
}
