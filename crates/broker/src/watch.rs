//! What an operator watches, and what the broker says about itself.

use std::sync::Arc;

use crate::time::faults::Faults;
use crate::watch::alarms::Alarms;
use crate::watch::highest::Highest;
use crate::watch::memory::Memory;
use crate::watch::metrics::Metrics;
use crate::watch::refusals::Refusals;
use crate::watch::trace::Traces;

pub(crate) mod alarms;
pub(crate) mod highest;
pub(crate) mod machine;
pub(crate) mod memory;
pub(crate) mod metrics;
pub(crate) mod operate;
pub(crate) mod oversee;
pub(crate) mod refusals;
pub(crate) mod stats;
pub(crate) mod sys;
pub(crate) mod trace;

/// What is counted, remembered and told of what goes on. It decides nothing, but for how much memory may be taken.
pub(crate) struct Watched {
    pub(crate) metrics: Metrics,
    pub(crate) highest: Highest,
    pub(crate) alarms: Alarms,
    /// Of the background tasks.
    pub(crate) faults: Arc<Faults>,
    pub(crate) refusals: Refusals,
    pub(crate) traces: Arc<Traces>,
    pub(crate) memory: Memory,
}

impl Watched {
    pub(crate) fn new(memory: Memory) -> Self {
        Self {
            metrics: Metrics::default(),
            highest: Highest::default(),
            alarms: Alarms::default(),
            faults: Arc::default(),
            refusals: Refusals::default(),
            traces: Arc::default(),
            memory,
        }
    }
}
