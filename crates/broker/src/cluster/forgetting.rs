//! A node that will not come back.

use std::sync::Arc;
use std::time::Duration;

use mqtt_operate::ForgetError;
use tokio::time::timeout;

use crate::broker::Broker;

/// How long the log may take.
const PATIENCE: Duration = Duration::from_secs(5);

impl Broker {
    /// Has all know that a node, which does not live, will not come back.
    pub(crate) async fn forget_node(self: Arc<Self>, node: String) -> Result<(), ForgetError> {
        let roll = self.membership.roll().ok_or(ForgetError::Unknown)?;
        let is_live = |name: &str| roll.state().nodes.iter().find(|node| node.name == name).map(|node| node.is_live);
        if is_live(&node).ok_or(ForgetError::Unknown)? {
            return Err(ForgetError::Lives);
        }
        let is_told = roll.forget(&node).ok_or(ForgetError::Away)?;
        if !timeout(PATIENCE, is_told).await.unwrap_or(false) {
            return Err(ForgetError::Away);
        }
        // It may have come back just before.
        if is_live(&node) == Some(true) { Err(ForgetError::Lives) } else { Ok(()) }
    }
}
