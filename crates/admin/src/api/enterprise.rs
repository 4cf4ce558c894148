//! Modules as the dashboard of EMQ X's enterprise edition asks for them.
//!
//! The two editions answer `/modules` in ways of their own, and a script of the one can't read the other. Scripts know the
//! open-source one's, so that is what is answered; see [`Edition`] for who gets the other.

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use mqtt_hooks::run::{Status, enterprise_name};
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
    #[schema(example = "greeter")]
    id: &'static str,
    /// Its name in the catalogue.
    #[schema(example = "greeter")]
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
    #[schema(example = "greeter")]
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
        let settings: Vec<ModuleSetting> = info.settings.iter().map(|setting| (*setting).into()).collect();
        Self {
            name: enterprise_name(info.name),
            r#type: info.name,
            title: Words::new(info.title, listing.title_zh),
            description: Words::new(info.description, listing.description_zh),
            params: params(&settings),
            settings,
        }
    }
}

/// A form, as that dashboard draws it. What it has no field for is left out, and stays as it is.
fn params(settings: &[ModuleSetting]) -> Map<String, Value> {
    let params = settings.iter().zip(1..);
    params.filter_map(|(setting, order)| Some((setting.name.to_owned(), param(setting, order)?))).collect()
}

fn param(setting: &ModuleSetting, order: u64) -> Option<Value> {
    let ModuleSetting { title, description, kind, min, max, choices, fields, default, .. } = setting;
    let kind = match *kind {
        "switch" => "boolean",
        "number" => "number",
        "choice" | "text" => "string",
        "tables" => "array",
        _ => return None,
    };
    let mut param = json!({
        "title": Words::new(title, ""),
        "description": Words::new(description, ""),
        "required": matches!(setting.kind, "switch" | "number" | "choice"),
        "order": order,
        "type": kind,
        // It takes every object for words in two languages, and null for an object.
        "default": if default.is_null() { Value::from("") } else { default.clone() },
    });
    if kind == "number" {
        (param["minimum"], param["maximum"]) = (json!(min), json!(max));
    }
    if let Some(choices) = choices {
        param["enum"] = json!(choices);
    }
    if let Some(fields) = fields {
        param["items"] = json!({ "type": "object", "schema": params(fields) });
    }
    Some(param)
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
    use mqtt_hooks::{ListOf, Setting, SettingKind};

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
        const fn setting(name: &'static str, kind: SettingKind, default: &'static str) -> Setting {
            Setting { name, title: "Title", description: "About", kind, default }
        }
        const FIELDS: &[Setting] = &[setting("re", SettingKind::Text, "\"\"")];
        let settings = [
            setting("on", SettingKind::Switch, "true"),
            setting("count", SettingKind::Number { min: 1, max: 9 }, "null"),
            setting("how", SettingKind::Choice(&["a", "b"]), "\"a\""),
            setting("names", SettingKind::List { of: ListOf::Texts, max: 9 }, "[]"),
            setting("rules", SettingKind::List { of: ListOf::Tables(FIELDS), max: 9 }, "[]"),
        ];
        let params = params(&settings.map(ModuleSetting::from));
        let words = |text: &str| json!({"en": text, "zh": text});
        let expected = |kind: &str, default: Value, order: u64| json!({"type": kind, "title": words("Title"), "description": words("About"), "required": true, "order": order, "default": default});
        assert_eq!(params["on"], expected("boolean", json!(true), 1));
        let mut count = expected("number", json!(""), 2);
        (count["minimum"], count["maximum"]) = (json!(1), json!(9));
        assert_eq!(params["count"], count);
        let mut how = expected("string", json!("a"), 3);
        how["enum"] = json!(["a", "b"]);
        assert_eq!(params["how"], how);
        let mut text = expected("string", json!(""), 1);
        text["required"] = json!(false);
        let mut rules = expected("array", json!([]), 5);
        (rules["required"], rules["items"]) = (json!(false), json!({"type": "object", "schema": {"re": text}}));
        assert_eq!((&params["rules"], params.get("names")), (&rules, None));
    }
}
