//! A listener as those see it who come in by it: what holds for them, and how many they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;
use mqtt_codec::ReasonCode;
use mqtt_hooks::Listener;
use parking_lot::Mutex;

use crate::coming::guests::Standing;
use crate::config::{ListenerLimits, Rate};
use crate::terms::Terms;
use crate::time::bucket::Bucket;
use crate::watch::metrics::Metric;

/// A listener as those see it who come in by it.
#[derive(Debug)]
pub(crate) struct Entrance {
    pub(crate) listener: Arc<Listener>,
    own: ListenerLimits,
    bounds: ArcSwap<Bounds>,
    /// Sockets accepted and not yet closed.
    sockets: AtomicUsize,
    crowd: Arc<Crowd>,
    bucket: Mutex<Bucket>,
}

/// Who came in by the listener of a name: its limits are about all of them, also those who came before it was opened anew.
#[derive(Debug, Default)]
struct Crowd {
    /// Sockets accepted and not yet closed.
    sockets: AtomicUsize,
    /// Those of them that are clients'.
    clients: AtomicUsize,
}

/// What holds for who comes in by one listener: the general bounds, and those of its own over them.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    pub(crate) message_rate: Option<Rate>,
    pub(crate) byte_rate: Option<Rate>,
    pub(crate) max_packet_size: u32,
    pub(crate) max_topic_levels: usize,
    pub(crate) subscriptions_per_client: usize,
    pub(crate) session: Arc<mqtt_session::Config>,
}

/// A limit that somebody is over who comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Over {
    pub(crate) code: ReasonCode,
    /// For the log.
    pub(crate) rule: &'static str,
    pub(crate) metric: Metric,
}

impl Over {
    pub(crate) const fn quota(rule: &'static str) -> Self {
        Self { code: ReasonCode::QuotaExceeded, rule, metric: Metric::RefusedConnections }
    }

    pub(crate) const fn rate(rule: &'static str) -> Self {
        Self { code: ReasonCode::ConnectionRateExceeded, rule, metric: Metric::RefusedRate }
    }
}

impl Bounds {
    pub(crate) fn new(terms: &Terms, own: &ListenerLimits) -> Self {
        let limits = &terms.limits;
        Self {
            message_rate: own.message_rate.or(limits.message_rate),
            byte_rate: own.byte_rate.or(limits.byte_rate),
            max_packet_size: own.max_packet_size.unwrap_or(limits.max_packet_size),
            max_topic_levels: own.max_topic_levels.unwrap_or(limits.max_topic_levels),
            subscriptions_per_client: own.subscriptions_per_client.unwrap_or(limits.subscriptions_per_client),
            session: session_config(own, &terms.session),
        }
    }
}

impl Bounds {
    /// Of who is one of this process's own and stands for many: what it brings is bounded by who it brings it from.
    pub(crate) fn of_own(terms: &Terms) -> Self {
        let own = ListenerLimits { receive_maximum: Some(u16::MAX), ..ListenerLimits::default() };
        Self { message_rate: None, byte_rate: None, ..Self::new(terms, &own) }
    }
}

/// The general one itself, where nothing else was said.
fn session_config(own: &ListenerLimits, general: &Arc<mqtt_session::Config>) -> Arc<mqtt_session::Config> {
    let ListenerLimits { receive_maximum, max_inflight, max_queued, max_queued_bytes, .. } = *own;
    if receive_maximum.is_none() && max_inflight.is_none() && max_queued.is_none() && max_queued_bytes.is_none() {
        return Arc::clone(general);
    }
    Arc::new(mqtt_session::Config {
        receive_maximum: receive_maximum.unwrap_or(general.receive_maximum),
        max_inflight: max_inflight.unwrap_or(general.max_inflight),
        max_queued: max_queued.unwrap_or(general.max_queued),
        max_queued_bytes: max_queued_bytes.unwrap_or(general.max_queued_bytes),
        ..mqtt_session::Config::clone(general)
    })
}

impl Entrance {
    pub(crate) fn new(listener: Arc<Listener>, own: ListenerLimits, bounds: Bounds) -> Self {
        let (sockets, crowd, bucket) = (AtomicUsize::new(0), Arc::default(), Mutex::default());
        Self { listener, own, bounds: ArcSwap::from_pointee(bounds), sockets, crowd, bucket }
    }

    /// What was said about this listener alone.
    pub(crate) const fn own(&self) -> &ListenerLimits {
        &self.own
    }

    /// What holds now for who comes in by it.
    pub(crate) fn bounds(&self) -> Arc<Bounds> {
        self.bounds.load_full()
    }

    pub(crate) fn set_bounds(&self, bounds: Bounds) {
        self.bounds.store(Arc::new(bounds));
    }

    /// That in place of another one of the same name.
    pub(crate) fn in_place_of(self, other: &Self) -> Self {
        Self { crowd: Arc::clone(&other.crowd), ..self }
    }

    /// Somebody is there who came in by it.
    pub(crate) fn has_sockets(&self) -> bool {
        self.sockets.load(Relaxed) > 0
    }

    /// Clients that are there and came in by it, or by another of its name.
    pub(crate) fn clients(&self) -> usize {
        self.crowd.clients.load(Relaxed)
    }

    /// One socket more, if there may be. Those that have not sent CONNECT yet may be as many as clients.
    pub(crate) fn enter(&self) -> Result<(), Over> {
        let limit = self.own.max_connections.map_or(usize::MAX, |max| max.saturating_mul(2));
        if self.crowd.sockets.fetch_add(1, Relaxed) < limit {
            self.sockets.fetch_add(1, Relaxed);
            return Ok(());
        }
        self.crowd.sockets.fetch_sub(1, Relaxed);
        Err(Over::quota("twice the max_connections of the listener are open"))
    }

    pub(crate) fn leave(&self, standing: Standing) {
        self.sockets.fetch_sub(1, Relaxed);
        self.crowd.sockets.fetch_sub(1, Relaxed);
        if standing == Standing::Client {
            self.leave_seat();
        }
    }

    /// Whether one more may connect now, which is counted.
    pub(crate) fn take_turn(&self, now: impl FnOnce() -> Duration) -> Result<(), Over> {
        let Some(rate) = self.own.connect_rate else { return Ok(()) };
        if self.bucket.lock().take(1, rate, now()) { Ok(()) } else { Err(Over::rate("connect_rate of the listener")) }
    }

    /// One of its sockets is to be a client's; `takes_over`: of one that has a connection here already.
    pub(crate) fn take_seat(&self, takes_over: bool) -> Result<(), Over> {
        let limit = self.own.max_connections.filter(|_| !takes_over).unwrap_or(usize::MAX);
        if self.crowd.clients.fetch_add(1, Relaxed) < limit {
            return Ok(());
        }
        self.crowd.clients.fetch_sub(1, Relaxed);
        Err(Over::quota("max_connections of the listener"))
    }

    /// It is none any more.
    pub(crate) fn leave_seat(&self) {
        self.crowd.clients.fetch_sub(1, Relaxed);
    }
}
