//! Where clients come in, and by what.

use std::path::PathBuf;

use ipnet::IpNet;
use mqtt_net::Address;
pub use mqtt_operate::ListenerLimits;
use serde::{Deserialize, Serialize};

/// Where clients come in.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// As events, rules and the REST API tell it; no two are called the same.
    pub name: String,
    /// What is spoken there.
    pub kind: ListenerKind,
    /// Where to listen.
    pub bind: Address,
    /// The address is the default, and another program may have it.
    pub may_be_taken: bool,
    /// Connections the kernel holds before they are accepted.
    pub backlog: u32,
    /// Bytes of each client that the kernel holds until they are read; `None` leaves that to the kernel.
    pub receive_buffer: Option<u32>,
    /// TLS, for the kinds that have it.
    pub tls: Option<ListenerTls>,
    /// WebSocket, for the kinds that have it.
    pub web: Option<ListenerWeb>,
    /// Proxies that begin with a header of the PROXY protocol.
    pub proxy_from: Vec<IpNet>,
    /// Bounds of its own.
    pub limits: ListenerLimits,
}

/// What TLS at a listener is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// Files of certificates with their chains.
    pub certs: Vec<PathBuf>,
    /// Files of their keys, as many.
    pub keys: Vec<PathBuf>,
    /// The file of who signs clients' certificates.
    pub ca: Option<PathBuf>,
    /// The file of revoked clients' certificates.
    pub crl: Option<PathBuf>,
    /// What becomes of clients with certificates when it is out of date.
    pub crl_stale: CrlStale,
    /// Whether clients have to show one.
    pub verify: Verify,
    /// What of it is the user name.
    pub username_from: Option<CertName>,
    /// What of it is the client id.
    pub clientid_from: Option<CertName>,
}

/// A name that stands in a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CertName {
    /// The common name.
    Cn,
    /// The whole subject.
    Dn,
    /// The first DNS name.
    SanDns,
    /// The first URI.
    SanUri,
    /// SHA-256.
    Fingerprint,
}

/// What becomes of clients with certificates when the list of revoked ones is out of date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CrlStale {
    /// It holds all the same.
    #[default]
    Allow,
    /// None comes in.
    Refuse,
}

/// Whether clients have to show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// They aren't asked.
    #[default]
    None,
    /// One that is shown has to be good.
    Optional,
    /// They have to.
    Required,
}

/// Which requests begin a WebSocket at a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerWeb {
    /// Begins with `/`.
    pub path: String,
    /// Pages that may connect.
    pub origins: Origins,
    /// Proxies whose `X-Forwarded-For` counts.
    pub forwarded_from: Vec<IpNet>,
}

/// Pages that may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// All.
    Any,
    /// Those of this machine.
    Local,
    /// These.
    These(Vec<String>),
}

/// What is spoken at a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ListenerKind {
    /// MQTT over TCP.
    Mqtt,
    /// Over TLS.
    Mqtts,
    /// Over WebSocket.
    Ws,
    /// Over WebSocket and TLS.
    Wss,
}
