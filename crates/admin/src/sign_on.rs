//! Single sign-on: a proxy that has asked people who they are says so in a header.
//!
//! It is believed by its address alone, so a header from anybody else is not looked at.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, StatusCode};

use crate::reply::Refusal;

/// Whom to believe, and what they say.
pub struct SignOn {
    header: HeaderName,
    trusts: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
}

impl SignOn {
    /// In this header, from addresses that `trusts` says yes to. `None`: no header can be called so.
    pub fn new(header: &str, trusts: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Option<Self> {
        Some(Self { header: header.parse().ok()?, trusts: Box::new(trusts) })
    }

    /// Who has logged in, as a proxy says; `None`: none says anything.
    ///
    /// # Errors
    /// It is said more than once: then somebody but the proxy has said it too.
    pub(crate) fn name(&self, peer: SocketAddr, headers: &HeaderMap) -> Result<Option<String>, Refusal> {
        if !(self.trusts)(peer.ip().to_canonical()) {
            return Ok(None);
        }
        let mut said = headers.get_all(&self.header).into_iter();
        let (first, second) = (said.next(), said.next());
        if second.is_some() {
            let why = format!("{} is there more than once: the proxy has to take out what others say", self.header);
            return Err(Refusal::Status(StatusCode::FORBIDDEN, why));
        }
        let name = first.map(|name| name.to_str().unwrap_or("?").trim().to_owned());
        // A proxy that knows nobody may send it empty.
        Ok(name.filter(|name| !name.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (HeaderName::from_static("x-user"), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_a_trusted_proxy_says_who_it_is_and_only_once() {
        let sign_on = SignOn::new("X-User", |address| address == IpAddr::from([192, 0, 2, 1])).unwrap();
        let name = |peer: &str, values: &[&str]| sign_on.name(peer.parse().unwrap(), &headers(values));
        for peer in ["192.0.2.1:1", "[::ffff:192.0.2.1]:1"] {
            assert_eq!(name(peer, &["jo"]), Ok(Some("jo".to_owned())));
            assert_eq!((name(peer, &[]), name(peer, &[" "])), (Ok(None), Ok(None)));
            assert!(name(peer, &["jo", "admin"]).is_err());
        }
        assert_eq!(name("192.0.2.2:1", &["admin"]), Ok(None));
        assert!(SignOn::new("not a header", |_| true).is_none());
    }
}
