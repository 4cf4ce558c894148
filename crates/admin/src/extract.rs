//! What handlers take from a request; what can't be taken is refused in EMQ X's form.

use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use bytes::Bytes;
use mqtt_hooks::read_strictly;
use serde::de::DeserializeOwned;

use crate::reply::Refusal;

/// Parts of the path, without percent-encoding.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(path)| Self(path))
            .map_err(|error: PathRejection| Refusal::Status(StatusCode::BAD_REQUEST, error.body_text()))
    }
}

/// What follows the `?`. Parameters that are not known are left out.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let query = axum::extract::Query::try_from_uri(&parts.uri);
        query.map(|axum::extract::Query(query)| Self(query)).map_err(|error| Refusal::bad_param(error.body_text()))
    }
}

/// A body that is JSON, whatever its content type says: EMQ X does not look at that. An array is no object.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|error: BytesRejection| Refusal::Status(error.status(), error.body_text()))?;
        let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(|_| Refusal::not_json())?;
        read_strictly(&value).map(Self).map_err(|error| Refusal::bad_param(error.to_string()))
    }
}

/// For what EMQ X does not have: what can't be taken is refused with status 400 and no code of EMQ X's.
pub(crate) struct Strict<T>(pub(crate) T);

impl<T: FromRequestParts<S, Rejection = Refusal>, S: Send + Sync> FromRequestParts<S> for Strict<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        T::from_request_parts(parts, state).await.map(Self).map_err(Refusal::without_code)
    }
}

impl<T: FromRequest<S, Rejection = Refusal>, S: Send + Sync> FromRequest<S> for Strict<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        T::from_request(request, state).await.map(Self).map_err(Refusal::without_code)
    }
}
