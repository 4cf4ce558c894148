//! Which pages may ask. A browser says by which name it has come (`Host`) and whose page it asks for (`Origin`).
//!
//! A page of another site is refused where it would change something or log in. And a site whose name its owner lets lead
//! to this machine is not taken for the dashboard: the port answers to names that only its operator can have given it.

use std::fs;
use std::net::{IpAddr, SocketAddr};

use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, header};

use crate::reply::Refusal;

/// The names by which the admin port is asked.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// As configured, each with its port if that is not the scheme's own.
    configured: Vec<String>,
    /// Without ports.
    names: Vec<String>,
    /// Under other names there are answers for who shows a right user name and password, or key.
    takes_others: bool,
}

impl Hosts {
    /// `own` are the machine's and the node's names, `configured` those the operator has added, such as a proxy's; either
    /// may have a port. IP addresses and names without a dot need not be said. `bind` is where the port listens.
    pub fn new<N: Into<String>>(
        own: impl IntoIterator<Item = N>,
        configured: impl IntoIterator<Item = N>,
        bind: SocketAddr,
    ) -> Self {
        let lower = |name: N| name.into().to_ascii_lowercase();
        let configured: Vec<_> = configured.into_iter().map(lower).collect();
        let names = own.into_iter().map(lower).chain(configured.iter().cloned());
        let names = names.filter_map(|name| host_of(&name)).collect();
        Self { configured, names, takes_others: !bind.ip().to_canonical().is_loopback() }
    }

    /// [`Self::new`], where what is its own is the host of the node's name, and the machine's name, as it has it itself and as its
    /// network may.
    pub fn of_node(node: &str, configured: &[String], bind: SocketAddr) -> Self {
        let mut own: Vec<_> = node.rsplit_once('@').map(|(_, host)| host.to_owned()).into_iter().collect();
        // Where it can't be read the operator says it in admin.hosts.
        if let Ok(name) = fs::read_to_string("/proc/sys/kernel/hostname") {
            own.extend([name.trim().to_owned(), format!("{}.local", name.trim())]);
        }
        Self::new(own, configured.iter().cloned(), bind)
    }

    /// Lets a request through, or says why not. `with_secret`: it comes with HTTP Basic, and gets no answer without.
    pub(crate) fn check(&self, method: &Method, headers: &HeaderMap, with_secret: bool) -> Result<(), Refusal> {
        // RFC 9112, section 3.2: whoever is before the port may have read another of them.
        if headers.get_all(header::HOST).iter().nth(1).is_some() {
            return Err(Refusal::Status(StatusCode::BAD_REQUEST, "Host is there twice".to_owned()));
        }
        let is_change = !matches!(*method, Method::GET | Method::HEAD);
        // Reading with a secret is a login too, and in some browsers an image of another site's page can do it.
        if (is_change || with_secret) && self.is_foreign(headers) {
            return Err(forbidden("the page of another site can't do this"));
        }
        if self.knows(headers) || (with_secret && self.takes_others) {
            return Ok(());
        }
        Err(forbidden(
            "the broker does not go by the name in this address: use its IP address, or add the name to admin.hosts",
        ))
    }

    /// True also where no name is given, which is no browser.
    pub(crate) fn knows(&self, headers: &HeaderMap) -> bool {
        let Some(given) = headers.get(header::HOST) else { return true };
        given.to_str().ok().and_then(host_of).is_some_and(|host| {
            // Nobody can own a name without a dot in the DNS, so none leads here but by the doing of who runs this network.
            let has_no_owner = !host.contains('.') || host.ends_with(".localhost");
            has_no_owner || host.parse::<IpAddr>().is_ok() || self.names.contains(&host)
        })
    }

    fn is_foreign(&self, headers: &HeaderMap) -> bool {
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        match text("sec-fetch-site") {
            Some("same-origin" | "none") => false,
            Some(_) => true,
            None => text("origin").is_some_and(|origin| !self.is_own(origin, text("host"))),
        }
    }

    /// Behind a proxy `Host` may be the proxy's own idea; then `configured` has what the browser shows.
    fn is_own(&self, origin: &str, host: Option<&str>) -> bool {
        let Some((_, origin)) = origin.split_once("://") else { return false };
        let same = |other: &str| origin.eq_ignore_ascii_case(other);
        host.is_some_and(same) || self.configured.iter().any(|name| same(name))
    }
}

fn forbidden(why: &str) -> Refusal {
    Refusal::Status(StatusCode::FORBIDDEN, why.to_owned())
}

/// Without a port, a dot at the end, brackets and capitals.
fn host_of(authority: &str) -> Option<String> {
    let authority: Authority = authority.parse().ok()?;
    let host = authority.host().trim_matches(['[', ']']).trim_end_matches('.');
    Some(host.to_ascii_lowercase()).filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(bind: [u8; 4]) -> Hosts {
        Hosts::new(["Machine.example"], ["mqtt.example", "out.example:8443"], (bind, 18083).into())
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_port_goes_by_addresses_names_without_a_dot_and_names_that_are_said() {
        let hosts = hosts([127, 0, 0, 1]);
        for (host, is_known) in [
            ("127.0.0.1:18083", true),
            ("192.0.2.1", true),
            ("[::1]:18083", true),
            ("localhost:18083", true),
            ("a.localhost", true),
            ("rollcall:18083", true),
            ("machine.example.", true),
            ("MQTT.example:7", true),
            ("out.example", true),
            ("evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("localhost.evil.example:18083", false),
            ("", false),
        ] {
            assert_eq!(hosts.knows(&headers(&[("host", host)])), is_known, "{host}");
        }
        assert!(hosts.knows(&headers(&[])));
    }

    #[test]
    fn a_host_that_is_there_twice_is_refused_whatever_it_says() {
        let mut twice = headers(&[("host", "localhost")]);
        twice.append(header::HOST, "localhost".parse().unwrap());
        for with_secret in [false, true] {
            let checked = hosts([127, 0, 0, 1]).check(&Method::GET, &twice, with_secret);
            assert!(matches!(checked, Err(Refusal::Status(StatusCode::BAD_REQUEST, _))));
        }
    }

    #[test]
    fn under_other_names_a_secret_is_asked_for_and_on_loopback_nothing_is_answered() {
        let evil = headers(&[("host", "evil.example")]);
        for (bind, with_secret, is_let_in) in
            [([127, 0, 0, 1], true, false), ([0, 0, 0, 0], true, true), ([0, 0, 0, 0], false, false)]
        {
            let checked = hosts(bind).check(&Method::GET, &evil, with_secret);
            assert_eq!(checked.is_ok(), is_let_in, "{bind:?} {with_secret}");
        }
    }

    #[test]
    fn a_foreign_page_changes_nothing_and_shows_no_secret() {
        let hosts = hosts([127, 0, 0, 1]);
        let (get, post) = (Method::GET, Method::POST);
        for (lines, with_secret, method, is_let_in) in [
            (&[][..], false, &post, true),
            (&[("origin", "http://127.0.0.1:18083")], false, &post, true),
            (&[("origin", "http://127.0.0.1:3000")], false, &post, false),
            (&[("origin", "http://evil.example")], false, &post, false),
            (&[("origin", "http://evil.example")], false, &get, true),
            (&[("origin", "http://evil.example")], true, &get, false),
            (&[("origin", "null")], false, &post, false),
            (&[("origin", "https://mqtt.example")], false, &post, true),
            (&[("origin", "https://mqtt.example:81")], false, &post, false),
            (&[("origin", "https://out.example:8443")], false, &post, true),
            (&[("sec-fetch-site", "cross-site")], false, &post, false),
            (&[("sec-fetch-site", "same-site")], false, &post, false),
            (&[("sec-fetch-site", "cross-site")], false, &get, true),
            (&[("sec-fetch-site", "cross-site")], true, &get, false),
            (&[("sec-fetch-site", "same-origin"), ("origin", "https://proxy.example")], false, &post, true),
        ] {
            let all = headers(&[lines, &[("host", "127.0.0.1:18083")]].concat());
            assert_eq!(hosts.check(method, &all, with_secret).is_ok(), is_let_in, "{method} {lines:?} {with_secret}");
        }
    }
}
