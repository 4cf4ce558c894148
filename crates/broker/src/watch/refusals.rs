//! What is refused to clients, in the log: one line each, with the address, the client id and the rule.
//!
//! Whoever is refused decides how often, so lines are bounded: for each kind, reason and address some in a while, and so
//! many for all. What is left out is counted, and told when the while is over.

use std::collections::HashMap;
use std::fmt::{self, Display, Write};
use std::mem;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use mqtt_codec::ReasonCode;
use parking_lot::Mutex;

/// How long lines are counted together, in milliseconds.
const WINDOW_MS: u64 = 10_000;

/// Lines of one kind and reason from one address in a window.
const LINES_EACH: u32 = 5;

/// Lines in a window.
const LINES: u32 = 200;

/// Kinds, reasons and addresses that are told apart in a window; the others share their count.
const PLACES: usize = 1024;

/// Places of which the end of a window tells what was left out; the others share a line.
const TOLD_LEFT_OUT: usize = 20;

/// Characters shown of what a client may make long.
const SHOWN: usize = 64;

/// What is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// To come again for a while.
    Flapping,
    /// A socket, before or instead of CONNECT.
    Socket,
    Connect,
    /// To go on being in: AUTH of a client that is.
    Renewal,
    Will,
    /// The connection is ended for it.
    Packet,
    /// To be read from without a pause, of who sends too much.
    Pace,
    Publish,
    Subscribe,
    Retain,
    /// A message that was to wait for a client, and is dropped.
    Delivery,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Flapping => "next connect",
            Self::Socket => "socket",
            Self::Connect => "connect",
            Self::Renewal => "renewal",
            Self::Will => "will",
            Self::Packet => "packet",
            Self::Pace => "faster pace",
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
            Self::Retain => "retain",
            Self::Delivery => "delivery",
        }
    }
}

/// One refusal.
pub(crate) struct Refused<'a> {
    pub(crate) kind: Kind,
    /// `None`: whose doing it was is not known any more.
    pub(crate) peer: Option<SocketAddr>,
    /// Empty: none, or not known yet.
    pub(crate) client_id: &'a str,
    pub(crate) reason: ReasonCode,
    /// Why, in words that a client has no part in.
    pub(crate) rule: &'a dyn Display,
    /// The topic or filter; empty: it is about none.
    pub(crate) about: &'a str,
}

/// Who is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Place {
    kind: Kind,
    reason: ReasonCode,
    address: Option<IpAddr>,
}

#[derive(Debug, Default)]
struct Count {
    told: u32,
    left_out: u64,
}

/// What was told in this window, and what was not.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    began_ms: u64,
    told: u32,
    places: HashMap<Place, Count>,
    /// Of those for whom there was no place.
    left_out: u64,
}

impl Window {
    /// Counts one; true if it is to be told.
    fn count(&mut self, place: Place) -> bool {
        // Who comes from ever new addresses makes the table no longer than this.
        if self.places.len() >= PLACES && !self.places.contains_key(&place) {
            self.left_out += 1;
            return false;
        }
        let count = self.places.entry(place).or_default();
        let is_told = count.told < LINES_EACH && self.told < LINES;
        if is_told {
            count.told += 1;
            self.told += 1;
        } else {
            count.left_out += 1;
        }
        is_told
    }

    /// What was left out, most first, and the sum of all that there is no line for.
    fn left_out(self) -> (Vec<(Place, u64)>, u64) {
        let places = self.places.into_iter().filter(|(_, count)| count.left_out > 0);
        let mut places: Vec<_> = places.map(|(place, count)| (place, count.left_out)).collect();
        places.sort_unstable_by_key(|(_, left_out)| std::cmp::Reverse(*left_out));
        let others = places.split_off(places.len().min(TOLD_LEFT_OUT));
        (places, self.left_out + others.iter().map(|(_, left_out)| left_out).sum::<u64>())
    }
}

impl Refusals {
    /// Tells of a refusal, if not too many like it were told of.
    pub(crate) fn tell(&self, refused: &Refused<'_>, now_ms: u64) {
        self.tell_left_out(now_ms);
        let &Refused { kind, peer, client_id, reason, rule, about } = refused;
        let address = peer.map(|peer| peer.ip().to_canonical());
        if !self.count(Place { kind, reason, address }) {
            return;
        }
        // Apart from the rest for the fields: one that is empty would only be noise.
        let peer = peer.unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into());
        let (what, reason, client_id) = (kind.name(), reason.name(), Shortened(client_id));
        if about.is_empty() {
            tracing::info!(%peer, %client_id, reason, %rule, "{what} refused");
        } else {
            tracing::info!(%peer, %client_id, reason, %rule, about = %Shortened(about), "{what} refused");
        }
    }

    /// Tells how many refusals there was no line for, once the window in which they came is over.
    pub(crate) fn tell_left_out(&self, now_ms: u64) {
        let Some(window) = self.end_window(now_ms) else { return };
        let (places, others) = window.left_out();
        for (Place { kind, reason, address }, left_out) in places {
            let address = address.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
            tracing::info!(peer = %address, reason = reason.name(), left_out, "{} refused: {left_out} more like this", kind.name());
        }
        if others > 0 {
            tracing::info!(left_out = others, "refused: {others} more of other kinds and addresses");
        }
    }

    fn count(&self, place: Place) -> bool {
        self.0.lock().count(place)
    }

    /// The window, if it is over; the next one begins now.
    fn end_window(&self, now_ms: u64) -> Option<Window> {
        let mut window = self.0.lock();
        if now_ms < window.began_ms + WINDOW_MS {
            return None;
        }
        Some(mem::replace(&mut window, Window { began_ms: now_ms, ..Window::default() }))
    }
}

/// Some characters of a text, none of which can be taken for the log's own.
pub(crate) struct Shortened<'a>(pub(crate) &'a str);

impl Display for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for char in self.0.chars().take(SHOWN) {
            write!(f, "{}", char.escape_debug())?;
        }
        f.write_char('"')?;
        if self.0.chars().nth(SHOWN).is_some() {
            write!(f, "... ({} bytes)", self.0.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(address: u32) -> Place {
        let address = Some(Ipv4Addr::from(address).into());
        Place { kind: Kind::Connect, reason: ReasonCode::Banned, address }
    }

    #[test]
    fn some_of_each_kind_and_address_are_told_and_the_others_counted() {
        let mut window = Window::default();
        let told = (0..100).filter(|_| window.count(place(1))).count();
        assert_eq!(told, LINES_EACH as usize);
        // Another address, another kind: lines of their own.
        assert!(window.count(place(2)) && window.count(Place { kind: Kind::Packet, ..place(1) }));
        assert_eq!(window.left_out(), (vec![(place(1), 95)], 0));
    }

    #[test]
    fn neither_the_table_nor_the_log_grows_with_those_who_are_refused() {
        let mut window = Window::default();
        let told = (0..100_000).filter(|&address| window.count(place(address))).count();
        assert_eq!((told, window.places.len()), (LINES as usize, PLACES));
        let (lines, others) = window.left_out();
        assert_eq!(lines.len(), TOLD_LEFT_OUT);
        assert_eq!(lines.iter().map(|(_, left_out)| left_out).sum::<u64>() + others, 100_000 - u64::from(LINES));
    }

    #[test]
    fn a_new_window_tells_again() {
        let refusals = Refusals::default();
        assert!((0..10).filter(|_| refusals.count(place(1))).count() == 5);
        assert!(refusals.end_window(WINDOW_MS - 1).is_none());
        assert_eq!(refusals.end_window(WINDOW_MS).unwrap().left_out().0, [(place(1), 5)]);
        assert!(refusals.count(place(1)));
    }

    #[test]
    fn long_and_odd_names_are_shortened_and_escaped() {
        let shown = |text: &str| Shortened(text).to_string();
        assert_eq!(shown("a\"\u{1b}[1m\n"), r#""a\"\u{1b}[1m\n""#);
        assert_eq!(shown(&"x".repeat(64)).len(), 66);
        assert_eq!(shown(&"x".repeat(65_535)), format!("\"{}\"... (65535 bytes)", "x".repeat(64)));
    }
}
