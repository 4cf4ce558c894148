use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::opening::{Accepted, Layers, OpenError, Pool};
use crate::{Certificates, Files, Refreshed, TicketKeys, Transport, Verify};

mod revoked;

/// An authority, with what it has signed.
struct Authority {
    folder: tempfile::TempDir,
    certificate: String,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).unwrap().pem();
        std::fs::write(folder.path().join("ca.pem"), &certificate).unwrap();
        Self { folder, certificate, issuer: rcgen::Issuer::new(params, key) }
    }

    /// The paths of a certificate for this name, and of its key.
    fn sign(&self, name: &str) -> (PathBuf, PathBuf) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.serial_number = Some(name.as_bytes().to_vec().into());
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "Works, Inc.");
        let uri = format!("urn:dev:{name}").try_into().unwrap();
        params.subject_alt_names.push(rcgen::SanType::URI(uri));
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        let path = |end: &str| self.folder.path().join(format!("{name}.{end}"));
        std::fs::write(path("pem"), certificate).unwrap();
        std::fs::write(path("key"), key.serialize_pem()).unwrap();
        (path("pem"), path("key"))
    }

    fn files(&self, names: &[&str]) -> Files {
        let (certificates, keys) = names.iter().map(|name| self.sign(name)).unzip();
        Files { certificates, keys, authorities: Some(self.folder.path().join("ca.pem")), ..Files::default() }
    }

    fn client(&self, shown: Option<(PathBuf, PathBuf)>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into());
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        match shown {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = CertificateDer::pem_file_iter(certificate).unwrap().map(Result::unwrap).collect();
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap()).unwrap()
            }
        }
    }
}
type Client = StreamOwned<ClientConnection, std::net::TcpStream>;

fn dial(address: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> Client {
    let machine = ClientConnection::new(Arc::clone(config), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    StreamOwned::new(machine, std::net::TcpStream::connect(address).unwrap())
}

struct Server {
    listener: TcpListener,
    layers: Arc<Layers>,
}

impl Server {
    async fn new(files: Files) -> Self {
        let tls = Some(Arc::new(Certificates::load(files, TicketKeys::open(None)).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener, layers: Arc::new(Layers { tls, ..Layers::default() }) }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    async fn accept(&self) -> Result<crate::Opened, OpenError> {
        let (stream, peer) = self.listener.accept().await.unwrap();
        match Accepted::new(crate::opening::Stream::Tcp(stream), peer, &self.layers, &Pool::default()) {
            Accepted::Open(_) => panic!("let through without TLS"),
            Accepted::Closed(opening) => opening.open(|_| true).await,
        }
    }
}

#[tokio::test]
async fn what_is_written_is_read_by_the_other_end_whatever_its_size() {
    let authority = Authority::new();
    let server = Server::new(authority.files(&["localhost"])).await;
    let config = Arc::new(authority.client(None));
    let sent: Arc<[u8]> = (0..3_000_000_u32).map(|n| (n / 7) as u8).collect();
    let (address, wanted) = (server.address(), Arc::clone(&sent));
    let client = std::thread::spawn(move || {
        let mut client = dial(address, &config, "localhost");
        // Comes with the end of the handshake.
        client.write_all(b"hello").unwrap();
        client.write_all(&wanted).unwrap();
        let mut read = vec![0; wanted.len()];
        client.read_exact(&mut read).unwrap();
        assert!(read == *wanted);
        client.conn.send_close_notify();
        client.flush().unwrap();
    });
    let transport = server.accept().await.unwrap().transport;
    assert!(matches!(transport, Transport::Tls(_)));
    let mut read = BytesMut::new();
    while read.len() < 5 + sent.len() {
        assert!(transport.read(&mut read, 4096).await.unwrap() > 0);
    }
    assert_eq!(&read[..5], b"hello");
    assert!(read[5..] == *sent);
    transport.write_all(&sent).await.unwrap();
    assert_eq!(transport.read(&mut read, 64).await.unwrap(), 0);
    assert_eq!(transport.held(), 0, "an idle connection holds no buffer");
    client.join().unwrap();
}

#[tokio::test]
async fn small_slices_leave_in_one_record_and_a_full_socket_is_told_as_one() {
    let authority = Authority::new();
    let server = Server::new(authority.files(&["localhost"])).await;
    let config = Arc::new(authority.client(None));
    let address = server.address();
    let (go, wait) = std::sync::mpsc::channel::<usize>();
    let client = std::thread::spawn(move || {
        let mut client = dial(address, &config, "localhost");
        client.write_all(b"x").unwrap();
        let wanted = wait.recv().unwrap();
        let mut read = vec![0; wanted];
        client.read_exact(&mut read).unwrap();
        assert!(read.iter().enumerate().all(|(at, &byte)| byte == (at % 251) as u8));
    });
    let transport = server.accept().await.unwrap().transport;
    transport.read(&mut BytesMut::new(), 64).await.unwrap();
    let bytes: Vec<u8> = (0..16_000_000_usize).map(|at| (at % 251) as u8).collect();
    let mut taken = 0;
    // Nobody reads: the socket gets full, and what was sealed and has not left is not said to be taken.
    let full = loop {
        let slices: Vec<_> = bytes[taken..].chunks(100).take(32).map(IoSlice::new).collect();
        match transport.try_write(&slices) {
            Ok(now) => taken += now,
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    let held = transport.held();
    assert!(held > 0 && held < 2 * SEALED_AT_ONCE, "{held}");
    go.send(taken + 100_000).unwrap();
    transport.write_all(&bytes[taken..taken + 100_000]).await.unwrap();
    client.join().unwrap();
    assert_eq!(transport.held(), 0);
}

#[tokio::test]
async fn who_has_thrown_away_what_was_sealed_is_not_told_of_more_than_it_offers() {
    let authority = Authority::new();
    let server = Server::new(authority.files(&["localhost"])).await;
    let config = Arc::new(authority.client(None));
    let address = server.address();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let client = std::thread::spawn(move || {
        let mut client = dial(address, &config, "localhost");
        client.write_all(b"x").unwrap();
        wait.recv().unwrap();
        let mut read = Vec::new();
        let _ = client.read_to_end(&mut read);
    });
    let transport = server.accept().await.unwrap().transport;
    transport.read(&mut BytesMut::new(), 64).await.unwrap();
    let bytes = vec![7; 1 << 20];
    while transport.try_write(&[IoSlice::new(&bytes)]).is_ok() {}
    go.send(()).unwrap();
    let mut taken = 0;
    while taken < 3 {
        match transport.try_write(&[IoSlice::new(&b"end"[taken..])]) {
            Ok(now) => taken += now,
            Err(_) => std::future::poll_fn(|context| transport.poll_writable(context)).await,
        }
    }
    assert_eq!(taken, 3);
    drop(transport);
    client.join().unwrap();
}

#[tokio::test]
async fn the_certificate_is_that_of_the_name_that_is_asked_for() {
    let authority = Authority::new();
    let files = authority.files(&["one.example", "two.example"]);
    let server = Server::new(files.clone()).await;
    for (asked, shown) in [("two.example", 1), ("one.example", 0)] {
        let (config, address) = (Arc::new(authority.client(None)), server.address());
        let client = std::thread::spawn(move || {
            let mut client = dial(address, &config, asked);
            client.write_all(b"x").unwrap();
            client.conn.peer_certificates().unwrap()[0].to_vec()
        });
        let _open = server.accept().await.unwrap();
        let wanted = CertificateDer::from_pem_file(&files.certificates[shown]).unwrap();
        assert_eq!(client.join().unwrap(), wanted.to_vec());
    }
}

#[tokio::test]
async fn who_comes_back_resumes_until_other_certificates_are_asked_for() {
    let authority = Authority::new();
    let server = Server::new(Files { verify: Verify::Optional, ..authority.files(&["localhost"]) }).await;
    let config = Arc::new(authority.client(None));
    for (is_read_again, wanted) in [(false, false), (false, true), (false, true), (true, false), (false, true)] {
        if is_read_again {
            let also = Authority::new().certificate + &authority.certificate;
            std::fs::write(authority.folder.path().join("ca.pem"), also).unwrap();
            assert_eq!(server.layers.tls.as_ref().unwrap().refresh().unwrap(), Refreshed::Trust);
        }
        let (config, address) = (Arc::clone(&config), server.address());
        let client = std::thread::spawn(move || {
            let mut client = dial(address, &config, "localhost");
            client.write_all(b"x").unwrap();
            let mut answer = [0];
            client.read_exact(&mut answer).unwrap();
            client.conn.handshake_kind()
        });
        let open = server.accept().await.unwrap();
        open.transport.write_all(b"y").await.unwrap();
        let resumed = client.join().unwrap() == Some(rustls::HandshakeKind::Resumed);
        assert_eq!(resumed, wanted);
    }
}

#[tokio::test]
async fn a_certificate_is_wanted_where_it_is_required() {
    let authority = Authority::new();
    let files = Files { verify: Verify::Required, ..authority.files(&["localhost"]) };
    let server = Server::new(files).await;
    let shown = authority.sign("device-1");
    let other = Authority::new();
    let stranger = other.sign("device-1");
    for (shown, is_let_in) in [(Some(shown), true), (None, false), (Some(stranger), false)] {
        let (config, address) = (Arc::new(authority.client(shown)), server.address());
        let client = std::thread::spawn(move || {
            let mut client = dial(address, &config, "localhost");
            let _ = client.write_all(b"x");
            let mut answer = [0];
            client.read_exact(&mut answer).is_ok()
        });
        // Kept until the client has read: what closes with unread bytes takes back what it sent.
        let accepted = server.accept().await;
        match &accepted {
            Ok(open) => {
                let identity = open.identity.as_ref().unwrap();
                assert_eq!((&identity.username, &identity.client_id), (&None, &None), "nobody is called by it here");
                open.transport.write_all(b"y").await.unwrap();
            }
            Err(error) => assert!(matches!(error, OpenError::Tls(_)), "{error}"),
        }
        assert_eq!(client.join().unwrap(), is_let_in);
    }
}

#[test]
fn files_that_change_are_read_again_and_a_bad_one_changes_nothing() {
    let authority = Authority::new();
    let files = authority.files(&["localhost"]);
    let certificates = Certificates::load(files.clone(), TicketKeys::open(None)).unwrap();
    let end = certificates.expires_at();
    assert!(end.is_some());
    let shown = certificates.in_use().0;
    assert_eq!(certificates.refresh().unwrap(), Refreshed::No);
    std::fs::write(&files.keys[0], "half").unwrap();
    assert!(certificates.refresh().is_err());
    assert_eq!(certificates.refresh().unwrap(), Refreshed::No, "it is told once, until it changes");
    assert!(Arc::ptr_eq(&shown, &certificates.in_use().0));
    authority.sign("localhost");
    assert_eq!(certificates.refresh().unwrap(), Refreshed::Shown);
    assert!(!Arc::ptr_eq(&shown, &certificates.in_use().0));
}

#[test]
fn names_are_read_from_a_certificate() {
    let authority = Authority::new();
    let certificate = CertificateDer::from_pem_file(authority.sign("device-1").0).unwrap();
    let read = |named| certificate::name_of(&certificate, named);
    assert_eq!(read(Named::CommonName).as_deref(), Some("device-1"));
    assert_eq!(read(Named::Dns).as_deref(), Some("device-1"));
    assert_eq!(read(Named::Uri).as_deref(), Some("urn:dev:device-1"));
    assert!(read(Named::Subject).unwrap().contains("CN=device-1"), "{:?}", read(Named::Subject));
    assert_eq!(read(Named::Fingerprint).unwrap().len(), 64);
    let subject = certificate::subject_of(&certificate);
    assert!(subject.contains(&("CN", "device-1".to_owned())) && subject.contains(&("O", "Works, Inc.".to_owned())));
    assert_eq!(certificate::subject_of(&certificate[1..]), []);
    let nameless = CertificateDer::from_pem_file(authority.folder.path().join("ca.pem")).unwrap();
    assert_eq!(certificate::name_of(&nameless, Named::Dns), None);
    for end in 0..certificate.len() {
        assert_eq!(certificate::name_of(&certificate[..end], Named::CommonName), None);
    }
    assert!(certificate::end_of(&certificate).unwrap() > std::time::SystemTime::now());
}

#[tokio::test]
async fn a_record_that_is_wrong_ends_it_with_an_alert() {
    let authority = Authority::new();
    let server = Server::new(authority.files(&["localhost"])).await;
    for wrong in [&[0x17, 3, 3, 0, 20, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7][..], &[0xff; 40]] {
        let (config, address) = (Arc::new(authority.client(None)), server.address());
        let client = std::thread::spawn(move || {
            let mut client = dial(address, &config, "localhost");
            client.write_all(b"x").unwrap();
            client.flush().unwrap();
            client.sock.write_all(wrong).unwrap();
            client.read(&mut [0; 64]).unwrap_err().to_string()
        });
        let transport = server.accept().await.unwrap().transport;
        let mut input = BytesMut::new();
        let error = loop {
            match transport.read(&mut input, 64).await {
                Ok(0) => panic!("read as an end"),
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert_eq!(transport.try_write(&[IoSlice::new(b"y")]).unwrap_err().kind(), ErrorKind::BrokenPipe);
        transport.shut_down();
        drop(transport);
        let told = client.join().unwrap();
        assert!(told.contains("fatal alert"), "{told}");
    }
}

#[tokio::test]
async fn what_is_no_tls_is_told_as_that() {
    let authority = Authority::new();
    let server = Server::new(authority.files(&["localhost"])).await;
    let check = |sent: &'static [u8]| {
        let address = server.address();
        let client = std::thread::spawn(move || {
            let mut client = std::net::TcpStream::connect(address).unwrap();
            client.write_all(sent).unwrap();
            let _ = client.shutdown(std::net::Shutdown::Write);
            let _ = client.read(&mut [0; 64]);
        });
        let server = &server;
        async move {
            let error = server.accept().await.unwrap_err();
            client.join().unwrap();
            error
        }
    };
    assert!(matches!(check(b"\x10\x0c\x00\x04MQTT").await, OpenError::NotTls));
    assert!(matches!(check(b"").await, OpenError::Closed));
    assert!(matches!(check(b"\x16\x03\x01\x00").await, OpenError::Closed));
    assert!(matches!(check(b"\x16\x03\x01\x00\x04\x01\x00\xff\xff").await, OpenError::Closed | OpenError::Tls(_)));
    // A hello of 65,000 bytes, as much as a record takes at a time.
    static HELLO: [u8; 40_000] = {
        let mut bytes = [0; 40_000];
        let start = [0x16, 3, 1, 0x40, 0, 1, 0, 0xfd, 0xe8];
        let mut at = 0;
        while at < 2 * 0x4005 {
            let mut head = 0;
            while head < if at == 0 { 9 } else { 5 } {
                bytes[at + head] = start[head];
                head += 1;
            }
            at += 0x4005;
        }
        bytes
    };
    assert!(matches!(check(&HELLO).await, OpenError::TooLong));
}

#[test]
fn what_does_not_fit_together_is_told_with_its_file() {
    let (one, other) = (Authority::new(), Authority::new());
    let (files, others) = (one.files(&["localhost"]), other.files(&["localhost"]));
    let check = |files: Files, wanted: &str| {
        let error = Certificates::load(files, TicketKeys::open(None)).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    };
    check(Files { keys: others.keys, ..files.clone() }, "is no key for");
    check(Files { keys: files.certificates.clone(), ..files.clone() }, "there is no private key in it");
    check(Files { certificates: files.keys.clone(), ..files.clone() }, "there is no certificate in it");
    check(Files { certificates: vec!["/nowhere/a.pem".into()], ..files.clone() }, "/nowhere/a.pem");
    check(Files { keys: Vec::new(), ..files.clone() }, "1 certificates and 0 keys");
    check(Files { verify: Verify::Required, authorities: None, ..files.clone() }, "who signs them is missing");
    check(Files { verify: Verify::Required, revoked: Some(files.keys[0].clone()), ..files }, "there is no list of");
}

#[tokio::test]
async fn a_stream_is_whole_both_ways_and_its_end_is_said() {
    let authority = Authority::new();
    let server = Server::new(authority.files(&["localhost"])).await;
    let config = Arc::new(authority.client(None));
    let sent: Arc<[u8]> = (0..3_000_000_u32).map(|n| (n / 7) as u8).collect();
    let (address, wanted) = (server.address(), Arc::clone(&sent));
    let client = std::thread::spawn(move || {
        let mut client = dial(address, &config, "localhost");
        // Comes with the end of the handshake, and nothing is read before it has been answered: the server's socket is full.
        client.write_all(b"hello").unwrap();
        client.flush().unwrap();
        let mut read = vec![0; wanted.len()];
        client.read_exact(&mut read).unwrap();
        assert!(read == *wanted);
        client.write_all(&wanted).unwrap();
        // Without close_notify this is an error.
        assert_eq!(client.read(&mut read).unwrap(), 0);
    });
    let (stream, _) = server.listener.accept().await.unwrap();
    let certificates = server.layers.tls.as_ref().unwrap();
    let mut stream = crate::TlsStream::open(stream, certificates, &Pool::default()).await.unwrap();
    let mut hello = [0; 5];
    // A byte at a time, of what was opened at once.
    for byte in hello.chunks_mut(1) {
        stream.read_exact(byte).await.unwrap();
    }
    assert_eq!(&hello, b"hello");
    stream.write_all(&sent).await.unwrap();
    let mut read = vec![0; sent.len()];
    stream.read_exact(&mut read).await.unwrap();
    assert!(read == *sent);
    stream.shutdown().await.unwrap();
    client.join().unwrap();
}

/// All that the client still has to say is one write; then it waits with its socket open.
#[tokio::test]
async fn what_comes_with_a_goodbye_is_read_before_the_end_and_the_goodbye_is_answered() {
    let authority = Authority::new();
    let server = Server::new(authority.files(&["localhost"])).await;
    let config = Arc::new(authority.client(None));
    for with_handshake in [true, false] {
        let (address, config) = (server.address(), Arc::clone(&config));
        let client = std::thread::spawn(move || {
            let Client { mut conn, mut sock } = dial(address, &config, "localhost");
            conn.write_tls(&mut sock).unwrap();
            while conn.is_handshaking() {
                conn.read_tls(&mut sock).unwrap();
                conn.process_new_packets().unwrap();
            }
            if !with_handshake {
                conn.complete_io(&mut sock).unwrap();
            }
            conn.writer().write_all(b"bye").unwrap();
            conn.send_close_notify();
            let mut bytes = Vec::new();
            conn.write_tls(&mut bytes).unwrap();
            sock.write_all(&bytes).unwrap();
            // Without close_notify this is an error.
            assert_eq!(StreamOwned::new(conn, sock).read(&mut [0; 8]).unwrap(), 0);
        });
        let transport = server.accept().await.unwrap().transport;
        let mut read = BytesMut::new();
        while transport.read(&mut read, 64).await.unwrap() > 0 {}
        assert_eq!(&*read, b"bye");
        transport.say_goodbye();
        drop(transport);
        client.join().unwrap();
    }
}

/// Who is told to go may be sending all the while, and is to read why.
#[tokio::test]
async fn what_comes_after_our_goodbye_is_thrown_away_until_the_peer_has_closed() {
    let authority = Authority::new();
    let server = Server::new(authority.files(&["localhost"])).await;
    let (address, config) = (server.address(), Arc::new(authority.client(None)));
    let (wait, waited) = std::sync::mpsc::channel();
    let (go_on, may_go_on) = std::sync::mpsc::channel();
    let client = std::thread::spawn(move || {
        let mut client = dial(address, &config, "localhost");
        client.write_all(b"hello").unwrap();
        may_go_on.recv().unwrap();
        client.write_all(b"more").unwrap();
        wait.send(()).unwrap();
        may_go_on.recv().unwrap();
        let mut read = Vec::new();
        client.read_to_end(&mut read).unwrap();
        assert_eq!(read, b"go");
    });
    let transport = server.accept().await.unwrap().transport;
    let mut read = BytesMut::new();
    transport.read(&mut read, 64).await.unwrap();
    transport.write_all(b"go").await.unwrap();
    transport.shut_down();
    go_on.send(()).unwrap();
    waited.recv().unwrap();
    read.clear();
    assert!(transport.read_now(&mut read, 64).is_none(), "the peer has not closed");
    go_on.send(()).unwrap();
    assert_eq!(transport.read(&mut read, 64).await.unwrap(), 0);
    assert!(read.is_empty());
    client.join().unwrap();
}
