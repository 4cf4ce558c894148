//! The online/offline notification: who comes and who goes, told on
//! `$SYS/brokers/${node}/clients/${clientid}/connected` and `.../disconnected`, as EMQ X 4.3 does.
//!
//! It tells each fact where it happens, so its events alternate per client id exactly as the facts do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use mqtt_codec::topic::TopicError;
use mqtt_codec::{Message, Properties, Property, Qos};
use mqtt_hooks::page::{Pages, Panel};
use mqtt_hooks::route::Route;
use mqtt_hooks::{
    Actor, ConnectionInfo, Ctx, Delivery, DropReason, Fact, Host, Info, Listing, Module, Moment, Number, Observe,
    ObserveDrops, Records, Remember, Settings as _, Span, StartError, Trial, read_settings,
};
use serde_json::Value;

mod absence;
mod api;
mod availability;
mod digest;
mod event;
mod followed;
mod gaps;
mod glob;
mod history;
mod latency;
mod numbers;
mod pages;
mod pending;
mod profiles;
mod query;
mod refusals;
mod roster;
mod settled;
mod states;
mod subscriptions;
mod topics;
mod trial;
mod turns;

pub use absence::Settings as AbsenceRule;
use absence::{Missing, Rules as AbsenceRules, What};
pub use availability::Settings as AvailabilityRule;
use availability::{Availability, Rules};
use event::{Event, Gone, Style};
use followed::Followed;
use history::{Happened, Limits};
pub use profiles::Profile;
use profiles::Profiles;
use refusals::Refusals;
use roster::Roster;
use states::{State, StateTopics};
use subscriptions::Subscriptions;
use topics::{STATE, Topics};
use trial::ComeAndGo;

pub use history::{Counts, End, Entry, Heard, History, Live, Query};

/// More events than a process can tell in a millisecond: those of the next begin above the last of this one, also where
/// nothing is stored, or was not stored in time.
const NUMBERS_PER_MS: u64 = 1000;

const DAY_MS: u64 = 86_400_000;
const MINUTE_MS: u64 = 60_000;

pub use latency::{LATENCY_BOUNDS, LatencyCounts};

mqtt_hooks::settings! {
    /// Settings of [`Presence`].
    pub struct Settings {
        /// Quality of service
        ///
        /// Of the events: 1 brings every one, also to subscribers that are away and have a session.
        pub qos: u8 = 1 in 0..=2,
        /// Missing user name
        ///
        /// What stands for the user name of a client without one: the text "undefined" as in EMQ X, or null.
        pub missing_username: MissingUsername = Undefined,
        /// Extended events
        ///
        /// Adds more keys after those of EMQ X, some 200 bytes an event.
        pub extended: bool = false,
        /// Events kept
        ///
        /// The last ones can be looked up, also after a restart; 0 keeps none. When there are so many, the client with the
        /// most loses its oldest, and each keeps its last four while there is room for that. One costs some 250 bytes of
        /// memory and 100 on disk, with its client id and user name on top.
        pub history: u32 = 10000 in 0..=10_000_000,
        /// Clients known
        ///
        /// Of so many clients at the most it is known who they are, when they came and went last, and why, also after a restart;
        /// 0: of none. The one that was seen least lately is forgotten first. Each costs some 200 bytes of memory and 120 on
        /// disk.
        pub known: u32 = 250000 in 0..=10_000_000,
        /// Days until forgotten
        ///
        /// A client that has been away for so many days is not known any more.
        pub forget_after: u32 = 30 in 1..=36500,
        /// Settle
        ///
        /// The topic `settled` of a client tells that it is offline when it has been away for so long. Costs nothing while nobody
        /// subscribes to it.
        pub settle: Span = "30s",
        /// Events announced
        ///
        /// In a second; while there are more, a digest of each second is told on `presence/digest`, beside the events.
        pub announce_max: u32 = 1000 in 1..=1_000_000_000,
        /// Failed connects
        ///
        /// The topic `connect_failed` of a client id tells who was not let in, and why, once a second for each reason.
        pub connect_failed: bool = false,
        /// Subscriptions
        ///
        /// The topics `subscribed` and `unsubscribed` of a client tell what it subscribes to, with the keys of EMQX 5.
        pub subscriptions: bool = false,
        /// Profiles
        ///
        /// As whose events they look: emqx4 is EMQ X 4.3; emqx5 and emqx6 are on the same topics, so only one of these three can be on.
        /// aws tells them below $aws/events/presence/ as well, cloudevents at the client's .../cloudevent.
        pub profiles: Vec<Profile> = ["emqx4"] in 1..=5,
        /// Absence
        ///
        /// Clients that are missed when they stay away, or are connected and say nothing, and after how long.
        pub absence: Vec<AbsenceRule> = [] in 0..=64,
        /// Availability
        ///
        /// Clients with a topic of their own that says whether they are online, as if it were retained there, with no will needed. No
        /// client may publish to these topics.
        pub availability: Vec<AvailabilityRule> = [] in 0..=64,
    }
}

impl Settings {
    /// What its type does not tell is right, too.
    fn rules(&self) -> Result<Rules, StartError> {
        Profiles::check(&self.profiles)?;
        if self.known == 0 && !self.availability.is_empty() {
            return Err(StartError::Config("availability: wants modules.presence.known above 0".to_owned()));
        }
        if self.known == 0 && !self.absence.is_empty() {
            return Err(StartError::Config("absence: wants modules.presence.known above 0".to_owned()));
        }
        AbsenceRules::new(&self.absence)?;
        Rules::new(&self.availability)
    }
}

mqtt_hooks::choice! {
    /// What stands for the user name of a client without one.
    pub enum MissingUsername {
        /// The text `undefined`, as in EMQ X.
        Undefined = "undefined",
        /// JSON's null.
        Null = "null",
    }
}

impl MissingUsername {
    /// `None`: null.
    const fn text(self) -> Option<&'static str> {
        match self {
            Self::Undefined => Some("undefined"),
            Self::Null => None,
        }
    }
}

/// The module `presence`.
#[derive(Debug)]
pub struct Presence {
    history: Arc<History>,
    roster: Arc<Roster>,
    trial: Arc<ComeAndGo>,
    /// Client ids of which no topic of availability can be made, each time they came or went.
    unavailable: Arc<AtomicU64>,
    /// Clients of which it is not told that they are offline, for too many were about to be.
    unsettled: Arc<AtomicU64>,
    has_started: AtomicBool,
    /// Who is missed by a rule.
    missing: Arc<Missing>,
}

impl Presence {
    /// Not started. What it tells goes into `history`.
    pub fn new(history: Arc<History>) -> Self {
        Self {
            history,
            roster: Arc::default(),
            trial: Arc::default(),
            unavailable: Arc::default(),
            unsettled: Arc::default(),
            has_started: AtomicBool::new(false),
            missing: Arc::default(),
        }
    }

    /// What it told.
    pub const fn history(&self) -> &Arc<History> {
        &self.history
    }
}

#[async_trait::async_trait]
impl Module for Presence {
    fn info(&self) -> Info {
        Info {
            name: "presence",
            title: "Online and Offline Notification",
            description: "Publishes a message when a client goes online or offline.",
            default_on: true,
            settings: Settings::FORM,
        }
    }

    fn tells_who_fell(&self) -> bool {
        true
    }

    fn takes_over_events(&self) -> bool {
        true
    }

    fn check(&self, config: &Value) -> Result<(), StartError> {
        read_settings::<Settings>(config)?.rules().map(drop)
    }

    fn restore(&self, host: &dyn Host, records: &Records) -> Result<(), StartError> {
        let first = host.epoch().saturating_mul(NUMBERS_PER_MS);
        let restored = self.roster.restore(records).and_then(|()| self.history.restore(records, first));
        restored.map_err(|error| StartError::Other(error.to_string()))
    }

    async fn start(&self, ctx: &Ctx) -> Result<(), StartError> {
        let settings = ctx.settings::<Settings>()?;
        let rules = settings.rules()?;
        let topics = Arc::new(Topics::new(ctx.host().node())?);
        ctx.states(Arc::new(StateTopics { topics: topics.clone(), history: self.history.clone() }));
        ctx.remember(Arc::new(LastSeen(self.history.clone())));
        let followed =
            Followed::start(ctx, &settings, &topics, &self.history, &self.unsettled, &self.missing, &self.roster)?;
        self.trial.set_profile(settings.profiles[0]);
        let profiles = Profiles::new(&settings.profiles, topics.clone());
        if let Some(reserved) = profiles.reserved() {
            ctx.reserve(reserved);
            let host = ctx.host();
            // Who has subscribed there while it was a topic like others gives that up.
            ctx.spawn(async move {
                let given_up = host.review().await;
                tracing::debug!(given_up, "subscriptions to what presence tells were looked at");
            });
        }
        let announcer =
            Arc::new(Announcer::new(ctx, &settings, topics.clone(), profiles, self.history.clone(), followed)?);
        ctx.observe(announcer.clone());
        ctx.observe_drops(announcer);
        let is_again = self.has_started.swap(true, Ordering::Relaxed);
        Availability::register(ctx, rules, &self.history, &self.unavailable, is_again);
        let records = ctx.records();
        let limits =
            Limits { clients: settings.known as usize, forget_after_ms: u64::from(settings.forget_after) * DAY_MS };
        let now_ms = ctx.host().now_ms();
        ctx.actor().act(|moment| {
            self.history.set_room(settings.history as usize, limits, now_ms, &records, moment);
        });
        let missing_username = settings.missing_username.text();
        if settings.connect_failed {
            Refusals::register(ctx, &topics, missing_username)?;
        }
        if settings.subscriptions {
            Subscriptions::register(ctx, &topics, missing_username);
        }
        self.roster.keep_in(&records, ctx.actor());
        ctx.spawn(forget_old(ctx.actor(), Arc::clone(&self.history), ctx.records()));
        Ok(())
    }

    fn numbers(&self) -> Vec<Number> {
        let [unavailable, unsettled] = [&self.unavailable, &self.unsettled].map(|count| count.load(Ordering::Relaxed));
        let missing = What::ALL.map(|what| (what.name(), self.missing.count(what)));
        numbers::of(&self.history.counts(), unavailable, unsettled, missing)
    }

    fn routes(&self, host: &Arc<dyn Host>) -> Vec<Route> {
        api::routes(host, &self.history, &self.roster, &self.missing)
    }

    fn pages(&self) -> Pages {
        pages::PAGES
    }

    fn overview(&self) -> &'static [Panel] {
        pages::OVERVIEW
    }

    fn listing(&self) -> Listing {
        Listing {
            title_zh: "上下线通知", description_zh: "客户端上线或下线时发布消息。", ..Listing::default()
        }
    }

    fn stop_warning(&self) -> &'static str {
        "From then on nobody is told which clients come and go: no online or offline events are published, and none are made \
         up for later."
    }

    fn trial(&self) -> Option<Arc<dyn Trial>> {
        Some(Arc::clone(&self.trial) as _)
    }
}

/// Forgets who has been away for too long, some of all clients at a time.
async fn forget_old(actor: Actor, history: Arc<History>, records: Records) {
    for shard in (0..History::SHARDS).cycle() {
        let host = actor.host();
        host.sleep_until(host.clock_ms() + MINUTE_MS).await;
        actor.act(|moment| history.forget_old(shard, host.now_ms(), &records, moment));
    }
}

/// What is known of clients, for who shows those that are away.
struct LastSeen(Arc<History>);

impl Remember for LastSeen {
    fn last_connection(&self, client_id: &str) -> Option<ConnectionInfo> {
        self.0.last_event(client_id).map(|last| last.connection())
    }
}

fn json_properties() -> Properties {
    Properties::from([Property::ContentType("application/json".into())])
}

/// Turns facts into events.
struct Announcer {
    host: Arc<dyn Host>,
    topics: Arc<Topics>,
    profiles: Profiles,
    qos: Qos,
    missing_username: Option<&'static str>,
    extended: bool,
    history: Arc<History>,
    records: Records,
    followed: Followed,
}

impl Announcer {
    fn new(
        ctx: &Ctx,
        settings: &Settings,
        topics: Arc<Topics>,
        profiles: Profiles,
        history: Arc<History>,
        followed: Followed,
    ) -> Result<Self, StartError> {
        let host = ctx.host();
        let wrong = || StartError::Config(format!("qos: {}", settings.qos));
        let qos = Qos::from_u8(settings.qos).ok_or_else(wrong)?;
        Ok(Self {
            host,
            topics,
            profiles,
            qos,
            missing_username: settings.missing_username.text(),
            extended: settings.extended,
            history,
            records: ctx.records(),
            followed,
        })
    }

    fn announce(&self, event: &Event<'_>, noticed: Instant, moment: &mut dyn Moment) {
        if !self.host.is_sys_watched() {
            return;
        }
        let node = self.host.node();
        let style = Style { missing_username: self.missing_username, extended: self.extended.then_some(node) };
        let mut is_told = false;
        for profile in self.profiles.iter() {
            let topic = match profile.topic(&self.topics, event) {
                Ok(topic) => topic,
                Err(why) => {
                    self.skip(event, why);
                    continue;
                }
            };
            let mut build = || Message {
                topic: topic.clone(),
                payload: profile.write(event, style, node).into(),
                qos: self.qos,
                retain: false,
                properties: profile.properties(event),
            };
            let mut missed = |watcher: &str| self.followed.missed(watcher, event.number);
            is_told |= moment.publish_telling(&topic, &mut build, &mut missed);
        }
        if is_told {
            self.history.latency.note(self.host.instant().saturating_duration_since(noticed));
        }
    }

    #[cold]
    fn skip(&self, event: &Event<'_>, why: TopicError) {
        let skipped = self.history.skipped.fetch_add(1, Ordering::Relaxed) + 1;
        let client_id_bytes = event.client.client_id.len();
        // Who has such an id comes as often as they like.
        if skipped.is_power_of_two() {
            let event = if event.end.is_none() { "connected" } else { "disconnected" };
            tracing::warn!(client_id_bytes, event, %why, skipped, "no topic can be made for a presence event");
        }
    }

    /// After the event, and after it is known to who asks.
    fn tell_state(&self, state: &State<'_>, moment: &mut dyn Moment) {
        if !self.host.is_sys_named() {
            return;
        }
        // Where there is none there was none for the event either, which has been counted.
        if let Ok(topic) = self.topics.of(state.client_id, STATE) {
            moment.publish_state(&topic, state.number, &mut || state.message(topic.clone()));
        }
    }
}

impl Observe for Announcer {
    fn observe(&self, fact: &Fact<'_>, moment: &mut dyn Moment) {
        match *fact {
            Fact::Connected { client, told_at, seq, flaps, properties, receive_maximum, noticed } => {
                let (at, last_heard) = (client.connected_at, client.connected_at);
                let before = self.followed.before(&client.client_id);
                let happened = Happened { client, seq, at, flaps, last_heard, reason: None };
                let number = self.history.record(happened, &self.records, moment);
                let event = Event { client, number, told_at, seq, flaps, properties, receive_maximum, end: None };
                self.announce(&event, noticed, moment);
                let state = State::of(client, number, seq, at);
                self.tell_state(&state, moment);
                self.followed.came(client, before.as_ref(), State { flaps: Some(flaps), ..state }, moment);
            }
            Fact::Disconnected {
                client,
                reason,
                reason_string,
                properties,
                at,
                told_at,
                seq,
                flaps,
                last_heard,
                noticed,
            } => {
                let happened = Happened { client, seq, at, flaps, last_heard, reason: Some(reason) };
                let number = self.history.record(happened, &self.records, moment);
                let end = Some(Gone { reason, reason_string, at });
                let event = Event { client, number, told_at, seq, flaps, properties, receive_maximum: 0, end };
                self.announce(&event, noticed, moment);
                let gone = (reason.name(), last_heard);
                let state = State { gone: Some(gone), ..State::of(client, number, seq, at) };
                self.tell_state(&state, moment);
                self.followed.went(client, reason, State { flaps: Some(flaps), ..state }, moment);
            }
            _ => {}
        }
    }
}

impl ObserveDrops for Announcer {
    /// Whoever watches and misses an event is wrong about a client from then on.
    fn dropped(&self, delivery: &Delivery<'_>, reason: DropReason) {
        // Who watches with QoS 0 knows that nothing is kept for it while it is away, and whose session has ended is told so when it
        // comes back.
        let is_expected = matches!(reason, DropReason::Offline | DropReason::SessionEnded);
        if !is_expected && self.profiles.is_event(&delivery.message.topic) {
            self.history.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
