//! What an operator watches, and what the broker says about itself.

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
