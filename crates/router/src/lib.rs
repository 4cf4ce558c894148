//! Who wants a topic: exact, wildcard and shared subscriptions in sharded maps, and retained messages.
//!
//! It knows neither sessions nor sockets: a subscriber is any key. No lock is held while the caller sends.
//!
//! An exact filter costs a match one look-up. Wildcard filters cost it one look-up for each *shape* among them that
//! fits the topic (`a/+/b` and `x/+/y` have one shape), however many filters there are; where many fit, it is for those
//! alone that may lead to one that matches. A subscriber list is lent to
//! the caller as it is: a fan-out to a thousand clones no thousand keys.
//!
//! ```
//! use mqtt_codec::{Filter, Qos, Topic};
//! use mqtt_router::{Matches, Options, Router};
//!
//! let router = Router::new();
//! router.subscribe(&Filter::new("stairs/+/light")?, "anna", Options::default());
//! router.subscribe(&Filter::new("stairs/#")?, "anna", Options { qos: Qos::AtLeastOnce, ..Options::default() });
//! router.subscribe(&Filter::new("$share/lamps/stairs/#")?, "ben", Options::default());
//!
//! let mut found = Matches::default();
//! router.matches(&Topic::new("stairs/2/light")?, None, &mut found);
//! for subscriber in found.iter() {
//!     assert_eq!((*subscriber.key, subscriber.qos), ("anna", Qos::AtLeastOnce));
//! }
//! for group in found.groups() {
//!     // The caller takes the first candidate that is able to receive.
//!     assert_eq!(group.candidates().next().map(|member| *member.key()), Some("ben"));
//! }
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod group;
mod leaf;
mod matches;
mod merge;
mod patterns;
mod retained;
mod router;
mod seek;
mod shapes;
mod text;
mod variety;
mod words;

pub use group::{Attendance, Group, Member};
pub use matches::{Match, Matches, Wish};
pub use retained::{Progress, Retained};
pub use router::{Full, Options, Router};
pub use seek::Cursor;
pub use variety::Variety;
