//! Who may not come in may not at any node: bans are settings of the roll.

use std::collections::HashSet;

use bytes::Bytes;
use bytestring::ByteString;
use mqtt_operate::{Ban, BanKind};

use super::Roll;
use super::peers::Ears;
use crate::broker::Broker;
use crate::client::ending::Ending;
use crate::time::clock::wall_ms;

/// What their keys begin with.
const KEYS: &str = "ban/";

const KINDS: [(BanKind, &str); 3] =
    [(BanKind::ClientId, "clientid/"), (BanKind::Username, "username/"), (BanKind::PeerHost, "peerhost/")];

/// One that was made or lifted anywhere.
#[derive(Debug)]
pub(crate) struct BanChange {
    kind: BanKind,
    who: String,
    /// `None`: it is lifted.
    ban: Option<Ban>,
}

impl BanChange {
    pub(crate) fn made(ban: Ban) -> Self {
        Self { kind: ban.kind, who: ban.who.clone(), ban: Some(ban) }
    }

    pub(crate) fn lifted(kind: BanKind, who: &str) -> Self {
        Self { kind, who: who.to_owned(), ban: None }
    }

    /// `None`: that setting is no ban, or of a version that is not read here.
    pub(super) fn of_setting(key: &str, value: Option<&[u8]>) -> Option<Self> {
        let key = key.strip_prefix(KEYS)?;
        let (kind, who) = KINDS.iter().find_map(|(kind, name)| Some((*kind, key.strip_prefix(name)?)))?;
        let read = |value: &[u8]| {
            let ban = serde_json::from_slice::<Ban>(value);
            ban.inspect_err(|why| tracing::error!(who, %why, "a ban of the cluster can't be read")).ok()
        };
        let ban = match value {
            None => None,
            Some(value) => Some(read(value).filter(|ban| ban.kind == kind && ban.who == who)?),
        };
        Some(Self { kind, who: who.to_owned(), ban })
    }

    fn key(&self) -> ByteString {
        let name = KINDS.iter().find(|(kind, _)| *kind == self.kind).map_or("", |(_, name)| name);
        format!("{KEYS}{name}{}", self.who).into()
    }

    /// Has all nodes hold to it.
    fn tell(&self, roll: &dyn Roll) -> Result<(), String> {
        let written = self.ban.as_ref().map(serde_json::to_vec).transpose().map_err(|why| why.to_string())?;
        roll.set(self.key(), written.map(Bytes::from))
    }
}

impl Broker {
    /// An operator has made or lifted this one, which holds here.
    ///
    /// # Errors
    /// The other nodes are not told.
    pub(crate) fn tell_ban(&self, change: &BanChange) -> Result<(), String> {
        let Some(roll) = self.membership.roll() else { return Ok(()) };
        change.tell(&**roll).or_else(|_| {
            // They may be too many because nobody is told when one is over.
            let now = wall_ms() / 1000;
            for (key, value) in roll.settings(KEYS) {
                let other = BanChange::of_setting(&key, Some(&value));
                if other.and_then(|other| other.ban).is_some_and(|ban| ban.until <= now) {
                    roll.set(key, None)?;
                }
            }
            change.tell(&**roll)
        })
    }

    /// Holds to these from now on: they outlive the process, and who is banned goes.
    pub(crate) fn hold_to(&self, changes: Vec<BanChange>) -> std::io::Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let are_any_made = changes.iter().any(|change| change.ban.is_some());
        let keep = |name: &str, record: &[u8]| self.durable.keep_note(name, record);
        self.doors.banned.change(
            |lists| {
                for BanChange { kind, who, ban } in changes {
                    match ban {
                        Some(ban) => drop(lists.list(kind).insert(who, ban)),
                        None => drop(lists.list(kind).remove(&who)),
                    }
                }
            },
            keep,
        )?;
        // A session that outlives its connection stays, as the ban may be over before it.
        for client in if are_any_made { self.clients.all() } else { Vec::new() } {
            let connection = client.state.lock().connection().cloned();
            if let Some(connection) = connection.filter(|connection| self.doors.banned.has(&connection.info)) {
                connection.end(Ending::BANNED);
            }
        }
        Ok(())
    }
}

impl Ears {
    /// Holds to the bans of all others, and tells them of those that were made here before there was a cluster.
    pub fn settle_bans(&self) {
        let broker = &self.0;
        let Some(roll) = broker.membership.roll() else { return };
        let settings = roll.settings(KEYS);
        let theirs: HashSet<_> = settings.iter().map(|(key, _)| key.clone()).collect();
        let changes = settings.iter().filter_map(|(key, value)| BanChange::of_setting(key, Some(value))).collect();
        if let Err(error) = broker.hold_to(changes) {
            tracing::error!(%error, "bans of the cluster are not kept here");
        }
        for ban in broker.doors.banned.all() {
            let change = BanChange::made(ban);
            if !theirs.contains(&change.key())
                && let Err(why) = change.tell(&**roll)
            {
                tracing::error!(why, "other nodes do not know of a ban that was made here");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_comes_back_as_it_was_and_others_settings_are_none() {
        for (kind, _) in KINDS {
            let ban = Ban { kind, who: "a/b".into(), reason: "r".into(), by: "me".into(), at: 1, until: 2 };
            let made = BanChange::made(ban.clone());
            let written = serde_json::to_vec(&ban).unwrap();
            let came = BanChange::of_setting(&made.key(), Some(&written)).unwrap();
            assert_eq!((came.kind, &came.who, came.ban), (kind, &made.who, Some(ban)));
            let lifted = BanChange::of_setting(&made.key(), None).unwrap();
            assert_eq!((lifted.kind, &lifted.who, lifted.ban), (kind, &made.who, None));
            assert!(BanChange::of_setting(&format!("{}c", made.key()), Some(&written)).is_none());
        }
        for key in ["kick", "ban/", "ban/else/a"] {
            assert!(BanChange::of_setting(key, None).is_none(), "{key}");
        }
        assert!(BanChange::of_setting("ban/clientid/a", Some(b"{}")).is_none());
    }
}
