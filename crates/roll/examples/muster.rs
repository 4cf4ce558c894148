//! Lets clients come, move and lose their node, and tells what that costs each node that reads it.
//!
//! ```text
//! $ cargo run --release -p mqtt-roll --example muster -- 1000000
//! ```

#![expect(clippy::disallowed_methods, reason = "it measures; the crate itself reads no clock")]

use std::io::Write;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use mqtt_roll::{Dead, Effect, Fold, Head, Join, READS, Record, Up};

/// Records in a batch; what is staged while another batch is on its way comes to more under load.
const TOGETHER: u64 = 500;

/// A connection as the broker describes one.
const INFO: &[u8] = &[0; 60];

struct Writer {
    head: Head,
    records: BytesMut,
}

impl Writer {
    fn new(node: &str, epoch: u64) -> Self {
        let mut writer = Self {
            head: Head { node: node.into(), epoch, n: 0, beat: 0, at: 1_700_000_000_000 },
            records: BytesMut::new(),
        };
        writer.stage(&Record::Join(Join { nonce: epoch, addr: "127.0.0.1:7946".into(), versions: READS }));
        writer
    }

    fn stage(&mut self, record: &Record) {
        record.encode(&mut self.records);
    }

    fn take(&mut self) -> Bytes {
        let batch = self.head.encode(&self.records);
        self.records.clear();
        self.head.n += 1;
        batch
    }
}

/// How many events follow from a batch.
fn read(fold: &mut Fold, batch: Bytes) -> Result<u64, mqtt_roll::Error> {
    fold.handle_batch(fold.position() + 1, batch)?;
    let effects = std::iter::from_fn(|| fold.poll_effect());
    Ok(effects.filter(|effect| matches!(effect, Effect::Connected(_) | Effect::Disconnected(_))).count() as u64)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let clients: u64 = std::env::args().nth(1).as_deref().unwrap_or("100000").parse()?;
    let mut out = std::io::stdout().lock();
    let mut fold = Fold::new();
    let mut writers: Vec<_> =
        ["attic", "cellar", "porch"].into_iter().zip(1..).map(|(n, e)| Writer::new(n, e)).collect();
    for writer in &mut writers {
        read(&mut fold, writer.take())?;
    }
    // First all come, spread over the nodes; then all come again, each at another one.
    for (what, shift) in [("come", 0), ("move to another node", 1)] {
        let before = resident();
        let began = Instant::now();
        let mut events = 0;
        for first in (0..clients).step_by(TOGETHER as usize) {
            let batch = first / TOGETHER;
            let writer = &mut writers[((batch + shift) % 3) as usize];
            for number in first..clients.min(first + TOGETHER) {
                writer.stage(&Record::Up(Up {
                    client: format!("sensor-{number:012}").into(),
                    conn: number,
                    is_clean: false,
                    is_kept: false,
                    at: 1_700_000_000_000,
                    info: Bytes::from_static(INFO),
                    will: None,
                }));
            }
            let batch = writer.take();
            events += read(&mut fold, batch)?;
        }
        let each = began.elapsed() / clients.max(1) as u32;
        writeln!(out, "{clients} clients {what}: {events} events, {each:?} for each client")?;
        if let (Some(before), Some(after)) = (before, resident()) {
            let grown = after.saturating_sub(before) / clients.max(1);
            writeln!(
                out,
                "  memory: {} B a client counted, the process grew by {grown}",
                fold.held() as u64 / clients
            )?;
        }
    }
    let began = Instant::now();
    let snapshot = fold.snapshot()?;
    writeln!(out, "snapshot: {} B a client, written in {:?}", snapshot.len() as u64 / clients, began.elapsed())?;
    let began = Instant::now();
    let same = Fold::from_snapshot(&snapshot)?;
    writeln!(out, "  read in {:?}, {} online", began.elapsed(), same.online())?;

    let cellar = fold.node("cellar").ok_or("it has joined")?.clone();
    writers[0].stage(&Record::Dead(Dead { node: cellar.name, epoch: cellar.epoch, last: cellar.last }));
    let batch = writers[0].take();
    let began = Instant::now();
    let events = read(&mut fold, batch)?;
    writeln!(out, "a node dies: {events} events in {:?}, {} are left", began.elapsed(), fold.online())?;
    Ok(())
}

/// Of this process, where Linux tells it: bytes.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib * 1024)
}
