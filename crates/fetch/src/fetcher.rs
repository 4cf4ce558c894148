//! Asks, and keeps connections.
//!
//! Nothing runs between two requests: a connection is driven by who asks over it, and one that is kept for the next is looked
//! at when it comes. It is kept for a while only, so that a name is resolved anew and a service that has moved is found.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CACHE_CONTROL, HOST, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{HeaderMap, Method, Request};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::url::Url;

/// Connections that are kept for the next request.
const MAX_IDLE: usize = 16;

/// How long one is kept, from when it was made.
const MAX_AGE: Duration = Duration::from_secs(30);

/// Addresses of a name that are tried.
const MAX_ADDRESSES: usize = 4;

/// Bytes of an answer's head.
const MAX_HEAD: usize = 16 << 10;

/// Something to ask.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// How.
    pub method: Method,
    /// Put after the address's own, if it has one.
    pub query: Option<String>,
    /// Of this question alone.
    pub headers: HeaderMap,
    /// What is sent.
    pub body: Bytes,
}

impl Question {
    /// Sends this.
    pub fn post(body: impl Into<Bytes>) -> Self {
        Self { method: Method::POST, body: body.into(), ..Self::default() }
    }
}

/// What the service says.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// For how long it may be remembered, as it says.
    pub cache_control: Option<String>,
    /// When to ask again, as it says.
    pub retry_after: Option<String>,
    /// What is in it.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// This host was not reached.
    #[error("{0}: {1}")]
    Connect(String, io::Error),
    /// What is said is no HTTP, or ends too soon.
    #[error("{0}")]
    Http(#[from] hyper::Error),
    /// There is too much or too little of it.
    #[error("the answer is too long or breaks off")]
    Body,
    /// It took too long.
    #[error("no answer in time")]
    Late,
}

/// Asks one address.
pub struct Fetcher {
    url: Url,
    headers: HeaderMap,
    tls: Option<TlsConnector>,
    /// How long connecting to one address of a name may take.
    connect_timeout: Duration,
    max_body: usize,
    idle: Mutex<Vec<Kept>>,
}

/// A connection that waits for the next request.
struct Kept {
    made: Instant,
    link: Link,
}

struct Link {
    sender: SendRequest<Full<Bytes>>,
    /// To be polled while a request is under way; its end is the connection's.
    driver: Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>,
    is_over: bool,
}

/// What carries bytes.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Fetcher {
    /// An answer with more bytes than this is none.
    pub fn new(url: Url, headers: &HeaderMap, tls: Option<TlsConnector>, max_body: usize) -> Self {
        let mut headers = headers.clone();
        headers.insert(HOST, url.host_header());
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static("rollcall"));
        let tls = tls.filter(|_| url.is_tls());
        Self { url, headers, tls, connect_timeout: Duration::from_secs(1), max_body, idle: Mutex::default() }
    }

    /// Waits for the answer no longer than this.
    pub async fn ask(&self, question: &Question, timeout: Duration) -> Result<Answer, NoAnswer> {
        tokio::time::timeout(timeout, self.ask_once_or_twice(question)).await.unwrap_or(Err(NoAnswer::Late))
    }

    async fn ask_once_or_twice(&self, question: &Question) -> Result<Answer, NoAnswer> {
        if let Some(Kept { made, mut link }) = self.take_kept() {
            if let Ok(answer) = link.ask(self.request(question), self.max_body).await {
                self.keep(made, link);
                return Ok(answer);
            }
            // The service may have closed it, which is found out by asking: that is no failure, and the others fare no better.
            self.idle.lock().clear();
        }
        let made = Instant::now();
        let mut link = self.connect().await?;
        let answer = link.ask(self.request(question), self.max_body).await?;
        self.keep(made, link);
        Ok(answer)
    }

    fn request(&self, question: &Question) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(question.body.clone()));
        *request.method_mut() = question.method.clone();
        *request.uri_mut() = self.url.target(question.query.as_deref());
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().extend(question.headers.clone());
        request
    }

    fn take_kept(&self) -> Option<Kept> {
        let now = Instant::now();
        let mut idle = self.idle.lock();
        // The youngest is last.
        idle.retain(|kept| now.saturating_duration_since(kept.made) < MAX_AGE);
        idle.pop()
    }

    fn keep(&self, made: Instant, link: Link) {
        if link.is_over || made.elapsed() >= MAX_AGE {
            return;
        }
        let mut idle = self.idle.lock();
        if idle.len() < MAX_IDLE {
            idle.push(Kept { made, link });
        }
    }

    /// Closes what was kept.
    pub fn close(&self) {
        self.idle.lock().clear();
    }

    /// Closes what was kept for too long.
    pub fn tidy(&self) {
        let now = Instant::now();
        self.idle.lock().retain(|kept| now.saturating_duration_since(kept.made) < MAX_AGE);
    }

    async fn connect(&self) -> Result<Link, NoAnswer> {
        let host = self.url.host();
        let failed = |error| NoAnswer::Connect(host.to_owned(), error);
        // Each time: what a name means changes.
        let addresses = tokio::net::lookup_host((host, self.url.port())).await.map_err(failed)?;
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in addresses.take(MAX_ADDRESSES) {
            match tokio::time::timeout(self.connect_timeout, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return self.greet(stream).await,
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(failed(last))
    }

    async fn greet(&self, stream: TcpStream) -> Result<Link, NoAnswer> {
        let failed = |error| NoAnswer::Connect(self.url.host().to_owned(), error);
        stream.set_nodelay(true).map_err(failed)?;
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(stream),
            Some(tls) => Box::new(tls.connect(self.url.server_name(), stream).await.map_err(failed)?),
        };
        let (sender, driver) = http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await?;
        Ok(Link { sender, driver: Box::pin(driver), is_over: false })
    }
}

impl Link {
    async fn ask(&mut self, request: Request<Full<Bytes>>, max_body: usize) -> Result<Answer, NoAnswer> {
        let Self { sender, driver, is_over } = self;
        let mut exchange = pin!(async {
            sender.ready().await?;
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, max_body).collect().await.map_err(|_| NoAnswer::Body)?.to_bytes();
            let cache_control = head.headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
            let cache_control = cache_control.collect::<Vec<_>>().join(",");
            let cache_control = (!cache_control.is_empty()).then_some(cache_control);
            let retry_after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
            Ok(Answer { status: head.status.as_u16(), cache_control, retry_after, body })
        });
        std::future::poll_fn(move |cx| {
            let mut polled = exchange.as_mut().poll(cx);
            if polled.is_pending() && !*is_over && driver.as_mut().poll(cx).is_ready() {
                *is_over = true;
                // It may have ended with the last byte of the answer.
                polled = exchange.as_mut().poll(cx);
            }
            if polled.is_pending() && *is_over { Poll::Ready(Err(NoAnswer::Body)) } else { polled }
        })
        .await
    }
}

/// Headers, one a line.
///
/// # Errors
/// It says what is wanted instead, and nothing of the text: that may be a secret.
pub fn headers(text: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let wrong = || "wants headers like \"Authorization: Bearer abc\", one a line".to_owned();
        let (name, value) = line.split_once(':').ok_or_else(wrong)?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| wrong())?;
        let value = HeaderValue::from_str(value.trim()).map_err(|_| wrong())?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// What checks certificates: by the authorities in this file, which is named by `setting`, or else by the system's.
///
/// # Errors
/// It names the file and says why that can't be used.
pub fn tls(ca: Option<&std::path::Path>, setting: &str) -> Result<TlsConnector, String> {
    tls_showing(ca, setting, None)
}

/// Files of a certificate to show, and of its key.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// PEM, with those between it and its authority.
    pub cert: &'a std::path::Path,
    /// PEM.
    pub key: &'a std::path::Path,
}

/// As [`tls`], for one that shows a certificate of its own where it is asked for one.
///
/// # Errors
/// It names the file and says why that can't be used.
pub fn tls_showing(
    ca: Option<&std::path::Path>,
    setting: &str,
    shown: Option<Shown<'_>>,
) -> Result<TlsConnector, String> {
    client_config(ca, setting, shown).map(|config| TlsConnector::from(Arc::new(config)))
}

/// What [`tls_showing`] is made of, for who speaks another protocol.
///
/// # Errors
/// It names the file and says why that can't be used.
pub fn client_config(
    ca: Option<&std::path::Path>,
    setting: &str,
    shown: Option<Shown<'_>>,
) -> Result<rustls::ClientConfig, String> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let system = SYSTEM_AUTHORITIES.iter().map(std::path::Path::new).find(|path| path.is_file());
    let file = ca.or(system).ok_or_else(|| format!("no file of certificate authorities was found: set {setting}"))?;
    let wrong = |why: &dyn std::fmt::Display| format!("{}: {why}", file.display());
    let pem = std::fs::read(file).map_err(|error| wrong(&error))?;
    let mut roots = rustls::RootCertStore::empty();
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok).collect();
    // The system's has some that are too old to be read.
    let (added, _) = roots.add_parsable_certificates(found);
    if added == 0 {
        return Err(wrong(&"no certificate of an authority"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?
        .with_root_certificates(roots);
    Ok(match shown {
        None => config.with_no_client_auth(),
        Some(Shown { cert, key }) => {
            let wrong = |path: &std::path::Path, why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
            let certs = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let certs = certs.map_err(|error| wrong(cert, &error))?;
            let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, &error))?;
            config.with_client_auth_cert(certs, secret).map_err(|error| wrong(cert, &error))?
        }
    })
}

/// Where systems have them: Debian, Red Hat, Alpine, macOS.
const SYSTEM_AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/usr/local/etc/openssl/cert.pem",
];
