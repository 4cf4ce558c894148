//! What an operator does about who may not come in.

use std::io;

use mqtt_operate::{Ban, BanKind};

use super::Operator;
use crate::client::ending::Ending;
use crate::coming::banned::Lists;
use crate::time::clock::wall_ms;

impl Operator {
    /// Its connections end; a session that outlives them stays, as the ban may be over before it.
    pub(super) fn add_ban(&self, ban: Ban) -> io::Result<()> {
        let kind = ban.kind;
        let who = ban.who.clone();
        self.change_bans(|lists| {
            lists.list(kind).insert(who.clone(), ban);
        })?;
        let clients = match kind {
            BanKind::ClientId => self.broker.clients.get(&who).into_iter().collect(),
            BanKind::Username | BanKind::PeerHost => self.broker.clients.all(),
        };
        for client in clients {
            let connection = client.state.lock().connection().cloned();
            if let Some(connection) = connection.filter(|connection| self.broker.doors.banned.has(&connection.info)) {
                connection.end(Ending::BANNED);
            }
        }
        Ok(())
    }

    /// Those that were made by the broker itself too.
    pub(super) fn all_bans(&self) -> Vec<Ban> {
        let doors = &self.broker.doors;
        let mut bans = doors.banned.all();
        bans.extend(doors.flapping.all(wall_ms() / 1000));
        bans
    }

    pub(super) fn remove_ban(&self, kind: BanKind, who: &str) -> io::Result<()> {
        self.broker.doors.flapping.forgive(kind, who);
        self.change_bans(|lists| {
            lists.list(kind).remove(who);
        })
    }

    fn change_bans(&self, change: impl FnOnce(&mut Lists)) -> io::Result<()> {
        self.broker.doors.banned.change(change, |name, record| self.broker.durable.keep_note(name, record))
    }
}
