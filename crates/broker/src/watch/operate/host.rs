//! The machine and the process, as an operator sees them.

use mqtt_operate::HostState;
use tokio::runtime::Handle;

use crate::watch::{machine, stats};

pub(super) fn state(uptime_ms: u64) -> HostState {
    HostState {
        load: machine::load().unwrap_or_default(),
        memory_total: machine::memory_total().unwrap_or_default(),
        max_fds: machine::max_open_files().unwrap_or_default(),
        tasks: Handle::try_current().map_or(0, |runtime| runtime.metrics().num_alive_tasks()),
        uptime: stats::uptime(uptime_ms / 1000),
    }
}
