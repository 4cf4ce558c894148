use std::collections::{HashSet, VecDeque};
use std::sync::atomic::Ordering::Relaxed;

use mqtt_hooks::testing::{NOW, Recorder, foo};
use mqtt_hooks::{ConnectionInfo, Host, Reading, Stop};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::batch::{Batch, Line, Tells};
use super::cursor::Span;
use super::target::Outcome;
use super::*;
use crate::presence::history::{Happened, Limits};
use crate::{MemoryStates, Modules, Registry};

/// A process that has this host's records, its events' numbers beginning here, with room for so many.
fn history(host: &Arc<Recorder>, first: u64, room: usize) -> Arc<History> {
    let (history, records) = (History::new(), host.records_of("presence"));
    history.restore(&records, first).unwrap();
    let limits = Limits { clients: 0, forget_after_ms: 1 };
    history.set_room(room, limits, NOW, &records, &mut host.moment());
    history
}

fn happen(host: &Arc<Recorder>, history: &History, client_id: &str, seq: u64) {
    let client = ConnectionInfo { client_id: client_id.into(), ..foo() };
    let happened = Happened { client: &client, seq, at: NOW + seq, flaps: 0, last_heard: NOW, reason: None };
    history.record(happened, &host.records_of("presence"), &mut host.moment());
}

fn come(host: &Arc<Recorder>, history: &History, client_id: &str, times: u64) {
    for seq in 1..=times {
        happen(host, history, client_id, seq);
    }
}

/// What it hears, and what it says to that: taken, where it is not told otherwise.
#[derive(Default)]
struct Fake {
    heard: Mutex<Vec<Vec<Value>>>,
    says: Mutex<VecDeque<Outcome>>,
}

struct Told(Arc<Fake>);

#[async_trait::async_trait]
impl Target for Told {
    async fn tell(&self, batch: &Batch) -> Outcome {
        let lines = batch.lines.iter().map(|line| serde_json::from_str(&line.json).unwrap());
        self.0.heard.lock().push(lines.collect());
        self.0.says.lock().pop_front().unwrap_or(Outcome::Taken)
    }
}

impl Fake {
    /// The numbers of the events in each batch since the last time, and gaps as `-from` and `to`.
    fn heard(&self) -> Vec<Vec<i64>> {
        let short = |line: &Value| match &line["gap"] {
            Value::Null => vec![line["id"].as_i64().unwrap()],
            gap => vec![-gap["from"].as_i64().unwrap(), gap["to"].as_i64().unwrap()],
        };
        let heard = std::mem::take(&mut *self.heard.lock());
        heard.iter().map(|lines| lines.iter().flat_map(short).collect()).collect()
    }

    fn say(&self, outcomes: impl IntoIterator<Item = Outcome>) {
        self.says.lock().extend(outcomes);
    }
}

fn not_now(after: Option<u64>) -> Outcome {
    Outcome::NotNow { why: "away".to_owned(), after: after.map(Duration::from_secs) }
}

fn refused(is_for_content: bool) -> Outcome {
    Outcome::Refused { why: "no".to_owned(), is_for_content }
}

/// One sink in a process, until it is dropped.
struct Rig {
    host: Arc<Recorder>,
    history: Arc<History>,
    sinks: Sinks,
    alarm: mqtt_hooks::Alarm,
    target: Arc<Fake>,
    dead: Arc<Fake>,
    running: Box<dyn Stop>,
}

impl Rig {
    fn start(host: &Arc<Recorder>, first: u64, room: usize, most: usize) -> Self {
        let history = history(host, first, room);
        let sinks = Sinks::new(history.clone());
        let ctx = Ctx::new("sinks", 0, host.clone(), Arc::default());
        let records = ctx.records().part("cursors");
        sinks.restore(&BTreeSet::from(["it"]), &ctx, &records).unwrap();
        let (target, dead, alarm) = (Arc::<Fake>::default(), Arc::<Fake>::default(), ctx.alarm("behind"));
        let course = Course {
            name: "it".to_owned(),
            history: history.clone(),
            actor: ctx.actor(),
            records,
            progress: sinks.progress.lock()["it"].clone(),
            behind: Arc::new(Behind::new(alarm.clone())),
            target: Box::new(Told(target.clone())),
            dead_letters: Some(Box::new(Told(dead.clone()))),
            most,
            retry_max: Duration::from_secs(4),
        };
        let running = host.spawn(Box::pin(course.run()));
        Self { host: host.clone(), history, sinks, alarm, target, dead, running }
    }

    /// So many milliseconds later.
    fn pass(&self, ms: u64) -> Vec<Vec<i64>> {
        self.host.clock.fetch_add(ms, Relaxed);
        self.host.run_tasks();
        self.target.heard()
    }

    fn number(&self, key: &str) -> u64 {
        let number = self.sinks.numbers().into_iter().find(|number| number.key() == format!("{key}.it")).unwrap();
        match number.value {
            Reading::Counter(count) => count,
            Reading::Gauge(value) => value as u64,
            other => panic!("{other:?}"),
        }
    }

    fn has_alarm(&self) -> bool {
        format!("{:?}", self.alarm).contains("away")
    }

    fn stop(self) {
        self.running.stop();
    }
}

#[test]
fn a_sink_hears_what_happens_from_its_first_start_on_in_order() {
    let host = Recorder::new();
    let history = history(&host, 1, 100);
    come(&host, &history, "before", 3);
    let rig = Rig::start(&host, 1000, 100, 4);
    assert_eq!(rig.pass(1000), [[0; 0]; 0]);
    come(&host, &rig.history, "c", 6);
    assert_eq!(rig.pass(1000), [vec![1000, 1001, 1002, 1003], vec![1004, 1005]]);
    assert_eq!((rig.number("delivered"), rig.number("behind"), rig.number("lost")), (6, 0, 0));
}

#[test]
fn what_is_not_taken_is_told_again_until_it_is_ever_later() {
    let host = Recorder::new();
    let rig = Rig::start(&host, 1, 100, 2);
    rig.target.say([not_now(None), not_now(None), not_now(None), not_now(None), not_now(Some(30))]);
    come(&host, &rig.history, "c", 3);
    assert_eq!(rig.pass(200), [[1, 2]]);
    for (rest, is_alarming) in [(1000, false), (2000, true), (4000, true), (4000, true), (30_000, false)] {
        assert_eq!(rig.pass(rest - 1), [[0; 0]; 0], "{rest}");
        assert_eq!(rig.pass(1)[0], [1, 2], "{rest}");
        assert_eq!(rig.has_alarm(), is_alarming, "{rest}");
    }
    assert_eq!((rig.number("failures"), rig.number("behind")), (5, 0));
}

#[test]
fn who_died_before_the_cursor_moved_tells_the_same_again_and_loses_nothing() {
    let host = Recorder::new();
    let rig = Rig::start(&host, 1, 100, 2);
    come(&host, &rig.history, "c", 2);
    assert_eq!(rig.pass(200), [[1, 2]]);
    rig.target.say([not_now(None)]);
    come(&host, &rig.history, "d", 3);
    assert_eq!(rig.pass(200), [[3, 4]]);
    rig.stop();
    let rig = Rig::start(&host, 5000, 100, 10);
    assert_eq!(rig.number("behind"), 3);
    come(&host, &rig.history, "e", 1);
    assert_eq!(rig.pass(200).concat(), [3, 4, 5, 5000], "and there is no gap between two processes");
    assert_eq!((rig.number("behind"), rig.number("lost")), (0, 0));
    rig.stop();
    // One in which nothing happened.
    Rig::start(&host, 7000, 100, 10).stop();
    let rig = Rig::start(&host, 9000, 100, 10);
    come(&host, &rig.history, "e", 1);
    assert_eq!(rig.pass(200).concat(), [9000]);
}

#[test]
fn what_the_history_does_not_keep_any_more_is_told_as_a_gap() {
    let host = Recorder::new();
    let rig = Rig::start(&host, 1, 6, 3);
    rig.target.say([not_now(Some(60))]);
    come(&host, &rig.history, "quiet", 1);
    assert_eq!(rig.pass(200), [[1]]);
    // The one that flaps writes over its own events.
    come(&host, &rig.history, "flaps", 20);
    come(&host, &rig.history, "quiet", 1);
    assert_eq!(rig.number("behind"), 22);
    // The batch that waited is told as it was, though its event may be gone by now.
    let heard = rig.pass(60_000);
    assert_eq!(heard[0], [1]);
    assert_eq!(heard[1..].concat(), [-2, 17, 18, 19, 20, 21, 22]);
    assert_eq!((rig.number("lost"), rig.number("delivered"), rig.number("behind")), (16, 6, 0));
    rig.stop();
    // Also of those that a process before this one has given, and where nothing is kept at all.
    let rig = Rig::start(&host, 100, 6, 3);
    come(&host, &rig.history, "flaps", 20);
    rig.history.set_room(
        0,
        Limits { clients: 0, forget_after_ms: 1 },
        NOW,
        &host.records_of("presence"),
        &mut host.moment(),
    );
    assert_eq!(rig.pass(200).concat(), [-100, 119]);
}

#[test]
fn what_is_refused_for_good_is_a_dead_letter_and_the_others_are_told() {
    let host = Recorder::new();
    let rig = Rig::start(&host, 1, 100, 4);
    // Number 3 is what it can't take.
    rig.target.say([refused(true), Outcome::Taken, refused(true), refused(true)]);
    come(&host, &rig.history, "c", 4);
    let heard = rig.pass(200);
    assert_eq!(heard, [vec![1, 2, 3, 4], vec![1, 2], vec![3, 4], vec![3], vec![4]]);
    assert_eq!(rig.dead.heard(), [[3]]);
    assert_eq!((rig.number("dead"), rig.number("delivered")), (1, 3));
    // Whose address is wrong takes none of them; where dead letters can't be written they wait.
    rig.target.say([refused(false)]);
    rig.dead.say([not_now(None)]);
    come(&host, &rig.history, "c", 2);
    assert_eq!(rig.pass(200), [[5, 6]]);
    assert_eq!(rig.number("behind"), 2);
    assert_eq!(rig.pass(1000), [[0; 0]; 0]);
    assert_eq!((rig.dead.heard(), rig.number("dead"), rig.number("behind")), (vec![vec![5, 6]; 2], 3, 0));
}

#[test]
fn a_sink_that_is_not_set_any_more_is_forgotten() {
    let host = Recorder::new();
    let sinks = Sinks::new(history(&host, 1, 10));
    let ctx = Ctx::new("sinks", 0, host.clone(), Arc::default());
    let records = ctx.records().part("cursors");
    for (names, kept) in [(&["a", "b"][..], 2), (&["b"], 1), (&[], 0)] {
        sinks.restore(&names.iter().copied().collect(), &ctx, &records).unwrap();
        assert_eq!((host.kept("sinks.cursors").len(), sinks.progress.lock().len()), (kept, kept));
    }
}

#[tokio::test]
async fn events_are_lines_of_a_file_over_restarts_of_the_module() {
    let (host, folder) = (Recorder::new(), tempfile::tempdir().unwrap());
    let path = folder.path().join("events.jsonl");
    let history = history(&host, 1, 100);
    let registry = Registry::new(host.clone(), mqtt_hooks::Hooks::new(), Arc::new(MemoryStates::default()));
    let sinks = Arc::new(Sinks::new(history.clone()));
    registry.register(sinks.clone(), json!({"file": [{"name": "f", "path": path}]}));
    registry.start("sinks").await.unwrap();
    let is_told = |number: &Number| number.key() == "behind.f" && number.value == Reading::Gauge(0.0);
    for round in 1..=3 {
        come(&host, &history, "c", 2);
        // What was written and not yet told to who waits for it would be written once more by a restart.
        while !sinks.numbers().iter().any(is_told) {
            host.clock.fetch_add(1000, Relaxed);
            host.run_tasks();
            tokio::task::yield_now().await;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        let ids: Vec<_> = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone()).collect();
        assert_eq!(ids, (1..=2 * round).map(|id| json!(id)).collect::<Vec<_>>());
        registry.restart("sinks").await.unwrap();
    }
}

#[tokio::test]
async fn a_request_is_signed_and_says_whose_events_it_has() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/in?x=y", listener.local_addr().unwrap());
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut input = Vec::new();
        while !input.ends_with(b"]") {
            stream.read_buf(&mut input).await.unwrap();
        }
        stream.write_all(b"HTTP/1.1 429 X\r\nretry-after: 5\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        String::from_utf8(input).unwrap()
    };
    let webhook =
        Webhook { name: "w".to_owned(), url, secret: mqtt_hooks::Secret("key".to_owned()), ..Webhook::default() };
    let target = webhook.hook().unwrap().into_target(Recorder::new());
    let line = |json: &str| Line { json: json.to_owned(), tells: Tells::Gap(Span { from: 1, to: 2 }) };
    let batch = Batch { lines: vec![line("1"), line("2")], ..Batch::default() };
    let (outcome, heard) = tokio::join!(target.tell(&batch), serve);
    let why = "it answers with status 429".to_owned();
    assert_eq!(outcome, Outcome::NotNow { why, after: Some(Duration::from_secs(5)) });
    let heard = heard.to_lowercase();
    for part in [
        "post /in?x=y http/1.1\r\n",
        "content-type: application/json\r\n",
        "rollcall-sink: w\r\n",
        "rollcall-node: rollcall@127.0.0.1\r\n",
        "\r\nrollcall-signature: sha256=",
        "\r\n\r\n[1,2]",
    ] {
        assert!(heard.contains(part), "{part} {heard}");
    }
}

#[test]
fn a_client_s_events_are_published_one_behind_the_other_and_those_of_others_at_once() {
    let host = Recorder::new();
    let history = history(&host, 1, 100);
    let cursor = Cursor::new(history.numbers());
    for (client_id, seq) in [("a", 1), ("b/1", 1), ("a", 2), ("c", 1), ("b/1", 2), ("a", 3)] {
        happen(&host, &history, client_id, seq);
    }
    let sink = NatsSink { name: "n".to_owned(), urls: vec!["nats://127.0.0.1".to_owned()], ..NatsSink::default() };
    let stream = sink.stream().unwrap();
    let batch = Batch::read(&history, &cursor, 100).unwrap();
    let lanes = |taken: &[u64]| {
        let taken = taken.iter().map(|number| format!("n@1/n/{number}")).collect();
        let lanes = stream.lanes("n@1", &batch.lines, &taken);
        let short = |message: &mqtt_jetstream::Message| {
            let body: Value = serde_json::from_slice(&message.body).unwrap();
            assert_eq!(message.id, format!("n@1/n/{}", body["id"]));
            (message.subject.strip_prefix("rollcall.presence.n@1.").unwrap().to_owned(), body["id"].as_i64().unwrap())
        };
        lanes.iter().map(|lane| lane.iter().map(short).collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    let of = |token: &str, numbers: &[i64]| numbers.iter().map(|n| (token.to_owned(), *n)).collect::<Vec<_>>();
    assert_eq!(lanes(&[]), [of("a", &[1, 3, 6]), of("b%2F1", &[2, 5]), of("c", &[4])]);
    assert_eq!(lanes(&[1, 4, 2, 5]), [of("a", &[3, 6])]);
    let gap = Line { json: "{}".to_owned(), tells: Tells::Gap(Span { from: 2, to: 9 }) };
    let lanes = stream.lanes("n@1", &[gap], &HashSet::new());
    assert_eq!((&*lanes[0][0].subject, &*lanes[0][0].id), ("rollcall.presence.n@1.~gap", "n@1/n/gap/2-9"));
}

#[test]
fn what_can_t_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "\n").unwrap();
    let sinks = Sinks::new(History::new());
    let hook = |name: &str, url: &str| json!({"name": name, "url": url});
    let nats = |more: Value| {
        let mut nats = json!({"name": "n", "urls": ["nats://127.0.0.1:4222"]});
        nats.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"nats": [nats]})
    };
    let (url, file) = ("http://127.0.0.1/", |path: &str| json!({"file": [{"name": "a", "path": path}]}));
    for (config, start) in [
        (json!({"webhook": [hook("", url)]}), "webhook, entry 1: name: \"\": wants"),
        (json!({"webhook": [hook("a/b", url)]}), "webhook, entry 1: name: \"a/b\": wants"),
        (json!({"webhook": [hook("..", url)]}), "webhook, entry 1: name: \"..\": wants"),
        (json!({"webhook": [hook("a", url), hook("a", url)]}), "webhook, entry 2: name: another"),
        (json!({"webhook": [hook("a", "127.0.0.1")]}), "webhook, entry 1: url: \"127.0.0.1\": wants"),
        (json!({"webhook": [{"name": "a", "url": url, "batch": 0}]}), "webhook, entry 1: batch: 0"),
        (json!({"webhook": [{"name": "a", "url": url, "timeout": "0s"}]}), "webhook, entry 1: timeout: wants"),
        (json!({"webhook": [{"name": "a", "url": url, "retry_max": "0s"}]}), "webhook, entry 1: retry_max: wants"),
        (json!({"webhook": [{"name": "a", "url": url, "secret": "s", "secret_file": "s"}]}), "webhook, entry 1: wants"),
        (json!({"webhook": [{"name": "a", "url": url, "secret": "********"}]}), "webhook, entry 1: secret: wants"),
        (json!({"webhook": [{"name": "a", "url": url, "secret_file": empty}]}), "webhook, entry 1: /"),
        (json!({"webhook": [hook("n", url)], "nats": [{"name": "n"}]}), "nats, entry 1: name: another"),
        (nats(json!({"urls": []})), "nats, entry 1: urls: wants an address"),
        (nats(json!({"urls": ["127.0.0.1"]})), "nats, entry 1: urls: wants addresses like"),
        (nats(json!({"urls": ["nats://u:p@127.0.0.1"]})), "nats, entry 1: urls: wants addresses like"),
        (nats(json!({"urls": ["nats://a:b:c"]})), "nats, entry 1: urls: \"nats://a:b:c\""),
        (nats(json!({"subject": "a.*"})), "nats, entry 1: subject: \"a.*\": wants"),
        (nats(json!({"stream": "a.b"})), "nats, entry 1: stream: \"a.b\": wants"),
        (nats(json!({"user": "u"})), "nats, entry 1: user: wants password"),
        (nats(json!({"password": "p"})), "nats, entry 1: password: wants user"),
        (nats(json!({"user": "u", "password": "p", "token": "t"})), "nats, entry 1: wants user or token"),
        (nats(json!({"token": "********"})), "nats, entry 1: token: wants the token itself"),
        (nats(json!({"token": "t", "token_file": "t"})), "nats, entry 1: wants token or token_file"),
        (nats(json!({"token_file": empty})), "nats, entry 1: /"),
        (nats(json!({"ca": empty})), "nats, entry 1: /"),
        (nats(json!({"cert": "c.pem"})), "nats, entry 1: cert: wants key"),
        (nats(json!({"key": "k.pem"})), "nats, entry 1: key: wants cert"),
        (nats(json!({"max_inflight": 0})), "nats, entry 1: max_inflight: 0"),
        (nats(json!({"timeout": "0s"})), "nats, entry 1: timeout: wants"),
        (nats(json!({"retry_max": "0s"})), "nats, entry 1: retry_max: wants"),
        (file("a.txt"), "file, entry 1: path: \"a.txt\": wants"),
        (file(".jsonl"), "file, entry 1: path: \".jsonl\": wants"),
        (file("../a.jsonl"), "file, entry 1: path: \"../a.jsonl\": wants"),
        (file("/etc/cron.d/a"), "file, entry 1: path: \"/etc/cron.d/a\": wants"),
    ] {
        let why = sinks.check(&config).unwrap_err().to_string();
        assert!(why.starts_with(start), "{why}");
    }
    for config in [Value::Null, json!({}), file("a.jsonl"), json!({"webhook": [hook("a.b-c_1", url)]}), nats(json!({}))]
    {
        sinks.check(&config).unwrap();
    }
}
