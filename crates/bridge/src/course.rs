//! A bridge's task: connects, carries, and connects anew.

use std::collections::HashSet;
use std::future::poll_fn;
use std::sync::Arc;

use bytestring::ByteString;
use mqtt_codec::{
    Disconnect, Packet, Properties, Qos, ReasonCode, RetainHandling, SubscribeFilter, SubscribeOptions, Version,
};
use mqtt_hooks::{Host, SubscribeError, Wire};
use tokio::time::Instant;

use crate::back_off::BackOff;
use crate::greeting::{self, greet_here, greet_remote};
use crate::kept::{Book, Kept, filters};
use crate::mapping::Rule;
use crate::overlaps::echo;
use crate::plan::Plan;
use crate::probe::Probe;
use crate::relay::{End, Relay};
use crate::side::Side;
use crate::standing::{Reports, Standing};
use crate::subscribing::Subscribing;
use crate::sweep::Sweep;
use crate::trouble::Trouble;

/// Connections that a remote broker may close before it is tried whether it is because it knows no bridges.
const MAX_CLOSES: u8 = 3;

/// A bridge at work.
pub(crate) struct Course {
    plan: Arc<Plan>,
    host: Arc<dyn Host>,
    standing: Arc<Standing>,
    reports: Arc<Reports>,
    book: Book,
    kept: Kept,
    here: ByteString,
    /// The session here is there and subscribed, and keeps what is to go out from then on.
    is_prepared: bool,
    /// It says that it is a bridge.
    is_private: bool,
    closes: u8,
}

impl Course {
    pub(crate) fn new(
        plan: Plan,
        standing: Arc<Standing>,
        reports: Arc<Reports>,
        book: Book,
        kept: Kept,
        here: ByteString,
    ) -> Self {
        let (host, is_private) = (Arc::clone(reports.actor.host()), plan.try_private);
        let plan = Arc::new(plan);
        Self { plan, host, standing, reports, book, kept, here, is_prepared: false, is_private, closes: 0 }
    }

    pub(crate) async fn run(mut self) {
        let mut back_off = BackOff::new(self.plan.least_wait, self.plan.most_wait);
        let standing = Arc::clone(&self.standing);
        loop {
            let begun = Instant::now();
            let trouble = self.carry().await;
            back_off.note_lasted(begun.elapsed());
            self.reports.note_down(&standing, trouble.to_string());
            if matches!(trouble, Trouble::Restarted) {
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(back_off.take()) => {}
                () = standing.restart.notified() => {}
            }
        }
    }

    /// Connects and carries, until something ends that.
    async fn carry(&mut self) -> Trouble {
        let (standing, reports) = (Arc::clone(&self.standing), Arc::clone(&self.reports));
        let connected = tokio::select! {
            connected = self.connect() => connected,
            () = standing.restart.notified() => return Trouble::Restarted,
        };
        let mut relay = match connected {
            Ok(relay) => relay,
            Err(trouble) => return trouble,
        };
        let mut settled = || {
            let r#in = filters(&self.plan.r#in);
            self.keep(Kept { r#in, is_in_step: true, sweeps_here: false, ..self.kept.clone() });
            reports.note_up(&standing);
        };
        let trouble = tokio::select! {
            trouble = relay.run(&mut settled) => trouble,
            () = standing.restart.notified() => Trouble::Restarted,
        };
        relay.leave().await;
        trouble
    }

    /// The remote broker first: while it is away the session here stays as it is, and nothing of it is sent to nobody.
    async fn connect(&mut self) -> Result<Relay, Trouble> {
        if !self.is_prepared {
            self.prepare().await?;
            self.is_prepared = true;
        }
        let remote = self.greet_remote().await?;
        let (local, is_local_there) = self.greet_here(remote.receive_maximum).await?;
        if !is_local_there {
            self.keep(Kept { carried: Vec::new(), is_in_step: false, ..self.kept.clone() });
        }
        let sweep = self.sweep(remote.session_present);
        let all = filters(&self.plan.out);
        // What is retained goes along where the remote broker has not been sent it, or has forgotten.
        let is_carried =
            |rule: &Rule| remote.session_present && self.kept.carried.iter().any(|filter| filter == rule.from.as_str());
        for rule in self.plan.out.rules() {
            let retained = if is_carried(rule) { RetainHandling::DoNotSend } else { RetainHandling::Send };
            self.subscribe(rule, rule.qos.min(remote.max_qos), retained)?;
        }
        let former = if remote.session_present { self.kept.former_in(&self.plan.r#in) } else { Vec::new() };
        let probe = Probe::new(&self.plan, &self.remote_id());
        let filter = probe.as_ref().and_then(Probe::filter);
        let subscribing = Subscribing::new(&self.plan.r#in, former, filter, self.plan.version);
        let r#in = united(&self.kept.r#in, filters(&self.plan.r#in));
        self.keep(Kept { carried: all, r#in, ..self.kept.clone() });
        Ok(Relay {
            remote: remote.side,
            local,
            plan: Arc::clone(&self.plan),
            here: self.here.clone(),
            counts: Arc::clone(&self.standing.counts),
            max_qos: remote.max_qos,
            retains: remote.retains,
            keep_alive: remote.keep_alive,
            subscribing,
            sweep,
            probe,
            pinged: None,
            told: HashSet::new(),
        })
    }

    /// Has a session here before the remote broker is there, so that what is published from now on waits for it.
    async fn prepare(&mut self) -> Result<(), Trouble> {
        // It is sent one message at the most, which comes again.
        let (mut side, is_there) = self.greet_here(1).await?;
        let mut kept = self.kept.clone();
        if !is_there {
            (kept.carried, kept.is_in_step) = (Vec::new(), false);
        }
        let all = filters(&self.plan.out);
        // Before it is so: what is not known of is never given up.
        self.keep(Kept { out: united(&kept.out, all.clone()), ..kept.clone() });
        let own_id = self.plan.own_id();
        for former in kept.former_out(&self.plan.out) {
            self.host.unsubscribe(&own_id, &former);
        }
        for rule in self.plan.out.rules() {
            self.subscribe(rule, rule.qos, RetainHandling::DoNotSend)?;
        }
        kept.carried.retain(|filter| all.contains(filter));
        self.keep(Kept { out: all, ..kept });
        let goodbye = Disconnect { reason: ReasonCode::Success, properties: Properties::EMPTY };
        let _ = side.put(&Packet::Disconnect(goodbye));
        poll_fn(|context| side.poll_flush(context)).await.map_err(Trouble::here)
    }

    /// Not by SUBSCRIBE: its packet id would be one of the remote broker's.
    fn subscribe(&self, rule: &Rule, qos: Qos, retain_handling: RetainHandling) -> Result<(), Trouble> {
        let options = SubscribeOptions { qos, no_local: true, retain_as_published: true, retain_handling };
        let wish = SubscribeFilter { filter: rule.from.clone(), options };
        self.host.subscribe(&self.plan.own_id(), &wish).map_err(|error| match error {
            SubscribeError::Refused(reason) => Trouble::Subscription(rule.from.as_str().to_owned(), reason).here(),
            SubscribeError::Offline => Trouble::Closed.here(),
        })
    }

    /// Who the bridge is there.
    fn remote_id(&self) -> String {
        let Plan { client_id, name, .. } = &*self.plan;
        if client_id.is_empty() { format!("{}.{name}", self.host.node()) } else { client_id.clone() }
    }

    async fn greet_remote(&mut self) -> Result<greeting::Remote, Trouble> {
        let (plan, host) = (Arc::clone(&self.plan), Arc::clone(&self.host));
        let wire = plan.remote.connect().await?;
        let client_id = self.remote_id();
        let greeted = greet_remote(&plan, wire, &client_id, self.is_private, host.max_packet_size()).await;
        if plan.version == Version::V5 || !plan.try_private {
            return greeted;
        }
        match (&greeted, self.is_private) {
            (Ok(_), _) => self.closes = 0,
            (Err(Trouble::Refused(ReasonCode::UnsupportedProtocolVersion)), true) => {
                return Err(self.go_public(greeted));
            }
            // Some say nothing about what they don't know; but it may have stopped just then.
            (Err(Trouble::Closed | Trouble::Broken(_)), true) => {
                self.closes += 1;
                if self.closes >= MAX_CLOSES {
                    return Err(self.go_public(greeted));
                }
            }
            (Err(_), false) if self.closes > 0 => (self.is_private, self.closes) = (true, 0),
            (Err(_), _) => {}
        }
        greeted
    }

    /// Says no more that it is a bridge, if nothing would come back by that.
    fn go_public(&mut self, greeted: Result<greeting::Remote, Trouble>) -> Trouble {
        match (echo(&self.plan), greeted) {
            (Some(both), _) => Trouble::Echo(both),
            (None, greeted) => {
                self.is_private = false;
                greeted.err().unwrap_or(Trouble::Closed)
            }
        }
    }

    async fn greet_here(&self, receive_maximum: u16) -> Result<(Side, bool), Trouble> {
        let wire: Box<dyn Wire> = self.host.open(&format!("bridge:{}", self.plan.name)).ok_or(Trouble::NoBroker)?;
        greet_here(wire, &self.plan.own_id(), receive_maximum, self.host.max_packet_size()).await
    }

    /// What is to be swept, see [`Sweep`]. Kept before anything is sent with an id that may be held.
    fn sweep(&mut self, is_remote_there: bool) -> Option<(End, Sweep)> {
        if !self.kept.is_in_step {
            // The session here is new, and so holds nothing.
            return (is_remote_there && self.plan.out.has(Qos::ExactlyOnce)).then(|| (End::Remote, Sweep::default()));
        }
        if !is_remote_there {
            self.keep(Kept { sweeps_here: true, ..self.kept.clone() });
        }
        (self.kept.sweeps_here && self.plan.r#in.has(Qos::ExactlyOnce)).then(|| (End::Local, Sweep::default()))
    }

    fn keep(&mut self, kept: Kept) {
        if self.kept != kept {
            self.book.keep(&self.plan.name, &kept);
            self.kept = kept;
        }
    }
}

fn united(one: &[String], other: Vec<String>) -> Vec<String> {
    let mut all = other;
    let more: Vec<_> = one.iter().filter(|text| !all.contains(text)).cloned().collect();
    all.extend(more);
    all
}
