//! Where the remote broker is, and the way there.

use std::io;
use std::path::Path;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use mqtt_hooks::Wire;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::settings::Bridge;
use crate::trouble::Trouble;

/// How long connecting to one address of a name may take, and greeting it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Addresses of a name that are tried.
const MAX_ADDRESSES: usize = 4;

/// Bytes that are read at once.
const READ: usize = 16 << 10;

/// Where the remote broker is.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    pub(crate) host: String,
    pub(crate) port: u16,
    tls: Option<Trust>,
}

/// Whom to trust, and what to show.
#[derive(Clone, Debug)]
struct Trust {
    ca: String,
    cert: String,
    key: String,
    server_name: ServerName<'static>,
}

impl Remote {
    /// What the settings say.
    ///
    /// # Errors
    /// It names the setting.
    pub(crate) fn read(settings: &Bridge) -> Result<Self, String> {
        let Bridge { remote, ca, cert, key, server_name, .. } = settings;
        let wrong =
            || format!("remote: {remote:?}: wants an address like \"mqtt://host:1883\" or \"mqtts://host:8883\"");
        let (scheme, rest) = remote.split_once("://").ok_or_else(wrong)?;
        let (is_tls, port) = match scheme {
            "mqtt" | "tcp" => (false, 1883),
            "mqtts" | "ssl" => (true, 8883),
            _ => return Err(wrong()),
        };
        if rest.contains('@') {
            // Without the text, which has a secret.
            return Err("remote: wants no user name in it: there are username and password".to_owned());
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, text)) if !text.contains(']') => (host, text.parse().map_err(|_| wrong())?),
            _ => (rest, port),
        };
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or_else(wrong)?,
            None if host.contains(':') => return Err(wrong()),
            None => host,
        };
        let name = ServerName::try_from(host.to_owned()).map_err(|_| wrong())?;
        if port == 0 {
            return Err(wrong());
        }
        let files = [("ca", ca), ("cert", cert), ("key", key), ("server_name", server_name)];
        if !is_tls && let Some((setting, _)) = files.iter().find(|(_, text)| !text.is_empty()) {
            return Err(format!("{setting}: is for \"mqtts://\", and remote is {remote:?}"));
        }
        if cert.is_empty() != key.is_empty() {
            return Err("cert and key go together".to_owned());
        }
        let server_name = if server_name.is_empty() {
            name
        } else {
            ServerName::try_from(server_name.clone()).map_err(|_| format!("server_name: {server_name:?} is no name"))?
        };
        let trust = || Trust { ca: ca.clone(), cert: cert.clone(), key: key.clone(), server_name };
        let remote = Self { host: host.to_owned(), port, tls: is_tls.then(trust) };
        remote.connector()?;
        Ok(remote)
    }

    /// Made anew for each connection: files are renewed.
    fn connector(&self) -> Result<Option<(TlsConnector, ServerName<'static>)>, String> {
        let Some(Trust { ca, cert, key, server_name }) = &self.tls else { return Ok(None) };
        let path = |text: &'_ str| (!text.is_empty()).then(|| Path::new(text).to_owned());
        let shown = path(cert).zip(path(key));
        let shown = shown.as_ref().map(|(cert, key)| mqtt_fetch::Shown { cert, key });
        let connector = mqtt_fetch::tls_showing(path(ca).as_deref(), "ca", shown)?;
        Ok(Some((connector, server_name.clone())))
    }

    pub(crate) async fn connect(&self) -> Result<Box<dyn Wire>, Trouble> {
        let failed = |error| Trouble::Connect(format!("{}:{}", self.host, self.port), error);
        let connector = self.connector().map_err(Trouble::Tls)?;
        // Each time: what a name means changes.
        let found = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((&*self.host, self.port))).await;
        let addresses = found.map_err(|_| Trouble::Late)?.map_err(failed)?;
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in addresses.take(MAX_ADDRESSES) {
            match tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Self::greet(stream, connector, failed).await,
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(failed(last))
    }

    async fn greet(
        stream: TcpStream,
        connector: Option<(TlsConnector, ServerName<'static>)>,
        failed: impl Fn(io::Error) -> Trouble,
    ) -> Result<Box<dyn Wire>, Trouble> {
        stream.set_nodelay(true).map_err(&failed)?;
        let Some((connector, name)) = connector else { return Ok(Box::new(Stream(stream))) };
        let greeting = tokio::time::timeout(PATIENCE, connector.connect(name, stream)).await;
        Ok(Box::new(Stream(greeting.map_err(|_| Trouble::Late)?.map_err(failed)?)))
    }
}

/// What tokio carries.
struct Stream<S>(S);

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Wire for Stream<S> {
    fn poll_read(&mut self, context: &mut Context<'_>, input: &mut BytesMut) -> Poll<io::Result<usize>> {
        input.reserve(READ);
        // It keeps nothing between two polls.
        pin!(self.0.read_buf(input)).poll(context)
    }

    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    /// TLS has what it was given in a buffer of its own, and sends that when it is asked to or given more.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(remote: &str) -> Result<Remote, String> {
        Remote::read(&Bridge { remote: remote.to_owned(), ..Bridge::default() })
    }

    #[test]
    fn addresses_are_taken_apart() {
        for (text, host, port) in [
            ("mqtt://a.example", "a.example", 1883),
            ("tcp://127.0.0.1:1884", "127.0.0.1", 1884),
            ("mqtt://[::1]", "::1", 1883),
            ("mqtt://[::1]:5/", "::1", 5),
        ] {
            let remote = read(text).unwrap();
            assert_eq!((&*remote.host, remote.port), (host, port), "{text}");
        }
        for wrong in
            ["", "a", "http://a", "mqtt://", "mqtt://a:b", "mqtt://a:0", "mqtt://::1", "mqtt://a b", "mqtt://[::1"]
        {
            assert!(read(wrong).unwrap_err().starts_with("remote: "), "{wrong}");
        }
    }

    #[test]
    fn a_secret_in_an_address_is_not_shown() {
        let wrong = read("mqtt://u:secret@a").unwrap_err();
        assert_eq!(wrong, "remote: wants no user name in it: there are username and password");
    }

    #[test]
    fn nothing_of_tls_is_said_in_vain() {
        let said = Bridge { remote: "mqtt://a".to_owned(), ca: "ca.pem".to_owned(), ..Bridge::default() };
        assert_eq!(Remote::read(&said).unwrap_err(), "ca: is for \"mqtts://\", and remote is \"mqtt://a\"");
        let said = Bridge { remote: "mqtts://a".to_owned(), cert: "a.pem".to_owned(), ..Bridge::default() };
        assert_eq!(Remote::read(&said).unwrap_err(), "cert and key go together");
        let said = Bridge { remote: "mqtts://a".to_owned(), ca: "/nowhere/ca.pem".to_owned(), ..Bridge::default() };
        assert!(Remote::read(&said).unwrap_err().starts_with("/nowhere/ca.pem: "));
    }
}
