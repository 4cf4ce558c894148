//! What changes at once when the configuration is read anew.

use std::sync::Arc;

use mqtt_broker::Entrances;
use mqtt_config::{Apply, Changes, Read};
use mqtt_hooks::Hooks;
use mqtt_net::{ListenError, Listener, Opener, PortCertificates};
use mqtt_process::log::SetLevel;

use crate::server::{StartError, port};
use crate::settings;

/// Where the configuration comes from.
pub struct Source {
    /// Reads all of it anew; an error is one line that says where and what.
    pub read: Box<Read>,
    /// Has the log take this level.
    pub set_log_level: SetLevel,
}

/// All that is told what has changed.
pub(crate) struct Live {
    /// `None`: nobody has said how.
    pub(crate) set_log_level: Option<SetLevel>,
    pub(crate) entrances: Entrances,
    pub(crate) opener: Opener,
    pub(crate) certificates: Arc<PortCertificates>,
    pub(crate) hooks: Arc<Hooks>,
}

impl Apply for Live {
    fn look_again(&self) {
        self.certificates.look_now();
    }

    fn apply(&self, changes: &Changes<'_>) -> Result<(), String> {
        let Changes { said, closed, opened, relayered, log_level, .. } = changes;
        if let Some(why) = said.auth.unguarded.as_ref().filter(|_| !self.hooks.has_authenticators()) {
            return Err(why.clone());
        }
        // All that can fail comes first.
        let layered = relayered.iter().map(|&listener| self.opener.layers(&listener.into()));
        let layered = layered.collect::<Result<Vec<_>, _>>().map_err(|error| said.explain(StartError::from(error)))?;
        let prepared = opened.iter().map(|&listener| self.opener.prepare(&listener.into()));
        let prepared =
            prepared.collect::<Result<Vec<_>, _>>().map_err(|error| said.explain(StartError::from(error)))?;
        // One may take the address of another that goes.
        let stopped: Vec<_> = closed.iter().filter(|name| self.entrances.close(name)).collect();
        let listening = prepared.into_iter().map(|taken| taken.bind().and_then(|taken| self.opener.listen(taken)));
        let listening: Vec<Listener> = listening.collect::<Result<_, _>>().map_err(|error| {
            for name in &stopped {
                if let Err(error) = self.entrances.open(name) {
                    tracing::error!(listener = name, %error, "cannot be opened again");
                }
            }
            line(error)
        })?;
        // Before anybody comes in by another address.
        self.entrances.set_anonymous(said.auth.anonymous);
        self.entrances.set_terms(&settings::broker(said));
        for name in closed {
            self.entrances.remove(name);
        }
        for name in closed.iter().filter(|name| !opened.iter().any(|listener| listener.name == **name)) {
            self.certificates.set(&port(name), None);
        }
        for (listener, layers) in relayered.iter().zip(layered) {
            self.certificates.set(&port(&listener.name), layers.tls.clone());
            self.entrances.change(&listener.name, layers);
        }
        for (listener, said) in listening.into_iter().zip(opened) {
            self.certificates.set(&port(listener.name()), listener.certificates());
            self.entrances.add(listener, &said.limits);
        }
        if let (Some(set), Some(level)) = (&self.set_log_level, log_level) {
            set(level);
        }
        Ok(())
    }
}

fn line(error: ListenError) -> String {
    StartError::from(error).to_string()
}
