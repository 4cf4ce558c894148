//! What a bridge is to do, checked.

use std::time::Duration;

use bytestring::ByteString;
use mqtt_codec::Version;
use mqtt_hooks::{OWN_CLIENTS, Secret};

use crate::mapping::{Mapping, Way};
use crate::overlaps;
use crate::remote::Remote;
use crate::settings::{Bridge, Settings};

/// Bytes of a name: it is part of a topic and of a client id.
const NAME: usize = 64;

/// Messages on the way unless something else is said.
const INFLIGHT: u16 = 100;

/// And where the remote broker can't say how many it takes: as many as mosquitto does.
const INFLIGHT_UNTOLD: u16 = 20;

/// What a bridge is to do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) name: String,
    /// For people.
    pub(crate) shown: String,
    pub(crate) remote: Remote,
    pub(crate) version: Version,
    /// At the remote broker; empty: to be made of the node's name.
    pub(crate) client_id: String,
    pub(crate) username: Option<ByteString>,
    pub(crate) password: Secret,
    pub(crate) keep_alive: u16,
    pub(crate) max_inflight: u16,
    pub(crate) max_packet_size: Option<u32>,
    pub(crate) try_private: bool,
    pub(crate) session_expiry: u32,
    pub(crate) least_wait: Duration,
    pub(crate) most_wait: Duration,
    pub(crate) out: Mapping,
    pub(crate) r#in: Mapping,
}

impl Plan {
    /// What the settings of all bridges say.
    ///
    /// # Errors
    /// It says what can't be, and where.
    pub(crate) fn all(settings: &Settings) -> Result<Vec<Self>, String> {
        let mut plans: Vec<Self> = Vec::new();
        for (at, bridge) in settings.bridges.iter().enumerate() {
            let wrong = |why| format!("bridges, entry {}: {why}", at + 1);
            let plan = Self::new(bridge).map_err(wrong)?;
            if plans.iter().any(|other| other.name == plan.name) {
                return Err(wrong(format!("name: another bridge is called {:?}", plan.name)));
            }
            overlaps::check(&plan, &plans).map_err(wrong)?;
            plans.push(plan);
        }
        Ok(plans)
    }

    fn new(bridge: &Bridge) -> Result<Self, String> {
        let name = &bridge.name;
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || name.len() > NAME || !name.bytes().all(is_fit) {
            return Err(format!("name: {name:?}: wants 1 to {NAME} letters, digits, '-', '_' and '.'"));
        }
        let remote = Remote::read(bridge)?;
        let (out, r#in) = (Mapping::new(&bridge.out, Way::Out)?, Mapping::new(&bridge.r#in, Way::In)?);
        if out.is_empty() && r#in.is_empty() {
            return Err("out and in are empty: there is nothing to carry".to_owned());
        }
        if bridge.username.is_empty() && !bridge.password.0.is_empty() && bridge.protocol < 5 {
            // 3.1.1 [MQTT-3.1.2-22]
            return Err("password: MQTT 3.1.1 has none without a user name".to_owned());
        }
        if bridge.session_expiry.0.as_secs() == 0 {
            return Err("session_expiry: without a session that lasts messages would be lost".to_owned());
        }
        if bridge.restart_timeout.0.is_zero() || bridge.restart_timeout > bridge.restart_timeout_max {
            return Err("restart_timeout: wants more than nothing and no more than restart_timeout_max".to_owned());
        }
        Ok(Self {
            name: name.clone(),
            shown: bridge.remote.clone(),
            remote,
            version: if bridge.protocol == 5 { Version::V5 } else { Version::V3_1_1 },
            client_id: bridge.client_id.clone(),
            username: (!bridge.username.is_empty()).then(|| bridge.username.as_str().into()),
            password: bridge.password.clone(),
            keep_alive: bridge.keep_alive,
            max_inflight: match (bridge.max_inflight, bridge.protocol) {
                (0, 5) => INFLIGHT,
                (0, _) => INFLIGHT_UNTOLD,
                (said, _) => said,
            },
            max_packet_size: (bridge.max_packet_size > 0).then_some(bridge.max_packet_size),
            try_private: bridge.try_private,
            session_expiry: u32::try_from(bridge.session_expiry.0.as_secs()).unwrap_or(u32::MAX),
            least_wait: bridge.restart_timeout.0,
            most_wait: bridge.restart_timeout_max.0,
            out,
            r#in,
        })
    }

    /// The client that it is at this broker.
    pub(crate) fn own_id(&self) -> String {
        own_id(&self.name)
    }
}

/// The client at this broker that the bridge of this name is.
pub(crate) fn own_id(name: &str) -> String {
    format!("{OWN_CLIENTS}{name}")
}

#[cfg(test)]
pub(crate) mod tests {
    use mqtt_hooks::read_settings;
    use serde_json::{Value, json};

    use super::*;

    pub(crate) fn plans(bridges: &Value) -> Result<Vec<Plan>, String> {
        let settings = read_settings::<Settings>(&json!({ "bridges": bridges })).map_err(|why| why.to_string())?;
        Plan::all(&settings)
    }

    #[track_caller]
    fn wrong(bridges: &Value, expected: &str) {
        assert_eq!(plans(bridges).unwrap_err(), expected);
    }

    #[test]
    fn what_is_said_is_planned() {
        let plans = plans(&json!([
            {"name": "a", "remote": "mqtt://h", "out": [{"topic": "#"}]},
            {"name": "b", "remote": "mqtt://i", "protocol": 4, "username": "u", "password": "p", "in": [{"topic": "x/#", "qos": 1}]},
        ]));
        let plans = plans.unwrap();
        assert_eq!((plans[0].version, plans[1].version), (Version::V5, Version::V3_1_1));
        assert_eq!((plans[0].max_inflight, plans[1].max_inflight), (100, 20));
        assert_eq!((plans[0].own_id().as_str(), plans[1].r#in.rules().len()), ("$bridge:a", 1));
    }

    #[test]
    fn what_cannot_be_is_named_with_its_place() {
        let out = json!([{"topic": "#"}]);
        wrong(
            &json!([{"name": "a b", "remote": "mqtt://h", "out": out}]),
            "bridges, entry 1: name: \"a b\": wants 1 to 64 letters, digits, '-', '_' and '.'",
        );
        wrong(
            &json!([{"name": "a", "remote": "h", "out": out}]),
            "bridges, entry 1: remote: \"h\": wants an address like \"mqtt://host:1883\" or \"mqtts://host:8883\"",
        );
        wrong(
            &json!([{"name": "a", "remote": "mqtt://h"}]),
            "bridges, entry 1: out and in are empty: there is nothing to carry",
        );
        wrong(
            &json!([{"name": "a", "remote": "mqtt://h", "out": out}, {"name": "a", "remote": "mqtt://i", "out": out}]),
            "bridges, entry 2: name: another bridge is called \"a\"",
        );
        wrong(
            &json!([{"name": "a", "remote": "mqtt://h", "out": [{"topic": "a"}, {"topic": "a/#/b"}]}]),
            "bridges, entry 1: out, entry 2: topic: \"a/#/b\": `+` or `#` stands where no wildcard may",
        );
        wrong(
            &json!([{"name": "a", "remote": "mqtt://h", "out": [{"topic": "a", "qos": 3}]}]),
            "bridges, entry 1: out, entry 1: qos: 3 is not from 0 to 2",
        );
        assert!(plans(&json!([{"name": "a", "remot": "mqtt://h"}])).unwrap_err().contains("unknown field `remot`"));
    }
}
