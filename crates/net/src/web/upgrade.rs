//! The request that begins a WebSocket (RFC 6455, section 4).

use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use httparse::{Header, Request, Status};

use crate::carrier::{self, Carrier};
use crate::opening::OpenError;
use crate::proxy::Proxies;
use crate::web::Web;

/// Bytes of a request, at most.
const LONGEST_REQUEST: usize = 8 * 1024;

/// Headers in it, at most.
const MOST_HEADERS: usize = 64;

/// What is read at once.
const FIRST_READ: usize = 1024;

/// RFC 6455, section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Subprotocols that are MQTT, the better one first: the standard's, and what it was called before.
const PROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];

/// Which requests are let through.
#[derive(Clone, Debug)]
pub struct Upgrade {
    /// The path that is asked for, a query apart.
    pub path: Box<str>,
    /// Which pages of browsers may connect.
    pub origins: Origins,
    /// Whose `X-Forwarded-For` is believed.
    pub forwarded_from: Proxies,
}

/// Which pages of browsers may connect. Who is no browser does not say a page, and may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// All.
    Any,
    /// Those that come from this machine: `http://localhost:3000`. Else any page on the web could speak with a broker that
    /// listens for this machine only, through the browser that shows it.
    Local,
    /// These, as browsers say them: `https://app.example.com`.
    These(Box<[Box<str>]>),
}

impl Origins {
    fn have(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Local => origin.split_once("://").is_some_and(|(_, host)| is_local(host)),
            Self::These(all) => all.iter().any(|one| one.eq_ignore_ascii_case(origin)),
        }
    }
}

/// `localhost:3000`, `127.0.0.1`, `[::1]:80`.
fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// What a request comes to.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    text: String,
    forwarded: Option<SocketAddr>,
}

/// Why a request is refused: the status line, further headers, and what is wrong.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    status: &'static str,
    headers: &'static str,
    wrong: &'static str,
}

/// Reads the request and answers it. The address is that of the client where a trusted proxy has said it.
pub(crate) async fn upgrade<C: Carrier>(
    below: C,
    wanted: &Upgrade,
    peer: IpAddr,
) -> Result<(Web<C>, Option<SocketAddr>), OpenError> {
    let mut input = BytesMut::new();
    let (length, answer) = loop {
        if input.len() >= LONGEST_REQUEST {
            let refusal = refusal("431 Request Header Fields Too Large", "the request is too long");
            return Err(refuse(&below, &refusal).await);
        }
        let before = input.len();
        if carrier::read(&below, &mut input, FIRST_READ).await? == 0 {
            return Err(OpenError::Closed);
        }
        // A request ends with a line: one that comes a byte at a time is not read from its start for each.
        if before > 0 && !input[before..].contains(&b'\n') {
            continue;
        }
        match answer(&input, wanted, peer) {
            Ok(None) => {}
            Ok(Some(found)) => break found,
            Err(refusal) => return Err(refuse(&below, &refusal).await),
        }
    };
    carrier::write_all(&below, answer.text.as_bytes()).await?;
    let early = input[length..].to_vec();
    Ok((Web::new(below, early), answer.forwarded))
}

async fn refuse(below: &impl Carrier, refusal: &Refusal) -> OpenError {
    let Refusal { status, headers, wrong } = refusal;
    let length = wrong.len() + 1;
    let text = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{wrong}\n"
    );
    match carrier::write_all(below, text.as_bytes()).await {
        Ok(()) => {
            below.finish();
            OpenError::Web(wrong)
        }
        Err(error) => error.into(),
    }
}

const fn refusal(status: &'static str, wrong: &'static str) -> Refusal {
    Refusal { status, headers: "", wrong }
}

/// [`answer`] as the fuzz target sees it.
pub(crate) fn request(
    input: &[u8],
    wanted: &Upgrade,
    peer: IpAddr,
) -> Result<Option<(usize, Option<SocketAddr>)>, &'static str> {
    let answer = answer(input, wanted, peer).map_err(|refusal| refusal.wrong)?;
    Ok(answer.map(|(length, answer)| (length, answer.forwarded)))
}

/// `None`: the request is not whole. Else its length, and what it comes to.
fn answer(input: &[u8], wanted: &Upgrade, peer: IpAddr) -> Result<Option<(usize, Answer)>, Refusal> {
    const BAD: &str = "400 Bad Request";
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = Request::new(&mut headers);
    let length = match request.parse(input) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(_) => return Err(refusal(BAD, "this is no HTTP request")),
    };
    if request.path.map(path) != Some(&*wanted.path) {
        return Err(refusal("404 Not Found", "there is no WebSocket at this path"));
    }
    let headers = &*request.headers;
    if request.method != Some("GET") || !has_word(headers, "Upgrade", "websocket") {
        let headers = "Upgrade: websocket\r\n";
        return Err(Refusal { status: "426 Upgrade Required", headers, wrong: "here is WebSocket for MQTT" });
    }
    if !has_word(headers, "Connection", "Upgrade") {
        return Err(refusal(BAD, "Connection: Upgrade is missing"));
    }
    if values(headers, "Sec-WebSocket-Version").next() != Some("13") {
        let headers = "Sec-WebSocket-Version: 13\r\n";
        return Err(Refusal { status: "426 Upgrade Required", headers, wrong: "the version of WebSocket is 13" });
    }
    let mut keys = values(headers, "Sec-WebSocket-Key");
    let key = match (keys.next(), keys.next()) {
        (Some(key), None) if STANDARD.decode(key).is_ok_and(|key| key.len() == 16) => key,
        _ => return Err(refusal(BAD, "Sec-WebSocket-Key wants 16 bytes in base64, once")),
    };
    // [MQTT-6.0.0-3], [MQTT-6.0.0-4]
    let Some(protocol) = PROTOCOLS.iter().find(|protocol| has_word(headers, "Sec-WebSocket-Protocol", protocol)) else {
        return Err(refusal(BAD, "Sec-WebSocket-Protocol has to offer mqtt"));
    };
    if let Some(origin) = values(headers, "Origin").next()
        && !wanted.origins.have(origin)
    {
        return Err(refusal("403 Forbidden", "pages of this origin may not connect: see the listener's origins"));
    }
    let accept = STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key.as_bytes(), GUID].concat()));
    let text = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n"
    );
    Ok(Some((length, Answer { text, forwarded: forwarded(headers, &wanted.forwarded_from, peer) })))
}

/// Of what is asked for: a path, or a whole address (RFC 9112, section 3.2.2), with a query or without.
fn path(target: &str) -> &str {
    let scheme = ["http://", "https://"]
        .into_iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme)));
    let path = match scheme {
        None => target,
        Some(scheme) => target[scheme.len()..].find(['/', '?']).map_or("/", |at| &target[scheme.len() + at..]),
    };
    path.split('?').next().unwrap_or(path)
}

/// Whom a chain of trusted proxies speaks for: of those in the header the last who is not one of them.
fn forwarded(headers: &[Header<'_>], trusted: &Proxies, peer: IpAddr) -> Option<SocketAddr> {
    if !trusted.trust(peer) {
        return None;
    }
    let all: Vec<_> = values(headers, "X-Forwarded-For").flat_map(|value| value.split(',')).map(str::trim).collect();
    let mut last = None;
    for said in all.into_iter().rev() {
        // What can't be read was not written by a proxy of ours, and nor was what stands before it.
        let Some(address) = address(said) else { break };
        last = Some(address);
        if !trusted.trust(address.ip()) {
            break;
        }
    }
    last
}

/// With a port or without.
fn address(said: &str) -> Option<SocketAddr> {
    let plain = said.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(said);
    plain.parse().map(|address: IpAddr| SocketAddr::new(address, 0)).or_else(|_| said.parse()).ok()
}

fn values<'a>(headers: &'a [Header<'a>], name: &'a str) -> impl Iterator<Item = &'a str> {
    let named = headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
    named.filter_map(|header| std::str::from_utf8(header.value).ok()).map(str::trim)
}

/// Among values that are separated by commas.
fn has_word(headers: &[Header<'_>], name: &str, word: &str) -> bool {
    values(headers, name).flat_map(|value| value.split(',')).any(|said| said.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(origins: Origins) -> Upgrade {
        Upgrade { path: "/mqtt".into(), origins, forwarded_from: Proxies::new(vec!["10.0.0.0/8".parse().unwrap()]) }
    }

    fn request(line: &str, more: &str) -> String {
        format!(
            "{line}\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: other, mqtt\r\n{more}\r\n"
        )
    }

    #[track_caller]
    fn ask(request: &str, origins: Origins, peer: &str) -> Result<Answer, &'static str> {
        let answer = answer(request.as_bytes(), &wanted(origins), peer.parse().unwrap());
        answer.map(|answer| answer.unwrap().1).map_err(|refusal| refusal.status)
    }

    #[test]
    fn the_answer_is_that_of_rfc_6455() {
        let answer = ask(&request("GET /mqtt?x=1 HTTP/1.1", ""), Origins::Any, "127.0.0.1").unwrap();
        assert!(answer.text.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert!(answer.text.contains("Sec-WebSocket-Protocol: mqtt\r\n"));
    }

    #[test]
    fn a_path_may_be_asked_for_with_its_host() {
        for (target, is_there) in [
            ("http://x/mqtt", true),
            ("HTTP://x:8083/mqtt?x=http://y/", true),
            ("https://[::1]/mqtt", true),
            ("http://x/other", false),
            ("http://x/other?/mqtt", false),
            ("http://x?/mqtt", false),
            ("http:///mqtt", true),
            ("http://mqtt", false),
            ("http://", false),
            ("ws://x/mqtt", false),
        ] {
            let answer = ask(&request(&format!("GET {target} HTTP/1.1"), ""), Origins::Any, "127.0.0.1");
            assert_eq!(answer.map(drop), if is_there { Ok(()) } else { Err("404 Not Found") }, "{target}");
        }
    }

    #[test]
    fn a_request_is_read_when_it_is_whole() {
        let whole = request("GET /mqtt HTTP/1.1", "");
        for end in 0..whole.len() {
            let part = answer(&whole.as_bytes()[..end], &wanted(Origins::Any), IpAddr::from([127, 0, 0, 1]));
            assert_eq!(part, Ok(None), "{end}");
        }
        let more = format!("{whole}\x02");
        let found = answer(more.as_bytes(), &wanted(Origins::Any), IpAddr::from([127, 0, 0, 1])).unwrap().unwrap();
        assert_eq!(found.0, whole.len());
    }

    #[test]
    fn what_is_no_websocket_for_mqtt_is_told_so() {
        let good = request("GET /mqtt HTTP/1.1", "");
        let check = |wrong: String, status: &str| assert_eq!(ask(&wrong, Origins::Any, "127.0.0.1"), Err(status));
        check(request("GET / HTTP/1.1", ""), "404 Not Found");
        check(request("POST /mqtt HTTP/1.1", ""), "426 Upgrade Required");
        check(good.replace("Upgrade: WebSocket\r\n", ""), "426 Upgrade Required");
        check(good.replace("Version: 13", "Version: 8"), "426 Upgrade Required");
        check(good.replace("keep-alive, Upgrade", "close"), "400 Bad Request");
        check(good.replace("dGhl", ""), "400 Bad Request");
        check(good.replace("other, mqtt", "other"), "400 Bad Request");
        check("\x16\x03\x01\r\n\r\n".to_owned(), "400 Bad Request");
    }

    #[test]
    fn a_page_of_elsewhere_stays_out_where_it_is_to() {
        let check = |origin: &str, origins: &Origins, is_let_in: bool| {
            let asked = request("GET /mqtt HTTP/1.1", &format!("Origin: {origin}\r\n"));
            assert_eq!(ask(&asked, origins.clone(), "127.0.0.1").is_ok(), is_let_in, "{origin}");
        };
        for (origin, is_local) in [
            ("http://localhost:3000", true),
            ("http://127.0.0.1:18083", true),
            ("https://[::1]", true),
            ("https://evil.example", false),
            ("https://localhost.evil.example", false),
            ("https://evil.example/://localhost", false),
            ("null", false),
        ] {
            check(origin, &Origins::Local, is_local);
            check(origin, &Origins::Any, true);
        }
        let these = Origins::These(["https://app.example.com".into()].into());
        check("https://app.example.com", &these, true);
        check("http://app.example.com", &these, false);
        check("http://localhost", &these, false);
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_whom_it_speaks_for() {
        let check = |peer: &str, header: &str, client: Option<&str>| {
            let asked = request("GET /mqtt HTTP/1.1", header);
            let client = client.map(|client| client.parse().unwrap());
            assert_eq!(ask(&asked, Origins::Any, peer).unwrap().forwarded, client, "{header}");
        };
        check("192.0.2.9", "X-Forwarded-For: 192.0.2.1\r\n", None);
        check("10.0.0.1", "", None);
        check("10.0.0.1", "X-Forwarded-For: 192.0.2.1\r\n", Some("192.0.2.1:0"));
        check("10.0.0.1", "X-Forwarded-For: 6.6.6.6, 192.0.2.1, 10.0.0.2\r\n", Some("192.0.2.1:0"));
        check("10.0.0.1", "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 192.0.2.1\r\n", Some("192.0.2.1:0"));
        check("10.0.0.1", "X-Forwarded-For: 192.0.2.1:4000\r\n", Some("192.0.2.1:4000"));
        check("10.0.0.1", "X-Forwarded-For: [2001:db8::1]:4000\r\n", Some("[2001:db8::1]:4000"));
        check("10.0.0.1", "X-Forwarded-For: 192.0.2.1, unknown\r\n", None);
    }
}
