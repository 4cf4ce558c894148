//! What a service manager is told that has started this process and listens for it: see sd_notify(3).

use std::time::Duration;

use sd_notify::{NotifyState, notify, watchdog_enabled};

/// Clients come in, and from now on the manager is told so as often as it wants to hear that the broker goes on.
pub(crate) fn ready() {
    tell(NotifyState::Ready);
    if let Some(within) = watchdog_enabled() {
        // On a worker like every connection: when none of those gets its turn any more, this one doesn't either. Until the
        // process ends, for it is watched while it shuts down too.
        tokio::spawn(go_on(within / 3));
    }
}

/// Nobody comes in any more.
pub(crate) fn stopping() {
    tell(NotifyState::Stopping);
}

async fn go_on(every: Duration) {
    // Some would ask for none at all.
    let mut beats = tokio::time::interval(every.max(Duration::from_millis(10)));
    loop {
        beats.tick().await;
        tell(NotifyState::Watchdog);
    }
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = notify(&[state]) {
        tracing::warn!(%error, "the service manager can't be told that the broker is ready, goes on, or ends");
    }
}
