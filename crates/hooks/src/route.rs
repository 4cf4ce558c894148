//! What a module answers to requests of programs and pages, without knowing HTTP: the admin port serves it below `/api/v4`.
//!
//! A module says once, when the port opens, what it answers: [`Module::routes`](crate::Module::routes). So its routes
//! stand in the API's description from the start, and answer while it is stopped too, as what is kept of it can be looked
//! up then; one that makes no sense then is marked with [`Route::while_running`].

use std::sync::Arc;

use serde_json::Value;

mod answer;
mod request;

pub use answer::{Answer, Event, Feed, Json, Position, Refusal};
pub use request::{Pair, Request};

/// Something of a module that can be asked for or changed.
#[derive(Clone)]
pub struct Route {
    /// What is done there.
    pub method: Method,
    /// Below `/api/v4`; parts that vary stand in braces: `/presence/clients`, `/mqtt/delayed/{id}`. It begins with
    /// what no other part of the API begins with: the module's name is best.
    pub path: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// What can or must be said. One that stands in the path in braces is a part of it, others follow the `?`.
    pub parameters: Vec<Parameter>,
    /// What it takes as the body of a request, as a JSON schema.
    pub body: Option<Value>,
    /// What it answers.
    pub returns: Returns,
    /// While the module is stopped there is no such path.
    pub only_while_running: bool,
    /// Answers.
    pub handler: Arc<dyn Handle>,
}

/// What is done at a path. All but [`Method::Get`] change something, so who may only look is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Look.
    Get,
    /// Make, or do.
    Post,
    /// Replace.
    Put,
    /// Remove.
    Delete,
}

/// Something that can be said with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// `prefix`
    pub name: &'static str,
    /// For people: one sentence.
    pub description: &'static str,
    /// What values it takes.
    pub takes: Takes,
}

/// What values a [`Parameter`] takes. The description says so; it is the handler that refuses others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Any text.
    Text,
    /// A whole number from 0 on.
    Number,
    /// One of these texts.
    Choice(&'static [&'static str]),
}

/// What a [`Route`] answers, for its description.
#[derive(Clone, Debug, PartialEq)]
pub enum Returns {
    /// [`Answer::Done`]
    Done,
    /// [`Answer::Data`], of this JSON schema.
    Data(Value),
    /// [`Answer::List`], of which each row is of this JSON schema.
    List(Value),
    /// [`Answer::File`]
    File,
    /// [`Answer::Events`]
    Events,
}

/// Answers the requests to a [`Route`].
#[async_trait::async_trait]
pub trait Handle: Send + Sync {
    /// Answers one. It may block for as long as it takes to look at every client. A panic is logged, and is a fault of
    /// the broker's to who asked; who goes before the answer ends it at its next `.await`.
    async fn handle(&self, request: Request) -> Result<Answer, Refusal>;
}

impl Route {
    /// One that shows something; [`Answer::Data`] of any form unless told otherwise.
    pub fn get(path: &'static str, summary: &'static str, handler: impl Handle + 'static) -> Self {
        Self::new(Method::Get, path, summary, handler)
    }

    /// One without parameters, body or said form of its answer.
    pub fn new(method: Method, path: &'static str, summary: &'static str, handler: impl Handle + 'static) -> Self {
        Self {
            method,
            path,
            summary,
            parameters: Vec::new(),
            body: None,
            returns: Returns::Data(Value::Object(serde_json::Map::new())),
            only_while_running: false,
            handler: Arc::new(handler),
        }
    }

    /// Takes one more parameter.
    #[must_use]
    pub fn parameter(mut self, name: &'static str, takes: Takes, description: &'static str) -> Self {
        self.parameters.push(Parameter { name, description, takes });
        self
    }

    /// Takes a body of this JSON schema.
    #[must_use]
    pub fn body(mut self, schema: Value) -> Self {
        self.body = Some(schema);
        self
    }

    /// Answers this.
    #[must_use]
    pub fn returns(mut self, returns: Returns) -> Self {
        self.returns = returns;
        self
    }

    /// While the module is stopped there is no such path.
    #[must_use]
    pub const fn while_running(mut self) -> Self {
        self.only_while_running = true;
        self
    }
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Route").field("method", &self.method).field("path", &self.path).finish_non_exhaustive()
    }
}
