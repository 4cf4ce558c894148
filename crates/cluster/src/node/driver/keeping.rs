//! What is kept of the log, so that it need not be read from its first batch on.

use std::sync::Arc;

use mqtt_roll::{Fold, Liveness};

use super::{Driver, Ended, Log, Tell};
use crate::LogError;
use crate::node::following::{find_snapshot, follow};

impl<L: Log, T: Tell> Driver<L, T> {
    /// Begins with the most that is known and not ahead of what is still to be told.
    pub(super) async fn begin(&mut self) {
        let config = &self.shared.config;
        let own = config.kept.as_ref().and_then(|kept| {
            Fold::from_snapshot(kept).inspect_err(|why| tracing::error!(%why, "what this node kept can't be read")).ok()
        });
        let common = find_snapshot(Arc::clone(&self.log), config.append_timeout).await;
        let is_in_time = |kept: &Fold| self.told.is_none_or(|told| told >= kept.position());
        let kept = own.into_iter().chain(common).filter(is_in_time).max_by_key(Fold::position);
        if let Some(kept) = kept {
            self.adopt(kept);
        }
    }

    /// The log has lost what was to be read next; what somebody has kept may reach over that.
    pub(super) fn note_rescue(&mut self, kept: Option<Fold>) {
        self.rescue = None;
        let read = self.shared.fold.lock().position();
        match kept {
            Some(kept) if kept.position() > read && kept.position() + 1 >= self.gap => {
                self.adopt(kept);
                self.catch_up();
            }
            _ => self.finish(Ended::Gap { read, found: self.gap }),
        }
    }

    /// Goes on from what somebody has kept.
    pub(super) fn adopt(&mut self, kept: Fold) {
        let position = kept.position();
        tracing::info!(position, "going on from what was kept of the log");
        if let Some(told) = self.told.filter(|told| *told < position) {
            self.told = Some(position);
            self.tell.missed(told, position);
        }
        *self.shared.fold.lock() = kept;
        let config = &self.shared.config;
        self.liveness = Liveness::new(config.name.clone());
        self.entries = follow(Arc::clone(&self.log), position + 1, config.read_timeout);
        self.unsaved = 0;
    }

    /// Keeps what the log has come to, so that who comes later does not need all of it.
    pub(super) fn save(&mut self, fold: &Fold) {
        let is_first = fold.first().is_some_and(|first| first.name == self.shared.config.name);
        if self.unsaved < self.shared.config.snapshot_every || self.saving.is_some() || !is_first {
            return;
        }
        // All of the batch has been told, or this would not be asked for.
        let Ok(snapshot) = fold.snapshot() else { return };
        let (log, position) = (Arc::clone(&self.log), fold.position());
        self.saving = Some(Box::pin(async move { log.save(position, snapshot).await }));
        self.unsaved = 0;
    }

    pub(super) fn note_saved(&mut self, saved: Result<(), LogError>) {
        self.saving = None;
        if let Err(why) = saved {
            tracing::warn!(%why, "what the log has come to could not be kept");
            // Half of it on, it is tried again.
            self.unsaved += self.shared.config.snapshot_every / 2;
        }
    }
}
