//! What is told besides the events and states, to those who ask for it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use mqtt_hooks::{ConnectionInfo, Ctx, Moment, Reason, StartError};

use super::absence::{Absence, Missing, Rules};
use super::afresh::Noticed;
use super::digest::Digest;
use super::gaps::Gaps;
use super::groups::{Groups, Sources};
use super::query::Queries;
use super::roster::Roster;
use super::settled::Settled;
use super::states::State;
use super::topics::Topics;
use super::{Entry, History, Settings};

/// What is told besides, to those who ask for it.
pub(super) struct Followed {
    settled: Arc<Settled>,
    digest: Arc<Digest>,
    gaps: Arc<Gaps>,
    absence: Arc<Absence>,
}

impl Followed {
    pub(super) fn start(
        ctx: &Ctx,
        settings: &Settings,
        topics: &Arc<Topics>,
        history: &Arc<History>,
        unsettled: &Arc<AtomicU64>,
        missing: &Arc<Missing>,
        roster: &Arc<Roster>,
    ) -> Result<Self, StartError> {
        let failed = |error: std::io::Error| StartError::Other(error.to_string());
        let topic = |suffix| topics.of_all(suffix).map_err(|error| StartError::Config(error.to_string()));
        let (actor, history, queried) = (ctx.actor(), Arc::clone(history), Arc::clone(history));
        let most = settings.announce_max.into();
        let digest = Digest::new(topic("digest")?, history.clone(), roster.clone(), ctx.host(), most);
        let (digest, gaps) = (Arc::new(digest), Arc::new(Gaps::new(topic("gap")?)));
        let (settle_ms, most) = (settings.settle.as_ms(), settings.known as usize);
        let records = ctx.records().part("settled");
        let settled =
            Settled::new(&actor, topics.clone(), history.clone(), records, settle_ms, most, unsettled.clone());
        settled.restore().map_err(failed)?;
        let settled = Arc::new(settled);
        ctx.states(settled.clone());
        ctx.spawn(settled.clone().run(actor.clone()));
        ctx.spawn(digest.clone().run(actor.clone()));
        ctx.spawn(gaps.clone().run(actor.clone()));
        let (rules, records, alarm) =
            (Rules::new(&settings.absence)?, ctx.records().part("absent"), ctx.alarm("absent"));
        let has_rules = !settings.absence.is_empty();
        let sources =
            Sources { host: ctx.host(), history: history.clone(), roster: roster.clone(), missing: missing.clone() };
        let groups = Arc::new(Groups::new(topics.clone(), sources));
        ctx.states(groups.clone());
        ctx.spawn(groups.run(actor.clone()));
        let missing = missing.clone();
        let absence =
            Absence::start(&actor, topics.clone(), history, roster.clone(), records, alarm, rules, missing, most);
        let absence = Arc::new(absence.map_err(failed)?);
        if has_rules {
            ctx.spawn(absence.clone().run(actor));
        }
        let states = topics.any_state()?;
        let queries = Arc::new(Queries::new(ctx.host(), queried, roster.clone(), states));
        ctx.asked(queries.clone());
        ctx.spawn(queries.run(ctx.actor()));
        Ok(Self { settled, digest, gaps, absence })
    }

    /// What the roster tells of, as [`Roster::keep_in`] takes it.
    pub(super) fn served(&self) -> Box<dyn Fn(&str) + Send> {
        let absence = Arc::clone(&self.absence);
        Box::new(move |client_id| absence.look_again(client_id))
    }

    /// What is to be told of what happened while presence was stopped.
    pub(super) fn noticed(&self) -> Noticed {
        let (settled, absence) = (Arc::clone(&self.settled), Arc::clone(&self.absence));
        Box::new(move |client_id, gone_at| match gone_at {
            Some(at) => {
                settled.noticed(client_id, at);
                absence.went(&client_id.into(), at);
            }
            None => absence.look_again(client_id),
        })
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
        self.absence.came(client, state.number, moment);
    }

    /// The event is recorded and told.
    pub(super) fn went(&self, client: &ConnectionInfo, reason: Reason, state: State<'_>, moment: &mut dyn Moment) {
        self.digest.note(client, Some(reason.name()), state.number);
        self.settled.went(&client.client_id, state, moment);
        self.absence.went(&client.client_id, state.since);
    }

    /// A watcher has not got an event.
    pub(super) fn missed(&self, watcher: &str, number: u64) {
        self.gaps.note(watcher, number);
    }
}
