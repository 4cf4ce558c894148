//! The configuration read anew while the broker runs: what can change at once does, the rest is told.

use std::collections::BTreeSet;
use std::sync::Arc;

use mqtt_broker::{Anonymous, Entrances};
use mqtt_config::{Config, Said};
use mqtt_hooks::Hooks;
use mqtt_net::{ListenError, Listener, Opener, PortCertificates};
use mqtt_operate::{Configured, Reloaded, Setting};
use parking_lot::Mutex;

use crate::server::{StartError, port};
use crate::settings;

/// Where the configuration comes from.
pub struct Source {
    /// Reads all of it anew; an error is one line that says where and what.
    pub read: Box<dyn Fn() -> Result<Config, String> + Send + Sync>,
    /// Has the log take this level.
    pub set_log_level: Box<dyn Fn(&str) + Send + Sync>,
}

/// Keys whose changes are more than themselves, or nothing that is done here.
const LISTENERS: &str = "listeners.";
const AT_ONCE: [&str; 2] = ["log.level", "auth.anonymous"];

/// What the broker runs with, and how that changes.
pub(crate) struct Running {
    /// `None`: nobody has said where it comes from.
    source: Option<Source>,
    config: Mutex<Config>,
    /// One reads at a time.
    reading: Mutex<()>,
    entrances: Entrances,
    opener: Opener,
    certificates: Arc<PortCertificates>,
    hooks: Arc<Hooks>,
}

/// How the listeners change, before anything is done.
struct Plan<'a> {
    /// Gone, or to be opened anew.
    closed: Vec<&'a str>,
    opened: Vec<&'a mqtt_config::Listener>,
    /// Where they are, with other layers.
    relayered: Vec<&'a mqtt_config::Listener>,
    told: Vec<String>,
}

impl Running {
    pub(crate) fn new(
        source: Option<Source>,
        config: Config,
        entrances: Entrances,
        opener: Opener,
        certificates: Arc<PortCertificates>,
        hooks: Arc<Hooks>,
    ) -> Self {
        let (config, reading) = (Mutex::new(config), Mutex::new(()));
        Self { source, config, reading, entrances, opener, certificates, hooks }
    }

    fn change(&self, said: Config) -> Result<Reloaded, String> {
        said.check()?;
        if let Some(why) = said.auth.unguarded.as_ref().filter(|_| !self.hooks.has_authenticators()) {
            return Err(why.clone());
        }
        let was = self.config.lock().clone();
        let plan = Plan::new(&was.listeners, &said.listeners);
        // All that can fail comes first.
        let layered = plan.relayered.iter().map(|listener| self.opener.layers(&(*listener).into()));
        let layered = layered.collect::<Result<Vec<_>, _>>().map_err(line)?;
        let prepared = plan.opened.iter().map(|listener| self.opener.prepare(&(*listener).into()));
        let prepared = prepared.collect::<Result<Vec<_>, _>>().map_err(line)?;
        // One may take the address of another that goes.
        let stopped: Vec<_> = plan.closed.iter().filter(|name| self.entrances.close(name)).collect();
        let opened = prepared.into_iter().map(|taken| taken.bind().and_then(|taken| self.opener.listen(taken)));
        let opened: Vec<Listener> = opened.collect::<Result<_, _>>().map_err(|error| {
            for name in &stopped {
                if let Err(error) = self.entrances.open(name) {
                    tracing::error!(listener = name, %error, "cannot be opened again");
                }
            }
            line(error)
        })?;
        // Before anybody comes in by another address.
        let anonymous = settings::anonymous(said.auth.anonymous);
        self.entrances.set_anonymous(anonymous);
        for name in &plan.closed {
            self.entrances.remove(name);
        }
        for name in plan.closed.iter().filter(|name| !plan.opened.iter().any(|listener| listener.name == **name)) {
            self.certificates.set(&port(name), None);
        }
        for (listener, layers) in plan.relayered.iter().zip(layered) {
            self.certificates.set(&port(&listener.name), layers.tls.clone());
            self.entrances.change(&listener.name, layers);
        }
        for (listener, said) in opened.into_iter().zip(&plan.opened) {
            self.certificates.set(&port(listener.name()), listener.certificates());
            self.entrances.add(listener, &settings::limits_of(said));
        }
        let mut changed = plan.told.clone();
        if anonymous != settings::anonymous(was.auth.anonymous) {
            changed.push(format!("auth.anonymous: {}", in_words(anonymous)));
        }
        if said.log.level != was.log.level {
            changed.push(format!("log.level: {:?}", said.log.level));
        }
        if let Some(source) = self.source.as_ref().filter(|_| said.log.level != was.log.level) {
            (source.set_log_level)(&said.log.level);
        }
        let waiting = waiting(&was, &said);
        *self.config.lock() = merged(was, said);
        Ok(Reloaded { changed, waiting })
    }
}

impl Configured for Running {
    fn settings(&self) -> Vec<Setting> {
        settings::shown(&self.config.lock())
    }

    fn reload(&self) -> Result<Reloaded, String> {
        let _reading = self.reading.lock();
        self.certificates.look_now();
        let read =
            match &self.source {
                Some(source) => (source.read)(),
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

impl<'a> Plan<'a> {
    fn new(was: &'a [mqtt_config::Listener], said: &'a [mqtt_config::Listener]) -> Self {
        let mut plan = Self { closed: Vec::new(), opened: Vec::new(), relayered: Vec::new(), told: Vec::new() };
        for old in was.iter().filter(|old| !said.iter().any(|new| new.name == old.name)) {
            plan.closed.push(&old.name);
            plan.told.push(format!("{LISTENERS}{} is gone", old.name));
        }
        for new in said {
            let what = match was.iter().find(|old| old.name == new.name) {
                None => {
                    plan.opened.push(new);
                    "is new"
                }
                Some(old) if old == new => continue,
                // What holds for who has come in holds on for them, so other limits are another listener's.
                Some(old)
                    if (&old.bind, old.backlog, old.receive_buffer) == (&new.bind, new.backlog, new.receive_buffer)
                        && old.limits == new.limits =>
                {
                    plan.relayered.push(new);
                    "is another for who connects"
                }
                Some(old) => {
                    plan.closed.push(&old.name);
                    plan.opened.push(new);
                    "is opened anew"
                }
            };
            plan.told.push(format!("{LISTENERS}{} {what}", new.name));
        }
        plan
    }
}

fn line(error: ListenError) -> String {
    StartError::from(error).to_string()
}

const fn in_words(anonymous: Anonymous) -> &'static str {
    match anonymous {
        Anonymous::All => "everyone",
        Anonymous::Loopback => "peers on this machine",
        Anonymous::None => "nobody",
    }
}

fn is_at_once(key: &str) -> bool {
    key.starts_with(LISTENERS) || AT_ONCE.contains(&key)
}

/// Keys that say something else and have no effect before a restart.
fn waiting(was: &Config, said: &Config) -> Vec<String> {
    let other = |one: &[Said], others: &[Said]| -> Vec<String> {
        let is_said = |key: &Said| others.iter().any(|other| other.key == key.key && other.value == key.value);
        one.iter().filter(|key| !is_at_once(&key.key) && !is_said(key)).map(|key| key.key.clone()).collect()
    };
    // Both ways, for one of them may have keys that the other has not.
    let mut keys: BTreeSet<_> = other(&said.sources, &was.sources).into_iter().collect();
    keys.extend(other(&was.sources, &said.sources));
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
    keys.into_iter().collect()
}

/// What holds now: what changes at once is new, all else is as it was.
fn merged(was: Config, said: Config) -> Config {
    let old = |key: &Said| was.sources.iter().find(|old| old.key == key.key && !is_at_once(&key.key));
    let sources = said.sources.iter().map(|key| old(key).unwrap_or(key)).cloned().collect();
    let mut now = Config { listeners: said.listeners, sources, ..was };
    now.auth.anonymous = said.auth.anonymous;
    now.auth.unguarded = said.auth.unguarded;
    now.log.level = said.log.level;
    now
}

#[cfg(test)]
mod tests {
    use mqtt_config::Layers;

    use super::*;

    #[test]
    fn secrets_that_are_others_wait_for_a_restart_too() {
        let said = |assignments: &[&str]| {
            let mut layers = Layers::new(Vec::new());
            assignments.iter().try_for_each(|assignment| layers.add_assignment(assignment)).unwrap();
            layers.resolve().unwrap()
        };
        let secrets =
            ["admin.password=ein-langes-wort", "auth.jwt_secret=geheimnis", "auth.http_headers=X-Key: geheim"];
        assert_eq!(waiting(&said(&[]), &said(&secrets)), ["admin.password", "auth.http_headers", "auth.jwt_secret"]);
        assert_eq!(waiting(&said(&secrets), &said(&secrets)), [""; 0]);
        assert_eq!(waiting(&said(&[]), &said(&["log.level=debug", "limits.max_inflight=7"])), ["limits.max_inflight"]);
    }
}
