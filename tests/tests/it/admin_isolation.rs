//! The admin port: nobody who asks can stop the others.

use std::net::SocketAddr;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::admin::{ask, send, start};
use crate::broker::Broker;
use crate::http::{Answer, Stream, basic, request};

const FORM: &str = "content-type: application/x-www-form-urlencoded";

/// `POST /login` with this password and these header lines.
async fn log_in(addr: SocketAddr, password: &str, headers: &[&str]) -> Answer {
    let headers: Vec<_> = [&[FORM], headers].concat().into_iter().map(str::to_owned).collect();
    request(addr, "POST /login", &headers, &format!("username=admin&password={password}")).await
}

/// A key's header line.
async fn key(addr: SocketAddr, admin: &str, name: &str) -> String {
    let body = json!({ "name": name }).to_string();
    let made = request(addr, "POST /api/v4/admin/keys", &[admin.to_owned()], &body).await.json();
    basic(name, made["data"]["secret"].as_str().unwrap())
}

#[tokio::test]
async fn wrong_guesses_lock_out_nobody_else() {
    for password in [Some("open sesame"), None] {
        let broker = Broker::with(|config| {
            config.admin.bind = Some(([127, 0, 0, 1], 0).into());
            config.admin.password = password.map(str::to_owned);
        });
        let Some(broker) = broker.await else { return };
        let addr = broker.server().addresses().admin.expect("it is on");
        let password = password.or_else(|| broker.server().made_password()).expect("one of them").to_owned();
        let admin = basic("admin", &password);
        let key = key(addr, &admin, "key").await;
        let cookie = format!("cookie: {}", log_in(addr, &password.replace(' ', "+"), &[]).await.cookie());
        let who_am_i = async |header: &str| request(addr, "GET /api/v4/admin/whoami", &[header.to_owned()], "").await;
        for n in 0..10 {
            assert_eq!(who_am_i(&basic("admin", "wrong")).await.status, 401, "{n}");
            assert_eq!(who_am_i(&basic("key", "wrong")).await.status, 401, "{n}");
            assert_eq!(who_am_i(&basic("nobody", "wrong")).await.status, 401, "{n}");
        }
        for (header, status) in [(&key, 200), (&cookie, 200), (&basic("key", "wrong"), 401), (&admin, 200)] {
            let answer = who_am_i(header).await;
            assert_eq!(answer.status, status, "{header} {answer:?}");
        }
        // Of those who guess on one is looked at in a second, and one waits for the next.
        let wrong = basic("admin", "wrong");
        let (a, b, c, d) = tokio::join!(who_am_i(&wrong), who_am_i(&wrong), who_am_i(&wrong), who_am_i(&wrong));
        let refused: Vec<_> = [a, b, c, d].into_iter().filter(|answer| answer.status == 429).collect();
        assert!(refused.len() >= 2, "{refused:?}");
        assert!(refused.iter().all(|answer| answer.head.contains("retry-after: ")), "{refused:?}");
    }
}

#[tokio::test]
async fn the_page_of_another_site_can_neither_guess_nor_ask() {
    let Some((_broker, addr)) = start().await else { return };
    let (evil, named) = ("origin: http://evil.example", "host: evil.example");
    for headers in [&[evil][..], &["origin: null"], &["sec-fetch-site: cross-site"], &["origin: http://localhost:3000"]]
    {
        for _ in 0..4 {
            let answer = log_in(addr, "guess", headers).await;
            assert_eq!(answer.status, 403, "{headers:?}: {answer:?}");
        }
        let headers: Vec<_> = headers.iter().map(|&header| header.to_owned()).collect();
        assert_eq!(request(addr, "POST /api/v4/auth", &headers, "{}").await.status, 403);
        let headers = [headers, vec![basic("admin", "open sesame")]].concat();
        assert_eq!(request(addr, "PUT /api/v4/modules/presence/unload", &headers, "").await.status, 403);
    }
    // Its name leads here; the browser then takes it for one site with us.
    for line in ["GET /login", "GET /", "GET /api/v4/clients"] {
        let text = format!("{line} HTTP/1.1\r\n{named}\r\nconnection: close\r\n\r\n");
        assert!(raw(addr, &text).await.starts_with("HTTP/1.1 403 "), "{line}");
    }
    let probe = format!("GET /ready HTTP/1.1\r\n{named}\r\nconnection: close\r\n\r\n");
    assert!(raw(addr, &probe).await.starts_with("HTTP/1.1 200 "), "programs ask by any name");
    let own = format!("origin: http://{addr}");
    assert_eq!(log_in(addr, "open+sesame", &[&own]).await.status, 303, "none of it counted as a guess");
}

async fn raw(addr: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

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

#[tokio::test]
async fn one_login_has_a_share_of_the_streams() {
    let Some((_broker, addr)) = start().await else { return };
    let admin = basic("admin", "open sesame");
    let (greedy, modest) = (key(addr, &admin, "greedy").await, key(addr, &admin, "modest").await);
    let line = "GET /api/v4/overview/stream";
    let mut open = Vec::new();
    for _ in 0..32 {
        open.push(Stream::open(addr, line, std::slice::from_ref(&greedy)).await);
    }
    for line in [line, "GET /api/v4/presence/stream"] {
        let refused = request(addr, line, std::slice::from_ref(&greedy), "").await;
        assert_eq!(refused.status, 429, "{line}: {refused:?}");
    }
    for other in [modest, admin] {
        Stream::open(addr, line, &[other]).await.event("history").await;
    }
}

#[tokio::test]
async fn lists_that_are_asked_for_at_once_are_all_answered_or_told_to_wait() {
    let Some((_broker, addr)) = start().await else { return };
    let published = send(addr, "POST /api/v4/mqtt/publish", r#"{"topic":"a","payload":"x","retain":true}"#).await;
    assert_eq!(published.json()["code"], 0);
    let viewer = key(addr, &basic("admin", "open sesame"), "viewer").await;
    let lists = ["clients", "subscriptions", "routes", "retained", "listeners", "presence/clients", "presence/events"];
    let asked: Vec<_> = (0..70)
        .map(|n| {
            let (line, viewer) = (format!("GET /api/v4/{}", lists[n % lists.len()]), viewer.clone());
            tokio::spawn(async move { request(addr, &line, &[viewer], "").await })
        })
        .collect();
    // Another login waits behind one list of theirs at the most.
    assert_eq!(ask(addr, "GET /api/v4/clients").await.status, 200);
    let mut answered = 0;
    for answer in asked {
        let answer = answer.await.unwrap();
        assert!(answer.status == 200 || answer.head.contains("retry-after: "), "{answer:?}");
        answered += usize::from(answer.status == 200);
    }
    assert!(answered > 0);
}
