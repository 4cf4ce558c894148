//! What may stand between a socket and HTTP. TLS is not known here: whoever has the certificates brings it.

use std::io;
use std::pin::Pin;

use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::hosts::Hosts;
use crate::reply::Refusal;

/// Carries HTTP.
pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket for S {}

/// Lets connections in by TLS.
pub trait Door: Send + Sync {
    /// Exchanges keys. The caller bounds how long that may take, and drops it then.
    fn open(&self, stream: TcpStream) -> Pin<Box<dyn Future<Output = io::Result<Welcome>> + Send>>;
}

/// What a connection begins with.
pub enum Welcome {
    /// TLS, which goes on with HTTP.
    Sealed(Box<dyn Socket>),
    /// Something else, of which nothing has been read.
    Plain(TcpStream),
}

/// Tells who speaks plain HTTP where TLS is spoken. A browser is sent on; a script may have sent its secret in clear already, so it
/// is told no.
pub(crate) fn answer_plain(hosts: &Hosts, request: &Request) -> Response {
    let headers = request.headers();
    let text = |headers: &HeaderMap, name| Some(headers.get(name)?.to_str().ok()?.to_owned());
    let is_page = text(headers, header::ACCEPT).is_some_and(|accept| accept.contains("text/html"));
    let has_secret = headers.contains_key(header::AUTHORIZATION);
    if let Some(host) = text(headers, header::HOST)
        && is_page
        && !has_secret
        && *request.method() == Method::GET
        && hosts.knows(headers)
    {
        return Redirect::temporary(&format!("https://{host}{}", request.uri().path())).into_response();
    }
    let why = "this port speaks https: ask for https://, and take what was sent in clear for known to others";
    Refusal::Status(StatusCode::BAD_REQUEST, why.to_owned()).into_response()
}
