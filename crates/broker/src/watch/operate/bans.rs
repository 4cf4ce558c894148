//! What an operator does about who may not come in.

use std::io;

use mqtt_operate::{Ban, BanKind};

use super::Operator;
use crate::cluster::bans::BanChange;
use crate::time::clock::wall_ms;

impl Operator {
    /// Its connections end; a session that outlives them stays, as the ban may be over before it.
    pub(super) fn add_ban(&self, ban: Ban) -> io::Result<()> {
        self.change_bans(|| BanChange::made(ban.clone()))
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
        self.change_bans(|| BanChange::lifted(kind, who))
    }

    /// Here at once, and at other nodes soon.
    fn change_bans(&self, change: impl Fn() -> BanChange) -> io::Result<()> {
        self.broker.hold_to(vec![change()])?;
        self.broker.tell_ban(&change()).map_err(|why| io::Error::other(format!("it holds at this node alone: {why}")))
    }
}
