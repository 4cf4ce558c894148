//! The machine and this process, as the system tells of them; `None` where it does not.
//!
//! Libraries ask, so macOS is as good as Linux. Nothing here is asked on the way of a message.

use rlimit::Resource;
use sysinfo::{MemoryRefreshKind, ProcessRefreshKind, ProcessesToUpdate, System};

/// Of the files that the process may have open, this part is not for clients' sockets, ...
const FILES_LEFT_OUT: usize = 8;

/// ... but not more than this.
const MOST_LEFT_OUT: usize = 320;

/// What there is for clients where the system does not say what it has.
const UNKNOWN_MEMORY: usize = 1 << 30;

/// Bytes of resident memory of this process.
pub(crate) fn resident() -> Option<usize> {
    let mut system = System::new().ok()?;
    let this = sysinfo::get_current_pid().ok()?;
    let what = ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[this]), true, what);
    Some(system.process(this)?.memory() as usize)
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

/// Bytes that may be held for clients where nobody has said how many: three quarters of what the machine has, or the
/// control group in which this process is. The rest is for what is not counted, and for the system.
pub(crate) fn memory_for_us() -> usize {
    let of_group = System::new().ok().and_then(|system| system.cgroup_limits()).map(|limits| limits.total_memory);
    let total = memory_total().into_iter().chain(of_group).filter(|bytes| *bytes > 0).min();
    total.map_or(UNKNOWN_MEMORY, |bytes| bytes as usize / 4 * 3)
}

/// Files that this process may have open, sockets among them.
pub(crate) fn max_open_files() -> Option<u64> {
    let (soft, _) = rlimit::getrlimit(Resource::NOFILE).ok()?;
    (soft != rlimit::INFINITY).then_some(soft)
}

/// Sockets of clients that this process may have open. Some of the files it may have are left out: the store opens new ones as
/// it goes, and who looks after the broker comes in by the admin port.
pub(crate) fn max_sockets() -> Option<usize> {
    let files = max_open_files()? as usize;
    Some(files - (files / FILES_LEFT_OUT).min(MOST_LEFT_OUT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells() {
        let (resident, total) = (resident().unwrap() as u64, memory_total().unwrap());
        assert!(resident > 100 << 10 && resident < total, "{resident} of {total}");
        assert!(load().unwrap().iter().all(|load| load.is_finite()));
        assert!(max_sockets().is_none_or(|sockets| sockets > 0));
    }
}
