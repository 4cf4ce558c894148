//! A member of a group goes, and another gets what this one has not got.

use std::sync::Arc;

use mqtt_codec::Filter;
use mqtt_hooks::DropReason;
use mqtt_router::Member;
use mqtt_session::{Fanout, Orphan, Timestamp};

use crate::client::ClientRef;
use crate::delivery::batch::Batch;
use crate::delivery::routes::Routes;
use crate::delivery::routing::Routed;
use crate::watch::metrics::Metric;

impl Routes<ClientRef> {
    /// Gives each message, which `from` had, to a member of its group; one without members loses it. The caller holds no
    /// session's lock; who is to get nothing of it any more is not a member by now.
    ///
    /// At the end of the process (`is_stopping`) those whose sessions end with it would pass everything on to each other: then
    /// only those get it whose sessions are stored.
    ///
    /// They are new deliveries: who gets one has not seen it, so it is not marked as sent before.
    pub(crate) fn hand_on(
        &self,
        from: &ClientRef,
        orphans: Vec<Orphan>,
        is_stopping: bool,
        now: Timestamp,
        batch: &mut Batch<'_>,
    ) {
        if orphans.is_empty() {
            return;
        }
        let mut matches = batch.lend_matches();
        for Orphan { filter, publication, qos } in orphans {
            // Once, and not by each member that it is offered to.
            if publication.is_expired(now) {
                batch.count(Metric::DroppedExpired, 1);
                continue;
            }
            self.router.members(&filter, &mut matches);
            let is_there = |member: Member<ClientRef>| !member.key().state.lock().is_over();
            if !matches.groups().any(|group| group.present().chain(group.absent()).any(is_there)) {
                batch.lose(from, Arc::clone(&publication), qos, DropReason::SessionEnded);
            }
            let fanout = Fanout::with_shared(&publication);
            let mut routed = Routed { fanout, from: None, changes: matches.seen_changes(), now };
            for group in matches.groups() {
                let may = |member: &ClientRef| !is_stopping || member.state.lock().number > 0;
                self.deliver_to_one(&group, may, &mut routed, batch);
            }
            batch.note_traffic(publication.size());
        }
        matches.clear();
        batch.return_matches(matches);
    }

    /// A client is gone and its session stays. What others are there to take is theirs; for all else it is waited for.
    ///
    /// The transition lock is held, so it can't come back meanwhile. The others may go, and then it is a member as any
    /// other: what nobody takes comes back to it.
    pub(crate) fn hand_on_while_away(
        &self,
        client: &ClientRef,
        is_stopping: bool,
        now: Timestamp,
        batch: &mut Batch<'_>,
    ) {
        let mut groups = client.state.lock().session.groups_in_use();
        // Asked before anything is taken out of the session: of groups without others it keeps its own.
        groups.retain(|filter| self.has_others_online(filter, client, batch));
        if groups.is_empty() {
            return;
        }
        // [MQTT-4.8.2-4] [MQTT-4.8.2-5]: what was sent at QoS 2 is not among them.
        let orphans = {
            let mut state = client.state.lock();
            let orphans = state.session.take_orphans(true, |filter| groups.contains(filter));
            state.stage(batch);
            state.recount(batch);
            orphans
        };
        self.hand_on(client, orphans, is_stopping, now, batch);
    }

    /// True if this shared subscription has members.
    pub(crate) fn has_members(&self, filter: &Filter, batch: &mut Batch<'_>) -> bool {
        let mut matches = batch.lend_matches();
        self.router.members(filter, &mut matches);
        let has_members = matches.groups().next().is_some();
        matches.clear();
        batch.return_matches(matches);
        has_members
    }

    fn has_others_online(&self, filter: &Filter, client: &ClientRef, batch: &mut Batch<'_>) -> bool {
        let mut matches = batch.lend_matches();
        self.router.members(filter, &mut matches);
        let is_other = |member: &ClientRef| member != client && member.state.lock().session.is_attached();
        let has_others = matches.groups().any(|group| group.present().any(|member| is_other(member.key())));
        matches.clear();
        batch.return_matches(matches);
        has_others
    }
}
