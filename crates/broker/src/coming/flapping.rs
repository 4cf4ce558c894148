//! Who comes and goes too often.
//!
//! Such a client costs all others: each coming takes over a session, tells those who watch, and asks who authenticates. So the
//! more often it comes, the longer it waits to be let in, and who comes too often all the same is banned for a while. Only those
//! who were let in count, or anybody who says a name could have it banned; and what is done holds for who comes next, never for
//! a connection that stands. What is known of all is in a table of fixed size, and the bans are bounded too.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;
use mqtt_hooks::{ConnectionInfo, network};
use mqtt_operate::{Ban, BanKind};
use parking_lot::Mutex;

use crate::coming::banned::Lists;
use crate::coming::rates::Rates;
use crate::config::{Flapping as Limits, FlappingBy};

/// As EMQ X has it.
const BY: &str = "flapping detector";
const REASON: &str = "flapping is detected";

/// Bans at once. When there are as many the one goes that is over first.
const MAX_BANS: usize = 10_000;

/// Who comes and goes too often.
#[derive(Debug)]
pub(crate) struct Flapping {
    rules: ArcSwap<Rules>,
    /// Somebody looks, by these.
    is_on: AtomicBool,
    bans: Mutex<Lists>,
    /// How many there are, some of which may be over.
    banned: AtomicUsize,
}

/// What is too often, and how often each has come.
#[derive(Debug)]
struct Rules {
    limits: Limits,
    /// `None`: nobody looks.
    rates: Option<Rates>,
}

impl Rules {
    fn new(limits: &Limits) -> Self {
        Self { limits: limits.clone(), rates: limits.rate.map(Rates::new) }
    }

    /// What it is known by.
    fn names<'a>(&'a self, client: &'a ConnectionInfo) -> impl Iterator<Item = (BanKind, Cow<'a, str>)> {
        self.limits.by.iter().filter_map(|by| match by {
            FlappingBy::ClientId => Some((BanKind::ClientId, Cow::Borrowed(&*client.client_id))),
            FlappingBy::Username => Some((BanKind::Username, Cow::Borrowed(client.username.as_deref()?))),
            FlappingBy::Address => Some((BanKind::PeerHost, Cow::Owned(network(client.peer.ip()).to_string()))),
        })
    }
}

impl Flapping {
    pub(crate) fn new(limits: &Limits) -> Self {
        let rules = ArcSwap::from_pointee(Rules::new(limits));
        let is_on = AtomicBool::new(limits.rate.is_some());
        Self { rules, is_on, bans: Mutex::default(), banned: AtomicUsize::new(0) }
    }

    /// Whether anybody looks at all.
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Relaxed)
    }

    /// Whether anybody may be banned.
    pub(crate) fn has_bans(&self) -> bool {
        self.banned.load(Relaxed) > 0
    }

    /// From now on these hold, as if nobody had come before. Who is banned stays so for as long as that was said, but where nobody looks
    /// any more: bans by what clients are no longer known by hold nobody back, and those are forgotten.
    pub(crate) fn renew(&self, limits: &Limits) {
        if self.rules.load().limits == *limits {
            return;
        }
        self.rules.store(Arc::new(Rules::new(limits)));
        self.is_on.store(limits.rate.is_some(), Relaxed);
        let mut bans = self.bans.lock();
        bans.retain(|ban| limits.rate.is_some() && limits.by.iter().any(|by| kind(*by) == ban.kind));
        self.banned.store(bans.len(), Relaxed);
    }

    /// Whether it may not come in now; `at` is the second since the Unix epoch.
    pub(crate) fn bans(&self, client: &ConnectionInfo, at: u64) -> bool {
        if !self.has_bans() {
            return false;
        }
        let rules = self.rules.load();
        let mut bans = self.bans.lock();
        rules.names(client).any(|(kind, who)| bans.list(kind).get(&*who).is_some_and(|ban| ban.until > at))
    }

    /// How long it is to wait before it is let in: from half of what may come at once on, as long as it takes until one more may
    /// come. So a single client that waits to be let in never comes too often.
    pub(crate) fn delay(&self, client: &ConnectionInfo, now: Duration) -> Duration {
        let rules = self.rules.load();
        let Some(rates) = &rules.rates else { return Duration::ZERO };
        if rules.names(client).any(|(kind, who)| rates.is_low((kind, &*who), now)) {
            rates.interval()
        } else {
            Duration::ZERO
        }
    }

    /// It has come in. True: it did so too often, and is banned from now on.
    pub(crate) fn note(&self, client: &ConnectionInfo, now: Duration, at: u64) -> bool {
        let rules = self.rules.load();
        let Some(rates) = &rules.rates else { return false };
        let mut is_banned = false;
        for (kind, who) in rules.names(client) {
            if !rates.take((kind, &*who), now) {
                is_banned = true;
                self.ban(kind, who.into_owned(), at, rules.limits.ban);
            }
        }
        is_banned
    }

    fn ban(&self, kind: BanKind, who: String, at: u64, time: Duration) {
        let until = at + time.as_secs().max(1);
        let mut bans = self.bans.lock();
        if bans.len() >= MAX_BANS {
            bans.retain(|ban| ban.until > at);
        }
        if bans.len() >= MAX_BANS {
            bans.remove_first();
        }
        let (reason, by) = (REASON.to_owned(), BY.to_owned());
        bans.list(kind).insert(who.clone(), Ban { kind, who, reason, by, at, until });
        self.banned.store(bans.len(), Relaxed);
    }

    /// An operator lifts a ban: what has led to it is forgotten.
    pub(crate) fn forgive(&self, kind: BanKind, who: &str) {
        let rules = self.rules.load();
        let Some(rates) = &rules.rates else { return };
        let mut bans = self.bans.lock();
        if bans.list(kind).remove(who).is_some() {
            rates.forget((kind, who));
        }
        self.banned.store(bans.len(), Relaxed);
    }

    pub(crate) fn all(&self, at: u64) -> Vec<Ban> {
        self.bans.lock().all().filter(|ban| ban.until > at).cloned().collect()
    }
}

/// How a ban by that is called.
const fn kind(by: FlappingBy) -> BanKind {
    match by {
        FlappingBy::ClientId => BanKind::ClientId,
        FlappingBy::Username => BanKind::Username,
        FlappingBy::Address => BanKind::PeerHost,
    }
}

#[cfg(test)]
mod tests {
    use mqtt_hooks::testing;

    use super::*;
    use crate::config::Rate;

    const NOW: Duration = Duration::from_secs(1000);
    const AT: u64 = 1_700_000_000;

    fn flapping(by: &[FlappingBy]) -> Flapping {
        let rate = Some(Rate { amount: 4, per: Duration::from_secs(60) });
        Flapping::new(&Limits { rate, ban: Duration::from_secs(300), by: by.to_vec() })
    }

    fn client(id: &str, username: &str, address: &str) -> ConnectionInfo {
        let peer = (address.parse::<std::net::IpAddr>().unwrap(), 1).into();
        ConnectionInfo { client_id: id.into(), username: Some(username.into()), peer, ..testing::foo() }
    }

    #[test]
    fn rules_that_are_said_anew_keep_bans_by_what_they_still_look_at() {
        let flapping = flapping(&[FlappingBy::ClientId]);
        let client = client("it", "anna", "192.0.2.1");
        while !flapping.note(&client, NOW, AT) {}
        let rules = |amount, by: &[FlappingBy]| {
            let rate = Some(Rate { amount, per: Duration::from_secs(60) });
            flapping.renew(&Limits { rate, ban: Duration::from_secs(300), by: by.to_vec() });
        };
        rules(9, &[FlappingBy::Address, FlappingBy::ClientId]);
        assert!(flapping.bans(&client, AT) && flapping.delay(&client, NOW).is_zero(), "it is counted from the start");
        rules(9, &[FlappingBy::Address]);
        assert!(!flapping.bans(&client, AT) && flapping.all(AT).is_empty());
        flapping.renew(&Limits::default());
        assert!((0..100).all(|_| !flapping.note(&client, NOW, AT)));
    }

    #[test]
    fn who_comes_too_often_waits_and_is_banned_for_a_while() {
        let flapping = flapping(&[FlappingBy::ClientId]);
        let client = client("it", "anna", "192.0.2.1");
        let mut delays = Vec::new();
        for _ in 0..4 {
            delays.push(flapping.delay(&client, NOW).as_secs());
            assert!(!flapping.note(&client, NOW, AT) && !flapping.bans(&client, AT));
        }
        assert_eq!(delays, [0, 0, 0, 15]);
        assert!(flapping.note(&client, NOW, AT) && flapping.bans(&client, AT + 299));
        let [ban] = &flapping.all(AT)[..] else { panic!("one ban") };
        assert_eq!((&*ban.who, ban.kind, &*ban.by, ban.until), ("it", BanKind::ClientId, BY, AT + 300));
        assert!(!flapping.bans(&client, AT + 300) && flapping.all(AT + 300).is_empty());
    }

    #[test]
    fn who_waits_as_long_as_it_is_to_is_never_banned() {
        let flapping = flapping(&[FlappingBy::ClientId]);
        let client = client("it", "anna", "192.0.2.1");
        let mut now = NOW;
        for _ in 0..100 {
            now += flapping.delay(&client, now);
            assert!(!flapping.note(&client, now, AT));
        }
    }

    #[test]
    fn it_is_known_by_what_was_set_and_others_are_others() {
        for (by, like, other) in [
            (FlappingBy::ClientId, ("it", "eve", "192.0.2.9"), ("no", "anna", "2001:db8::1")),
            (FlappingBy::Username, ("no", "anna", "192.0.2.9"), ("it", "eve", "2001:db8::1")),
            (FlappingBy::Address, ("no", "eve", "2001:db8::ffff"), ("it", "anna", "192.0.2.9")),
        ] {
            let flapping = flapping(&[by]);
            let client_of = |(id, username, address)| client(id, username, address);
            let it = client_of(("it", "anna", "2001:db8::1"));
            while !flapping.note(&it, NOW, AT) {}
            assert!(flapping.bans(&client_of(like), AT) && !flapping.bans(&client_of(other), AT), "{by:?}");
            let ban = flapping.all(AT).remove(0);
            flapping.forgive(ban.kind, &ban.who);
            assert!(!flapping.bans(&it, AT) && !flapping.note(&it, NOW, AT) && flapping.delay(&it, NOW).is_zero());
        }
    }

    #[test]
    fn bans_are_so_many_at_most() {
        let flapping = flapping(&[FlappingBy::ClientId]);
        for n in 0..MAX_BANS as u64 + 5 {
            flapping.ban(BanKind::ClientId, n.to_string(), AT + n / MAX_BANS as u64, Duration::from_secs(300));
        }
        assert_eq!(flapping.all(AT).len(), MAX_BANS);
        assert!(flapping.bans(&client(&(MAX_BANS + 4).to_string(), "anna", "192.0.2.1"), AT));
    }
}
