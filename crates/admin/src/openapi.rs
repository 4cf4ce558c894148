//! The description of the API: what the handlers say of themselves, and what may be answered to any of them.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use crate::role::{self, Role};

/// Served as it is.
#[derive(Clone)]
pub(crate) struct Description {
    text: Bytes,
    endpoints: Bytes,
}

impl Description {
    /// `open` needs no login, `offered` is of modules.
    pub(crate) fn new(guarded: OpenApi, open: OpenApi, offered: Value) -> Self {
        let mut open = serde_json::to_value(open).unwrap_or_default();
        let mut all = serde_json::to_value(guarded).unwrap_or_default();
        each_operation(&mut open, |_, _, operation| {
            operation["security"] = json!([]);
        });
        merge(&mut all, open);
        merge(&mut all, offered);
        all["servers"] = json!([{"url": "/api/v4"}]);
        all["components"]["securitySchemes"] = json!({"basic": {"type": "http", "scheme": "basic"}});
        all["components"]["schemas"]["Fault"] = json!({
            "type": "object", "description": "EMQ X's code and what it says.", "additionalProperties": false,
            "required": ["code", "message"],
            "properties": {"code": {"type": "integer", "example": 112}, "message": {"type": "string"}},
        });
        all["components"]["schemas"]["Explanation"] = json!({
            "type": "object", "description": "What is wrong.", "additionalProperties": false,
            "required": ["message"], "properties": {"message": {"type": "string"}},
        });
        all["security"] = json!([{"basic": []}]);
        each_operation(&mut all, complete);
        let endpoints = json!({"code": 0, "data": endpoints(&mut all)});
        Self { text: all.to_string().into(), endpoints: endpoints.to_string().into() }
    }

    /// All there is to be asked, as EMQ X lists it.
    pub(crate) fn endpoints(&self) -> Response {
        json_text(self.endpoints.clone())
    }
}

/// EMQ X's words for each operation. It writes what varies in a path with a colon.
fn endpoints(document: &mut Value) -> Vec<Value> {
    let mut endpoints = Vec::new();
    each_operation(document, |path, method, operation| {
        endpoints.push(json!({
            "name": operation["operationId"],
            "method": method.to_uppercase(),
            "path": path.replace('{', ":").replace('}', ""),
            "descr": operation["summary"],
        }));
    });
    endpoints
}

fn json_text(text: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

impl IntoResponse for Description {
    fn into_response(self) -> Response {
        json_text(self.text)
    }
}

fn each_operation(document: &mut Value, mut visit: impl FnMut(&str, &str, &mut Value)) {
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (path, operations) in paths {
        for (method, operation) in operations.as_object_mut().into_iter().flatten() {
            visit(path, method, operation);
        }
    }
}

/// Adds what is not there.
fn merge(all: &mut Value, other: Value) {
    match (all, other) {
        (Value::Object(all), Value::Object(other)) => {
            for (key, value) in other {
                merge(all.entry(key).or_insert(Value::Null), value);
            }
        }
        (all @ Value::Null, other) => *all = other,
        _ => {}
    }
}

/// What the layers around a handler may answer, and EMQ X's faults with status 200.
fn complete(path: &str, method: &str, operation: &mut Value) {
    let has_input =
        path.contains('{') || operation.get("requestBody").is_some() || operation.get("parameters").is_some();
    let is_open = operation["security"] == json!([]);
    let needed =
        method.to_uppercase().parse().map_or(Role::Admin, |method| role::needed(&method, &format!("/api/v4{path}")));
    if !is_open && needed != Role::Viewer {
        // What keys and operators need for it; the dashboard hides what is refused.
        operation["x-role"] = needed.name().into();
    }
    // The names of handlers are short, as they have modules around them; here they have to be unique.
    let id =
        [&operation["tags"][0], &operation["operationId"]].map(|part| part.as_str().unwrap_or_default().to_owned());
    operation["operationId"] = id.join("_").into();
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    if let Some(schema) = responses.get_mut("200").and_then(|ok| ok.pointer_mut("/content/application~1json/schema"))
        && (has_input || method != "get")
    {
        let done = schema.take();
        let mut one_of = vec![done, reference("Fault")];
        // Where EMQ X says what is wrong with status 200 and no code.
        let is_restart = path.contains("/listeners/") && path.ends_with("/restart");
        if path.contains("/modules") || path.contains("/alarms") || is_restart {
            one_of.push(reference("Explanation"));
        }
        *schema = json!({ "oneOf": one_of });
    }
    let mut add = |status: &str, why: &str| {
        let schema = json!({"oneOf": [reference("Explanation"), reference("Fault")]});
        let response = json!({"description": why, "content": {"application/json": {"schema": schema}}});
        responses.entry(status).or_insert(response);
    };
    add("408", "the request took too long to come or to be answered");
    add(
        "403",
        "the page of another site asks, or under a name that is not the broker's; or the role does not suffice, or a change \
                comes without the page's token",
    );
    add("429", "too many wrong passwords; or as much is under way under this name as may be");
    add("503", "as much is under way as may be");
    add("500", "a fault of the broker's");
    if has_input {
        add("400", "a part of the request can't be read");
    }
    if path.contains("{node}") {
        add("404", "there is no such node");
    }
    if operation_has_body(method) {
        add("413", "the body is too large");
    }
    if !is_open {
        add("401", "wrong or missing user name and password, or key");
    }
    describe_responses(responses);
}

/// OpenAPI wants a text for each; handlers say one only where there is something to be said.
fn describe_responses(responses: &mut Map<String, Value>) {
    for (status, response) in responses {
        let why = match status.as_str() {
            "200" => "it is done, or what was asked for",
            "400" => "a part of the request can't be read",
            "404" => "there is no such thing",
            "409" => "it is not so that it could be done",
            _ => "it is not done",
        };
        if let Some(response) = response.as_object_mut() {
            response.entry("description").or_insert(why.into());
        }
    }
}

fn operation_has_body(method: &str) -> bool {
    matches!(method, "post" | "put" | "patch")
}

pub(crate) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::offers;

    fn document() -> Value {
        let (_, guarded) = crate::api::router().split_for_parts();
        let (_, open) = crate::api::open_router().split_for_parts();
        serde_json::from_slice(&Description::new(guarded, open, offers::describe(&offers::tests::offers())).text)
            .unwrap()
    }

    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(|at| Some(at.as_str()?.trim_start_matches('#').to_owned())));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let (document, mut found) = (document(), BTreeSet::new());
        references(&document, &mut found);
        assert!(found.len() > 10);
        for reference in found {
            assert!(document.pointer(&reference).is_some(), "{reference}");
        }
    }

    #[test]
    fn every_response_is_described() {
        let (mut document, mut seen) = (document(), 0);
        each_operation(&mut document, |path, method, operation| {
            for (status, response) in operation["responses"].as_object().unwrap() {
                assert!(
                    response["description"].as_str().is_some_and(|text| !text.is_empty()),
                    "{method} {path} {status}"
                );
                seen += 1;
            }
        });
        assert!(seen > 500);
    }

    #[test]
    fn operations_have_names_of_their_own_and_parameters_in_their_places() {
        let (mut document, mut ids) = (document(), BTreeSet::new());
        each_operation(&mut document, |path, method, operation| {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            assert!(ids.insert(id), "{method} {path}: {}", operation["operationId"]);
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let of_path = parameters.iter().filter(|parameter| parameter["in"] == "path");
            assert_eq!(of_path.count(), path.matches('{').count(), "{method} {path}");
        });
    }
}
