//! What EMQ X 4.3 wraps its answers in, `{"code":0,"data":...}`, and how a request is refused.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// `{"code":0}`
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct Done {
    /// Always 0.
    #[schema(example = 0)]
    code: u16,
}

pub(crate) const DONE: Done = Done { code: 0 };

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

/// `{"code":0,"data":...}`
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Data<T> {
    /// Always 0.
    #[schema(example = 0)]
    code: u16,
    /// What was asked for.
    data: T,
}

impl<T> Data<T> {
    pub(crate) const fn new(data: T) -> Self {
        Self { code: 0, data }
    }
}

impl<T: Serialize> IntoResponse for Data<T> {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

/// EMQ X's code and what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Fault {
    /// EMQ X's code.
    #[schema(example = 112)]
    code: u16,
    /// What is wrong.
    #[schema(example = "not_found")]
    message: String,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Explanation {
    /// For people, except where EMQ X has a word that scripts look for.
    message: String,
}

/// A request that is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// As EMQ X 4.3 does it: status 200 and a code.
    Fault(Fault),
    /// As EMQ X 4.3 answers about modules: status 200 and no code.
    Message(String),
    /// A proper status, for everything that is new.
    Status(StatusCode, String),
}

impl Refusal {
    /// 112: there is no such client.
    pub(crate) fn no_client() -> Self {
        Self::fault(112, "not_found")
    }

    pub(crate) fn fault(code: u16, message: impl Into<String>) -> Self {
        Self::Fault(Fault { code, message: message.into() })
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::Status(StatusCode::NOT_FOUND, message.into())
    }

    /// A fault of ours.
    pub(crate) fn internal() -> Self {
        let message = "a fault of the broker's; its log says more".to_owned();
        Self::Status(StatusCode::INTERNAL_SERVER_ERROR, message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Fault(fault) => Json(fault).into_response(),
            Self::Message(message) => Json(Explanation { message }).into_response(),
            Self::Status(StatusCode::UNAUTHORIZED, message) => {
                let how = [(header::WWW_AUTHENTICATE, "Basic realm=\"rollcall\"")];
                (StatusCode::UNAUTHORIZED, how, Json(Explanation { message })).into_response()
            }
            Self::Status(status, message) => (status, Json(Explanation { message })).into_response(),
        }
    }
}

/// For who is not known. A browser is to show the login page, and no dialog of its own.
pub(crate) fn unknown_caller(is_dashboard: bool) -> Response {
    let message = "wrong or missing user name and password, or key".to_owned();
    let mut response = Refusal::Status(StatusCode::UNAUTHORIZED, message).into_response();
    if is_dashboard {
        response.headers_mut().remove(header::WWW_AUTHENTICATE);
    }
    response
}

pub(crate) async fn unknown_path() -> Refusal {
    Refusal::not_found("no such path; see /api/v4/openapi.json")
}
