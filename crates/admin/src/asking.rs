//! Asks the broker where it may take its time.

use std::sync::Arc;

use mqtt_operate::Operate;

use crate::Shared;
use crate::reply::Refusal;

/// Runs what may take as long as looking at every client.
pub(crate) async fn with_broker<T: Send + 'static>(
    shared: &Arc<Shared>,
    ask: impl FnOnce(&dyn Operate) -> T + Send + 'static,
) -> Result<T, Refusal> {
    let shared = Arc::clone(shared);
    let asked = tokio::task::spawn_blocking(move || ask(&*shared.broker)).await;
    asked.map_err(|error| {
        tracing::error!(%error, "admin: a request failed");
        Refusal::internal()
    })
}
