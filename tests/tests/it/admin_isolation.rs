//! The admin port: nobody who asks can stop the others.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::admin::{ask, start};
use crate::http::{basic, request};

#[tokio::test]
async fn probes_are_answered_whoever_is_connected() {
    let Some((_broker, addr)) = start().await else { return };
    let mut open = Vec::new();
    let text = format!("GET /api/v4/nodes HTTP/1.1\r\nhost: x\r\n{}\r\n\r\n", basic("admin", "open sesame"));
    loop {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.unwrap();
        if &head != b"HTTP/1.1 200" {
            break;
        }
        open.push(stream);
    }
    assert!(open.len() < 256, "{} are of one machine, and there is room for another", open.len());
    for path in ["/ready", "/status", "/metrics"] {
        assert_eq!(request(addr, &format!("GET {path}"), &[], "").await.status, 200, "{path}");
    }
    assert_eq!(ask(addr, "GET /api/v4/nodes").await.status, 503);
    open.clear();
    while ask(addr, "GET /api/v4/nodes").await.status != 200 {}
}
