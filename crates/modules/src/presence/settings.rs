//! What can be set of presence.

use mqtt_hooks::{Span, StartError};

use super::absence::Rules as AbsenceRules;
use super::availability::Rules;
use super::profiles::Profiles;
use super::tags::Rules as TagRules;
use super::{AbsenceRule, AvailabilityRule, Profile, TagRule};

mqtt_hooks::settings! {
    /// Settings of [`Presence`].
    pub struct Settings {
        /// Quality of service
        ///
        /// Of the events: 1 brings every one, also to subscribers that are away and have a session.
        pub qos: u8 = 1 in 0..=2,
        /// Missing user name
        ///
        /// What stands for the user name of a client without one: the text "undefined" as in EMQ X, or null.
        pub missing_username: MissingUsername = Undefined,
        /// Extended events
        ///
        /// Adds more keys after those of EMQ X, some 200 bytes an event.
        pub extended: bool = false,
        /// Events kept
        ///
        /// The last ones can be looked up, also after a restart; 0 keeps none. When there are so many, the client with the
        /// most loses its oldest, and each keeps its last four while there is room for that. One costs some 250 bytes of
        /// memory and 100 on disk, with its client id and user name on top.
        pub history: u32 = 10000 in 0..=10_000_000,
        /// Clients known
        ///
        /// Of so many clients at the most it is known who they are, when they came and went last, and why, also after a restart;
        /// 0: of none. The one that was seen least lately is forgotten first. Each costs some 200 bytes of memory and 120 on
        /// disk.
        pub known: u32 = 250000 in 0..=10_000_000,
        /// Days until forgotten
        ///
        /// A client that has been away for so many days is not known any more.
        pub forget_after: u32 = 30 in 1..=36500,
        /// Uptime
        ///
        /// For so many days, this one among them, it is kept for how much of each a client was online, how often it was away and how often it
        /// came; 0 keeps nothing, and forgets what was kept. A client that is known costs some 160 bytes of memory for it, and some 20 more
        /// for each of these days on which it came or went; when one goes, a record of these is written.
        pub uptime: u32 = 0 in 0..=366,
        /// Settle
        ///
        /// The topic `settled` of a client tells that it is offline when it has been away for so long. Costs nothing while nobody
        /// subscribes to it.
        pub settle: Span = "30s",
        /// Events announced
        ///
        /// In a second; while there are more, a digest of each second is told on `presence/digest`, beside the events.
        pub announce_max: u32 = 1000 in 1..=1_000_000_000,
        /// Failed connects
        ///
        /// The topic `connect_failed` of a client id tells who was not let in, and why, once a second for each reason.
        pub connect_failed: bool = false,
        /// Subscriptions
        ///
        /// The topics `subscribed` and `unsubscribed` of a client tell what it subscribes to, with the keys of EMQX 5.
        pub subscriptions: bool = false,
        /// Sessions
        ///
        /// The topics `session_created` and `session_terminated` of a client tell when it begins anew and when all that was kept for
        /// it is gone.
        pub sessions: bool = false,
        /// Profiles
        ///
        /// As whose events they look: emqx4 is EMQ X 4.3; emqx5 and emqx6 are on the same topics, so only one of these three can be on.
        /// aws tells them below $aws/events/presence/ as well, cloudevents at the client's .../cloudevent.
        pub profiles: Vec<Profile> = ["emqx4"] in 1..=5,
        /// Absence
        ///
        /// Clients that are missed when they stay away, or are connected and say nothing, and after how long.
        pub absence: Vec<AbsenceRule> = [] in 0..=64,
        /// Availability
        ///
        /// Clients with a topic of their own that says whether they are online, as if it were retained there, with no will needed. No
        /// client may publish to these topics.
        pub availability: Vec<AvailabilityRule> = [] in 0..=64,
        /// Tags
        ///
        /// Words that put clients into groups, made of what is known of them when they come in; 16 at the most for one client, with
        /// those of the roster.
        pub tags: Vec<TagRule> = [] in 0..=64,
    }
}

impl Settings {
    /// What its type does not tell is right, too.
    pub(super) fn rules(&self) -> Result<Rules, StartError> {
        Profiles::check(&self.profiles)?;
        if self.known == 0 && !self.availability.is_empty() {
            return Err(StartError::Config("availability: wants modules.presence.known above 0".to_owned()));
        }
        if self.known == 0 && !self.absence.is_empty() {
            return Err(StartError::Config("absence: wants modules.presence.known above 0".to_owned()));
        }
        if self.known == 0 && self.uptime > 0 {
            return Err(StartError::Config("uptime: wants modules.presence.known above 0".to_owned()));
        }
        AbsenceRules::new(&self.absence)?;
        TagRules::new(&self.tags)?;
        Rules::new(&self.availability)
    }
}

mqtt_hooks::choice! {
    /// What stands for the user name of a client without one.
    pub enum MissingUsername {
        /// The text `undefined`, as in EMQ X.
        Undefined = "undefined",
        /// JSON's null.
        Null = "null",
    }
}

impl MissingUsername {
    /// `None`: null.
    pub(super) const fn text(self) -> Option<&'static str> {
        match self {
            Self::Undefined => Some("undefined"),
            Self::Null => None,
        }
    }
}
