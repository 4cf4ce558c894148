//! What a process costs: CPU time and memory, as the kernel has them.

use std::fs;

use anyhow::{Context, Result};

/// CPU time of all threads so far, in nanoseconds.
pub fn cpu_ns(pid: u32) -> Result<u64> {
    let mut total = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).context("the broker is gone")? {
        // A thread may end between the listing and the look.
        let Ok(line) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        let running = line.split(' ').next().context("an empty schedstat")?;
        total += running.parse::<u64>()?;
    }
    Ok(total)
}

/// CPU time of the thread that asks, in nanoseconds.
pub fn thread_cpu_ns() -> Result<u64> {
    let line = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(line.split(' ').next().context("an empty schedstat")?.parse()?)
}

/// Resident memory in bytes.
pub fn resident(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1024)
}

/// CPU time of the broker and of this process between two moments.
#[derive(Debug)]
pub struct Meter {
    pid: u32,
    broker: u64,
    own: u64,
    since: std::time::Instant,
}

/// What was spent since a [`Meter`] was started.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    /// By the broker, in microseconds of CPU.
    pub broker_us: f64,
    /// By this process, in microseconds of CPU.
    pub own_us: f64,
    /// On the clock, in seconds.
    pub seconds: f64,
}

impl Meter {
    /// Starts now.
    pub fn start(pid: u32) -> Result<Self> {
        Ok(Self { pid, broker: cpu_ns(pid)?, own: cpu_ns(std::process::id())?, since: std::time::Instant::now() })
    }

    /// What was spent since the start.
    pub fn spent(&self) -> Result<Spent> {
        let seconds = self.since.elapsed().as_secs_f64();
        let us = |now: u64, then: u64| (now - then) as f64 / 1000.0;
        let (broker, own) = (cpu_ns(self.pid)?, cpu_ns(std::process::id())?);
        Ok(Spent { broker_us: us(broker, self.broker), own_us: us(own, self.own), seconds })
    }
}
