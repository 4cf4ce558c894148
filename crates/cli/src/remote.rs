//! A client of the admin port of a running broker: HTTP/1.1, a connection for each request.

use std::error::Error as _;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::failure::Failure;
use crate::reach::Reach;

mod events;
mod tls;

pub(crate) use events::Events;
pub(crate) use tls::{Trust, connector};

/// From the first packet to an open connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// From then to the whole answer, which may tell of very many clients.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// What HTTP is spoken over.
trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket for S {}

/// A running broker, as far as we know.
pub(crate) struct Remote {
    /// Host and port.
    authority: String,
    authorization: String,
    /// `None`: plain HTTP.
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// The address and who said it, for errors.
    found: String,
    /// Who said with which name and secret to come.
    whose: String,
}

impl Remote {
    /// `url` as `http://host:port`, `credentials` as `name:secret`; where each comes from is for errors.
    pub(crate) fn new(
        url: &str,
        source: &str,
        credentials: &str,
        whose: &str,
        trust: &Trust<'_>,
        reach: &Reach,
    ) -> Result<Self, Failure> {
        let wrong = |why: &str| Failure::Usage(format!("{source} {url:?}: {why}"));
        let uri: Uri = url.parse().map_err(|_| wrong("wants http://host:port or https://host:port"))?;
        let host = uri.host().filter(|host| !host.is_empty());
        let (tls, port) = match uri.scheme_str() {
            Some("http") => (None, 80),
            Some("https") => {
                let host = host.unwrap_or_default().trim_matches(['[', ']']).to_owned();
                let name = ServerName::try_from(host).map_err(|_| wrong("names no host"))?;
                (Some((tls::connector(trust, reach)?, name)), 443)
            }
            _ => return Err(wrong("wants http://host:port or https://host:port")),
        };
        let host = host.ok_or_else(|| wrong("names no host"))?;
        if !credentials.contains(':') {
            return Err(Failure::Usage(format!("{whose}: wants NAME:SECRET")));
        }
        Ok(Self {
            authority: format!("{host}:{}", uri.port_u16().unwrap_or(port)),
            authorization: format!("Basic {}", BASE64_STANDARD.encode(credentials)),
            tls,
            found: format!("{} ({source})", url.trim_end_matches('/')),
            whose: whose.to_owned(),
        })
    }

    /// By which it is asked, without the port.
    pub(crate) fn host(&self) -> String {
        self.authority.rsplit_once(':').map_or(&*self.authority, |(host, _)| host).to_owned()
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::GET, path, None).await
    }

    pub(crate) async fn put(&self, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        self.ask(Method::PUT, path, body).await
    }

    pub(crate) async fn post(&self, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        self.ask(Method::POST, path, body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::DELETE, path, None).await
    }

    /// Server-sent events, for as long as both sides live.
    pub(crate) async fn events(&self, path: &str) -> Result<Events, Failure> {
        let head = timeout(ANSWER_TIMEOUT, self.send(Method::GET, path, None));
        let response = head.await.map_err(|_| self.too_slow())??;
        if response.status() == StatusCode::OK {
            return Ok(Events::new(response.into_body(), self.found.clone()));
        }
        let (status, answer) = timeout(ANSWER_TIMEOUT, self.read(response)).await.map_err(|_| self.too_slow())??;
        self.accept(status, answer)?;
        Err(Failure::Refused(format!("{}: status {status} for a stream", self.found)))
    }

    /// What is answered, if it is what was asked for.
    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let asked = async {
            let response = self.send(method, path, body).await?;
            self.read(response).await
        };
        let (status, answer) = timeout(ANSWER_TIMEOUT, asked).await.map_err(|_| self.too_slow())??;
        self.accept(status, answer)
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Response<Incoming>, Failure> {
        let stream = match timeout(CONNECT_TIMEOUT, self.connect()).await {
            Ok(stream) => stream?,
            Err(_) => return Err(self.unreachable(&"no answer")),
        };
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.unreachable(&error))?;
        // What goes wrong with it is told to who waits for the answer.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v4{path}"))
            .header(HOST, &self.authority)
            .header(AUTHORIZATION, &self.authorization)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()))))
            .map_err(|error| Failure::Usage(error.to_string()))?;
        sender.send_request(request).await.map_err(|error| self.broken(&error))
    }

    async fn connect(&self) -> Result<Box<dyn Socket>, Failure> {
        let stream = TcpStream::connect(&self.authority).await.map_err(|error| self.unreachable(&error))?;
        let Some((connector, name)) = &self.tls else { return Ok(Box::new(stream)) };
        match connector.connect(name.clone(), stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(self.distrusted(&error)),
        }
    }

    fn distrusted(&self, error: &std::io::Error) -> Failure {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(rustls::Error::InvalidCertificate(why)) => Failure::Unreachable(format!(
                "{}: its certificate is not to be trusted: {why}; --cafile FILE names who signed it",
                self.found
            )),
            Some(rustls::Error::InvalidMessage(_)) => {
                Failure::Unreachable(format!("{}: speaks no TLS; is it http://?", self.found))
            }
            _ => Failure::Unreachable(format!("{}: TLS: {error}", self.found)),
        }
    }

    /// What the broker says of our certificate comes after the greeting, with TLS 1.3.
    fn broken(&self, error: &hyper::Error) -> Failure {
        let inner = error.source().and_then(|source| source.downcast_ref::<std::io::Error>()?.get_ref());
        match inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::AlertReceived(alert)) => Failure::Unreachable(format!(
                "{}: the broker refuses our TLS ({alert:?}); where it asks for a certificate (admin.verify), --cert FILE says which",
                self.found
            )),
            _ => self.unreachable(error),
        }
    }

    async fn read(&self, response: Response<Incoming>) -> Result<(StatusCode, Value), Failure> {
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| self.unreachable(&error))?.to_bytes();
        // Not JSON: what it is shows in the status, or it is no broker.
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }

    /// EMQ X answers 200 also when it says no.
    fn accept(&self, status: StatusCode, answer: Value) -> Result<Value, Failure> {
        let message = answer.get("message").and_then(Value::as_str);
        match (status, answer.get("code").and_then(Value::as_u64), message) {
            (StatusCode::OK | StatusCode::CREATED, Some(0), _) => Ok(answer),
            (StatusCode::UNAUTHORIZED, ..) => Err(Failure::Refused(format!(
                "{}: wrong user name, password or key ({}); on the broker's machine `rollcall admin key add` makes a key",
                self.found, self.whose
            ))),
            (_, _, Some(message)) => Err(Failure::Refused(message.replace(char::is_control, " "))),
            (_, _, None) => {
                Err(Failure::Unreachable(format!("{}: answers {status}, not as a broker does", self.found)))
            }
        }
    }

    fn unreachable(&self, why: &dyn std::fmt::Display) -> Failure {
        Failure::Unreachable(format!("no broker answers on {}: {why}; is it running?", self.found))
    }

    fn too_slow(&self) -> Failure {
        Failure::Unreachable(format!("{}: no answer in {} s", self.found, ANSWER_TIMEOUT.as_secs()))
    }
}

/// A text as a part of a path or a query.
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: Result<&str, &str>) {
        let trust = Trust::Pinned(&[]);
        let made = Remote::new(url, "--url", "a:b", "--key", &trust, &Reach::default()).map(|remote| remote.authority);
        let made = made.map_err(|error| error.to_string());
        match expected {
            Ok(authority) => assert_eq!(made.as_deref(), Ok(authority)),
            Err(needle) => assert!(made.as_ref().unwrap_err().contains(needle), "{made:?}"),
        }
    }

    #[test]
    fn urls_name_host_and_port() {
        check("http://127.0.0.1:18083", Ok("127.0.0.1:18083"));
        check("http://[::1]:18083/", Ok("[::1]:18083"));
        check("http://host", Ok("host:80"));
        check("https://host", Ok("host:443"));
        check("https://[::1]:18083", Ok("[::1]:18083"));
        check("https://", Err("wants http://host:port"));
        check("host:18083", Err("wants http://host:port"));
        check("ftp://host", Err("wants http://host:port"));
        check("http://a b", Err("wants http://host:port"));
        check("", Err("wants http://host:port"));
    }

    #[test]
    fn what_has_a_meaning_in_urls_is_encoded() {
        assert_eq!(encoded("a/b?c=d&e f%g+é"), "a%2Fb%3Fc%3Dd%26e%20f%25g%2B%C3%A9");
    }
}
