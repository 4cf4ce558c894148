//! What a process is told by whoever may tell it something.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that would end a process that does not ask for them.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
    user_1: Signal,
    user_2: Signal,
}

impl Signals {
    /// From now on none of them ends the process.
    ///
    /// # Errors
    /// Those of the system.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
        })
    }

    /// Returns the name of one that is to end the process. SIGHUP has `reload` called; the others are told of in the log, and it goes on: a
    /// script that rotates logs is no reason to disconnect everybody.
    pub async fn ending(mut self, reload: impl Fn()) -> &'static str {
        loop {
            let ignored = tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.quit.recv() => return "SIGQUIT",
                _ = self.hangup.recv() => {
                    reload();
                    continue;
                }
                _ = self.user_1.recv() => "SIGUSR1",
                _ = self.user_2.recv() => "SIGUSR2",
            };
            tracing::warn!(signal = ignored, "ignored: nothing is asked for so");
        }
    }
}
