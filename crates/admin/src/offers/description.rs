//! The routes of modules in the API's description.

use mqtt_hooks::route::{Method, Parameter, Returns, Route, Takes};
use mqtt_hooks::run::Offer;
use serde_json::{Map, Value, json};

use crate::openapi::reference;

/// The part of the description that is about them.
pub(crate) fn describe(offers: &[Offer]) -> Value {
    let mut paths = Map::new();
    for offer in offers {
        let operations = paths.entry(offer.route.path).or_insert_with(|| json!({}));
        operations[method(offer.route.method)] = operation(offer);
    }
    json!({ "paths": paths, "components": { "schemas": { "Position": position() } } })
}

fn operation(Offer { module, route }: &Offer) -> Value {
    let mut operation = json!({
        "tags": [module],
        "operationId": id(module, route),
        "summary": route.summary,
        "responses": responses(route),
    });
    if !route.parameters.is_empty() {
        let parameters = route.parameters.iter().map(|parameter| described(parameter, route.path));
        operation["parameters"] = parameters.collect();
    }
    if let Some(schema) = &route.body {
        operation["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    operation
}

const fn method(method: Method) -> &'static str {
    match method {
        Method::Get => "get",
        Method::Post => "post",
        Method::Put => "put",
        Method::Delete => "delete",
    }
}

/// Its path's words without the module's name, after the method if that changes something.
fn id(module: &str, route: &Route) -> String {
    let words = route.path.split(['/', '{', '}']).filter(|word| !word.is_empty() && *word != module);
    let method = Some(method(route.method)).filter(|_| route.method != Method::Get);
    method.into_iter().chain(words).collect::<Vec<_>>().join("_")
}

fn described(parameter: &Parameter, path: &str) -> Value {
    let is_in_path = path.contains(&format!("{{{}}}", parameter.name));
    json!({
        "name": parameter.name,
        "in": if is_in_path { "path" } else { "query" },
        "description": parameter.description,
        "required": is_in_path,
        "schema": match parameter.takes {
            Takes::Text => json!({ "type": "string" }),
            Takes::Number => json!({ "type": "integer", "format": "int64", "minimum": 0 }),
            Takes::Choice(choices) => json!({ "type": "string", "enum": choices }),
        },
    })
}

fn responses(route: &Route) -> Value {
    let json = |schema: Value| json!({ "application/json": { "schema": schema } });
    let code = json!({ "type": "integer", "example": 0, "description": "Always 0." });
    let content = match &route.returns {
        Returns::Done => json(json!({ "type": "object", "required": ["code"], "properties": { "code": code } })),
        Returns::Data(schema) => json(json!({
            "type": "object", "required": ["code", "data"], "properties": { "code": code, "data": schema },
        })),
        Returns::List(schema) => json(json!({
            "type": "object", "required": ["code", "data", "meta"], "description": "A list and how it goes on.",
            "properties": { "code": code, "data": { "type": "array", "items": schema }, "meta": reference("Position") },
        })),
        Returns::File => json!({ "text/plain": { "schema": { "type": "string" } } }),
        Returns::Events => json!({ "text/event-stream": { "schema": { "type": "string" } } }),
    };
    let mut responses = json!({ "200": { "description": "it is done, or what was asked for", "content": content } });
    let mut add = |status: &str, why: &str| {
        responses[status] = json!({ "description": why, "content": json(reference("Explanation")) });
    };
    if !route.parameters.is_empty() || route.body.is_some() {
        add("400", "a part of the request is not what it should be");
    }
    if route.path.contains('{') || route.only_while_running {
        add("404", "there is no such thing");
    }
    if route.method != Method::Get {
        add("409", "it is not so that it could be done");
        add("503", "not now");
    }
    if route.returns == Returns::Events {
        add("503", "too many streams are open");
    }
    responses
}

/// The schema of [`Position`](mqtt_hooks::route::Position).
fn position() -> Value {
    json!({
        "type": "object", "description": "How a list goes on.", "required": ["limit", "hasnext"],
        "properties": {
            "limit": { "type": "integer", "minimum": 0, "description": "The most rows there may be." },
            "hasnext": { "type": "boolean", "description": "There is more." },
            "next": { "type": "string", "description": "What to ask for next, by the parameter that says so." },
            "kept_since": {
                "type": "integer", "format": "int64", "minimum": 0,
                "description": "Where rows are kept for a while only: what is older may be gone. Milliseconds since the Unix epoch.",
            },
        },
    })
}
