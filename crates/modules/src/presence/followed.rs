//! What is told besides the events and states, to those who ask for it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use mqtt_hooks::{ConnectionInfo, Ctx, Moment, Reason, StartError};

use super::digest::Digest;
use super::gaps::Gaps;
use super::settled::Settled;
use super::states::State;
use super::topics::Topics;
use super::{Entry, History, Settings};

/// What is told besides, to those who ask for it.
pub(super) struct Followed {
    settled: Arc<Settled>,
    digest: Arc<Digest>,
    gaps: Arc<Gaps>,
}

impl Followed {
    pub(super) fn start(
        ctx: &Ctx,
        settings: &Settings,
        topics: &Arc<Topics>,
        history: &Arc<History>,
        unsettled: &Arc<AtomicU64>,
    ) -> Result<Self, StartError> {
        let topic = |suffix| topics.of_all(suffix).map_err(|error| StartError::Config(error.to_string()));
        let (actor, history) = (ctx.actor(), Arc::clone(history));
        let digest = Digest::new(topic("digest")?, history.clone(), ctx.host(), settings.announce_max.into());
        let (digest, gaps) = (Arc::new(digest), Arc::new(Gaps::new(topic("gap")?)));
        let (settle_ms, most) = (settings.settle.as_ms(), settings.known as usize);
        let records = ctx.records().part("settled");
        let settled = Settled::new(&actor, topics.clone(), history, records, settle_ms, most, unsettled.clone());
        settled.restore().map_err(|error| StartError::Other(error.to_string()))?;
        let settled = Arc::new(settled);
        ctx.states(settled.clone());
        ctx.spawn(settled.clone().run(actor.clone()));
        ctx.spawn(digest.clone().run(actor.clone()));
        ctx.spawn(gaps.clone().run(actor));
        Ok(Self { settled, digest, gaps })
    }

    /// What is known of a client that is about to come, for [`Self::came`]. To be asked before its event is recorded.
    pub(super) fn before(&self, client_id: &str) -> Option<Entry> {
        self.settled.before(client_id)
    }

    /// The event is recorded and told.
    pub(super) fn came(
        &self,
        client: &ConnectionInfo,
        before: Option<&Entry>,
        state: State<'_>,
        moment: &mut dyn Moment,
    ) {
        self.digest.note(client, None, state.number);
        self.settled.came(before, state, moment);
    }

    /// The event is recorded and told.
    pub(super) fn went(&self, client: &ConnectionInfo, reason: Reason, state: State<'_>, moment: &mut dyn Moment) {
        self.digest.note(client, Some(reason.name()), state.number);
        self.settled.went(&client.client_id, state, moment);
    }

    /// A watcher has not got an event.
    pub(super) fn missed(&self, watcher: &str, number: u64) {
        self.gaps.note(watcher, number);
    }
}
