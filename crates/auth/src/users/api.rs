//! What the module answers: who there is, and changing that. Passwords come in and never go out.

use std::sync::Arc;

use mqtt_hooks::route::{Answer, Handle, Method, Position, Refusal, Request, Returns, Route, Takes};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::directory::{Directory, Shown, Unchanged};

/// Rows of an answer unless asked for otherwise, and at the most.
const LIMIT: u64 = 100;
const MAX_LIMIT: u64 = 10_000;

pub(super) fn routes(directory: &Arc<Directory>) -> Vec<Route> {
    use Takes::{Number, Text};
    let one = "/auth/users/{username}";
    let about = "The user's name.";
    vec![
        Route::get("/auth/users", "The users, in order of their names.", List(directory.clone()))
            .parameter("_after", Text, "Those after this one: `meta.next` of the answer before.")
            .parameter("_limit", Number, "Rows at the most: 100 unless told otherwise, 10,000 at the most.")
            .returns(Returns::List(schema())),
        Route::new(
            Method::Post,
            "/auth/users",
            "Adds a user. With the first one clients that give a user name are asked for its password.",
            Add(directory.clone()),
        )
        .body(body(&["username", "password"]))
        .returns(Returns::Data(changed_schema()))
        .while_running(),
        Route::new(Method::Put, one, "Gives a user another password.", Change(directory.clone()))
            .parameter("username", Text, about)
            .body(body(&["password"]))
            .returns(Returns::Done)
            .while_running(),
        Route::new(Method::Delete, one, "Removes a user; who is connected stays.", Remove(directory.clone()))
            .parameter("username", Text, about)
            .returns(Returns::Data(changed_schema()))
            .while_running(),
    ]
}

struct List(Arc<Directory>);
struct Add(Arc<Directory>);
struct Change(Arc<Directory>);
struct Remove(Arc<Directory>);

#[derive(Serialize)]
struct Row {
    username: String,
    created_at: u64,
}

/// What a change brought about.
#[derive(Serialize)]
struct Changed {
    username: String,
    /// For people.
    note: Option<&'static str>,
}

const FIRST: &str = "this is the first user: from now on clients that give a user name are asked for its password, \
                     and others come in only as auth.anonymous says";
const LAST: &str = "this was the last user: clients are no longer asked who they are, and come in only as \
                    auth.anonymous says; a broker that others can reach does not start again without a user unless that is \
                    true";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewUser {
    username: String,
    password: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPassword {
    password: String,
}

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "username": {"type": "string"},
            "created_at": {"type": "integer", "description": "When it was added: milliseconds since the Unix epoch."},
        },
        "required": ["username", "created_at"],
    })
}

fn changed_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "username": {"type": "string"},
            "note": {"type": ["string", "null"], "description": "What it means, where it means more."},
        },
        "required": ["username", "note"],
    })
}

fn body(fields: &[&str]) -> Value {
    let properties = fields.iter().map(|&field| (field.to_owned(), json!({"type": "string"})));
    json!({"type": "object", "properties": Value::Object(properties.collect()), "required": fields})
}

impl From<Unchanged> for Refusal {
    fn from(why: Unchanged) -> Self {
        let message = why.to_string();
        match why {
            Unchanged::Exists(_) | Unchanged::Full => Self::Conflict(message),
            Unchanged::Unknown(_) => Self::NotFound(message),
            Unchanged::Name | Unchanged::Password => Self::BadRequest(message),
            Unchanged::Busy | Unchanged::Stopped => Self::Unavailable(message),
        }
    }
}

#[async_trait::async_trait]
impl Handle for List {
    async fn handle(&self, request: Request) -> Result<Answer, Refusal> {
        let limit = request.number("_limit")?.unwrap_or(LIMIT).clamp(1, MAX_LIMIT) as usize;
        let mut found = self.0.list(request.text("_after")?, limit + 1);
        let has_next = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| has_next).map(|last| last.name.to_string());
        let row = |Shown { name, created_at }: Shown| Row { username: name.to_string(), created_at };
        let rows: Vec<_> = found.into_iter().map(row).collect();
        Answer::list(&rows, Position { limit, has_next, next, ..Position::default() })
    }
}

#[async_trait::async_trait]
impl Handle for Add {
    async fn handle(&self, request: Request) -> Result<Answer, Refusal> {
        let NewUser { username, password } = request.json()?;
        let is_first = self.0.add(&username, &password).await?;
        Answer::data(&Changed { username, note: is_first.then_some(FIRST) })
    }
}

#[async_trait::async_trait]
impl Handle for Change {
    async fn handle(&self, request: Request) -> Result<Answer, Refusal> {
        let NewPassword { password } = request.json()?;
        self.0.change_password(request.part("username"), &password).await?;
        Ok(Answer::Done)
    }
}

#[async_trait::async_trait]
impl Handle for Remove {
    async fn handle(&self, request: Request) -> Result<Answer, Refusal> {
        let username = request.part("username").to_owned();
        let was_last = self.0.remove(&username)?;
        Answer::data(&Changed { username, note: was_last.then_some(LAST) })
    }
}
