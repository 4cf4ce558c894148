//! A client: packets and bytes over a socket, nothing done behind the test's back.

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use mqtt_codec::{
    Ack, ConnAck, Connect, Decoder, Disconnect, Filter, Message, Packet, PacketId, Properties, Property, Publish, Qos,
    ReasonCode, Role, Subscribe, SubscribeFilter, SubscribeOptions, Topic, Unsubscribe, Version, Will,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

pub(crate) const VERSIONS: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5];
pub(crate) const QOS: [Qos; 3] = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];

/// No test waits for this; it turns a packet that never comes into a failure.
const SAFETY: Duration = Duration::from_secs(40);

/// A CONNECT: clean start, keep alive 60, nothing else.
pub(crate) fn connect(version: Version, client_id: &str) -> Connect {
    Connect {
        version,
        client_id: client_id.into(),
        is_bridge: false,
        clean_start: true,
        keep_alive: 60,
        username: None,
        password: None,
        will: None,
        properties: Properties::EMPTY,
    }
}

/// A CONNECT that keeps its session, or takes up the one it has.
pub(crate) fn keeping(version: Version, client_id: &str) -> Connect {
    let properties = match version {
        Version::V5 => [Property::SessionExpiry(1000)].into(),
        _ => Properties::EMPTY,
    };
    Connect { clean_start: false, properties, ..connect(version, client_id) }
}

pub(crate) fn topic(text: &str) -> Topic {
    Topic::new(text.to_owned()).unwrap()
}

pub(crate) fn filter(text: &str) -> Filter {
    Filter::new(text.to_owned()).unwrap()
}

pub(crate) fn id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

/// Not retained, no properties.
pub(crate) fn message(name: &str, payload: impl Into<Bytes>, qos: Qos) -> Message {
    Message { topic: topic(name), payload: payload.into(), qos, retain: false, properties: Properties::EMPTY }
}

pub(crate) fn retained(name: &str, payload: impl Into<Bytes>, qos: Qos) -> Message {
    Message { retain: true, ..message(name, payload, qos) }
}

pub(crate) fn will(name: &str, payload: &'static str) -> Will {
    Will { message: message(name, payload, Qos::AtMostOnce), delay: 0 }
}

pub(crate) fn ask(text: &str, qos: Qos) -> SubscribeFilter {
    SubscribeFilter { filter: filter(text), options: SubscribeOptions { qos, ..SubscribeOptions::default() } }
}

/// A socket, or what stands for one.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {
    /// Dropped next, it is cut off and not closed, where there is a difference.
    fn cut_off(&self) {}
}

impl Stream for TcpStream {
    fn cut_off(&self) {
        socket2::SockRef::from(self).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

impl Stream for rollcall::Pipe {}

impl Stream for tokio::net::UnixStream {}

impl Stream for tokio::io::DuplexStream {}

impl Stream for tokio_rustls::client::TlsStream<TcpStream> {
    fn cut_off(&self) {
        self.get_ref().0.cut_off();
    }
}

pub(crate) struct Client {
    stream: Box<dyn Stream>,
    input: BytesMut,
    decoder: Decoder,
    version: Version,
    last_id: u16,
    /// Came before the answer that was waited for.
    early: VecDeque<Packet>,
}

impl Client {
    /// A socket, no packet yet.
    pub(crate) async fn open(addr: SocketAddr, version: Version) -> Self {
        Self::open_from(addr, version, Ipv4Addr::LOCALHOST).await
    }

    /// From another address of this machine.
    pub(crate) async fn open_from(addr: SocketAddr, version: Version, source: Ipv4Addr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        if source != Ipv4Addr::LOCALHOST {
            socket.bind(SocketAddr::from((source, 0))).unwrap();
        }
        let stream = socket.connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream, version)
    }

    /// Over whatever carries bytes; no packet yet.
    pub(crate) fn over(stream: impl Stream + 'static, version: Version) -> Self {
        Self {
            stream: Box::new(stream),
            input: BytesMut::new(),
            decoder: Decoder::new(Role::Client(version), u32::MAX),
            version,
            last_id: 0,
            early: VecDeque::new(),
        }
    }

    /// Clean and accepted.
    pub(crate) async fn connect(addr: SocketAddr, version: Version, client_id: &str) -> Self {
        Self::connect_with(addr, connect(version, client_id)).await.0
    }

    /// Accepted; with the CONNACK.
    pub(crate) async fn connect_with(addr: SocketAddr, connect: Connect) -> (Self, ConnAck) {
        let (client, connack) = Self::try_connect(addr, connect).await;
        assert_eq!(connack.reason, ReasonCode::Success, "{connack:?}");
        (client, connack)
    }

    /// Whatever the CONNACK says.
    pub(crate) async fn try_connect(addr: SocketAddr, connect: Connect) -> (Self, ConnAck) {
        let mut client = Self::open(addr, connect.version).await;
        client.send(Packet::Connect(Box::new(connect))).await;
        match client.receive().await {
            Packet::ConnAck(connack) => (client, connack),
            other => panic!("no CONNACK but {other:?}"),
        }
    }

    pub(crate) async fn send(&mut self, packet: Packet) {
        let mut bytes = BytesMut::new();
        packet.encode(self.version, &mut bytes).unwrap();
        self.send_bytes(&bytes).await;
    }

    /// A peer that has closed meanwhile is no failure here: what was received tells.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        let sent = tokio::time::timeout(SAFETY, self.stream.write_all(bytes)).await;
        let _ = sent.expect("the broker reads");
    }

    /// The next packet; the end of the connection is a failure.
    pub(crate) async fn receive(&mut self) -> Packet {
        self.receive_or_end().await.expect("a packet, but the connection ended")
    }

    /// The next packet; `None` at the end of the connection.
    pub(crate) async fn receive_or_end(&mut self) -> Option<Packet> {
        match self.early.pop_front() {
            Some(packet) => Some(packet),
            None => self.receive_fresh().await,
        }
    }

    async fn receive_fresh(&mut self) -> Option<Packet> {
        loop {
            if let Some(packet) = self.decoder.decode(&mut self.input).expect("the broker's packets are well-formed") {
                return Some(packet);
            }
            let read = tokio::time::timeout(SAFETY, self.stream.read_buf(&mut self.input)).await;
            match read.expect("a packet, but nothing came") {
                Ok(0) | Err(_) => {
                    assert!(self.input.is_empty(), "half a packet at the end: {:?}", self.input);
                    return None;
                }
                Ok(_) => {}
            }
        }
    }

    /// Everything up to the end of the connection, not decoded.
    pub(crate) async fn bytes_to_end(&mut self) -> Vec<u8> {
        loop {
            let read = tokio::time::timeout(SAFETY, self.stream.read_buf(&mut self.input)).await;
            match read.expect("the end of the connection") {
                Ok(0) | Err(_) => return self.input.split().to_vec(),
                Ok(_) => {}
            }
        }
    }

    /// The broker ends the connection, saying nothing more.
    pub(crate) async fn expect_end(&mut self) {
        assert_eq!(self.receive_or_end().await, None);
    }

    /// The broker ends the connection: version 5 is told `reason`, older ones nothing.
    pub(crate) async fn expect_disconnect(&mut self, reason: ReasonCode) {
        if self.version == Version::V5 {
            match self.receive_or_end().await {
                Some(Packet::Disconnect(disconnect)) => assert_eq!(disconnect.reason, reason),
                other => panic!("no DISCONNECT {reason:?} but {other:?}"),
            }
        }
        self.expect_end().await;
    }

    pub(crate) fn next_id(&mut self) -> PacketId {
        self.last_id = self.last_id % u16::MAX + 1;
        id(self.last_id)
    }

    /// Goes on after so many packet ids, which an earlier connection has used.
    pub(crate) fn skip_ids(&mut self, ids: usize) {
        self.last_id = u16::try_from(ids).unwrap();
    }

    /// Sends a PUBLISH and waits for nothing.
    pub(crate) async fn send_publish(&mut self, message: Message) -> Option<PacketId> {
        let packet_id = (message.qos > Qos::AtMostOnce).then(|| self.next_id());
        let Message { topic, payload, qos, retain, properties } = message;
        let publish = Publish { dup: false, qos, retain, topic: Some(topic), packet_id, properties, payload };
        self.send(Packet::Publish(publish)).await;
        packet_id
    }

    /// Publishes and waits for the last acknowledgement, or at QoS 0 for a PINGRESP.
    pub(crate) async fn publish(&mut self, message: Message) -> ReasonCode {
        let qos = message.qos;
        let Some(packet_id) = self.send_publish(message).await else {
            self.ping().await;
            return ReasonCode::Success;
        };
        if qos == Qos::AtLeastOnce {
            return self.expect_puback(packet_id).await;
        }
        let reason = self.expect_pubrec(packet_id).await;
        if !reason.is_error() {
            self.send(Packet::PubRel(Ack::new(packet_id, ReasonCode::Success))).await;
            self.expect_pubcomp(packet_id).await;
        }
        reason
    }

    pub(crate) async fn expect_puback(&mut self, packet_id: PacketId) -> ReasonCode {
        match self.receive().await {
            Packet::PubAck(ack) if ack.packet_id == packet_id => ack.reason,
            other => panic!("no PUBACK {packet_id:?} but {other:?}"),
        }
    }

    pub(crate) async fn expect_pubrec(&mut self, packet_id: PacketId) -> ReasonCode {
        match self.receive().await {
            Packet::PubRec(ack) if ack.packet_id == packet_id => ack.reason,
            other => panic!("no PUBREC {packet_id:?} but {other:?}"),
        }
    }

    pub(crate) async fn expect_pubrel(&mut self, packet_id: PacketId) -> ReasonCode {
        match self.receive().await {
            Packet::PubRel(ack) if ack.packet_id == packet_id => ack.reason,
            other => panic!("no PUBREL {packet_id:?} but {other:?}"),
        }
    }

    pub(crate) async fn expect_pubcomp(&mut self, packet_id: PacketId) -> ReasonCode {
        match self.receive().await {
            Packet::PubComp(ack) if ack.packet_id == packet_id => ack.reason,
            other => panic!("no PUBCOMP {packet_id:?} but {other:?}"),
        }
    }

    /// Subscribes with one filter; what comes before the SUBACK is kept for later.
    pub(crate) async fn subscribe(&mut self, text: &str, qos: Qos) -> ReasonCode {
        self.subscribe_with(vec![ask(text, qos)], Properties::EMPTY).await[0]
    }

    pub(crate) async fn subscribe_with(
        &mut self,
        filters: Vec<SubscribeFilter>,
        properties: Properties,
    ) -> Vec<ReasonCode> {
        let packet_id = self.next_id();
        let asked = filters.len();
        self.send(Packet::Subscribe(Subscribe { packet_id, properties, filters })).await;
        loop {
            match self.receive_fresh().await.expect("a SUBACK, but the connection ended") {
                Packet::SubAck(suback) => {
                    assert_eq!((suback.packet_id, suback.reasons.len()), (packet_id, asked), "[MQTT-3.9.3-1]");
                    return suback.reasons;
                }
                other => self.early.push_back(other),
            }
        }
    }

    /// Unsubscribes; before version 5 the answer is always success.
    pub(crate) async fn unsubscribe(&mut self, texts: &[&str]) -> Vec<ReasonCode> {
        let packet_id = self.next_id();
        let filters = texts.iter().map(|text| filter(text)).collect();
        self.send(Packet::Unsubscribe(Unsubscribe { packet_id, filters, properties: Properties::EMPTY })).await;
        loop {
            match self.receive_fresh().await.expect("an UNSUBACK, but the connection ended") {
                Packet::UnsubAck(unsuback) => {
                    assert_eq!(unsuback.packet_id, packet_id);
                    return unsuback.reasons;
                }
                other => self.early.push_back(other),
            }
        }
    }

    /// What came before an answer that was waited for is not looked at.
    pub(crate) fn forget_early(&mut self) {
        self.early.clear();
    }

    /// The next packet, a PUBLISH; it is not acknowledged.
    pub(crate) async fn receive_publish(&mut self) -> Publish {
        match self.receive().await {
            Packet::Publish(publish) => publish,
            other => panic!("no PUBLISH but {other:?}"),
        }
    }

    /// The next packet, a PUBLISH, acknowledged as its QoS wants.
    pub(crate) async fn take(&mut self) -> Publish {
        let publish = self.receive_publish().await;
        self.acknowledge(&publish).await;
        publish
    }

    pub(crate) async fn acknowledge(&mut self, publish: &Publish) {
        let Some(packet_id) = publish.packet_id else { return };
        let ack = Ack::new(packet_id, ReasonCode::Success);
        if publish.qos == Qos::AtLeastOnce {
            self.send(Packet::PubAck(ack)).await;
        } else {
            self.send(Packet::PubRec(ack.clone())).await;
            self.await_pubrel(packet_id).await;
            self.send(Packet::PubComp(ack)).await;
        }
    }

    /// Keeps for later what comes before.
    async fn await_pubrel(&mut self, packet_id: PacketId) {
        loop {
            match self.receive_fresh().await.expect("a PUBREL, but the connection ended") {
                Packet::PubRel(ack) if ack.packet_id == packet_id => return,
                other => self.early.push_back(other),
            }
        }
    }

    /// The payload of the next message, acknowledged.
    pub(crate) async fn take_text(&mut self) -> String {
        String::from_utf8(self.take().await.payload.to_vec()).unwrap()
    }

    /// PINGREQ is answered, and before the answer nothing else came.
    pub(crate) async fn ping(&mut self) {
        self.send(Packet::PingReq).await;
        assert_eq!(self.receive().await, Packet::PingResp);
    }

    /// DISCONNECT, then the broker closes.
    pub(crate) async fn leave(self) {
        self.leave_with(ReasonCode::Success, Properties::EMPTY).await;
    }

    pub(crate) async fn leave_with(mut self, reason: ReasonCode, properties: Properties) {
        self.send(Packet::Disconnect(Disconnect { reason, properties })).await;
        while self.receive_or_end().await.is_some() {}
    }

    /// Closes without DISCONNECT; back once the broker has closed too.
    pub(crate) async fn cut(mut self) {
        let _ = self.stream.shutdown().await;
        self.bytes_to_end().await;
    }

    /// RST instead of FIN.
    pub(crate) fn reset(self) {
        self.stream.cut_off();
    }
}
