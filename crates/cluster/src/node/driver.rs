//! The task that is a node.

mod keeping;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use bytestring::ByteString;
use mqtt_roll::{Effect, End, Error, Fold, Handled, Head, Join, Liveness, Record, Verdict};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::appender::{Appender, Arrived};
use super::following::{find_end, find_snapshot, follow};
use super::{Ended, Phase, Shared, Tell};
use crate::{Entry, Log, LogError};

/// Effects that are told before other things have their turn: a node with many clients may die.
const SLICE: usize = 256;

type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pub(super) struct Driver<L, T> {
    log: Arc<L>,
    shared: Arc<Shared>,
    tell: T,
    entries: mpsc::Receiver<Entry>,
    /// Where the log ends, while that is looked for.
    end: Option<Pending<u64>>,
    /// What somebody has kept, while that is fetched because a part of the log is gone.
    rescue: Option<Pending<Option<Fold>>>,
    /// What we keep, while that is on its way.
    saving: Option<Pending<Result<(), LogError>>>,
    /// Of the log since something was kept: bytes.
    unsaved: u64,
    appender: Appender,
    liveness: Liveness,
    beats: Interval,
    /// Time has passed since the last batch.
    is_due: bool,
    life: Life,
    /// What is there instead of what was to be read next.
    gap: u64,
    /// Up to there others have told.
    told: Option<u64>,
    /// A batch of ours that is being told.
    telling: Option<u64>,
    /// Whom we have declared dead, and what we had last heard of them then.
    declared: HashMap<ByteString, u64>,
    /// What we have read and told others of.
    checked: u64,
}

/// Of ours.
#[derive(Default)]
struct Life {
    epoch: u64,
    nonce: u64,
    /// Of the next batch.
    n: u64,
    beat: u64,
    /// Where the log ended when we began to catch up.
    behind: Option<u64>,
}

impl<L: Log, T: Tell> Driver<L, T> {
    pub(super) fn new(log: Arc<L>, shared: Arc<Shared>, tell: T) -> Self {
        let config = &shared.config;
        let mut beats = interval(config.beat);
        // However late one is, the next is no earlier: others must have had as long as we had.
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            entries: follow(Arc::clone(&log), 1, config.read_timeout),
            end: None,
            rescue: None,
            saving: None,
            unsaved: 0,
            appender: Appender::default(),
            liveness: Liveness::new(config.name.clone()),
            beats,
            is_due: false,
            life: Life::default(),
            gap: 0,
            told: config.told,
            telling: None,
            declared: HashMap::new(),
            checked: 0,
            log,
            shared,
            tell,
        }
    }

    pub(super) async fn run(mut self) {
        self.begin().await;
        self.catch_up();
        loop {
            let is_telling = self.shared.fold.lock().is_busy();
            match *self.shared.phase.borrow() {
                Phase::Ended(Ended::Outvoted { .. }) => break,
                // What is known to be right is told to its end: that all clients of a node that has left are gone.
                Phase::Ended(_) if !is_telling => break,
                _ => {}
            }
            let shared = Arc::clone(&self.shared);
            tokio::select! {
                biased;
                _ = self.beats.tick() => self.is_due = true,
                arrived = self.appender.arrived() => self.note_arrival(arrived),
                () = tokio::task::yield_now(), if is_telling => self.tell_some(),
                Some(entry) = self.entries.recv(), if !is_telling && self.rescue.is_none() => self.handle_entry(entry),
                end = ready(&mut self.end) => self.note_end(end),
                kept = ready(&mut self.rescue) => self.note_rescue(kept),
                saved = ready(&mut self.saving) => self.note_saved(saved),
                () = shared.wake.notified() => {}
            }
            self.send();
            self.shared.seen.lock().flying = self.appender.flying_since();
        }
        // Nobody waits for what does not come.
        self.shared.staged.lock().close();
    }

    /// Looks for the log's end: a life begins only when all before it is known.
    fn catch_up(&mut self) {
        self.set_phase(Phase::CatchingUp);
        self.shared.staged.lock().close();
        self.appender = Appender::default();
        self.life = Life { beat: self.life.beat, ..Life::default() };
        self.end = Some(Box::pin(find_end(Arc::clone(&self.log), self.shared.config.append_timeout)));
    }

    fn note_end(&mut self, end: u64) {
        self.end = None;
        self.life.behind = Some(end);
        self.shared.seen.lock().end = end;
        // What was there before the process is not news, unless an earlier one kept what it had told.
        self.told.get_or_insert(end.max(self.shared.fold.lock().position()));
        self.join_if_caught_up();
    }

    fn join_if_caught_up(&mut self) {
        let fold = self.shared.fold.lock();
        if *self.shared.phase.borrow() != Phase::CatchingUp
            || self.life.behind.is_none_or(|end| fold.position() < end)
            || fold.is_busy()
        {
            return;
        }
        let epoch = fold.next_epoch();
        drop(fold);
        let Some(nonce) = nonce() else {
            // There is no telling our word from another's without one; the next entry brings us here again.
            tracing::error!("the system has no random numbers");
            return;
        };
        self.life = Life { epoch, nonce, n: 0, beat: self.life.beat, behind: None };
        let config = &self.shared.config;
        let join = Join { nonce, addr: config.addr.clone(), versions: config.versions };
        self.shared.staged.lock().add(&Record::Join(join), None);
        self.set_phase(Phase::Joining);
    }

    /// Sends what is staged, or that we live.
    fn send(&mut self) {
        let is_live = match *self.shared.phase.borrow() {
            Phase::Live => true,
            Phase::Joining => false,
            Phase::CatchingUp | Phase::Ended(_) => return,
        };
        // Nothing goes ahead of the word that we come, and nothing after it before it is known to count.
        if !self.appender.is_free() || !is_live && self.life.n > 0 {
            return;
        }
        let (records, waiters) = {
            let mut staged = self.shared.staged.lock();
            if staged.len() == 0 && !self.is_due {
                return;
            }
            staged.take()
        };
        // Not for each tick: while a batch is on its way for long, that is one beat and not many.
        self.life.beat += u64::from(self.is_due);
        self.is_due = false;
        let Life { epoch, n, beat, .. } = self.life;
        let config = &self.shared.config;
        let head = Head { node: config.name.clone(), epoch, n, beat, at: wall_ms() };
        self.appender.send(&self.log, n, head.encode(&records), waiters, config.append_timeout);
        self.life.n += 1;
    }

    fn note_arrival(&mut self, arrived: Arrived) {
        self.shared.seen.lock().resent += arrived.resent;
        // The log was away, and others may come back to it a little later than we do.
        if arrived.resent > 0 || arrived.after > 2 * self.shared.config.beat {
            self.liveness.excuse();
        }
    }

    fn handle_entry(&mut self, Entry { position, batch }: Entry) {
        let mut fold = self.shared.fold.lock();
        let handled = match fold.handle_batch(position, batch.clone()) {
            Ok(handled) => handled,
            Err(Error::Position { .. }) => {
                drop(fold);
                self.gap = position;
                self.rescue = Some(Box::pin(find_snapshot(Arc::clone(&self.log), self.shared.config.append_timeout)));
                return;
            }
            // To guess what a later version means would be to tell something else than others.
            Err(why @ (Error::Version(_) | Error::Kind(_))) => {
                drop(fold);
                return self.finish(Ended::Unknown { position, why });
            }
            // Nobody writes such, so it is void for all.
            Err(why) => {
                tracing::error!(position, %why, "a batch in the log can't be read, and is passed over");
                self.shared.seen.lock().unread += 1;
                fold.pass_over(position, &batch).expect("it is the next one");
                drop(fold);
                return self.join_if_caught_up();
            }
        };
        drop(fold);
        self.unsaved += batch.len() as u64;
        self.liveness.note(&handled);
        if handled.head.node == self.shared.config.name && handled.head.epoch == self.life.epoch {
            self.handle_own(&handled);
        }
        self.tell_some();
    }

    /// A batch of this life of ours.
    fn handle_own(&mut self, Handled { head, verdict }: &Handled) {
        match verdict {
            Verdict::Counts | Verdict::Resent => self.telling = Some(head.n),
            // The log has lost one that it had acknowledged: whatever we say now is void, and we begin anew.
            Verdict::Gap => self.fenced(),
            // Somebody else has this name, and was faster; or we read the log's end too early.
            Verdict::Stale => self.catch_up(),
            Verdict::Gated => self.finish(Ended::Gated),
            Verdict::Crowded => self.finish(Ended::Crowded),
            // We have read of our end before this.
            Verdict::Fenced => {}
        }
    }

    fn tell_some(&mut self) {
        for _ in 0..SLICE {
            // Nobody waits for the fold while something is told: who is told may look at it.
            let (position, effect) = {
                let mut fold = self.shared.fold.lock();
                (fold.position(), fold.poll_effect())
            };
            let Some(effect) = effect else {
                self.tell.flush();
                return self.note_told();
            };
            self.handle_effect(&effect);
            let is_new = self.told.is_some_and(|told| position > told);
            if matches!(*self.shared.phase.borrow(), Phase::Ended(Ended::Outvoted { .. })) {
                return self.tell.flush();
            }
            if is_new {
                self.tell.tell(position, effect);
            }
        }
        self.tell.flush();
    }

    /// All effects of a batch are told.
    fn note_told(&mut self) {
        let position = self.shared.fold.lock().position();
        // Before those are woken who wait for a batch of ours: what they say next is said behind it.
        self.tell.told(position);
        if let Some(n) = self.telling.take() {
            if let Some(arrived) = self.appender.read(n) {
                self.note_arrival(arrived);
            }
            self.declare();
        }
        self.join_if_caught_up();
    }

    /// What is about ourselves.
    fn handle_effect(&mut self, effect: &Effect) {
        let me = &self.shared.config.name;
        match effect {
            Effect::Joined { node, nonce, .. } if node == me && *nonce == self.life.nonce => {
                self.shared.staged.lock().open();
                self.set_phase(Phase::Live);
            }
            Effect::Gone { node, epoch, end } if node == me && *epoch == self.life.epoch => match end {
                End::Dead { .. } => self.fenced(),
                End::Left => self.finish(Ended::Left),
                End::Replaced { .. } => self.finish(Ended::Replaced),
            },
            Effect::Differs { node, position, ours, theirs } => {
                tracing::error!(%node, position, %ours, %theirs, "another node has read something else");
                self.shared.seen.lock().differs = Some((node.clone(), *position));
            }
            Effect::Outvoted { position } => self.finish(Ended::Outvoted { position: *position }),
            _ => {}
        }
    }

    /// Stages who is dead, what we have read, and that a version may be written.
    fn declare(&mut self) {
        if *self.shared.phase.borrow() != Phase::Live {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let fold = shared.fold.lock();
        self.save(&fold);
        let mut staged = shared.staged.lock();
        for dead in self.liveness.silent(&fold) {
            // Once for what we know of it: the record is on its way.
            if self.declared.insert(dead.node.clone(), dead.last) != Some(dead.last) {
                tracing::warn!(node = %dead.node, "a node is silent");
                staged.add(&Record::Dead(dead), None);
            }
        }
        self.declared.retain(|name, _| fold.node(name).is_some_and(mqtt_roll::Node::is_live));
        if let Some(check @ Record::Check { position, .. }) = fold.check()
            && position > self.checked
        {
            self.checked = position;
            staged.add(&check, None);
        }
        if let Some(version) = fold.next_gate()
            && fold.first().is_some_and(|first| first.name == self.shared.config.name)
        {
            staged.add(&Record::Gate(version), None);
        }
    }

    /// Our life is over, though we are not.
    fn fenced(&mut self) {
        tracing::error!("this node was fenced: its clients are gone, and it joins again");
        self.shared.seen.lock().fenced += 1;
        self.telling = None;
        self.catch_up();
    }

    fn finish(&mut self, why: Ended) {
        match why {
            Ended::Left => tracing::info!("this node has left the cluster"),
            _ => tracing::error!(%why, "this node has no part in the cluster any more"),
        }
        self.set_phase(Phase::Ended(why));
    }

    fn set_phase(&self, phase: Phase) {
        self.shared.phase.send_replace(phase);
    }
}

/// Waits for what there may be to wait for.
async fn ready<T>(pending: &mut Option<Pending<T>>) -> T {
    match pending {
        Some(pending) => pending.await,
        None => std::future::pending().await,
    }
}

fn nonce() -> Option<u64> {
    getrandom::u64().ok()
}

/// For people to read: milliseconds since the Unix epoch.
fn wall_ms() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
