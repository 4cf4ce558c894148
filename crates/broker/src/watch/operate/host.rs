//! The machine and the process, as Linux tells of them.

use std::fs::read_to_string;

use mqtt_operate::HostState;
use tokio::runtime::Handle;

use crate::broker::Broker;
use crate::watch::stats;

pub(super) fn state(broker: &Broker) -> HostState {
    HostState {
        load: load().unwrap_or_default(),
        memory_total: memory_total().unwrap_or_default(),
        max_fds: max_fds().unwrap_or_default(),
        tasks: Handle::try_current().map_or(0, |runtime| runtime.metrics().num_alive_tasks()),
        uptime: stats::uptime(broker.clock.uptime_ms() / 1000),
    }
}

fn load() -> Option<[f32; 3]> {
    let text = read_to_string("/proc/loadavg").ok()?;
    let mut numbers = text.split(' ').map_while(|number| number.parse().ok());
    Some([numbers.next()?, numbers.next()?, numbers.next()?])
}

fn memory_total() -> Option<u64> {
    let text = read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn max_fds() -> Option<u64> {
    let text = read_to_string("/proc/self/limits").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}
