//! What EMQ X 4.3 wraps its answers in, `{"code":0,"data":...}`, and how a request is refused.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// `{"code":0}`
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
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
#[serde(deny_unknown_fields)]
pub(crate) struct Data<T> {
    /// Always 0.
    #[schema(example = 0)]
    code: u16,
    /// What was asked for.
    data: T,
    /// Nodes whose part is not there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    missing: Vec<Missing>,
}

impl<T> Data<T> {
    pub(crate) const fn new(data: T) -> Self {
        Self { code: 0, data, missing: Vec::new() }
    }

    pub(crate) fn without(mut self, missing: Vec<Missing>) -> Self {
        self.missing = missing;
        self
    }
}

impl<T: Serialize> IntoResponse for Data<T> {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

/// Which part of a list.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Paging {
    /// From 1.
    #[serde(rename = "_page")]
    page: Option<u32>,
    /// Rows of a page: 10000 if not given, and at most.
    #[serde(rename = "_limit")]
    limit: Option<u32>,
    /// Rows before the page, instead of pages.
    #[serde(rename = "_skip")]
    skip: Option<u32>,
}

impl Paging {
    /// EMQ X's `max_row_limit`.
    pub(crate) const MAX: usize = 10_000;

    fn page(self) -> usize {
        self.page.unwrap_or(1).max(1) as usize
    }

    pub(crate) fn limit(self) -> usize {
        self.limit.map_or(Self::MAX, |limit| limit as usize).clamp(1, Self::MAX)
    }

    /// Rows before the page.
    pub(crate) fn skip(self) -> usize {
        self.skip.map_or_else(|| (self.page() - 1).saturating_mul(self.limit()), |skip| skip as usize)
    }
}

/// What part of a list it is.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PageMeta)]
struct Meta {
    #[schema(example = 1)]
    page: usize,
    #[schema(example = 10000)]
    limit: usize,
    /// Rows of all pages; -1: not counted.
    count: i64,
    /// There are more pages.
    hasnext: bool,
    /// What the next page begins after, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
    /// How many of `_skip` there were.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    skipped: Option<usize>,
}

/// A node of a cluster that lives, and of which nothing is told here.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Missing {
    pub(crate) node: String,
    /// Why.
    pub(crate) message: String,
}

/// `{"code":0,"data":[...],"meta":{...}}`
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listed<T> {
    /// Always 0.
    #[schema(example = 0)]
    code: u16,
    /// A page.
    data: Vec<T>,
    meta: Meta,
    /// Nodes whose part is not there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    missing: Vec<Missing>,
}

impl<T> Listed<T> {
    /// `count`: rows of all pages, or -1.
    pub(crate) fn new(data: Vec<T>, paging: Paging, count: i64, hasnext: bool) -> Self {
        let meta = Meta { page: paging.page(), limit: paging.limit(), count, hasnext, next: None, skipped: None };
        Self { code: 0, data, meta, missing: Vec::new() }
    }

    /// So many rows were left out before it, of those that were to be.
    pub(crate) fn behind(mut self, skipped: usize, paging: Paging) -> Self {
        self.meta.skipped = paging.skip.map(|_| skipped);
        self
    }

    pub(crate) fn with_next(mut self, next: Option<String>) -> Self {
        self.meta.next = next;
        self
    }

    pub(crate) fn without(mut self, missing: Vec<Missing>) -> Self {
        self.missing = missing;
        self
    }
}

impl<T: Serialize> IntoResponse for Listed<T> {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

/// EMQ X's code and what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
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
#[serde(deny_unknown_fields)]
pub(crate) struct Explanation {
    /// For people, except where EMQ X has a word that scripts look for.
    message: String,
}

/// A request that is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// As EMQ X 4.3 does it: status 200 and a code.
    Fault(Fault),
    /// As EMQ X 4.3 does it where it can't read the request: status 400 and a code.
    BadRequest(Fault),
    /// As EMQ X 4.3 answers about modules: status 200 and no code.
    Message(String),
    /// A proper status, for everything that is new.
    Status(StatusCode, String),
    /// The same for what may be done after so many seconds.
    Later(StatusCode, String, u64),
}

impl Refusal {
    /// 112: there is no such client.
    pub(crate) fn no_client() -> Self {
        Self::fault(112, "not_found")
    }

    /// 108: a parameter is not what it should be.
    pub(crate) fn bad_param(message: impl Into<String>) -> Self {
        Self::fault(108, message)
    }

    /// 109: the body is no JSON.
    pub(crate) fn not_json() -> Self {
        Self::BadRequest(Fault { code: 109, message: "not_json".to_owned() })
    }

    /// 108, where it is not known what is asked for.
    pub(crate) fn unreadable(message: impl Into<String>) -> Self {
        Self::BadRequest(Fault { code: 108, message: message.into() })
    }

    pub(crate) fn fault(code: u16, message: impl Into<String>) -> Self {
        Self::Fault(Fault { code, message: message.into() })
    }

    /// With a proper status instead of EMQ X's code.
    pub(crate) fn without_code(self) -> Self {
        match self {
            Self::Fault(fault) | Self::BadRequest(fault) => Self::Status(StatusCode::BAD_REQUEST, fault.message),
            refusal @ (Self::Message(_) | Self::Status(..) | Self::Later(..)) => refusal,
        }
    }

    /// EMQ X's code for it.
    pub(crate) const fn code(&self) -> u16 {
        match self {
            Self::Fault(fault) | Self::BadRequest(fault) => fault.code,
            Self::Message(_) | Self::Status(..) | Self::Later(..) => 102,
        }
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::Status(StatusCode::NOT_FOUND, message.into())
    }

    /// 503: others are to go first, or to go.
    pub(crate) fn busy(why: impl Into<String>) -> Self {
        Self::Later(StatusCode::SERVICE_UNAVAILABLE, why.into(), 1)
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
            Self::BadRequest(fault) => (StatusCode::BAD_REQUEST, Json(fault)).into_response(),
            Self::Message(message) => Json(Explanation { message }).into_response(),
            Self::Status(StatusCode::UNAUTHORIZED, message) => {
                let how = [(header::WWW_AUTHENTICATE, "Basic realm=\"rollcall\"")];
                (StatusCode::UNAUTHORIZED, how, Json(Explanation { message })).into_response()
            }
            Self::Status(status, message) => (status, Json(Explanation { message })).into_response(),
            Self::Later(status, message, seconds) => {
                let when = [(header::RETRY_AFTER, HeaderValue::from(seconds))];
                (status, when, Json(Explanation { message })).into_response()
            }
        }
    }
}

/// For who is not known. A page is to find that out: a browser that shows a dialog of its own keeps it waiting until then.
pub(crate) fn unknown_caller(is_page: bool) -> Response {
    let message = "wrong or missing user name and password, or key".to_owned();
    let mut response = Refusal::Status(StatusCode::UNAUTHORIZED, message).into_response();
    if is_page {
        response.headers_mut().remove(header::WWW_AUTHENTICATE);
    }
    response
}

pub(crate) async fn unknown_path() -> Refusal {
    Refusal::not_found("no such path; see /api/v4/openapi.json")
}

/// For a connection over the limit.
pub(crate) async fn too_many_connected() -> Refusal {
    Refusal::busy("as many are connected as may be; try again")
}

pub(crate) async fn wrong_method() -> Refusal {
    Refusal::Status(StatusCode::METHOD_NOT_ALLOWED, "no such method here; see /api/v4/openapi.json".to_owned())
}
