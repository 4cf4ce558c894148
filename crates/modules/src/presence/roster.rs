//! Who is expected: the clients that an operator has said there are, so that who never came can be told.
//!
//! An empty roster says nothing, and then nobody is missing or unexpected. It is kept in records of its own, one for each client,
//! and looked at only when somebody asks: who comes and goes never waits for it.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};

use mqtt_hooks::{Actor, Records, Standby};
use parking_lot::{Mutex, RwLock};

mod member;

pub(super) use member::Member;

/// Clients that may be on it.
pub(super) const MAX_MEMBERS: usize = 1_000_000;

/// See the [module](self).
#[derive(Default)]
pub(super) struct Roster {
    members: RwLock<BTreeMap<Box<str>, Member>>,
    /// Held while members change, so that what is kept is what is there.
    keeping: Mutex<Option<Keeping>>,
    /// On from when there is somebody on it: who gives clients its tags.
    tagging: Mutex<Option<Standby>>,
    /// Grows with each change.
    version: AtomicU64,
}

struct Keeping {
    records: Records,
    actor: Actor,
    /// Told of a client whose maintenance is another now.
    served: Box<Served>,
}

type Served = dyn Fn(&str) + Send;

/// Why nothing of it was changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChangeError {
    #[error("presence has not been started")]
    Stopped,
    #[error("there would be more than {MAX_MEMBERS} clients on the roster")]
    Full,
}

/// How many were changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(super) struct Changed {
    pub(super) added: usize,
    pub(super) changed: usize,
    pub(super) removed: usize,
}

/// The part of the module's records that is the roster's.
pub(super) fn part_of(records: &Records) -> Records {
    records.part("roster")
}

impl Roster {
    /// What an earlier process has kept.
    pub(super) fn restore(&self, records: &Records) -> io::Result<()> {
        let (mut members, mut left_out) = (BTreeMap::new(), 0);
        part_of(records).each(&mut |key, record| match (std::str::from_utf8(key), Member::read(record)) {
            (Ok(client_id), Some(member)) => drop(members.insert(client_id.into(), member)),
            _ => left_out += 1,
        })?;
        if left_out > 0 {
            tracing::warn!(left_out, "clients of the roster that can't be read are left out, and stay in the store");
        }
        *self.members.write() = members;
        Ok(())
    }

    /// From now on it can be changed.
    pub(super) fn keep_in(&self, records: &Records, actor: Actor, served: Box<Served>) {
        *self.keeping.lock() = Some(Keeping { records: part_of(records), actor, served });
    }

    /// Takes members in, or in place of what was said of them, and takes others out: all or, if there is no room, none.
    pub(super) fn change(&self, put: Vec<(Box<str>, Member)>, remove: &[String]) -> Result<Changed, ChangeError> {
        let keeping = self.keeping.lock();
        let Keeping { records, actor, served } = keeping.as_ref().ok_or(ChangeError::Stopped)?;
        let (mut changed, mut steps, mut others) = (Changed::default(), Vec::new(), Vec::new());
        {
            let mut members = self.members.write();
            let is_new = |(client_id, _): &&(Box<str>, Member)| !members.contains_key(client_id);
            if members.len() + put.iter().filter(is_new).count() > MAX_MEMBERS {
                return Err(ChangeError::Full);
            }
            for (client_id, member) in put {
                let (record, until) = (member.write(), member.maintenance_until);
                if members.get(&client_id).and_then(|before| before.maintenance_until) != until {
                    others.push(client_id.clone());
                }
                match members.insert(client_id.clone(), member) {
                    None => changed.added += 1,
                    Some(before) if before.write() == record => continue,
                    Some(_) => changed.changed += 1,
                }
                steps.push((client_id, Some(record)));
            }
            for client_id in remove {
                if let Some(before) = members.remove(&**client_id) {
                    changed.removed += 1;
                    others.extend(before.maintenance_until.map(|_| client_id.as_str().into()));
                    steps.push((client_id.as_str().into(), None));
                }
            }
        }
        self.show_tags();
        // Those who look wait for no store.
        actor.act(|moment| {
            for (client_id, record) in &steps {
                match record {
                    Some(record) => records.keep(moment, client_id.as_bytes(), record),
                    None => records.forget(moment, client_id.as_bytes()),
                }
            }
        });
        self.version.fetch_add(1, Ordering::Relaxed);
        others.iter().for_each(|client_id| served(client_id));
        Ok(changed)
    }

    /// Turns this on while there is anybody on it, in place of what was to be turned on before.
    pub(super) fn turn_on(&self, tagging: Standby) {
        *self.tagging.lock() = Some(tagging);
        self.show_tags();
    }

    fn show_tags(&self) {
        // Read under the lock: of two that change it the later one is right.
        let tagging = self.tagging.lock();
        if let Some(tagging) = &*tagging {
            tagging.set(!self.is_empty());
        }
    }

    /// The tags of a member; none if it is none.
    pub(super) fn tags_of(&self, client_id: &str) -> Vec<Box<str>> {
        self.members.read().get(client_id).map_or_else(Vec::new, |member| member.tags.clone())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.read().is_empty()
    }

    pub(super) fn has(&self, client_id: &str) -> bool {
        self.members.read().contains_key(client_id)
    }

    pub(super) fn get(&self, client_id: &str) -> Option<Member> {
        self.members.read().get(client_id).cloned()
    }

    /// Until when a client need not be there, if that is later than now: milliseconds since the Unix epoch.
    pub(super) fn in_maintenance_until(&self, client_id: &str, now_ms: u64) -> Option<u64> {
        let members = self.members.read();
        members.get(client_id).filter(|member| member.is_in_maintenance(now_ms))?.maintenance_until
    }

    /// Another one: something has changed.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    /// Whether it is a member with this tag.
    pub(super) fn is_tagged(&self, client_id: &str, tag: &str) -> bool {
        self.members.read().get(client_id).is_some_and(|member| member.has_tag(tag))
    }

    /// Some members in order of their ids: those after `after` that begin with `prefix`.
    pub(super) fn some(&self, after: Option<&str>, prefix: &str, most: usize) -> Vec<(Box<str>, Member)> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let members = self.members.read();
        let found = members.range::<str, _>((start, Bound::Unbounded));
        let found = found.take_while(|(client_id, _)| client_id.starts_with(prefix)).take(most);
        found.map(|(client_id, member)| (client_id.clone(), member.clone())).collect()
    }
}

impl std::fmt::Debug for Roster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Roster").field("members", &self.members.read().len()).finish_non_exhaustive()
    }
}
