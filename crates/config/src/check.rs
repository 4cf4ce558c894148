//! From the file form to the checked form.

use std::{collections::BTreeMap, num::NonZeroUsize, path::PathBuf};

use tracing_subscriber::EnvFilter;

use crate::{
    Admin, Auth, Config, Limits, Log, Mqtt, Node, Runtime, SessionLimits, Sources, Storage, Sys,
    file::{self, File},
    value::MaybeBind,
};

/// A value that reads well and still can't be.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) key: &'static str,
    pub(crate) why: String,
}

impl Wrong {
    fn new(key: &'static str, why: impl Into<String>) -> Self {
        Self { key, why: why.into() }
    }
}

impl File {
    pub(crate) fn check(&self) -> Result<Config, Wrong> {
        self.check_built()?;
        Ok(Config {
            node: self.node.check()?,
            mqtt: self.mqtt.check(),
            admin: self.admin.check(),
            auth: self.check_auth()?,
            limits: self.limits.check(),
            session: SessionLimits {
                max_queued: self.session.max_queued.get(),
                max_queued_bytes: self.session.max_queued_bytes.bytes(),
            },
            data_dir: self.check_data_dir()?,
            storage: Storage { durability: self.storage.durability },
            recovery_grace: file::Module::default().recovery_grace.0,
            sys: Sys { interval: self.sys.interval.0, heartbeat: self.sys.heartbeat.0, subscribe: self.sys.subscribe },
            log: self.log.check()?,
            // Each of them checks its own.
            modules: BTreeMap::new(),
            runtime: Runtime { workers: NonZeroUsize::new(self.runtime.workers.get()) },
            sources: Sources::default(),
        })
    }

    /// Refuses what a later build has.
    fn check_built(&self) -> Result<(), Wrong> {
        if let MaybeBind::On(bind) = self.ws.bind {
            return Err(Wrong::new("ws.bind", format!("\"{}\": this build has no WebSocket; use \"off\"", bind.0)));
        }
        Ok(())
    }

    fn check_data_dir(&self) -> Result<Option<PathBuf>, Wrong> {
        match self.data_dir.as_str() {
            "memory" => Ok(None),
            "" => Err(Wrong::new("data_dir", "\"\": wants a folder, or \"memory\"")),
            folder => Ok(Some(folder.into())),
        }
    }

    fn check_auth(&self) -> Result<Auth, Wrong> {
        match self.auth.anonymous {
            Some(true) => Ok(Auth { anonymous: true }),
            said if self.mqtt.bind.is_loopback() => Ok(Auth { anonymous: said.unwrap_or(true) }),
            _ => Err(Wrong::new(
                "mqtt.bind",
                format!(
                    "\"{}\" can be reached from other machines and nothing asks clients who they are; \
                     set auth.anonymous = true to let everyone in, or bind a loopback address",
                    self.mqtt.bind.0
                ),
            )),
        }
    }
}

impl file::Node {
    fn check(&self) -> Result<Node, Wrong> {
        let name = &self.name;
        let foreign = |c: char| matches!(c, '/' | '+' | '#') || c.is_whitespace() || c.is_control();
        if name.is_empty() || name.len() > 255 || name.contains(foreign) {
            let why = format!("{name:?}: wants 1 to 255 bytes without '/', '+', '#' and spaces");
            return Err(Wrong::new("node.name", why));
        }
        Ok(Node { name: name.clone() })
    }
}

impl file::Admin {
    fn check(&self) -> Admin {
        let bind = match self.bind {
            MaybeBind::Off => None,
            MaybeBind::On(bind) => Some(bind.0),
        };
        Admin { bind, password: self.password.as_ref().map(|password| password.0.clone()) }
    }
}

impl file::Mqtt {
    fn check(&self) -> Mqtt {
        Mqtt {
            bind: self.bind.0,
            connect_timeout: self.connect_timeout.0,
            max_connections: self.max_connections.get(),
            session_expiry: self.session_expiry.0,
            max_session_expiry: self.max_session_expiry.seconds(),
            server_keep_alive: Some(self.server_keep_alive.get()).filter(|seconds| *seconds > 0),
            backlog: self.backlog.get(),
        }
    }
}

impl file::Limits {
    fn check(&self) -> Limits {
        Limits {
            max_packet_size: u32::try_from(self.max_packet_size.0).expect("its range is below 2^32"),
            receive_maximum: self.receive_maximum.get(),
            topic_alias_maximum: self.topic_alias_maximum.get(),
            outgoing_aliases: self.outgoing_aliases.get(),
            max_inflight: self.max_inflight.get(),
            outbox: self.outbox.bytes(),
            slow_consumer_timeout: self.slow_consumer_timeout.0,
            memory: self.memory.bytes(),
            retained_messages: self.retained_messages.get(),
            max_client_id: self.max_client_id.get(),
            subscriptions_per_client: self.subscriptions_per_client.get(),
            shape_levels: self.shape_levels.get(),
        }
    }
}

impl file::Log {
    fn check(&self) -> Result<Log, Wrong> {
        // A word that is no level would be taken for a target: `inof` would switch everything else off.
        let levels = ["off", "error", "warn", "info", "debug", "trace"];
        let foreign = |part: &&str| {
            !part.contains(['=', '[', ':', '_']) && !levels.iter().any(|level| part.eq_ignore_ascii_case(level))
        };
        let parts = || self.level.split(',').map(str::trim);
        let wrong = |what: String| {
            Wrong::new("log.level", format!("{what}; wants a level ({}) or target=level, by commas", levels.join(", ")))
        };
        if let Some(part) = parts().find(|part| foreign(part)) {
            return Err(wrong(format!("{part:?} is no level")));
        }
        EnvFilter::builder().parse(&self.level).map_err(|error| wrong(format!("{:?}: {error}", self.level)))?;
        Ok(Log { level: self.level.clone(), format: self.format })
    }
}
