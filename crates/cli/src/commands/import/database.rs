//! `rollcall import mosquitto-db`: retained messages and sessions, into the store of a broker that does not run.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use mqtt_codec::{Filter, PacketId, Qos, RetainHandling, SubscribeOptions, Topic};
use mqtt_config::Config;
use mqtt_migrate::Files as _;
use mqtt_migrate::mosquitto_db::{Database, Owed, Session, Step, Subscription};
use mqtt_session::{Change, Delivery, Publication, SubscriptionIds};
use mqtt_storage::{Bounds, Disk, Journal, Loaded, SessionRecord, Stage, Store};
use serde_json::json;

use super::disk::OnDisk;
use crate::commands::backup::data_dir;
use crate::commands::state::{Clock, now_ms, open, publication};
use crate::failure::Failure;
use crate::output::Output;

/// A session as it will be.
struct Made<'a> {
    of: &'a Session,
    subscriptions: Vec<(Filter, SubscribeOptions, Option<u32>)>,
    owed: Vec<Change>,
    received: Vec<PacketId>,
    /// Milliseconds by the store's clock; `None`: never.
    expires_at: Option<u64>,
    session_expiry: u32,
}

/// What becomes of a file, and what of it can't be carried over.
struct Plan<'a> {
    database: &'a Database,
    clock: Clock,
    sessions: Vec<Made<'a>>,
    retained: Vec<Publication>,
    left: Vec<String>,
}

pub(super) fn import(file: &Path, dry_run: bool, config: &Config, out: &mut Output) -> Result<(), Failure> {
    let folder = data_dir(config)?;
    let refused = |why: String| Failure::Refused(format!("nothing was imported: {}: {why}", file.display()));
    let bytes = OnDisk.read(file).map_err(|error| refused(error.to_string()))?;
    let database = Database::read(&bytes).map_err(|wrong| refused(wrong.to_string()))?;
    // Its store is not even made for a look.
    if dry_run && !folder.exists() {
        return tell(&Plan::new(&database, &Loaded::default(), config), "would be imported", out);
    }
    let store = open(folder, config)?;
    let done = Loaded::read(&*store).map_err(|error| error.to_string()).and_then(|loaded| {
        let plan = Plan::new(&database, &loaded, config);
        if !dry_run {
            plan.take(&store, &loaded)?;
        }
        Ok(plan)
    });
    store.close();
    let plan = done.map_err(refused)?;
    tell(&plan, if dry_run { "would be imported" } else { "imported" }, out)
}

impl<'a> Plan<'a> {
    fn new(database: &'a Database, loaded: &Loaded, config: &Config) -> Self {
        let clock = Clock::of(loaded.alive);
        let mut plan = Self { database, clock, sessions: Vec::new(), retained: Vec::new(), left: Vec::new() };
        let now = now_ms();
        let there: HashSet<&str> = loaded.sessions.iter().map(|session| &*session.record.client_id).collect();
        let for_mqtt_3 = u32::try_from(config.mqtt.session_expiry.as_secs()).unwrap_or(u32::MAX);
        // Shared by all that are owed it, as in a broker.
        let messages: Vec<_> = database.messages.iter().map(|message| plan.message(message)).collect();
        for &at in &database.retained {
            if let Some(message) = &messages[at] {
                plan.retain(message);
            }
        }
        for session in &database.sessions {
            let id = &session.client_id;
            if there.contains(id.as_str()) {
                plan.left.push(format!("session {id:?}: there is one of this client already, which stays as it is"));
                continue;
            }
            // As mosquitto has it for MQTT 3, and for who never wants it to end.
            let is_open = session.expiry_interval == u32::MAX;
            let session_expiry = if is_open { for_mqtt_3 } else { session.expiry_interval };
            let ends = match session.expires_at {
                0 => now.saturating_add(u64::from(session_expiry) * 1000),
                at => at.saturating_mul(1000),
            };
            if ends <= now {
                plan.left.push(format!("session {id:?}: it is over"));
                continue;
            }
            let expires_at = (session_expiry < u32::MAX).then(|| clock.of_store(ends).0);
            let subscriptions = session.subscriptions.iter().filter_map(|one| plan.subscription(id, one)).collect();
            let (owed, received) = (Vec::new(), Vec::new());
            let mut made = Made { of: session, subscriptions, owed, received, expires_at, session_expiry };
            made.owe(&messages);
            plan.sessions.push(made);
        }
        plan.publish_arrived(&messages);
        plan
    }

    /// `None`: it is told why.
    fn message(&mut self, message: &mqtt_migrate::state::Retained) -> Option<Arc<Publication>> {
        match publication(message, self.clock) {
            Ok(mut publication) => {
                publication.message.retain = false;
                Some(Arc::new(publication))
            }
            Err(why) => {
                self.left.push(format!("message: {why}"));
                None
            }
        }
    }

    fn retain(&mut self, message: &Publication) {
        let mut publication = message.clone();
        publication.message.retain = true;
        self.retained.push(publication);
    }

    fn subscription(&mut self, client: &str, said: &Subscription) -> Option<(Filter, SubscribeOptions, Option<u32>)> {
        let options = SubscribeOptions {
            qos: qos(said.qos),
            no_local: said.options & 0x04 != 0,
            retain_as_published: said.options & 0x08 != 0,
            retain_handling: match said.options >> 4 & 0b11 {
                0 => RetainHandling::Send,
                1 => RetainHandling::SendIfNew,
                _ => RetainHandling::DoNotSend,
            },
        };
        match Filter::new(said.filter.clone()) {
            Ok(filter) if Stage::can_keep(&filter) => Some((filter, options, (said.id > 0).then_some(said.id))),
            _ => {
                self.left.push(format!("session {client:?}: {:?} is no filter", said.filter));
                None
            }
        }
    }

    /// What came by QoS 2 and was to be published when its client released it: here that is done when it comes, so it goes
    /// to who is subscribed now, and its packet id waits for the client.
    fn publish_arrived(&mut self, messages: &[Option<Arc<Publication>>]) {
        let arrived: Vec<(usize, bool, Qos)> = self
            .sessions
            .iter()
            .flat_map(|made| &made.of.owed)
            .filter(|owed| matches!(owed.step, Step::Arrived(_)))
            .map(|owed| (owed.message, owed.retain, qos(owed.qos)))
            .collect();
        for (at, is_retained, sent) in arrived {
            let Some(message) = &messages[at] else { continue };
            if is_retained {
                self.retain(message);
            }
            for made in &mut self.sessions {
                made.publish(message, sent);
            }
        }
    }

    /// All in one write, so all of it is there or nothing.
    fn take(&self, store: &Arc<Disk>, loaded: &Loaded) -> Result<(), String> {
        let shared: Arc<dyn Store> = Arc::<Disk>::clone(store);
        let journal = Journal::new(shared, loaded.last_message);
        let mut number = loaded.bounds.session;
        let position = journal.stage(|stage| {
            self.retained.iter().for_each(|message| stage.retain(message));
            for made in &self.sessions {
                number += 1;
                made.stage(number, stage);
            }
            stage.bounds(&Bounds { session: number, ..loaded.bounds });
        });
        journal.commit(position).map_err(|_| "the store can't be written to".to_owned())
    }
}

impl Made<'_> {
    fn owe(&mut self, messages: &[Option<Arc<Publication>>]) {
        for Owed { message, step, qos: sent, retain, subscription_id } in &self.of.owed {
            let Some(message) = &messages[*message] else { continue };
            let id = |id: u16| PacketId::new(id);
            let packet_id = match *step {
                Step::Queued => None,
                Step::Sent(sent) | Step::Released(sent) => id(sent),
                Step::Arrived(came) => {
                    self.received.extend(id(came));
                    continue;
                }
            };
            let ids: &[u32] = if *subscription_id > 0 { &[*subscription_id] } else { &[] };
            let delivery = self.delivery(message, ids, qos(*sent), *retain, packet_id);
            self.owed.push(match step {
                // Of the order in which they were released nothing is known.
                Step::Released(_) => Change::Released { order: delivery.number, delivery },
                _ => Change::Kept(delivery),
            });
        }
    }

    fn delivery(
        &self,
        message: &Arc<Publication>,
        ids: &[u32],
        qos: Qos,
        retain: bool,
        packet_id: Option<PacketId>,
    ) -> Delivery {
        Delivery {
            // From 1 on, in the order in which they are owed.
            number: self.owed.len() as u64 + 1,
            publication: Arc::clone(message),
            subscription_ids: SubscriptionIds::new(ids),
            qos,
            retain,
            stored: false,
            packet_id,
            was_queued: false,
            by_group: false,
        }
    }

    fn publish(&mut self, message: &Arc<Publication>, sent: Qos) {
        let topic: &Topic = &message.message.topic;
        let matching =
            self.subscriptions.iter().filter(|(filter, ..)| filter.group().is_none() && filter.matches(topic));
        let (mut highest, mut ids) = (None, Vec::new());
        for (_, options, id) in matching {
            highest = highest.max(Some(options.qos.min(sent)));
            ids.extend(*id);
        }
        // QoS 0 is not kept for who is away.
        if let Some(qos) = highest.filter(|&qos| qos > Qos::AtMostOnce) {
            let delivery = self.delivery(message, &ids, qos, false, None);
            self.owed.push(Change::Kept(delivery));
        }
    }

    fn stage(&self, number: u64, stage: &mut Stage<'_>) {
        // A file does not say by which version its client spoke; that is known again when it comes.
        let level = if self.of.expiry_interval == u32::MAX { 4 } else { 5 };
        stage.put_session(
            number,
            &SessionRecord {
                client_id: Cow::Borrowed(&self.of.client_id),
                level,
                session_expiry: self.session_expiry,
                expires_at: self.expires_at,
                will: None,
                seq: 0,
                last_fact_ms: 0,
                created_at: now_ms(),
                from: None,
            },
        );
        for (filter, options, id) in &self.subscriptions {
            stage.subscribe(number, filter, *options, *id);
        }
        for change in &self.owed {
            stage.change(number, change);
        }
        for id in &self.received {
            stage.change(number, &Change::Received(*id));
        }
    }
}

/// As the reader has checked it.
fn qos(number: u8) -> Qos {
    Qos::from_u8(number).unwrap_or(Qos::ExactlyOnce)
}

fn tell(plan: &Plan<'_>, done: &str, out: &mut Output) -> Result<(), Failure> {
    let sum = |count: fn(&Made<'_>) -> usize| plan.sessions.iter().map(count).sum::<usize>();
    let (sessions, retained) = (plan.sessions.len(), plan.retained.len());
    let (subscriptions, owed) = (sum(|made| made.subscriptions.len()), sum(|made| made.owed.len()));
    let version = plan.database.version;
    if out.is_json {
        let answer = json!({
            "done": done, "version": version, "retained": retained, "sessions": sessions, "subscriptions": subscriptions,
            "messages": owed, "left": plan.left,
        });
        return Ok(out.json(&answer)?);
    }
    for left in &plan.left {
        out.line(&format!("NOT carried over: {}", left.replace(char::is_control, " ")))?;
    }
    Ok(out.line(&format!(
        "{done}: retained {retained}, sessions {sessions} with {subscriptions} subscriptions and {owed} messages (version {version})"
    ))?)
}
