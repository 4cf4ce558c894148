//! What a service manager is told that has started this process and listens for it: see sd_notify(3).

use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;
use std::{env, thread};

use sd_notify::{NotifyState, notify, watchdog_enabled};

/// What waits to be told. A manager that takes no more of it has other worries.
const WAITING: usize = 8;

/// The service manager, if there is one.
#[derive(Clone, Debug)]
pub struct Service(Option<SyncSender<NotifyState<'static>>>);

impl Service {
    /// As the environment says.
    pub fn find() -> Self {
        if env::var_os("NOTIFY_SOCKET").is_none() {
            return Self(None);
        }
        let (tell, told) = sync_channel(WAITING);
        // A thread of its own, which nobody waits for: to tell somebody who does not listen takes as long as they don't.
        let telling = thread::Builder::new().name("service".to_owned()).spawn(move || {
            for state in told {
                if let Err(error) = notify(&[state]) {
                    tracing::warn!(%error, "the service manager can't be told that the broker is ready, goes on, or ends");
                }
            }
        });
        Self(telling.is_ok().then_some(tell))
    }

    /// Clients come in, and from now on the manager is told so as often as it wants to hear that the broker goes on.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn note_ready(&self) {
        self.tell(NotifyState::Ready);
        if let (Some(within), Some(_)) = (watchdog_enabled(), &self.0) {
            // On a worker like every connection: when none of those gets its turn any more, this one doesn't either. Until
            // the process ends, for it is watched while it shuts down too.
            tokio::spawn(self.clone().go_on(within / 3));
        }
    }

    /// Nobody comes in any more.
    pub fn note_stopping(&self) {
        self.tell(NotifyState::Stopping);
    }

    async fn go_on(self, every: Duration) {
        // Some would ask for none at all.
        let mut beats = tokio::time::interval(every.max(Duration::from_millis(10)));
        loop {
            beats.tick().await;
            self.tell(NotifyState::Watchdog);
        }
    }

    fn tell(&self, state: NotifyState<'static>) {
        if let Some(tell) = &self.0 {
            // Full: whoever does not hear that has not heard what came before either.
            let _ = tell.try_send(state);
        }
    }
}
