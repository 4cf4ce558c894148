//! Addresses of services.

use hyper::Uri;
use hyper::header::HeaderValue;
use hyper::http::uri::PathAndQuery;
use rustls::pki_types::ServerName;

/// `http://` or `https://`, a host, maybe a port, a path and a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    uri: Uri,
    is_tls: bool,
    server_name: ServerName<'static>,
}

impl Url {
    /// True if a text is meant as one.
    pub fn is_meant(text: &str) -> bool {
        text.contains("://")
    }

    /// What this text says.
    ///
    /// # Errors
    /// It says what is wanted instead.
    pub fn read(text: &str) -> Result<Self, String> {
        let wrong = || "wants an address like \"https://example.com/auth\"".to_owned();
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong()),
        };
        if uri.authority().is_none_or(|authority| authority.as_str().contains('@')) {
            return Err(wrong());
        }
        let host = uri.host().ok_or_else(wrong)?.trim_start_matches('[').trim_end_matches(']').to_owned();
        let server_name = ServerName::try_from(host).map_err(|_| wrong())?;
        Ok(Self { uri, is_tls, server_name })
    }

    /// `https://`.
    pub const fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Without the brackets of an address of version 6.
    pub(crate) fn host(&self) -> &str {
        self.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    pub(crate) fn port(&self) -> u16 {
        self.uri.port_u16().unwrap_or(if self.is_tls { 443 } else { 80 })
    }

    pub(crate) fn server_name(&self) -> ServerName<'static> {
        self.server_name.clone()
    }

    pub(crate) fn host_header(&self) -> HeaderValue {
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        HeaderValue::from_str(authority).unwrap_or(HeaderValue::from_static(""))
    }

    /// What stands in the first line of a request.
    pub(crate) fn target(&self, query: Option<&str>) -> Uri {
        let own = self.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let Some(query) = query else { return own.into() };
        let sign = if own.query().is_some() { '&' } else { '?' };
        // What is put after it is percent-encoded.
        PathAndQuery::try_from(format!("{own}{sign}{query}")).unwrap_or(own).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        for (text, host, port, target) in [
            ("http://a.example", "a.example", 80, "/?q=1"),
            ("https://a.example:8443/auth", "a.example", 8443, "/auth?q=1"),
            ("https://127.0.0.1/auth?x=y", "127.0.0.1", 443, "/auth?x=y&q=1"),
            ("http://[::1]:80/", "::1", 80, "/?q=1"),
        ] {
            let url = Url::read(text).unwrap();
            assert_eq!((url.host(), url.port(), url.target(Some("q=1")).to_string().as_str()), (host, port, target));
        }
        for wrong in ["", "a.example", "ftp://a.example/", "http://", "http:///x", "http://a b/", "http://u:p@a/", "/x"]
        {
            assert!(Url::read(wrong).is_err(), "{wrong}");
        }
    }
}
