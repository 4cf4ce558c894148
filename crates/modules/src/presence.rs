//! The online/offline notification: who comes and who goes, told on
//! `$SYS/brokers/${node}/clients/${clientid}/connected` and `.../disconnected`, as EMQ X 4.3 does.
//!
//! It tells each fact where it happens, so its events alternate per client id exactly as the facts do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use mqtt_codec::{Properties, Property};
use mqtt_hooks::page::{Pages, Panel};
use mqtt_hooks::route::Route;
use mqtt_hooks::{
    Actor, ConnectionInfo, Ctx, Host, Info, Listing, Module, Number, Records, Remember, Settings as _, StartError,
    Trial, read_settings,
};
use serde_json::Value;

mod absence;
mod afresh;
mod announcer;
mod api;
mod availability;
mod digest;
mod event;
mod followed;
mod gaps;
mod glob;
mod groups;
mod history;
mod latency;
mod numbers;
mod pages;
mod pending;
mod profiles;
mod query;
mod refusals;
mod roster;
mod sessions;
mod settings;
mod settled;
pub mod sinks;
mod standing;
mod states;
mod subscriptions;
mod tags;
mod topics;
mod trial;
mod turns;
mod uptime;

pub use absence::Settings as AbsenceRule;
use absence::{Missing, What};
use announcer::Announcer;
use availability::Availability;
pub use availability::Settings as AvailabilityRule;
use followed::Followed;
use history::Limits;
pub use profiles::Profile;
use profiles::Profiles;
use refusals::Refusals;
use roster::Roster;
use sessions::Sessions;
use states::StateTopics;
use subscriptions::Subscriptions;
pub use tags::Settings as TagRule;
use tags::Tagger;
use topics::Topics;
use trial::ComeAndGo;
use uptime::Uptime;

pub use history::{Counts, End, Entry, Heard, History, Live, Query};
pub use settings::{MissingUsername, Settings};

/// More events than a process can tell in a millisecond: those of the next begin above the last of this one, also where
/// nothing is stored, or was not stored in time.
const NUMBERS_PER_MS: u64 = 1000;

const DAY_MS: u64 = 86_400_000;
const MINUTE_MS: u64 = 60_000;

pub use latency::{LATENCY_BOUNDS, LatencyCounts};

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
    /// Texts that were to be tags and can't be.
    unfit: Arc<AtomicU64>,
    has_started: AtomicBool,
    /// Who is missed by a rule.
    missing: Arc<Missing>,
    uptime: Arc<Uptime>,
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
            unfit: Arc::default(),
            has_started: AtomicBool::new(false),
            missing: Arc::default(),
            uptime: Arc::default(),
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
        self.history.nodes().iter().for_each(|node| topics.note_node(Some(node)));
        ctx.states(Arc::new(StateTopics { topics: topics.clone(), history: self.history.clone() }));
        ctx.remember(Arc::new(LastSeen(self.history.clone())));
        let followed =
            Followed::start(ctx, &settings, &topics, &self.history, &self.unsettled, &self.missing, &self.roster)?;
        let (served, noticed) = (followed.served(), followed.noticed());
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
        // With other rules, perhaps.
        let has_changed = is_again && !settings.availability.is_empty();
        Availability::register(ctx, rules, &self.history, &self.unavailable);
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
        if settings.sessions {
            Sessions::register(ctx, &topics, missing_username);
        }
        let started = self.uptime.start(ctx, &self.history, settings.uptime, settings.known as usize);
        started.map_err(|error| StartError::Other(error.to_string()))?;
        Tagger::register(ctx, tags::Rules::new(&settings.tags)?, &self.roster, &self.unfit);
        self.roster.keep_in(&records, ctx.actor(), served);
        ctx.spawn(forget_old(ctx.actor(), Arc::clone(&self.history), ctx.records()));
        // Behind all that is told of facts: what happens from here on is seen.
        ctx.spawn(afresh::begin(Arc::clone(&self.history), ctx.host(), noticed, has_changed));
        Ok(())
    }

    fn numbers(&self) -> Vec<Number> {
        let [unavailable, unsettled, unfit] =
            [&self.unavailable, &self.unsettled, &self.unfit].map(|count| count.load(Ordering::Relaxed));
        let missing = What::ALL.map(|what| (what.name(), self.missing.count(what)));
        let skipped = numbers::Skipped { unavailable, unsettled, unfit, no_uptime: self.uptime.skipped() };
        numbers::of(&self.history.counts(), skipped, missing)
    }

    fn routes(&self, host: &Arc<dyn Host>) -> Vec<Route> {
        api::routes(host, &self.history, &self.roster, &self.missing, &self.uptime)
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

#[cfg(test)]
mod tests;
