//! What an operator watches: how the broker is, and what is wrong with it.

use std::sync::Arc;

use crate::{Alarm, Health, Trace};

/// What an operator watches of a broker.
pub trait Oversee: Send + Sync + 'static {
    /// How it is.
    fn health(&self) -> Health;

    /// Alarms, those that are active first, then the others; of each the newest first.
    fn alarms(&self) -> Vec<Alarm>;

    /// Declares an alarm over; false if it is not active. It comes back when its cause does, not while that lasts.
    fn deactivate_alarm(&self, name: &str) -> bool;

    /// Forgets the alarms that are over.
    fn forget_alarms(&self);

    /// Traces what a client id sends and gets from now on; `None`: too many are traced.
    fn trace(self: Arc<Self>, client_id: &str) -> Option<Trace>;
}
