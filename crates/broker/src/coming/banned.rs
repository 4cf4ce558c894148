//! Who may not come in.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use arc_swap::ArcSwap;
use mqtt_hooks::ConnectionInfo;
use mqtt_operate::{Ban, BanKind};
use parking_lot::Mutex;

use crate::store::durable::Durable;
use crate::time::clock::wall_ms;

/// The record they are kept in.
const RECORD: &str = "banned";

/// All of them are one record.
const MAX_BANS: usize = 10_000;

const KINDS: [BanKind; 3] = [BanKind::ClientId, BanKind::Username, BanKind::PeerHost];

/// Read by every CONNECT, so without a lock.
#[derive(Debug, Default)]
pub(crate) struct Banned {
    lists: ArcSwap<Lists>,
    /// There is somebody in them.
    are_any: AtomicBool,
    /// Held while they change.
    changing: Mutex<()>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Lists {
    client_ids: BTreeMap<String, Ban>,
    usernames: BTreeMap<String, Ban>,
    peers: BTreeMap<String, Ban>,
}

impl Lists {
    pub(crate) fn list(&mut self, kind: BanKind) -> &mut BTreeMap<String, Ban> {
        match kind {
            BanKind::ClientId => &mut self.client_ids,
            BanKind::Username => &mut self.usernames,
            BanKind::PeerHost => &mut self.peers,
        }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Ban> {
        self.client_ids.values().chain(self.usernames.values()).chain(self.peers.values())
    }

    pub(crate) fn len(&self) -> usize {
        self.client_ids.len() + self.usernames.len() + self.peers.len()
    }

    pub(crate) fn retain(&mut self, stays: impl Fn(&Ban) -> bool) {
        for kind in KINDS {
            self.list(kind).retain(|_, ban| stays(ban));
        }
    }

    /// Removes the one that is over first.
    pub(crate) fn remove_first(&mut self) {
        let first = self.all().min_by_key(|ban| ban.until).map(|ban| (ban.kind, ban.who.clone()));
        if let Some((kind, who)) = first {
            self.list(kind).remove(&who);
        }
    }
}

impl Banned {
    pub(crate) fn load(durable: &Durable) -> Self {
        let stored = durable.note(RECORD).map(|record| serde_json::from_slice::<Vec<Ban>>(&record));
        let mut lists = Lists::default();
        match stored {
            None => {}
            Some(Ok(bans)) => {
                for ban in bans {
                    lists.list(ban.kind).insert(ban.who.clone(), ban);
                }
            }
            Some(Err(error)) => tracing::error!(%error, "the stored bans can't be read; nobody is banned"),
        }
        let are_any = AtomicBool::new(lists.len() > 0);
        Self { lists: ArcSwap::from_pointee(lists), are_any, changing: Mutex::default() }
    }

    pub(crate) fn has(&self, client: &ConnectionInfo) -> bool {
        if !self.are_any.load(Relaxed) {
            return false;
        }
        let lists = self.lists.load();
        let is_in = |list: &BTreeMap<String, Ban>, who: &str| list.get(who).is_some_and(is_valid);
        is_in(&lists.client_ids, &client.client_id)
            || client.username.as_ref().is_some_and(|name| is_in(&lists.usernames, name))
            || (!lists.peers.is_empty() && is_in(&lists.peers, &client.peer.ip().to_canonical().to_string()))
    }

    pub(crate) fn all(&self) -> Vec<Ban> {
        self.lists.load().all().filter(|ban| is_valid(ban)).cloned().collect()
    }
}

impl Banned {
    /// Changes the lists, once what they are then is kept.
    pub(crate) fn change(
        &self,
        change: impl FnOnce(&mut Lists),
        keep: impl FnOnce(&str, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let _changing = self.changing.lock();
        let mut lists = Lists::clone(&self.lists.load());
        lists.retain(is_valid);
        change(&mut lists);
        let bans: Vec<&Ban> = lists.all().collect();
        if bans.len() > MAX_BANS {
            return Err(io::Error::other(format!("there are {MAX_BANS} bans already")));
        }
        // Kept before it holds: a ban that is told of as made is there after a restart.
        keep(RECORD, &serde_json::to_vec(&bans)?)?;
        let are_any = lists.len() > 0;
        self.lists.store(Arc::new(lists));
        self.are_any.store(are_any, Relaxed);
        Ok(())
    }
}

fn is_valid(ban: &Ban) -> bool {
    ban.until > wall_ms() / 1000
}
