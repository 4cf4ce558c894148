//! What the log on disk costs: batches of appends and removals, and opening it with 1,000,000 records.
//!
//! First what criterion can't tell: CPU, memory and disk of 2,000,000 messages of which 10,000 are there at a time,
//! each batch size in turn. `STORAGE_DIR` says where to write; the temporary folder is the default.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mqtt_storage::{Disk, Durability, Steps, Store, Table};
use tempfile::TempDir;

/// Of a delivery that has its message with it.
const VALUE: [u8; 150] = [b'x'; 150];

/// Sessions with messages.
const SESSIONS: u64 = 100_000;

fn folder() -> TempDir {
    std::env::var_os("STORAGE_DIR").map_or_else(tempfile::tempdir, tempfile::tempdir_in).expect("a folder")
}

fn key(number: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&(number % SESSIONS).to_be_bytes());
    key[8..].copy_from_slice(&number.to_be_bytes());
    key
}

/// Messages that come in batches and go in batches, `window` later.
struct Flow {
    steps: Steps,
    len: u64,
    next: u64,
    window: u64,
}

impl Flow {
    fn new(len: u64, window: u64) -> Self {
        Self { steps: Steps::default(), len, next: 0, window }
    }

    fn step(&mut self, disk: &Disk) {
        let numbers = self.next..self.next + self.len;
        self.next = numbers.end;
        self.steps.clear();
        for number in numbers.clone() {
            self.steps.put(Table::Deliveries, &key(number), &VALUE);
        }
        disk.write(&self.steps).expect("space");
        self.steps.clear();
        for number in numbers {
            if let Some(old) = number.checked_sub(self.window) {
                self.steps.remove(Table::Deliveries, &key(old));
            }
        }
        disk.write(&self.steps).expect("space");
    }
}

/// Milliseconds of CPU that this process has used.
fn cpu_ms() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = |at| behind_name.split_whitespace().nth(at).and_then(|ticks| ticks.parse::<u64>().ok()).unwrap_or(0);
    (ticks(11) + ticks(12)) * 10
}

/// KiB of memory, as `/proc/self/status` calls it.
fn memory(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

fn steady() {
    const MESSAGES: u64 = 2_000_000;
    for len in [1, 10, 100] {
        let folder = folder();
        let disk = Disk::open(folder.path(), Durability::Process).expect("a folder");
        let mut flow = Flow::new(len, 10_000);
        let (cpu, start) = (cpu_ms(), Instant::now());
        let (mut worst, mut peak) = (std::time::Duration::ZERO, 0);
        while flow.next < MESSAGES {
            let start = Instant::now();
            flow.step(&disk);
            worst = worst.max(start.elapsed());
            peak = peak.max(disk.size().unwrap_or_default());
        }
        eprintln!(
            "steady, batches of {len}: {:.2} us CPU a message, {:.0} messages/s, worst step {worst:?}, \
             {} MiB resident, disk {} MiB, at most {} MiB",
            (cpu_ms() - cpu) as f64 * 1e3 / MESSAGES as f64,
            MESSAGES as f64 / start.elapsed().as_secs_f64(),
            memory("VmRSS") >> 10,
            disk.size().unwrap_or_default() >> 20,
            peak >> 20,
        );
    }
}

/// 1,000,000 deliveries, which come to one session after the other, and 100,000 sessions.
fn fill(folder: &Path) {
    let disk = Disk::open(folder, Durability::Process).expect("a folder");
    let mut flow = Flow::new(100, u64::MAX);
    while flow.next < 1_000_000 {
        flow.step(&disk);
    }
    let mut steps = Steps::default();
    for session in 0..SESSIONS {
        steps.put(Table::Sessions, &session.to_be_bytes(), &VALUE[..80]);
        if steps.size() > 10_000 {
            disk.write(&steps).expect("space");
            steps.clear();
        }
    }
    disk.write(&steps).expect("space");
}

fn read(disk: &Disk) -> u64 {
    let mut records = 0;
    for table in Table::ALL {
        let visited = disk.read(table, &mut |key, value| {
            black_box((key, value));
            records += 1;
            Ok(())
        });
        visited.expect("what was written");
    }
    records
}

fn open(criterion: &mut Criterion) {
    let folder = folder();
    fill(folder.path());
    let before = memory("VmRSS");
    let start = Instant::now();
    let disk = Disk::open(folder.path(), Durability::Process).expect("a folder");
    let (opened, held) = (start.elapsed(), memory("VmRSS").saturating_sub(before));
    let records = read(&disk);
    eprintln!(
        "open: {opened:?}, and read {:?}; {} MiB on disk, {:.0} bytes of memory for each of {records} records",
        start.elapsed() - opened,
        disk.size().unwrap_or_default() >> 20,
        (held << 10) as f64 / records as f64,
    );
    drop(disk);
    let mut group = criterion.benchmark_group("open");
    group.sample_size(10);
    group.throughput(Throughput::Elements(records));
    group.bench_function("1,100,000 records", |bencher| {
        bencher.iter_with_large_drop(|| Disk::open(folder.path(), Durability::Process).expect("a folder"));
    });
    group.finish();
}

fn write(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append and remove");
    for len in [1, 10, 100] {
        let folder = folder();
        let disk = Disk::open(folder.path(), Durability::Process).expect("a folder");
        let mut flow = Flow::new(len, 10_000);
        group.throughput(Throughput::Elements(len));
        group.bench_function(format!("batches of {len}"), |bencher| bencher.iter(|| flow.step(&disk)));
    }
    group.finish();
}

fn report(_: &mut Criterion) {
    steady();
}

criterion_group!(benches, report, open, write);
criterion_main!(benches);
