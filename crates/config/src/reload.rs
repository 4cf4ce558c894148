//! The configuration read anew while the broker runs: what can change at once does, the rest is told.

use std::collections::BTreeSet;

use mqtt_operate::{Configured, Reloaded, Setting};
use parking_lot::Mutex;

use crate::config::{Anonymous, Config, Limits, Listener, Said};

/// Reads all of the configuration anew; an error is one line that says where and what.
pub type Read = dyn Fn() -> Result<Config, String> + Send + Sync;

/// Whoever changes what can change while it runs.
pub trait Apply: Send + Sync {
    /// Looks at files again that the configuration names, whatever becomes of the rest.
    fn look_again(&self);

    /// Changes all of this.
    ///
    /// # Errors
    /// In one line; then nothing has changed.
    fn apply(&self, changes: &Changes<'_>) -> Result<(), String>;
}

/// Keys whose changes are more than themselves, or nothing that is done here.
const LISTENERS: &str = "listeners.";

/// Sections whose keys change at once, but for [`FIXED`], ...
const SECTIONS: [&str; 3] = ["mqtt.", "limits.", "session."];

/// ... and single keys.
const AT_ONCE: [&str; 3] = ["log.level", "auth.anonymous", "auth.deny_action"];

/// The retained messages have their bound from the start.
const FIXED: &str = "limits.retained_messages";

/// A client that is in keeps what it was told when it came.
const FOR_WHO_CONNECTS: [&str; 14] = [
    "mqtt.connect_timeout",
    "mqtt.server_keep_alive",
    "mqtt.session_expiry",
    "limits.max_client_id",
    "limits.max_packet_size",
    "limits.receive_maximum",
    "limits.topic_alias_maximum",
    "limits.outgoing_aliases",
    "limits.max_inflight",
    "limits.outbox",
    "limits.message_rate",
    "limits.byte_rate",
    "session.max_queued",
    "session.max_queued_bytes",
];

/// What the broker runs with, and how that changes.
pub struct Current {
    /// `None`: nobody has said where it comes from.
    read: Option<Box<Read>>,
    config: Mutex<Config>,
    /// One reads at a time.
    reading: Mutex<()>,
    apply: Box<dyn Apply>,
}

/// What is to change at once, before anything is done.
pub struct Changes<'a> {
    /// All that is said now. Who may come in and proves nothing, and what holds for clients, is to be taken from it, whether or not that
    /// is another.
    pub said: &'a Config,
    /// Names of listeners that are gone, or to be opened anew.
    pub closed: Vec<&'a str>,
    /// Listeners that are new, or to be opened anew.
    pub opened: Vec<&'a Listener>,
    /// Listeners where others are, with other layers.
    pub relayered: Vec<&'a Listener>,
    /// The log's level, if it is another.
    pub log_level: Option<&'a str>,
    /// All of it in words.
    told: Vec<String>,
}

impl Current {
    /// The broker was started with this configuration.
    pub fn new(config: Config, read: Option<Box<Read>>, apply: Box<dyn Apply>) -> Self {
        Self { read, config: Mutex::new(config), reading: Mutex::new(()), apply }
    }

    fn change(&self, said: Config) -> Result<Reloaded, String> {
        said.check_anew()?;
        let was = self.config.lock().clone();
        let changes = Changes::new(&was, &said);
        self.apply.apply(&changes)?;
        let (changed, waiting) = (changes.told, waiting(&was, &said));
        *self.config.lock() = merged(was, said);
        Ok(Reloaded { changed, waiting })
    }
}

impl Configured for Current {
    fn settings(&self) -> Vec<Setting> {
        let setting = |Said { key, about, value, place }| Setting {
            key,
            about,
            value,
            place: place.map(|place| place.to_string()),
        };
        self.config.lock().sources.iter().cloned().map(setting).collect()
    }

    fn reload(&self) -> Result<Reloaded, String> {
        let _reading = self.reading.lock();
        self.apply.look_again();
        let read =
            match &self.read {
                Some(read) => read(),
                None => Err("there is no file that could be read anew: a program that embeds the broker has set it up"
                    .to_owned()),
            };
        let reloaded = read.and_then(|said| self.change(said));
        match &reloaded {
            Ok(Reloaded { changed, waiting }) => {
                let [changed, waiting] = [changed.join(", "), waiting.join(", ")];
                tracing::info!(changed, needs_restart = waiting, "the configuration is read anew");
            }
            Err(why) => tracing::error!(why, "the configuration can't be read anew; nothing has changed"),
        }
        reloaded
    }
}

impl<'a> Changes<'a> {
    fn new(was: &'a Config, said: &'a Config) -> Self {
        let log_level = Some(&*said.log.level).filter(|level| *level != was.log.level);
        let (closed, opened, relayered, told) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut changes = Self { said, closed, opened, relayered, log_level, told };
        changes.compare_listeners(&was.listeners, &said.listeners);
        let anonymous = said.auth.anonymous;
        if anonymous != was.auth.anonymous {
            changes.told.push(format!("auth.anonymous: {}", in_words(anonymous)));
        }
        if let Some(level) = log_level {
            changes.told.push(format!("log.level: {level:?}"));
        }
        changes.told.extend(other(&said.sources, &was.sources).filter(|said| is_plain(&said.key)).map(in_line));
        changes
    }

    fn compare_listeners(&mut self, was: &'a [Listener], said: &'a [Listener]) {
        for old in was.iter().filter(|old| !said.iter().any(|new| new.name == old.name)) {
            self.closed.push(&old.name);
            self.told.push(format!("{LISTENERS}{} is gone", old.name));
        }
        for new in said {
            let what = match was.iter().find(|old| old.name == new.name) {
                None => {
                    self.opened.push(new);
                    "is new"
                }
                Some(old) if old == new => continue,
                // What holds for who has come in holds on for them, so other limits are another listener's.
                Some(old)
                    if (&old.bind, old.backlog, old.receive_buffer) == (&new.bind, new.backlog, new.receive_buffer)
                        && old.limits == new.limits =>
                {
                    self.relayered.push(new);
                    "is another for who connects"
                }
                Some(old) => {
                    self.closed.push(&old.name);
                    self.opened.push(new);
                    "is opened anew"
                }
            };
            self.told.push(format!("{LISTENERS}{} {what}", new.name));
        }
    }
}

const fn in_words(anonymous: Anonymous) -> &'static str {
    match anonymous {
        Anonymous::All => "everyone",
        Anonymous::Loopback => "peers on this machine",
        Anonymous::None => "nobody",
    }
}

fn is_at_once(key: &str) -> bool {
    key.starts_with(LISTENERS) || AT_ONCE.contains(&key) || is_plain(key)
}

/// It changes at once, and what it says is all there is to tell.
fn is_plain(key: &str) -> bool {
    let is_within = SECTIONS.iter().any(|section| key.starts_with(section));
    (is_within && key != FIXED) || key == "auth.deny_action"
}

/// What holds now, and for whom.
fn in_line(Said { key, value, .. }: &Said) -> String {
    let value = value.as_deref().unwrap_or("not set");
    let for_whom = if FOR_WHO_CONNECTS.contains(&&**key) { ", for who connects" } else { "" };
    format!("{key}: {value}{for_whom}")
}

/// Keys that say something else than there.
fn other<'a>(these: &'a [Said], there: &'a [Said]) -> impl Iterator<Item = &'a Said> {
    these.iter().filter(|key| !there.iter().any(|other| other.key == key.key && other.value == key.value))
}

/// Keys that say something else and have no effect before a restart.
fn waiting(was: &Config, said: &Config) -> Vec<String> {
    // Both ways, for one of them may have keys that the other has not.
    let other = other(&said.sources, &was.sources).chain(other(&was.sources, &said.sources));
    let mut keys: BTreeSet<_> = other.map(|said| said.key.clone()).filter(|key| !is_at_once(key)).collect();
    // Their values are not for everybody's eyes, and so not among those.
    if was.admin.password != said.admin.password {
        keys.insert("admin.password".to_owned());
    }
    if was.auth.jwt_secret != said.auth.jwt_secret {
        keys.insert("auth.jwt_secret".to_owned());
    }
    if was.auth.http.headers != said.auth.http.headers {
        keys.insert("auth.http_headers".to_owned());
    }
    let password = |config: &Config| config.cluster.as_ref().and_then(|cluster| cluster.password.clone());
    if password(was) != password(said) {
        keys.insert("cluster.password".to_owned());
    }
    keys.into_iter().collect()
}

/// What holds now: what changes at once is new, all else is as it was.
fn merged(was: Config, said: Config) -> Config {
    let old = |key: &Said| was.sources.iter().find(|old| old.key == key.key && !is_at_once(&key.key));
    let sources = said.sources.iter().map(|key| old(key).unwrap_or(key)).cloned().collect();
    let retained_messages = was.limits.retained_messages;
    let (listeners, mqtt, session) = (said.listeners, said.mqtt, said.session);
    let limits = Limits { retained_messages, ..said.limits };
    let mut now = Config { listeners, mqtt, limits, session, sources, ..was };
    now.auth.deny_action = said.auth.deny_action;
    now.auth.anonymous = said.auth.anonymous;
    now.auth.unguarded = said.auth.unguarded;
    now.log.level = said.log.level;
    now
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::Layers;

    fn said(assignments: &[&str]) -> Config {
        let mut layers = Layers::new(Vec::new());
        assignments.iter().try_for_each(|assignment| layers.add_assignment(assignment)).unwrap();
        layers.resolve().unwrap()
    }

    /// Notes what it is to change, by the words of what becomes of it, and fails on demand.
    #[derive(Clone, Default)]
    struct Applied {
        all: Arc<Mutex<BTreeMap<&'static str, Vec<String>>>>,
        error: Arc<Mutex<Option<String>>>,
    }

    impl Apply for Applied {
        fn look_again(&self) {}

        fn apply(&self, changes: &Changes<'_>) -> Result<(), String> {
            if let Some(error) = self.error.lock().take() {
                return Err(error);
            }
            let names = |all: &[&Listener]| all.iter().map(|listener| listener.name.clone()).collect();
            *self.all.lock() = BTreeMap::from([
                ("closed", changes.closed.iter().map(|&name| name.to_owned()).collect()),
                ("opened", names(&changes.opened)),
                ("relayered", names(&changes.relayered)),
                ("level", changes.log_level.into_iter().map(str::to_owned).collect()),
            ]);
            Ok(())
        }
    }

    #[test]
    fn what_can_change_at_once_does_and_the_rest_waits() {
        const OTHER: [&str; 2] = ["listeners.other.kind=mqtt", "listeners.other.bind=127.0.0.1:1"];
        let next = Arc::new(Mutex::new(said(&[])));
        let (read, applied) = (Arc::clone(&next), Applied::default());
        let read: Box<Read> = Box::new(move || Ok(read.lock().clone()));
        let current = Current::new(said(&OTHER), Some(read), Box::new(applied.clone()));
        let reload = |assignments: &[&str]| {
            *next.lock() = said(assignments);
            current.reload()
        };
        let to = |closed: &[&str], opened: &[&str], relayered: &[&str], level: &[&str]| {
            let all = [("closed", closed), ("opened", opened), ("relayered", relayered), ("level", level)];
            all.map(|(what, names)| (what, names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())).into()
        };
        assert_eq!(reload(&OTHER).unwrap(), Reloaded::default());
        let all =
            ["listeners.mqtt.bind=127.0.0.1:7", "listeners.ws.path=/other", "log.level=debug", "auth.anonymous=false"];
        let changed = reload(
            &[&all[..], &["limits.max_inflight=7", "limits.memory=1GiB", "limits.retained_messages=7"]].concat(),
        )
        .unwrap();
        let expected = [
            "listeners.other is gone",
            "listeners.mqtt is opened anew",
            "listeners.ws is another for who connects",
            "auth.anonymous: nobody",
            "log.level: \"debug\"",
            "limits.max_inflight: 7, for who connects",
            "limits.memory: \"1GiB\"",
        ];
        assert_eq!(changed.changed, expected);
        assert_eq!(changed.waiting, [FIXED]);
        assert_eq!(*applied.all.lock(), to(&["other", "mqtt"], &["mqtt"], &["ws"], &["debug"]));
        let shown = |key: &str| current.settings().into_iter().find(|setting| setting.key == key).unwrap().value;
        assert_eq!(shown("log.level"), Some("\"debug\"".to_owned()), "what holds is shown");
        assert_eq!(shown("limits.max_inflight"), Some("7".to_owned()));
        assert_eq!(shown(FIXED), Some("1000000".to_owned()), "and not what waits");
        let back = reload(&all).unwrap();
        assert_eq!(back.changed, ["limits.max_inflight: 100, for who connects", "limits.memory: not set"]);
        assert_eq!(back.waiting, [""; 0], "who waited is as it was");
    }

    #[test]
    fn whom_a_change_is_for_is_told_of_keys_that_there_are() {
        let all = said(&[]);
        let is_there = |key: &&str| all.sources.iter().any(|said| said.key == **key);
        assert!(FOR_WHO_CONNECTS.iter().chain(&AT_ONCE).chain([&FIXED]).all(is_there));
        assert!(FOR_WHO_CONNECTS.iter().all(|key| is_plain(key)));
    }

    #[test]
    fn where_something_cannot_be_applied_nothing_has_changed() {
        let applied = Applied::default();
        let read: Box<Read> = Box::new(|| Ok(said(&["log.level=debug"])));
        let current = Current::new(said(&[]), Some(read), Box::new(applied.clone()));
        *applied.error.lock() = Some("no luck".to_owned());
        assert_eq!(current.reload().unwrap_err(), "no luck");
        assert_eq!(current.reload().unwrap().changed, ["log.level: \"debug\""], "it is tried again");
        let embedded = Current::new(said(&[]), None, Box::new(applied));
        assert!(embedded.reload().unwrap_err().starts_with("there is no file"));
    }

    #[test]
    fn secrets_that_are_others_wait_for_a_restart_too() {
        let secrets =
            ["admin.password=ein-langes-wort", "auth.jwt_secret=geheimnis", "auth.http_headers=X-Key: geheim"];
        assert_eq!(waiting(&said(&[]), &said(&secrets)), ["admin.password", "auth.http_headers", "auth.jwt_secret"]);
        assert_eq!(waiting(&said(&secrets), &said(&secrets)), [""; 0]);
        assert_eq!(
            waiting(&said(&[]), &said(&["log.level=debug", "limits.max_inflight=7", "sys.interval=7s"])),
            ["sys.interval"]
        );
    }
}
