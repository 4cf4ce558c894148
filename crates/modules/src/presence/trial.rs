//! Presence tries itself: a client comes and goes, and another hears what is told of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use mqtt_codec::Filter;
use mqtt_hooks::{Came, Client, Host, Report, Trial};
use parking_lot::Mutex;

use super::profiles::Profile;
use super::topics::Topics;

/// A client that comes and goes.
#[derive(Debug, Default)]
pub(super) struct ComeAndGo {
    /// As whose events they look.
    profile: Mutex<Option<Profile>>,
    /// Two tests at once are not to take over each other's clients.
    runs: AtomicU64,
}

impl ComeAndGo {
    /// What it is to listen to from now on.
    pub(super) fn set_profile(&self, profile: Profile) {
        *self.profile.lock() = Some(profile);
    }
}

#[async_trait::async_trait]
impl Trial for ComeAndGo {
    async fn run(&self, host: Arc<dyn Host>) -> Report {
        let id = format!("rollcall-test-{:x}-{}", host.now_ms(), self.runs.fetch_add(1, Ordering::Relaxed));
        let mut messages = Vec::new();
        let profile = self.profile.lock().unwrap_or(Profile::Emqx4);
        let error = come_and_go(&*host, profile, &id, &mut messages).await.err();
        Report { error, messages }
    }
}

async fn come_and_go(host: &dyn Host, profile: Profile, id: &str, told: &mut Vec<Came>) -> Result<(), String> {
    let topics = Topics::new(host.node()).map_err(|error| error.to_string())?;
    let mut watcher = host.connect(&format!("{id}-watcher")).await?;
    let topic = |has_come| profile.topic(&topics, None, id, has_come).map_err(|error| error.to_string());
    let (came, went) = (topic(true)?, topic(false)?);
    for topic in [Some(&came), Some(&went).filter(|went| **went != came)].into_iter().flatten() {
        let filter = Filter::new(topic.as_str().to_owned()).map_err(|error| error.to_string())?;
        watcher.subscribe(&filter).await?;
    }
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
