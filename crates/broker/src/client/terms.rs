//! What a client was let in by, which may be agreed on anew while it is connected.
//!
//! Most clients have no such terms, and nothing here costs them more than a look at a flag.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use mqtt_codec::ReasonCode;
use mqtt_hooks::{Reason, Rules};
use mqtt_session::Timestamp;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::client::connection::Connection;
use crate::client::ending::Ending;
use crate::client::granted::{Granted, Renewal, Running, Terms};

impl Connection {
    /// The client comes in by this.
    pub(crate) fn agree(self: &Arc<Self>, granted: Granted) {
        let Granted { rules, until, method } = granted;
        if rules.is_empty() && until.is_none() && method.is_none() {
            return;
        }
        self.has_rules.store(!rules.is_empty(), Relaxed);
        let stay = until.map(|until| self.stay(until));
        *self.shared.lock().terms() = Terms { rules, method, stay, renewal: None };
    }

    /// What the client may do; empty if nobody has said.
    pub(crate) fn rules(&self) -> Rules {
        if !self.has_rules.load(Relaxed) {
            return Rules::default();
        }
        self.shared.lock().terms().rules.clone()
    }

    /// The method by which the client was authenticated, if it was by extended authentication.
    pub(crate) fn method(&self) -> Option<Arc<str>> {
        self.shared.lock().known_terms()?.method.clone()
    }

    /// The client is to be authenticated again, by the task that `start` starts; false if it is already.
    pub(crate) fn begin_renewal(&self, start: impl FnOnce() -> AbortHandle) -> bool {
        let mut shared = self.shared.lock();
        let terms = shared.terms();
        if terms.renewal.is_some() {
            return false;
        }
        // Under the lock: whatever the task does with the renewal, it finds it here.
        terms.renewal = Some(Renewal { answer: None, _asking: Running(start()) });
        true
    }

    /// For the task of the renewal: what the client says next.
    pub(crate) fn expect_answer(&self) -> oneshot::Receiver<Bytes> {
        let (answer, answered) = oneshot::channel();
        if let Some(renewal) = self.shared.lock().known_terms().and_then(|terms| terms.renewal.as_mut()) {
            renewal.answer = Some(answer);
        }
        answered
    }

    /// The client answers a challenge; false if there is none.
    pub(crate) fn answer(&self, data: Bytes) -> bool {
        let answer = self.shared.lock().known_terms().and_then(|terms| terms.renewal.as_mut()?.answer.take());
        answer.is_some_and(|answer| answer.send(data).is_ok())
    }

    /// The client was authenticated again: this holds from now on, and a further renewal may begin.
    ///
    /// The task of the renewal calls it, and must not wait for anything after that: it is ended here.
    pub(crate) fn renew(self: &Arc<Self>, rules: Rules, until: Option<Timestamp>) {
        let stay = until.map(|until| self.stay(until));
        let mut shared = self.shared.lock();
        if shared.is_over {
            return;
        }
        self.has_rules.store(!rules.is_empty(), Relaxed);
        let terms = shared.terms();
        terms.rules = rules;
        let before = mem::replace(&mut terms.stay, stay);
        terms.renewal = None;
        drop(shared);
        drop(before);
    }

    /// For the connection's task: it ends, and what would have ended it or changed its terms does too.
    pub(super) fn stop_terms(&self) {
        let mut shared = self.shared.lock();
        let ended = shared.known_terms().map(|terms| (terms.stay.take(), terms.renewal.take()));
        drop(shared);
        drop(ended);
    }

    /// Ends the connection at this time by the broker's clock.
    fn stay(self: &Arc<Self>, until: Timestamp) -> Running {
        let left = Duration::from_millis(until.0.saturating_sub(self.now().0));
        // Weak: the connection owns the task.
        let connection = Arc::downgrade(self);
        let end = async move {
            tokio::time::sleep(left).await;
            if let Some(connection) = connection.upgrade() {
                connection.end(Ending { reason: Reason::AuthExpired, code: Some(ReasonCode::NotAuthorized) });
            }
        };
        Running(tokio::spawn(end).abort_handle())
    }
}
