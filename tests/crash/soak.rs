//! A broker that lives for long: its memory is watched, and its configuration read again and again.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::broker::{Broker, signal};
use crate::report::{Fault, Report};

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// KiB that it may take more at the end than when it had taken what it needs, beside half of that. What waits for clients comes and goes.
const SLACK: u64 = 32 * 1024;

/// Watches it for so long. It is full of clients all the while.
pub(crate) fn watch(broker: &Broker, life: Duration, report: &Report) -> Result<()> {
    let began = Instant::now();
    let mut looks = Vec::new();
    while began.elapsed() < life {
        std::thread::sleep(LOOK_EVERY.min(life.saturating_sub(began.elapsed())));
        signal(broker.pid(), "HUP")?;
        looks.push(resident(broker.pid())?);
    }
    // What is kept of who came grows until it has its bounds, so the first half says what it needs.
    let (first, second) = looks.split_at(looks.len() / 2);
    let median = |looks: &[u64]| {
        let mut looks = looks.to_vec();
        looks.sort_unstable();
        looks.get(looks.len() / 2).copied().unwrap_or(0)
    };
    let (before, after) = (median(first), median(second));
    let most = looks.iter().max().copied().unwrap_or(0);
    println!("lived for {life:?}: {before} KiB in the first half, {after} in the second, {most} at the most (medians)");
    if !first.is_empty() && after > before + before / 2 + SLACK {
        report.fault(Fault::Memory, &format!("it grows: {looks:?} KiB"));
    }
    Ok(())
}

/// What a process has in memory, in KiB.
fn resident(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("the broker is gone")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    line.trim().trim_end_matches(" kB").trim().parse().context("VmRSS is no number")
}
