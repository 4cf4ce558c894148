use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::*;

const SOON: Duration = Duration::from_millis(50);

/// Serves until the sender is dropped or used.
async fn port(limits: Limits) -> (SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/", get(|| async { "here" }))
        .route("/panic", get(|| async { panic!("on purpose") as &str }))
        .route("/body", post(|_: String| async { "all of it" }))
        .route("/never", get(std::future::pending::<&str>));
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(serve(listener, router, limits, async {
        let _ = stopped.await;
    }));
    (addr, stop, served)
}

/// Sends this, and reads until `end` has come or the port closes.
async fn say(stream: &mut TcpStream, text: &str, end: &str) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    while !answer.ends_with(end) || end.is_empty() {
        let mut buffer = [0; 1024];
        match stream.read(&mut buffer).await.unwrap() {
            0 => break,
            read => answer.push_str(std::str::from_utf8(&buffer[..read]).unwrap()),
        }
    }
    answer
}

async fn connect(addr: SocketAddr) -> TcpStream {
    TcpStream::connect(addr).await.unwrap()
}

#[tokio::test]
async fn a_panic_is_one_500() {
    let (addr, _stop, _) = port(Limits::default()).await;
    let mut stream = connect(addr).await;
    let answer = say(&mut stream, "GET /panic HTTP/1.1\r\nhost: x\r\n\r\n", "}").await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    let answer = say(&mut stream, "GET / HTTP/1.1\r\nhost: x\r\n\r\n", "here").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "the connection goes on: {answer}");
}

#[tokio::test]
async fn who_is_slow_is_cut() {
    let limits = Limits { head: SOON, answer: SOON, ..Limits::default() };
    let (addr, _stop, _) = port(limits).await;
    // Half a head; nothing at all; nothing after an answer.
    for (text, start) in
        [("GET / HTTP/1.1\r\nhost:", ""), ("", ""), ("GET / HTTP/1.1\r\nhost: x\r\n\r\n", "HTTP/1.1 200 ")]
    {
        let answer = say(&mut connect(addr).await, text, "").await;
        assert!(answer.starts_with(start) && (answer.is_empty() == start.is_empty()), "{text:?}: {answer:?}");
    }
    let half = "POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n12345";
    let answer = say(&mut connect(addr).await, half, "").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test]
async fn one_too_many_waits_for_another_to_go() {
    let (addr, _stop, _) = port(Limits { connections: 1, ..Limits::default() }).await;
    let mut first = connect(addr).await;
    say(&mut first, "GET / HTTP/1.1\r\nhost: x\r\n\r\n", "here").await;
    let mut second = connect(addr).await;
    second.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    say(&mut first, "GET / HTTP/1.1\r\nhost: x\r\n\r\n", "here").await;
    assert!(second.try_read(&mut [0; 8]).is_err(), "answered while the first is there");
    drop(first);
    assert!(say(&mut second, "", "here").await.ends_with("here"));
}

#[tokio::test]
async fn the_end_waits_for_no_stream() {
    let (addr, stop, served) = port(Limits { farewell: SOON, ..Limits::default() }).await;
    let mut stream = connect(addr).await;
    stream.write_all(b"GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    // Whoever comes later is served, so the first has been taken.
    say(&mut connect(addr).await, "GET / HTTP/1.1\r\nhost: x\r\n\r\n", "here").await;
    stop.send(()).unwrap();
    served.await.unwrap();
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap_or(0), 0);
}
