//! The admin port with TLS.

use std::net::SocketAddr;
use std::path::Path;

use mqtt_config::Verify;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::broker::Broker;
use crate::cli::command;
use crate::commands::Answer;
use crate::doors::{Authority, dial_tls};
use crate::http::{basic, request, request_over};

const PASSWORD: &str = "open sesame";

/// A broker whose admin port shows a certificate for `localhost`, and its folder.
async fn start(authority: &Authority, verify: Verify) -> Option<(Broker, SocketAddr, tempfile::TempDir)> {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::with(|config| {
        config.admin.bind = Some(([127, 0, 0, 1], 0).into());
        config.admin.password = Some(PASSWORD.to_owned());
        config.admin.tls = Some(authority.tls(verify));
        config.data_dir = Some(folder.path().to_owned());
    });
    let broker = broker.await?;
    let addresses = broker.server().addresses();
    assert!(addresses.admin_tls);
    let addr = addresses.admin.expect("it is on");
    Some((broker, addr, folder))
}

/// A command as on the broker's own machine.
async fn here(folder: &Path, args: &[&str]) -> Answer {
    Answer::of(command(args).arg("--data-dir").arg(folder)).await
}

#[tokio::test]
async fn a_login_over_tls_has_a_cookie_that_never_leaves_in_clear() {
    let authority = Authority::new();
    let Some((_broker, addr, _folder)) = start(&authority, Verify::None).await else { return };
    let dial = || async { dial_tls(addr, authority.trusted(None)).await.unwrap() };
    let form = ["content-type: application/x-www-form-urlencoded".to_owned()];
    let login = request_over(dial().await, "localhost", "POST /login", &form, "username=admin&password=open+sesame");
    let login = login.await;
    assert_eq!(login.status, 303, "{login:?}");
    for word in ["; Secure", "; HttpOnly", "; SameSite=Strict"] {
        assert!(login.head.contains(word), "{login:?}");
    }
    assert!(!login.head.contains("strict-transport-security"), "{login:?}");
    let cookie = [format!("cookie: {}", login.cookie())];
    // Larger than a record, and than what a socket takes at once.
    let page = request_over(dial().await, "localhost", "GET /api/v4/openapi.json", &cookie, "").await;
    assert_eq!(page.status, 200);
    assert!(page.json()["paths"].is_object());
}

#[tokio::test]
async fn who_speaks_plain_http_is_told() {
    let authority = Authority::new();
    let Some((_broker, addr, _folder)) = start(&authority, Verify::None).await else { return };
    for headers in [vec![], vec![basic("admin", PASSWORD), "accept: text/html".to_owned()]] {
        let answer = request(addr, "GET /api/v4/clients", &headers, "").await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.json()["message"].as_str().unwrap().contains("https"), "{answer:?}");
    }
    let browser = ["accept: text/html,*/*".to_owned()];
    let answer = request(addr, "GET /clients", &browser, "").await;
    assert_eq!(answer.status, 307, "{answer:?}");
    assert!(answer.head.contains(&format!("location: https://{addr}/clients")), "{answer:?}");
    // Neither is a name taken from elsewhere sent on.
    let text = "GET / HTTP/1.1\r\nhost: evil.example\r\naccept: text/html\r\n\r\n";
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn silent_greetings_keep_nobody_out() {
    let authority = Authority::new();
    let Some((_broker, addr, folder)) = start(&authority, Verify::None).await else { return };
    // More than one source may have connections; half of them begin a greeting.
    let mut silent = Vec::new();
    for n in 0..220 {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        if n % 2 == 0 {
            stream.write_all(&[0x16, 3, 1, 2]).await.unwrap();
        }
        silent.push(stream);
    }
    here(folder.path(), &["stats"]).await.done();
    drop(silent);
}

#[tokio::test]
async fn commands_trust_the_certificate_of_their_own_broker_and_no_other() {
    let authority = Authority::new();
    let Some((broker, addr, folder)) = start(&authority, Verify::None).await else { return };
    here(folder.path(), &["stats"]).await.done();
    let url = format!("https://localhost:{}", addr.port());
    let ca = authority.path("ca.pem");
    let afar = |ca: &Path| {
        let args = ["--url", &url, "stats", "--cafile", ca.to_str().unwrap()];
        let mut asked = command(&args);
        asked.env("ROLLCALL_ADMIN__PASSWORD", PASSWORD);
        asked
    };
    Answer::of(&mut afar(&ca)).await.done();
    let other = Authority::new();
    Answer::of(&mut afar(&other.path("ca.pem"))).await.failed(3, &["not to be trusted", "--cafile"]);
    let plain = format!("http://127.0.0.1:{}", addr.port());
    let mut plain = command(&["--url", &plain, "stats"]);
    Answer::of(plain.env("ROLLCALL_ADMIN__PASSWORD", PASSWORD)).await.failed(1, &["https://"]);
    // Whoever has the port once the broker is gone is not told its key.
    let left = std::fs::read(folder.path().join("admin.json")).unwrap();
    let mut left: serde_json::Value = serde_json::from_slice(&left).unwrap();
    left["certificates"] = serde_json::json!(["AAAA"]);
    std::fs::write(folder.path().join("admin.json"), left.to_string()).unwrap();
    here(folder.path(), &["stats"]).await.failed(3, &["not to be trusted"]);
    broker.shutdown().await;
}

#[tokio::test]
async fn a_replaced_certificate_is_shown_and_commands_here_know_it() {
    let authority = Authority::new();
    let Some((broker, addr, folder)) = start(&authority, Verify::None).await else { return };
    let shown = || async {
        let stream = dial_tls(addr, authority.trusted(None)).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let before = shown().await;
    authority.sign("localhost");
    broker.server().reload();
    while shown().await == before {
        tokio::task::yield_now().await;
    }
    // It is written right after that.
    while here(folder.path(), &["stats"]).await.code != Some(0) {}
}

#[tokio::test]
async fn where_a_certificate_is_asked_for_nobody_comes_near_without() {
    let authority = Authority::new();
    let Some((_broker, addr, folder)) = start(&authority, Verify::Required).await else { return };
    here(folder.path(), &["stats"]).await.failed(3, &["https://"]);
    let (certificate, key) = authority.sign("operator");
    let [certificate, key] = [certificate, key].map(|path| path.to_str().unwrap().to_owned());
    here(folder.path(), &["stats", "--cert", &certificate, "--cert-key", &key]).await.done();
    let mut stream = dial_tls(addr, authority.trusted(None)).await.unwrap();
    let asked = stream.write_all(b"GET /ready HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let mut answer = Vec::new();
    assert!(asked.is_err() || stream.read_to_end(&mut answer).await.is_err(), "{answer:?}");
}
