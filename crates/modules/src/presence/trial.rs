//! Presence tries itself: a client comes and goes, and another hears what is told of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use mqtt_codec::Filter;
use mqtt_hooks::{Came, Client, Host, Report, Trial};

/// A client that comes and goes.
#[derive(Debug, Default)]
pub(super) struct ComeAndGo {
    /// Two tests at once are not to take over each other's clients.
    runs: AtomicU64,
}

#[async_trait::async_trait]
impl Trial for ComeAndGo {
    async fn run(&self, host: Arc<dyn Host>) -> Report {
        let id = format!("rollcall-test-{:x}-{}", host.now_ms(), self.runs.fetch_add(1, Ordering::Relaxed));
        let mut messages = Vec::new();
        let error = come_and_go(&*host, &id, &mut messages).await.err();
        Report { error, messages }
    }
}

async fn come_and_go(host: &dyn Host, id: &str, told: &mut Vec<Came>) -> Result<(), String> {
    let filter = format!("$SYS/brokers/{}/clients/{id}/+", host.node());
    let filter = Filter::new(filter).map_err(|error| error.to_string())?;
    let mut watcher = host.connect(&format!("{id}-watcher")).await?;
    watcher.subscribe(&filter).await?;
    let start = host.instant();
    let client = host.connect(id).await?;
    told.push(event(&mut *watcher, host, start, "connected").await?);
    let start = host.instant();
    client.disconnect().await?;
    told.push(event(&mut *watcher, host, start, "disconnected").await?);
    watcher.disconnect().await
}

async fn event(watcher: &mut dyn Client, host: &dyn Host, start: Instant, kind: &str) -> Result<Came, String> {
    let message = watcher.receive().await.map_err(|why| format!("the event \"{kind}\": {why}"))?;
    Ok(Came { message, after: host.instant().saturating_duration_since(start) })
}
