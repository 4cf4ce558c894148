//! What holds for clients and may be told anew while they are connected.

use std::sync::Arc;

use crate::config::{Config, DenyAction, Limits, Mqtt};
use crate::watch::machine;

/// What holds for clients and may be told anew while they are connected. What a client is told in CONNACK, or keeps from there on, is
/// copied when it comes and stays as it was; all else is asked for here when there is need of it.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) mqtt: Mqtt,
    pub(crate) limits: Limits,
    pub(crate) deny_action: DenyAction,
    pub(crate) session: Arc<mqtt_session::Config>,
}

impl Terms {
    /// `session` says what of a session's bounds nobody tells anew.
    pub(crate) fn new(config: &Config, session: mqtt_session::Config) -> Self {
        let Config { mqtt, limits, deny_action, .. } = config;
        let session = Arc::new(mqtt_session::Config {
            receive_maximum: limits.receive_maximum,
            topic_alias_maximum: limits.topic_alias_maximum,
            outgoing_aliases: limits.outgoing_aliases,
            max_inflight: limits.max_inflight,
            max_queued: config.session.max_queued,
            max_queued_bytes: config.session.max_queued_bytes,
            max_outbox: limits.outbox,
            ..session
        });
        Self { mqtt: mqtt.clone(), limits: limits.clone(), deny_action: *deny_action, session }
    }

    /// What is held for all clients together.
    pub(crate) fn memory(&self) -> usize {
        self.limits.memory.unwrap_or_else(machine::memory_for_us)
    }
}
