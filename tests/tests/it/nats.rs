//! As much of a nats-server with JetStream as a publisher sees of one.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// How the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// It takes messages, and does not say so.
    Mute,
    /// It takes a message and ends the connection before it says so.
    Fickle,
    /// It closes each connection as soon as it is there.
    Away,
    /// It refuses one of five messages, and takes it when it comes again.
    Picky,
    /// It has no stream for what is published.
    Streamless,
}

/// What was published, and stored.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) subject: String,
    pub(crate) headers: String,
    pub(crate) event: Value,
}

/// Until it is dropped.
pub(crate) struct Speaker {
    pub(crate) addr: SocketAddr,
    state: Arc<Mutex<State>>,
    task: tokio::task::JoinHandle<()>,
}

struct State {
    mood: Mood,
    stored: Vec<Stored>,
    /// Of what is stored.
    ids: BTreeSet<String>,
    /// Of what was refused.
    refused: BTreeSet<String>,
    /// Messages that came.
    count: usize,
    /// Messages that were stored already.
    again: usize,
    /// What a client said last of itself.
    connect: Value,
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Speaker {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            mood: Mood::Well,
            stored: Vec::new(),
            ids: BTreeSet::new(),
            refused: BTreeSet::new(),
            count: 0,
            again: 0,
            connect: Value::Null,
        }));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let state = Arc::clone(&shared);
                connections.spawn(async move { serve(stream, &state).await });
            }
        });
        Self { addr, state, task }
    }

    pub(crate) fn be(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    pub(crate) fn stored(&self) -> Vec<Stored> {
        self.state.lock().unwrap().stored.clone()
    }

    /// Messages that came, taken or not.
    pub(crate) fn heard(&self) -> usize {
        self.state.lock().unwrap().count
    }

    /// How often it was told what it had.
    pub(crate) fn again(&self) -> usize {
        self.state.lock().unwrap().again
    }

    /// What a client said last of itself.
    pub(crate) fn connect(&self) -> Value {
        self.state.lock().unwrap().connect.clone()
    }
}

/// What a message gets.
enum Answer {
    Ack(String),
    NoResponders,
    Nothing,
    End,
}

/// Until the client goes, or is sent away.
async fn serve(stream: TcpStream, state: &Mutex<State>) -> Option<()> {
    let is_away = || state.lock().unwrap().mood == Mood::Away;
    if is_away() {
        return None;
    }
    let mut stream = BufReader::new(stream);
    let info = r#"{"server_id":"S","server_name":"s","version":"2.12.0","proto":1,"headers":true,"max_payload":1048576,"jetstream":true}"#;
    stream.write_all(format!("INFO {info}\r\n").as_bytes()).await.ok()?;
    let mut inbox = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 || is_away() {
            return None;
        }
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        match words[..] {
            ["CONNECT", ..] => {
                state.lock().unwrap().connect = serde_json::from_str(line.strip_prefix("CONNECT ").unwrap()).unwrap();
            }
            ["PING"] => stream.write_all(b"PONG\r\n").await.ok()?,
            ["PONG"] => {}
            ["SUB", _, sid] => inbox = sid.to_owned(),
            ["HPUB", subject, reply, headers, all] => {
                let (headers, all) = (headers.parse::<usize>().unwrap(), all.parse::<usize>().unwrap());
                let mut bytes = vec![0; all + 2];
                stream.read_exact(&mut bytes).await.ok()?;
                let headers_text = String::from_utf8(bytes[..headers].to_vec()).unwrap();
                let event = serde_json::from_slice(&bytes[headers..all]).unwrap();
                let stored = Stored { subject: subject.to_owned(), headers: headers_text, event };
                let answer = match take(&mut state.lock().unwrap(), stored) {
                    Answer::Ack(json) => format!("MSG {reply} {inbox} {}\r\n{json}\r\n", json.len()),
                    Answer::NoResponders => format!("HMSG {reply} {inbox} 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"),
                    Answer::Nothing => continue,
                    Answer::End => return None,
                };
                stream.write_all(answer.as_bytes()).await.ok()?;
            }
            _ => panic!("no publisher says {line}"),
        }
    }
}

fn take(state: &mut State, message: Stored) -> Answer {
    state.count += 1;
    if state.mood == Mood::Streamless {
        return Answer::NoResponders;
    }
    let id = message.headers.lines().find_map(|line| line.strip_prefix("Nats-Msg-Id: ")).unwrap().to_owned();
    if state.mood == Mood::Picky && state.count.is_multiple_of(5) && state.refused.insert(id.clone()) {
        let error = r#"{"code":503,"err_code":10077,"description":"maximum messages exceeded"}"#;
        return Answer::Ack(format!("{{\"error\":{error},\"stream\":\"S\",\"seq\":0}}"));
    }
    let is_duplicate = !state.ids.insert(id);
    if is_duplicate {
        state.again += 1;
    } else {
        state.stored.push(message);
    }
    match state.mood {
        Mood::Mute => Answer::Nothing,
        Mood::Fickle => Answer::End,
        _ => Answer::Ack(format!(r#"{{"stream":"S","seq":{},"duplicate":{is_duplicate}}}"#, state.stored.len())),
    }
}
