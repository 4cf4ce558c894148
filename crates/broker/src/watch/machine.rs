//! The machine and this process, as the system tells of them; `None` where it does not.
//!
//! Libraries ask, so macOS is as good as Linux. Resident memory is looked at while messages travel, and so the cost of
//! one look decides: `memory-stats` takes 6 µs of CPU on Linux (with its `always_use_statm`; without it 130 µs, and 8 ms
//! in a process of 500 MiB), the line in `/proc/self/status` read by hand 15 µs, procfs 10 to 13 µs (Linux only), sysinfo
//! 45 to 65 µs. sysinfo tells what only operators ask for.

use rlimit::Resource;
use sysinfo::{MemoryRefreshKind, System};

/// Bytes of resident memory of this process.
pub(crate) fn resident() -> Option<usize> {
    memory_stats::memory_stats().map(|stats| stats.physical_mem)
}

/// Processes that wanted to run over 1, 5 and 15 minutes.
pub(crate) fn load() -> Option<[f32; 3]> {
    let load = System::load_average().ok()?;
    Some([load.one, load.five, load.fifteen].map(|load| load as f32))
}

/// Bytes of memory of the machine.
pub(crate) fn memory_total() -> Option<u64> {
    let mut system = System::new().ok()?;
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    Some(system.total_memory())
}

/// Files that this process may have open, sockets among them.
pub(crate) fn max_open_files() -> Option<u64> {
    let (soft, _) = rlimit::getrlimit(Resource::NOFILE).ok()?;
    (soft != rlimit::INFINITY).then_some(soft)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells() {
        let (resident, total) = (resident().unwrap() as u64, memory_total().unwrap());
        assert!(resident > 100 << 10 && resident < total, "{resident} of {total}");
        assert!(load().unwrap().iter().all(|load| load.is_finite()));
        assert!(max_open_files().is_none_or(|files| files > 0));
    }

    #[test]
    fn memory_that_is_touched_is_resident() {
        const BYTES: usize = 64 << 20;
        let before = resident().unwrap();
        let touched = std::hint::black_box(vec![1_u8; BYTES]);
        let grown = resident().unwrap().saturating_sub(before);
        assert!(grown > BYTES / 2, "{grown} of {}", touched.len());
    }
}
