//! TLS, WebSocket and what proxies say: clients that come in by other doors than plain TCP are the same clients.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use mqtt_codec::{Packet, Qos, ReasonCode, Version};
use mqtt_config::{Anonymous, CertName, Config, Listener, ListenerKind, ListenerTls, ListenerWeb, Origins, Verify};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    },
};
use tokio_tungstenite::{
    client_async,
    tungstenite::{Error, Message, client::IntoClientRequest as _, http::Response},
};

use crate::{
    broker::Broker,
    client::{Client, QOS, VERSIONS, connect, message, will},
    events::Watcher,
};

/// An authority and what it has signed, in a folder.
pub(crate) struct Authority {
    folder: tempfile::TempDir,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
        std::fs::write(folder.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { folder, issuer: rcgen::Issuer::new(params, key) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A certificate for a name, and its key.
    pub(crate) fn sign(&self, name: &str) -> (PathBuf, PathBuf) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.serial_number = Some(name.as_bytes().to_vec().into());
        let (certificate, secret) = (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")));
        std::fs::write(&certificate, params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        std::fs::write(&secret, key.serialize_pem()).unwrap();
        (certificate, secret)
    }

    /// Writes a list of those whose certificates are revoked, which is good until that year.
    pub(crate) fn revoke(&self, names: &[&str], year: i32) -> PathBuf {
        let revoked = names.iter().map(|name| rcgen::RevokedCertParams {
            serial_number: name.as_bytes().to_vec().into(),
            revocation_time: rcgen::date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = rcgen::CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2020, 1, 1),
            next_update: rcgen::date_time_ymd(year, 1, 1),
            crl_number: 1_u64.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        let path = self.path("crl.pem");
        std::fs::write(&path, list.signed_by(&self.issuer).unwrap().pem().unwrap()).unwrap();
        path
    }

    pub(crate) fn tls(&self, verify: Verify) -> ListenerTls {
        let (certificate, key) = self.sign("localhost");
        let ca = (verify != Verify::None).then(|| self.path("ca.pem"));
        ListenerTls {
            certs: vec![certificate],
            keys: vec![key],
            ca,
            crl: None,
            crl_stale: mqtt_config::CrlStale::Allow,
            verify,
            username_from: None,
            clientid_from: None,
        }
    }

    pub(crate) fn trusted(&self, shown: Option<&(PathBuf, PathBuf)>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("ca.pem")).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into());
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        Arc::new(match shown {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = CertificateDer::pem_file_iter(certificate).unwrap().map(Result::unwrap).collect();
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap()).unwrap()
            }
        })
    }
}

fn web() -> ListenerWeb {
    ListenerWeb { path: "/mqtt".to_owned(), origins: Origins::Local, forwarded_from: Vec::new() }
}

/// One listener of each kind, called as its kind.
pub(crate) fn add_doors(config: &mut Config, authority: &Authority, verify: Verify) {
    for (kind, name) in [(ListenerKind::Mqtts, "mqtts"), (ListenerKind::Wss, "wss")] {
        let listener = Listener::new(name, ([127, 0, 0, 1], 0).into());
        let web = (kind == ListenerKind::Wss).then(web);
        config.listeners.push(Listener { kind, tls: Some(authority.tls(verify)), web, ..listener });
    }
}

pub(crate) async fn dial_tls(addr: SocketAddr, config: Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(addr).await?;
    TlsConnector::from(config).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// Speaks WebSocket on behalf of the other end of a pipe; each write there is one message.
pub(crate) async fn dial_web(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> DuplexStream {
    let mut request = "ws://localhost/mqtt".into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", "mqtt".parse().unwrap());
    let (mut socket, answer) = client_async(request, stream).await.unwrap();
    assert_eq!(answer.headers()["Sec-WebSocket-Protocol"], "mqtt");
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    tokio::spawn(async move {
        let mut buffer = vec![0; 1 << 16];
        loop {
            tokio::select! {
                read = theirs.read(&mut buffer) => match read {
                    Ok(0) | Err(_) => break drop(socket.close(None).await),
                    Ok(read) => {
                        let bytes = Bytes::copy_from_slice(&buffer[..read]);
                        if socket.send(Message::Binary(bytes)).await.is_err() {
                            break;
                        }
                    }
                },
                heard = socket.next() => match heard {
                    Some(Ok(Message::Binary(bytes))) => theirs.write_all(&bytes).await.unwrap(),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    _ => break,
                },
            }
        }
    });
    ours
}

/// A socket by the listener of this name, no packet yet.
pub(crate) async fn open(broker: &Broker, authority: &Authority, name: &str, version: Version) -> Client {
    let addr = broker.server().addresses().listener(name).unwrap();
    match name {
        "mqtt" => Client::open(addr, version).await,
        "ws" => Client::over(dial_web(TcpStream::connect(addr).await.unwrap()).await, version),
        "mqtts" => Client::over(dial_tls(addr, authority.trusted(None)).await.unwrap(), version),
        _ => Client::over(dial_web(dial_tls(addr, authority.trusted(None)).await.unwrap()).await, version),
    }
}

pub(crate) async fn come_in(broker: &Broker, authority: &Authority, name: &str, version: Version, id: &str) -> Client {
    let mut client = open(broker, authority, name, version).await;
    client.send(Packet::Connect(Box::new(connect(version, id)))).await;
    let Packet::ConnAck(connack) = client.receive().await else { panic!("no CONNACK") };
    assert_eq!(connack.reason, ReasonCode::Success);
    client
}

const DOORS: [&str; 4] = ["mqtt", "mqtts", "ws", "wss"];

async fn broker(authority: &Authority) -> Option<Broker> {
    Broker::with(|config| {
        add_doors(config, authority, Verify::None);
        config.modules.entry("presence".to_owned()).or_default().settings["extended"] = json!(true);
    })
    .await
}

#[tokio::test]
async fn clients_of_every_door_are_told_of_and_get_what_is_published() {
    let authority = Authority::new();
    let Some(broker) = broker(&authority).await else { return };
    let mut watcher = Watcher::start(broker.addr).await;
    let mut plain = Client::connect(broker.addr, Version::V5, "plain").await;
    watcher.connected("plain").await;
    for name in DOORS {
        let port = broker.server().addresses().listener(name).unwrap().port();
        for version in VERSIONS {
            let mut client = come_in(&broker, &authority, name, version, "it").await;
            let connected = watcher.connected("it").await;
            assert_eq!((connected.value("sockport"), connected.text("listener")), (&json!(port), name));
            client.subscribe("$down", Qos::ExactlyOnce).await;
            plain.subscribe("$up", Qos::ExactlyOnce).await;
            for qos in QOS {
                // Larger than a record, and than a read.
                let payload = vec![qos as u8; 150_000];
                plain.publish(message("$down", payload.clone(), qos)).await;
                assert!(client.take().await.payload == payload);
                client.publish(message("$up", payload.clone(), qos)).await;
                assert!(plain.take().await.payload == payload);
            }
            client.leave().await;
            watcher.disconnected("it", "normal").await;
        }
    }
}

#[tokio::test]
async fn who_is_cut_off_has_its_will_published_and_the_reason_of_its_door() {
    let authority = Authority::new();
    let Some(broker) = broker(&authority).await else { return };
    let mut watcher = Watcher::start(broker.addr).await;
    let mut heir = Client::connect(broker.addr, Version::V5, "heir").await;
    heir.subscribe("$will", Qos::AtMostOnce).await;
    watcher.connected("heir").await;
    for (name, reason) in [("mqtt", "tcp_closed"), ("mqtts", "ssl_closed"), ("ws", "ws_closed"), ("wss", "ws_closed")] {
        let mut client = open(&broker, &authority, name, Version::V5).await;
        let with_will = mqtt_codec::Connect { will: Some(will("$will", name)), ..connect(Version::V5, "it") };
        client.send(Packet::Connect(Box::new(with_will))).await;
        client.receive().await;
        watcher.connected("it").await;
        drop(client);
        assert_eq!(&*heir.receive_publish().await.payload, name.as_bytes());
        watcher.disconnected("it", reason).await;
    }
}

/// By TLS a socket that is only closed is an error to the client, by WebSocket it is "abnormal".
#[tokio::test]
async fn who_disconnects_is_told_goodbye_by_its_door() {
    let authority = Authority::new();
    let Some(broker) = broker(&authority).await else { return };
    let mut bytes = bytes::BytesMut::new();
    Packet::Connect(Box::new(connect(Version::V5, "it"))).encode(Version::V5, &mut bytes).unwrap();
    bytes.extend_from_slice(&[0xe0, 0]);
    let addr = |name| broker.server().addresses().listener(name).unwrap();
    let mut tls = dial_tls(addr("mqtts"), authority.trusted(None)).await.unwrap();
    tls.write_all(&bytes).await.unwrap();
    // Without close_notify this is an error.
    tls.read_to_end(&mut Vec::new()).await.unwrap();
    let mut request = "ws://localhost/mqtt".into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", "mqtt".parse().unwrap());
    let (mut socket, _) = client_async(request, TcpStream::connect(addr("ws")).await.unwrap()).await.unwrap();
    socket.send(Message::Binary(bytes.freeze())).await.unwrap();
    let code = loop {
        if let Message::Close(close) = socket.next().await.unwrap().unwrap() {
            break close.unwrap().code;
        }
    };
    assert_eq!(u16::from(code), 1000);
}

#[tokio::test]
async fn who_breaks_the_rules_of_its_door_has_no_socket_error() {
    let authority = Authority::new();
    let Some(broker) = broker(&authority).await else { return };
    let mut watcher = Watcher::start(broker.addr).await;
    let mut bytes = bytes::BytesMut::new();
    Packet::Connect(Box::new(connect(Version::V5, "it"))).encode(Version::V5, &mut bytes).unwrap();
    let addr = |name| broker.server().addresses().listener(name).unwrap();
    let mut request = "ws://localhost/mqtt".into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", "mqtt".parse().unwrap());
    let (mut socket, _) = client_async(request, TcpStream::connect(addr("ws")).await.unwrap()).await.unwrap();
    socket.send(Message::Binary(bytes.clone().freeze())).await.unwrap();
    watcher.connected("it").await;
    // [MQTT-6.0.0-1]
    socket.send(Message::Text("text".into())).await.unwrap();
    watcher.disconnected("it", "protocol_error").await;
    let mut tls = dial_tls(addr("mqtts"), authority.trusted(None)).await.unwrap();
    tls.write_all(&bytes).await.unwrap();
    watcher.connected("it").await;
    // Not through TLS.
    tls.get_mut().0.write_all(&[0xc0, 0]).await.unwrap();
    tls.get_mut().0.write_all(&[0; 64]).await.unwrap();
    watcher.disconnected("it", "protocol_error").await;
}

#[tokio::test]
async fn a_session_goes_on_through_another_door() {
    let authority = Authority::new();
    let Some(broker) = broker(&authority).await else { return };
    let mut watcher = Watcher::start(broker.addr).await;
    let mut old: Option<Client> = None;
    for name in DOORS {
        let new = come_in(&broker, &authority, name, Version::V5, "it").await;
        if let Some(mut old) = old.replace(new) {
            watcher.disconnected("it", "discarded").await;
            old.expect_disconnect(ReasonCode::SessionTakenOver).await;
        }
        watcher.connected("it").await;
    }
}

#[tokio::test]
async fn a_burst_reaches_a_slow_reader_whole_and_in_order() {
    let authority = Authority::new();
    let Some(broker) = broker(&authority).await else { return };
    for name in DOORS {
        let mut reader = come_in(&broker, &authority, name, Version::V5, "reader").await;
        reader.subscribe("burst", Qos::AtLeastOnce).await;
        let mut writer = Client::connect(broker.addr, Version::V5, "writer").await;
        // More than sockets hold; the reader takes nothing until all of it is there.
        for n in 0..300_u32 {
            let payload = [&n.to_be_bytes()[..], &[7; 40_000]].concat();
            writer.publish(message("burst", payload, Qos::AtLeastOnce)).await;
        }
        for n in 0..300_u32 {
            let publish = reader.receive_publish().await;
            assert_eq!(publish.payload[..4], n.to_be_bytes(), "{name}");
            reader.acknowledge(&publish).await;
        }
        reader.leave().await;
        writer.leave().await;
    }
}

#[tokio::test]
async fn a_certificate_is_asked_for_where_it_is_required() {
    let authority = Authority::new();
    let Some(broker) = Broker::with(|config| add_doors(config, &authority, Verify::Required)).await else { return };
    let addr = broker.server().addresses().listener("mqtts").unwrap();
    let shown = authority.sign("device-1");
    let stream = dial_tls(addr, authority.trusted(Some(&shown))).await.unwrap();
    let mut client = Client::over(stream, Version::V5);
    client.send(Packet::Connect(Box::new(connect(Version::V5, "it")))).await;
    assert!(matches!(client.receive().await, Packet::ConnAck(_)));
    // By TLS 1.3 a client learns after its own end of the handshake that it is not let in.
    let mut refused = Client::over(dial_tls(addr, authority.trusted(None)).await.unwrap(), Version::V5);
    refused.send(Packet::Connect(Box::new(connect(Version::V5, "other")))).await;
    assert!(refused.receive_or_end().await.is_none());
}

#[tokio::test]
async fn a_client_is_who_its_certificate_says() {
    let authority = Authority::new();
    let with_names = |config: &mut Config| {
        add_doors(config, &authority, Verify::Required);
        for tls in config.listeners.iter_mut().filter_map(|listener| listener.tls.as_mut()) {
            (tls.username_from, tls.clientid_from) = (Some(CertName::Cn), Some(CertName::SanDns));
        }
        config.auth.anonymous = Anonymous::None;
    };
    let Some(broker) = Broker::with(with_names).await else { return };
    let addr = broker.server().addresses().listener("mqtts").unwrap();
    let shown = authority.sign("device-1");
    let come = |connect: mqtt_codec::Connect| {
        let config = authority.trusted(Some(&shown));
        async move {
            let mut client = Client::over(dial_tls(addr, config).await.unwrap(), Version::V5);
            client.send(Packet::Connect(Box::new(connect))).await;
            let Packet::ConnAck(connack) = client.receive().await else { panic!("no CONNACK") };
            connack
        }
    };
    let named = |client_id: &str, username: Option<&str>| mqtt_codec::Connect {
        username: username.map(Into::into),
        ..connect(Version::V5, client_id)
    };
    let good = come(named("device-1", None)).await;
    assert_eq!((good.reason, good.properties.assigned_client_id()), (ReasonCode::Success, None));
    // [MQTT-3.2.2-16]: who says none is told which one it has, whoever gave it.
    let assigned = come(named("", Some("device-1"))).await;
    assert_eq!(assigned.reason, ReasonCode::Success);
    assert_eq!(assigned.properties.assigned_client_id().as_deref(), Some("device-1"));
    assert_eq!(come(named("device-2", None)).await.reason, ReasonCode::ClientIdNotValid);
    assert_eq!(come(named("device-1", Some("root"))).await.reason, ReasonCode::BadUserNameOrPassword);
    let (_, plain) = Client::try_connect(broker.addr, connect(Version::V5, "device-1")).await;
    assert_eq!(plain.reason, ReasonCode::NotAuthorized);
}

/// What the answer to a request for WebSocket is.
async fn upgrade(addr: SocketAddr, headers: &[(&'static str, &str)]) -> Result<(), Box<Response<Option<Vec<u8>>>>> {
    let mut request = "ws://localhost/mqtt".into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    match client_async(request, TcpStream::connect(addr).await.unwrap()).await {
        Ok(_) => Ok(()),
        Err(Error::Http(response)) => Err(response),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_request_that_is_no_websocket_for_mqtt_is_told_why() {
    let Some(broker) = Broker::with(|_| {}).await else { return };
    let addr = broker.server().addresses().listener("ws").unwrap();
    let mqtt = ("Sec-WebSocket-Protocol", "mqttv3.1, mqtt");
    upgrade(addr, &[mqtt]).await.unwrap();
    upgrade(addr, &[mqtt, ("Origin", "http://localhost:3000")]).await.unwrap();
    let refused = upgrade(addr, &[("Sec-WebSocket-Protocol", "chat")]).await.unwrap_err();
    assert_eq!(refused.status(), 400);
    assert!(String::from_utf8_lossy(refused.body().as_ref().unwrap()).contains("has to offer mqtt"));
    let refused = upgrade(addr, &[mqtt, ("Origin", "https://evil.example")]).await.unwrap_err();
    assert_eq!(refused.status(), 403);
}

#[tokio::test]
async fn a_trusted_proxy_says_whose_connection_it_is() {
    let Some(broker) = Broker::with(|config| {
        config.listeners[0].proxy_from = vec!["127.0.0.1/32".parse().unwrap()];
        let listener = Listener::new("plain", ([127, 0, 0, 1], 0).into());
        config.listeners.push(listener);
    })
    .await
    else {
        return;
    };
    let plain = broker.server().addresses().listener("plain").unwrap();
    let mut watcher = Watcher::start(plain).await;
    let two =
        [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &[198, 51, 100, 7, 127, 0, 0, 1, 0x9c, 0x40, 7, 0x5b]].concat();
    for (header, address) in [
        (&b"PROXY TCP4 192.0.2.1 127.0.0.1 40000 1883\r\n"[..], "192.0.2.1"),
        (&two, "198.51.100.7"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", "127.0.0.1"),
    ] {
        let mut client = Client::open(broker.addr, Version::V5).await;
        // In two parts: what comes with the header is MQTT's.
        let (start, rest) = header.split_at(13);
        client.send_bytes(start).await;
        let mut connect_bytes = bytes::BytesMut::from(rest);
        Packet::Connect(Box::new(connect(Version::V5, "it"))).encode(Version::V5, &mut connect_bytes).unwrap();
        client.send_bytes(&connect_bytes).await;
        assert!(matches!(client.receive().await, Packet::ConnAck(_)));
        let connected = watcher.connected("it").await;
        assert_eq!(connected.text("ipaddress"), address);
        client.leave().await;
        watcher.disconnected("it", "normal").await;
    }
    // Without a header nobody comes in.
    let mut client = Client::open(broker.addr, Version::V5).await;
    client.send(Packet::Connect(Box::new(connect(Version::V5, "it")))).await;
    assert!(client.receive_or_end().await.is_none());
}

/// What it does not take is not in its outbox.
#[tokio::test]
async fn who_pings_and_takes_no_answer_is_a_slow_consumer() {
    let second = std::time::Duration::from_secs(1);
    let Some(broker) = Broker::with(|config| config.limits.slow_consumer_timeout = second).await else { return };
    let mut watcher = Watcher::start(broker.addr).await;
    let addr = broker.server().addresses().listener("ws").unwrap();
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(addr).await.unwrap().into_std().unwrap();
    let mut raw = TcpStream::from_std(stream.try_clone().unwrap()).unwrap();
    let mut request = "ws://localhost/mqtt".into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", "mqtt".parse().unwrap());
    let (mut socket, _) = client_async(request, TcpStream::from_std(stream).unwrap()).await.unwrap();
    let mut bytes = bytes::BytesMut::new();
    Packet::Connect(Box::new(connect(Version::V5, "deaf"))).encode(Version::V5, &mut bytes).unwrap();
    socket.send(Message::Binary(bytes.freeze())).await.unwrap();
    watcher.connected("deaf").await;
    // A mask of zeros. One at a time, for what one read brings has one answer.
    let ping = [&[0x89, 0x80 | 125, 0, 0, 0, 0][..], &[b'x'; 125]].concat();
    let mut other = Client::connect(broker.addr, Version::V5, "other").await;
    watcher.connected("other").await;
    // More than a socket holds of answers, however long that takes.
    let mut pings = 1_000_000;
    while raw.write_all(&ping).await.is_ok() {
        other.ping().await;
        pings -= 1;
        assert!(pings > 0, "nobody ends it");
    }
    watcher.disconnected("deaf", "slow_consumer").await;
    broker.lives().await;
}
