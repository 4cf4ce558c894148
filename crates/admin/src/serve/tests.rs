use axum::Extension;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::*;

const SOON: Duration = Duration::from_millis(50);

/// Bytes that no socket's buffers hold.
const MUCH: usize = 64 << 20;

fn times() -> Times {
    Allowance::default().times
}

/// Serves until the sender is dropped or used.
async fn port(allowance: Allowance) -> (SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    port_behind(None, allowance).await
}

async fn port_behind(
    door: Option<Arc<dyn Door>>,
    allowance: Allowance,
) -> (SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let all = Router::new()
        .route("/", get(|| async { "here" }))
        .route("/me", get(|Extension(known): Extension<Known>| async move { known.note() }))
        .route("/much", get(|| async { "x".repeat(MUCH) }))
        .route("/panic", get(|| async { panic!("on purpose") as &str }))
        .route("/body", post(|_: String| async { "all of it" }))
        .route("/never", get(std::future::pending::<&str>));
    let (stop, stopped) = oneshot::channel::<()>();
    let probes = Router::new().route("/ready", get(|| async { "ready" })).fallback(crate::reply::too_many_connected);
    let served = tokio::spawn(async move {
        let stopped = async {
            let _ = stopped.await;
        };
        let plain = Router::new().fallback(|| async { "plain" });
        serve(&listener, door, Routers { all, probes, plain }, allowance, stopped).await;
    });
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
    let (addr, _stop, _) = port(Allowance::default()).await;
    let mut stream = connect(addr).await;
    let answer = say(&mut stream, "GET /panic HTTP/1.1\r\nhost: x\r\n\r\n", "}").await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    let answer = say(&mut stream, "GET / HTTP/1.1\r\nhost: x\r\n\r\n", "here").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "the connection goes on: {answer}");
}

#[tokio::test]
async fn who_is_slow_is_cut() {
    let times = Times { head: SOON, body: SOON, ..times() };
    let (addr, _stop, _) = port(Allowance { times, ..Allowance::default() }).await;
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

/// Greets who says `S` with a letter, who says `P` with none, and waits for more from all others.
struct Letter;

impl Door for Letter {
    fn open(&self, mut stream: TcpStream) -> std::pin::Pin<Box<dyn Future<Output = std::io::Result<Welcome>> + Send>> {
        Box::pin(async move {
            match stream.read_u8().await? {
                b'S' => {
                    stream.write_all(b"S").await?;
                    Ok(Welcome::Sealed(Box::new(stream)))
                }
                b'P' => Ok(Welcome::Plain(stream)),
                _ => std::future::pending().await,
            }
        })
    }
}

#[tokio::test]
async fn a_greeting_takes_of_the_time_for_the_first_head() {
    let times = Times { head: SOON, ..times() };
    let (addr, _stop, _) = port_behind(Some(Arc::new(Letter)), Allowance { times, ..Allowance::default() }).await;
    for text in ["", "x", "S"] {
        let answer = say(&mut connect(addr).await, text, "").await;
        assert!(answer.len() < 2, "{answer}");
    }
    let get = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    let answer = say(&mut connect(addr).await, &format!("S{get}"), "here").await;
    assert!(answer.starts_with("SHTTP/1.1 200 "), "{answer}");
    let answer = say(&mut connect(addr).await, &format!("P{get}{get}"), "").await;
    assert!(answer.ends_with("plain") && answer.matches("HTTP/1.1").count() == 1, "one answer: {answer}");
}

#[tokio::test]
async fn silent_greetings_give_way() {
    let allowance = Allowance { connections: 2, ..Allowance::default() };
    let (addr, _stop, _) = port_behind(Some(Arc::new(Letter)), allowance).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(connect(addr).await);
    }
    let answer = say(&mut connect(addr).await, "SGET / HTTP/1.1\r\nhost: x\r\n\r\n", "here").await;
    assert!(answer.starts_with("SHTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_given_up() {
    let (addr, _stop, _) = port(Allowance { times: Times { answer: SOON, ..times() }, ..Allowance::default() }).await;
    let answer = say(&mut connect(addr).await, "GET /never HTTP/1.1\r\nhost: x\r\n\r\n", "}").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

/// Asks until it is answered with this status.
async fn ask_until(addr: SocketAddr, path: &str, status: &str) {
    let text = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    while !say(&mut connect(addr).await, &text, "").await.starts_with(&format!("HTTP/1.1 {status} ")) {}
}

#[tokio::test]
async fn who_asks_and_reads_nothing_gives_way() {
    let times = Times { write: SOON, ..times() };
    let (addr, _stop, _) = port(Allowance { connections: 1, times, ..Allowance::default() }).await;
    let mut first = known(addr).await;
    first.write_all(b"GET /much HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    first.readable().await.unwrap();
    ask_until(addr, "/", "200").await;
    let mut read = 0;
    while let Ok(more @ 1..) = first.read(&mut vec![0; 1 << 20]).await {
        read += more;
    }
    assert!((1..MUCH).contains(&read), "{read} bytes of an answer that was given up");
}

#[tokio::test]
async fn probes_are_answered_while_all_else_is_full() {
    for (connections, share_of_loopback) in [(1, 9), (9, 1)] {
        let (addr, _stop, _) = port(Allowance { connections, share_of_loopback, ..Allowance::default() }).await;
        let mut first = known(addr).await;
        let refused = say(&mut connect(addr).await, "GET / HTTP/1.1\r\nhost: x\r\n\r\n", "").await;
        assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("retry-after: 1\r\n"), "{refused}");
        let probed = say(&mut connect(addr).await, "GET /ready HTTP/1.1\r\nhost: x\r\n\r\n", "").await;
        assert!(probed.starts_with("HTTP/1.1 200 "), "{probed}");
        say(&mut first, "GET / HTTP/1.1\r\nhost: x\r\n\r\n", "here").await;
        drop(first);
        ask_until(addr, "/", "200").await;
    }
}

/// A connection of someone who has shown who they are.
async fn known(addr: SocketAddr) -> TcpStream {
    let mut stream = connect(addr).await;
    say(&mut stream, "GET /me HTTP/1.1\r\nhost: x\r\n\r\n", "\r\n\r\n").await;
    stream
}

#[tokio::test]
async fn who_does_not_say_who_they_are_gives_way_to_who_comes() {
    for (connections, share_of_loopback) in [(2, 9), (9, 2)] {
        let (addr, _stop, _) = port(Allowance { connections, share_of_loopback, ..Allowance::default() }).await;
        let mut first = known(addr).await;
        let mut silent = connect(addr).await;
        let mut newcomer = connect(addr).await;
        for stream in [&mut newcomer, &mut first] {
            let answer = say(stream, "GET / HTTP/1.1\r\nhost: x\r\n\r\n", "here").await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        }
        assert_eq!(silent.read(&mut [0; 8]).await.unwrap_or(0), 0);
    }
}

#[tokio::test]
async fn however_many_connect_a_probe_is_answered() {
    let (addr, _stop, _) = port(Allowance { connections: 1, reserve: 2, ..Allowance::default() }).await;
    let _first = known(addr).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(connect(addr).await);
    }
    let probed = say(&mut connect(addr).await, "GET /ready HTTP/1.1\r\nhost: x\r\n\r\n", "").await;
    assert!(probed.starts_with("HTTP/1.1 200 "), "{probed}");
    assert_eq!(silent[0].read(&mut [0; 8]).await.unwrap_or(0), 0, "it made room");
}

#[tokio::test]
async fn over_the_limit_nobody_stays() {
    let reserve_times = Times { head: SOON, body: SOON, answer: SOON, write: SOON };
    let (addr, _stop, _) = port(Allowance { connections: 0, reserve_times, ..Allowance::default() }).await;
    assert_eq!(connect(addr).await.read(&mut [0; 8]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn the_end_waits_for_no_stream() {
    let (addr, stop, served) = port(Allowance { farewell: SOON, ..Allowance::default() }).await;
    let mut stream = connect(addr).await;
    stream.write_all(b"GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    // Whoever comes later is served, so the first has been taken.
    say(&mut connect(addr).await, "GET / HTTP/1.1\r\nhost: x\r\n\r\n", "here").await;
    stop.send(()).unwrap();
    served.await.unwrap();
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap_or(0), 0);
}
