//! From the file form to the checked form.

use std::{collections::BTreeMap, num::NonZeroUsize, path::PathBuf};

use tracing_subscriber::EnvFilter;

use crate::{
    Admin, Anonymous, Auth, Cluster, Config, Flapping, HttpAuth, Limits, Listener, ListenerTls, Log, Mqtt, Node,
    Runtime, SessionLimits, Sources, Storage, Sys,
    file::{self, File},
    listeners::{self, TlsSaid, networks},
    value::Int,
};

/// A value that reads well and still can't be.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) key: String,
    pub(crate) why: String,
}

impl Wrong {
    pub(crate) fn new(key: impl Into<String>, why: impl Into<String>) -> Self {
        Self { key: key.into(), why: why.into() }
    }
}

impl Default for Config {
    fn default() -> Self {
        File::default().check().expect("the defaults are right")
    }
}

impl File {
    pub(crate) fn check(&self) -> Result<Config, Wrong> {
        let listeners = self.listeners.check()?;
        Ok(Config {
            node: self.node.check()?,
            cluster: self.cluster.check(&self.node)?,
            mqtt: self.mqtt.check(),
            admin: self.admin.check()?,
            auth: self.check_auth(&listeners),
            listeners,
            limits: self.limits.check()?,
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

    fn check_data_dir(&self) -> Result<Option<PathBuf>, Wrong> {
        match self.data_dir.as_str() {
            "memory" => Ok(None),
            "" => Err(Wrong::new("data_dir", "\"\": wants a folder, or \"memory\"")),
            folder => Ok(Some(folder.into())),
        }
    }

    fn check_auth(&self, listeners: &[Listener]) -> Auth {
        let anonymous = match self.auth.anonymous {
            Some(true) => Anonymous::All,
            Some(false) => Anonymous::None,
            None if listeners.iter().all(|listener| listener.bind.is_loopback()) => Anonymous::All,
            None => Anonymous::Loopback,
        };
        let path = |path: &Option<crate::value::Path>| path.as_ref().map(|file| file.0.clone().into());
        Auth {
            anonymous,
            password_file: path(&self.auth.password_file),
            jwt_secret: self.auth.jwt_secret.as_ref().map(|secret| secret.0.clone()),
            jwt_keys: path(&self.auth.jwt_keys),
            http: HttpAuth {
                url: self.auth.http_url.clone(),
                super_url: self.auth.http_super_url.clone(),
                method: self.auth.http_method.clone(),
                headers: self.auth.http_headers.as_ref().map(|headers| headers.0.clone()),
                params: self.auth.http_params.clone(),
                ca: path(&self.auth.http_ca),
            },
            rules: self.auth.rules.0.clone(),
            acl_file: path(&self.auth.acl_file),
            default: self.auth.default,
            deny_action: self.auth.deny_action,
            unguarded: None,
        }
    }

    /// What is wrong with these listeners should no module ask clients who they are. Which users there are is in the store.
    pub(crate) fn check_guarded(&self, listeners: &[Listener]) -> Result<(), Wrong> {
        let wide = listeners.iter().find(|listener| !listener.bind.is_loopback());
        let Some(Listener { name, bind, .. }) = wide.filter(|_| self.auth.anonymous != Some(true)) else {
            return Ok(());
        };
        Err(Wrong::new(
            listeners::key(name, "bind"),
            format!(
                "\"{bind}\" can be reached from other machines and nothing asks clients who they are; add a user while the \
                 broker runs on loopback (rollcall users add NAME), or set auth.password_file, auth.jwt_keys, auth.jwt_secret or auth.http_url, or auth.anonymous = true to let everyone in, or bind \
                 a loopback address"
            ),
        ))
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
        let reference = &self.reference;
        let is_fit =
            |text: &String| (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if let Some(text) = reference.as_ref().filter(|text| !is_fit(text)) {
            let why = format!("{text:?}: wants 1 to 255 letters, digits and signs without spaces");
            return Err(Wrong::new("node.reference", why));
        }
        Ok(Node { name: name.clone(), reference: reference.clone() })
    }
}

impl file::Cluster {
    fn check(&self, node: &file::Node) -> Result<Option<Cluster>, Wrong> {
        // Two of one name would throw each other out.
        if !self.nats.0.is_empty() && node.name == file::Node::default().name {
            let why = format!("{:?} is what each has: wants another name for each node of a cluster", node.name);
            return Err(Wrong::new("node.name", why));
        }
        let path = |path: &Option<crate::value::Path>| path.as_ref().map(|file| PathBuf::from(&file.0));
        if self.name.is_empty() || !self.name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(Wrong::new("cluster.name", format!("{:?}: wants letters and digits", self.name)));
        }
        let shown = match (path(&self.cert), path(&self.key)) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            (Some(_), None) => return Err(Wrong::new("cluster.key", "wants the key of cluster.cert")),
            (None, Some(_)) => return Err(Wrong::new("cluster.cert", "wants the certificate of cluster.key")),
        };
        if self.user.is_some() != self.password.is_some() {
            return Err(Wrong::new("cluster.user", "wants cluster.password beside it, and the other way round"));
        }
        Ok((!self.nats.0.is_empty()).then(|| Cluster {
            name: self.name.clone(),
            nats: self.nats.0.iter().map(ToString::to_string).collect(),
            monitors: self.monitors.0.iter().map(ToString::to_string).collect(),
            user: self.user.clone(),
            password: self.password.as_ref().map(|password| password.0.clone()),
            ca: path(&self.ca),
            shown,
            on_home_down: self.on_home_down,
            is_unsafe: self.r#unsafe,
        }))
    }
}

/// Characters of the operator's password.
const PASSWORD_LENGTH: std::ops::RangeInclusive<usize> = 8..=1024;

impl file::Admin {
    fn check(&self) -> Result<Admin, Wrong> {
        let password = self.password.as_ref().map(|password| password.0.clone());
        if password.as_ref().is_some_and(|password| !PASSWORD_LENGTH.contains(&password.chars().count())) {
            return Err(Wrong::new("admin.password", "wants 8 to 1024 characters"));
        }
        self.check_user_header()?;
        Ok(Admin {
            bind: self.bind.address(),
            tls: self.check_tls()?,
            password,
            hosts: self.hosts.0.iter().map(ToString::to_string).collect(),
            trusted_proxies: networks(&self.trusted_proxies),
            user_header: self.user_header.clone(),
        })
    }

    fn check_user_header(&self) -> Result<(), Wrong> {
        // One that everybody may say would let everybody in.
        const TAKEN: &[&str] = &["authorization", "cookie", "host", "origin", "forwarded", "x-csrf-token"];
        let is_token =
            |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        match (&self.user_header, self.trusted_proxies.0.is_empty()) {
            (None, true) => Ok(()),
            (None, false) => Err(Wrong::new(
                "admin.user_header",
                "is missing; with trusted_proxies it wants the name of the header in which they say who has logged in",
            )),
            (Some(_), true) => Err(Wrong::new(
                "admin.trusted_proxies",
                "is missing; with user_header it wants the addresses of those who are believed",
            )),
            (Some(name), false) if !is_token(name) || TAKEN.contains(&&*name.to_ascii_lowercase()) => {
                let why = format!("{name:?}: wants the name of a header of its own like \"X-Forwarded-User\"");
                Err(Wrong::new("admin.user_header", why))
            }
            (Some(_), false) => Ok(()),
        }
    }

    fn check_tls(&self) -> Result<Option<ListenerTls>, Wrong> {
        let Self { cert, key: keys, ca, verify, .. } = self;
        if cert.0.is_empty() && keys.0.is_empty() && ca.is_none() && verify.is_none() {
            return Ok(None);
        }
        let said = TlsSaid { cert, keys, ca, crl: &None, verify: *verify };
        said.check(&|what| format!("admin.{what}"), "TLS at the admin port").map(Some)
    }
}

impl file::Mqtt {
    fn check(&self) -> Mqtt {
        Mqtt {
            connect_timeout: self.connect_timeout.0,
            max_connections: self.max_connections.get(),
            session_expiry: self.session_expiry.0,
            max_session_expiry: self.max_session_expiry.seconds(),
            server_keep_alive: Some(self.server_keep_alive.get()).filter(|seconds| *seconds > 0),
        }
    }
}

impl file::Limits {
    fn check(&self) -> Result<Limits, Wrong> {
        if self.flapping.rate.is_some() && self.flapping.by.0.is_empty() {
            // Nobody would be looked at, though somebody has said how often is too often.
            return Err(Wrong::new(
                "limits.flapping.by",
                "wants at least one of \"clientid\", \"username\", \"address\"",
            ));
        }
        Ok(Limits {
            max_packet_size: u32::try_from(self.max_packet_size.0).expect("its range is below 2^32"),
            receive_maximum: self.receive_maximum.get(),
            topic_alias_maximum: self.topic_alias_maximum.get(),
            outgoing_aliases: self.outgoing_aliases.get(),
            max_inflight: self.max_inflight.get(),
            outbox: self.outbox.bytes(),
            slow_consumer_timeout: self.slow_consumer_timeout.0,
            memory: self.memory.map(|memory| memory.bytes()),
            retained_messages: self.retained_messages.get(),
            max_client_id: self.max_client_id.get(),
            subscriptions_per_client: self.subscriptions_per_client.get(),
            max_topic_levels: self.max_topic_levels.get(),
            shape_levels: self.shape_levels.get(),
            message_rate: self.message_rate.map(|rate| rate.0),
            byte_rate: self.byte_rate.map(|rate| rate.0),
            connections_per_address: self.connections_per_address.map(Int::get),
            half_open_per_address: self.half_open_per_address.map(Int::get),
            connect_rate_per_address: self.connect_rate_per_address.map(|rate| rate.0),
            lateness: self.lateness.map(|span| span.0),
            flapping: Flapping {
                rate: self.flapping.rate.map(|rate| rate.0),
                ban: self.flapping.ban.0,
                by: self.flapping.by.0.clone(),
            },
        })
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
