//! A client of MQTT, for `pub` and `sub`: one connection, one packet after the other.

use std::path::PathBuf;
use std::time::Duration;

use bytes::BytesMut;
use mqtt_codec::{Connect, Decoder, Disconnect, Packet, PacketId, Properties, Property, ReasonCode, Role, Version};
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::failure::Failure;
use crate::reach::Reach;
use crate::remote::{Remote, Trust, connector};

/// From the first packet to an open connection, and from then to each answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The largest packet there can be.
const LARGEST: u32 = 268_435_460;

/// As whom to come, and where.
#[derive(Debug, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "As whom, and where")]
pub(crate) struct Visit {
    /// mqtt://host:port, or mqtts://host:port for TLS; else the first listener for MQTT without TLS of the broker that runs on
    /// data_dir, or is asked by --url
    #[arg(long, value_name = "URL")]
    broker: Option<String>,
    /// The client id; else the broker chooses one
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    id: String,
    /// The user name
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The password, or @FILE that holds it
    #[arg(long, value_name = "TEXT")]
    password: Option<String>,
    /// Of MQTT: 3.1, 3.1.1 or 5
    #[arg(long = "mqtt", value_name = "VERSION", default_value = "5", value_parser = version)]
    version: Version,
    /// Seconds without a packet after which a ping is sent; 0: none
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) keepalive: u16,
    /// Go on with the session that this id has, and keep it for so many seconds after (before MQTT 5: as long as the broker does)
    #[arg(long, value_name = "SECONDS")]
    session: Option<u32>,
    /// A user property of CONNECT; may be given again [MQTT 5]
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    connect_property: Vec<(String, String)>,
}

fn version(text: &str) -> Result<Version, String> {
    match text {
        "3.1" | "3" => Ok(Version::V3_1),
        "3.1.1" | "4" => Ok(Version::V3_1_1),
        "5" | "5.0" => Ok(Version::V5),
        _ => Err("wants 3.1, 3.1.1 or 5".to_owned()),
    }
}

pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("wants NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// User properties as they are sent.
pub(crate) fn user_properties(pairs: &[(String, String)]) -> impl Iterator<Item = Property> {
    pairs.iter().map(|(name, value)| Property::UserProperty(name.as_str().into(), value.as_str().into()))
}

/// What MQTT is spoken over.
trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket for S {}

/// A connection that the broker has accepted.
pub(crate) struct Connection {
    socket: Box<dyn Socket>,
    decoder: Decoder,
    input: BytesMut,
    pub(crate) version: Version,
    /// Where to, for errors.
    place: String,
}

impl Visit {
    /// What only MQTT 5 has is an error before it.
    pub(crate) fn check(&self, flag: &str, is_said: bool) -> Result<(), Failure> {
        if is_said && self.version != Version::V5 {
            return Err(Failure::Usage(format!("{flag}: MQTT before 5 has no such thing")));
        }
        Ok(())
    }

    fn packet(&self) -> Result<Connect, Failure> {
        self.check("--connect-property", !self.connect_property.is_empty())?;
        let password = match self.password.as_deref().map(|text| (text, text.strip_prefix('@'))) {
            None => None,
            Some((_, Some(file))) => Some(
                std::fs::read_to_string(PathBuf::from(file))
                    .map_err(|error| Failure::Usage(format!("--password @{file}: cannot be read: {error}")))?
                    .trim()
                    .to_owned(),
            ),
            Some((text, None)) => Some(text.to_owned()),
        };
        let expiry = self.session.filter(|_| self.version == Version::V5).map(Property::SessionExpiry);
        let properties: Properties = expiry.into_iter().chain(user_properties(&self.connect_property)).collect();
        Ok(Connect {
            clean_start: self.session.is_none(),
            keep_alive: self.keepalive,
            username: self.user.as_deref().map(Into::into),
            password: password.map(Into::into),
            properties,
            ..Connect::new(self.version, self.client_id())
        })
    }

    fn client_id(&self) -> String {
        // The broker chooses one; before MQTT 3.1.1 it can't, and before MQTT 5 not for a session that stays.
        match self.id.is_empty() && self.version != Version::V5 {
            true => format!("rollcall-{}", std::process::id()),
            false => self.id.clone(),
        }
    }

    /// `remote` is asked where the broker is if that was not said.
    pub(crate) async fn begin(
        &self,
        reach: &Reach,
        remote: impl FnOnce() -> Result<Remote, Failure>,
    ) -> Result<Connection, Failure> {
        let connect = self.packet()?;
        let place = match &self.broker {
            Some(url) => url.clone(),
            None => listener_of(&remote()?).await?,
        };
        let socket = timeout(TIMEOUT, open(&place, reach)).await;
        let socket = socket.map_err(|_| Failure::Unreachable(format!("{place}: no answer")))??;
        let (decoder, input) = (Decoder::new(Role::Client(self.version), LARGEST), BytesMut::new());
        let mut connection = Connection { socket, decoder, input, version: self.version, place };
        connection.send(&Packet::Connect(Box::new(connect))).await?;
        match connection.answer().await? {
            Packet::ConnAck(answer) if answer.reason == ReasonCode::Success => Ok(connection),
            Packet::ConnAck(answer) => {
                let said = answer.properties.iter().find_map(|property| match property {
                    Property::ReasonString(text) => Some(format!(": {text}")),
                    _ => None,
                });
                Err(connection.refused("CONNECT", answer.reason, &said.unwrap_or_default()))
            }
            other => Err(connection.odd(&other)),
        }
    }
}

/// The first listener without TLS of a running broker.
async fn listener_of(remote: &Remote) -> Result<String, Failure> {
    let answer = remote.get("/listeners").await?;
    let nodes = answer["data"].as_array().into_iter().flatten();
    let mut all = nodes.flat_map(|node| node["listeners"].as_array().into_iter().flatten());
    let is_plain = |listener: &&Value| listener["running"] == true && listener["protocol"] == "mqtt:tcp";
    let found = all.find(is_plain).and_then(|listener| listener["listen_on"].as_str());
    let address = found.and_then(|address| address.parse::<std::net::SocketAddr>().ok());
    let Some(address) = address else {
        let why = "no listener for MQTT without TLS runs there; say which with --broker mqtts://HOST:PORT";
        return Err(Failure::Unreachable(why.to_owned()));
    };
    // It listens on all addresses of that machine.
    let host = if address.ip().is_unspecified() { remote.host() } else { address.ip().to_string() };
    Ok(match host.contains(':') && !host.starts_with('[') {
        true => format!("mqtt://[{host}]:{}", address.port()),
        false => format!("mqtt://{host}:{}", address.port()),
    })
}

async fn open(place: &str, reach: &Reach) -> Result<Box<dyn Socket>, Failure> {
    let wrong = || Failure::Usage(format!("--broker {place:?}: wants mqtt://host:port or mqtts://host:port"));
    let uri: hyper::Uri = place.parse().map_err(|_| wrong())?;
    let host = uri.host().ok_or_else(wrong)?;
    let (is_tls, port) = match uri.scheme_str() {
        Some("mqtt") => (false, 1883),
        Some("mqtts") => (true, 8883),
        _ => return Err(wrong()),
    };
    let authority = format!("{host}:{}", uri.port_u16().unwrap_or(port));
    let unreachable = |error: std::io::Error| Failure::Unreachable(format!("{place}: {error}"));
    let stream = TcpStream::connect(&authority).await.map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    if !is_tls {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(|_| wrong())?;
    let stream = connector(&Trust::Signed, reach)?.connect(name, stream).await;
    Ok(Box::new(stream.map_err(|error| {
        Failure::Unreachable(format!("{place}: TLS: {error}; --cafile FILE names who signed its certificate"))
    })?))
}

impl Connection {
    pub(crate) async fn send(&mut self, packet: &Packet) -> Result<(), Failure> {
        let mut bytes = BytesMut::new();
        packet.encode(self.version, &mut bytes).map_err(|error| Failure::Usage(error.to_string()))?;
        self.socket.write_all(&bytes).await.map_err(|error| self.lost(&error))
    }

    /// The next packet, however long that takes.
    pub(crate) async fn receive(&mut self) -> Result<Packet, Failure> {
        loop {
            let decoded = self.decoder.decode(&mut self.input);
            match decoded.map_err(|error| Failure::Unreachable(format!("{}: no MQTT: {error}", self.place)))? {
                Some(Packet::Disconnect(Disconnect { reason, .. })) => {
                    return Err(Failure::Unreachable(format!(
                        "{}: it ends the connection: {}",
                        self.place,
                        reason.name()
                    )));
                }
                Some(packet) => return Ok(packet),
                None => {}
            }
            match self.socket.read_buf(&mut self.input).await {
                Ok(0) => return Err(Failure::Unreachable(format!("{}: it has closed the connection", self.place))),
                Ok(_) => {}
                Err(error) => return Err(self.lost(&error)),
            }
        }
    }

    /// The next packet, which is to come soon.
    pub(crate) async fn answer(&mut self) -> Result<Packet, Failure> {
        match timeout(TIMEOUT, self.receive()).await {
            Ok(packet) => packet,
            Err(_) => Err(Failure::Unreachable(format!("{}: no answer", self.place))),
        }
    }

    /// Says goodbye. What was sent before has arrived when the broker closes.
    pub(crate) async fn end(mut self) -> Result<(), Failure> {
        let goodbye = Disconnect { reason: ReasonCode::Success, properties: Properties::EMPTY };
        self.send(&Packet::Disconnect(goodbye)).await?;
        // It need not say anything to that.
        let _ = timeout(TIMEOUT, self.receive()).await;
        Ok(())
    }

    pub(crate) fn refused(&self, what: &str, reason: ReasonCode, said: &str) -> Failure {
        Failure::Refused(
            format!("{}: {what} is refused: {}{said}", self.place, reason.name()).replace(char::is_control, " "),
        )
    }

    pub(crate) fn odd(&self, packet: &Packet) -> Failure {
        Failure::Unreachable(format!("{}: it answers with {:?}", self.place, packet.packet_type()))
    }

    fn lost(&self, error: &std::io::Error) -> Failure {
        Failure::Unreachable(format!("{}: the connection is lost: {error}", self.place))
    }
}

/// The only one that is needed: each packet is answered before the next is sent.
pub(crate) const PACKET_ID: PacketId = PacketId::new(1).expect("1 is not 0");
