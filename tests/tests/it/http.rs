//! One HTTP request at a time, as plain as it can be.

use std::net::SocketAddr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// All header lines in lower case, one behind the other.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The cookie it sets, as it is to be sent back.
    pub(crate) fn cookie(&self) -> &str {
        let (_, rest) = self.head.split_once("set-cookie: ").expect("a cookie");
        rest.split([';', '\r']).next().unwrap_or_default()
    }
}

/// The header line of HTTP Basic.
pub(crate) fn basic(name: &str, secret: &str) -> String {
    format!("authorization: Basic {}", BASE64_STANDARD.encode(format!("{name}:{secret}")))
}

/// Sends a request with these header lines and this body, and reads until the server closes.
pub(crate) async fn request(addr: SocketAddr, line: &str, headers: &[String], body: &str) -> Answer {
    request_over(TcpStream::connect(addr).await.unwrap(), &addr.to_string(), line, headers, body).await
}

/// The same over what is there.
pub(crate) async fn request_over(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
    line: &str,
    headers: &[String],
    body: &str,
) -> Answer {
    let mut text = format!("{line} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    for header in headers {
        text += &format!("{header}\r\n");
    }
    text += &format!("content-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let (head, body) = (lower_names(head), body.to_owned());
    let body = if head.contains("transfer-encoding: chunked") { joined(&body) } else { body };
    Answer { status, head, body }
}

fn lower_names(head: &str) -> String {
    let lines = head.split("\r\n").map(|line| match line.split_once(": ") {
        Some((name, value)) => format!("{}: {value}", name.to_ascii_lowercase()),
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\r\n")
}

/// The chunks of a body, without their sizes.
fn joined(mut chunks: &str) -> String {
    let mut body = String::new();
    while let Some((size, rest)) = chunks.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a size");
        body += &rest[..size];
        chunks = &rest[size + 2..];
    }
    body
}

/// Server-sent events.
pub(crate) struct Stream {
    socket: BufReader<TcpStream>,
}

impl Stream {
    /// Asks for them; the answer's head is read.
    pub(crate) async fn open(addr: SocketAddr, line: &str, headers: &[String]) -> Self {
        let mut text = format!("{line} HTTP/1.1\r\nhost: {addr}\r\n");
        for header in headers {
            text += &format!("{header}\r\n");
        }
        let mut socket = TcpStream::connect(addr).await.unwrap();
        socket.write_all((text + "\r\n").as_bytes()).await.unwrap();
        let mut stream = Self { socket: BufReader::new(socket) };
        let status = stream.line().await;
        assert!(status.starts_with("HTTP/1.1 200 "), "{status}");
        while !stream.line().await.is_empty() {}
        stream
    }

    /// The data of the next event, which is of this kind.
    pub(crate) async fn event(&mut self, kind: &str) -> Value {
        let mut found = None;
        loop {
            let line = self.line().await;
            if let Some(event) = line.strip_prefix("event: ") {
                assert_eq!(event, kind);
                found = Some(());
            } else if let (Some(data), Some(())) = (line.strip_prefix("data: "), found) {
                return serde_json::from_str(data).unwrap();
            }
        }
    }

    pub(crate) async fn read_to_end(mut self) {
        self.socket.read_to_end(&mut Vec::new()).await.unwrap();
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(self.socket.read_line(&mut line).await.unwrap(), 0, "the end of the stream");
        line.trim_end().to_owned()
    }
}
