//! Whose certificate is no longer good.

use rcgen::{CertificateRevocationListParams, RevokedCertParams, date_time_ymd};
use rustls::HandshakeKind;

use super::*;

/// After all that is signed here.
const NEVER: i32 = 4090;

impl Authority {
    /// Writes a list of those whose certificates are revoked, which is good until that year.
    fn revoke(&self, names: &[&str], year: i32) -> PathBuf {
        let revoked = names.iter().map(|name| RevokedCertParams {
            serial_number: name.as_bytes().to_vec().into(),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(year, 1, 1),
            crl_number: 1_u64.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        let path = self.folder.path().join("crl.pem");
        std::fs::write(&path, list.signed_by(&self.issuer).unwrap().pem().unwrap()).unwrap();
        path
    }

    fn asking(&self, revoked: PathBuf) -> Files {
        Files { verify: Verify::Required, revoked: Some(revoked), ..self.files(&["localhost"]) }
    }
}

/// Whether one with this configuration is let in, and how.
async fn come_in(server: &Server, config: &Arc<ClientConfig>) -> Option<(Transport, HandshakeKind)> {
    let (config, address) = (Arc::clone(config), server.address());
    let client = std::thread::spawn(move || {
        let mut client = dial(address, &config, "localhost");
        let _ = client.write_all(b"x");
        client.read_exact(&mut [0]).is_ok().then(|| client.conn.handshake_kind()).flatten()
    });
    let open = server.accept().await.ok();
    if let Some(open) = &open {
        open.transport.write_all(b"y").await.unwrap();
    }
    let kind = client.join().unwrap();
    Some((open?.transport, kind?))
}

impl Server {
    fn refresh(&self) -> Refreshed {
        self.layers.tls.as_ref().unwrap().refresh().unwrap()
    }
}

#[tokio::test]
async fn who_is_revoked_is_trusted_no_more_however_it_came_in() {
    let authority = Authority::new();
    let server = Server::new(authority.asking(authority.revoke(&["somebody"], NEVER))).await;
    let [one, other] = ["one", "other"].map(|name| Arc::new(authority.client(Some(authority.sign(name)))));
    let (first, kind) = come_in(&server, &one).await.unwrap();
    assert_eq!(kind, HandshakeKind::Full);
    let (back, kind) = come_in(&server, &one).await.unwrap();
    assert_eq!(kind, HandshakeKind::Resumed);
    let (beside, _) = come_in(&server, &other).await.unwrap();
    assert!([&first, &back, &beside].iter().all(|transport| transport.is_trusted()));
    authority.revoke(&["somebody", "one"], NEVER);
    assert_eq!(server.refresh(), Refreshed::Trust);
    assert!(!first.is_trusted() && !back.is_trusted() && beside.is_trusted());
    // Its ticket is worth nothing.
    assert!(come_in(&server, &one).await.is_none());
    assert!(come_in(&server, &other).await.is_some());
    // The certificate that is shown is another: nothing is asked of clients that was not before.
    authority.sign("localhost");
    assert_eq!(server.refresh(), Refreshed::Shown);
    assert!(!first.is_trusted() && beside.is_trusted());
}

#[tokio::test]
async fn who_is_signed_by_an_authority_that_is_taken_out_is_trusted_no_more() {
    let authority = Authority::new();
    let server = Server::new(Files { verify: Verify::Optional, ..authority.files(&["localhost"]) }).await;
    let (named, _) = come_in(&server, &Arc::new(authority.client(Some(authority.sign("one"))))).await.unwrap();
    let (nameless, _) = come_in(&server, &Arc::new(authority.client(None))).await.unwrap();
    std::fs::write(authority.folder.path().join("ca.pem"), Authority::new().certificate).unwrap();
    assert_eq!(server.refresh(), Refreshed::Trust);
    assert!(!named.is_trusted());
    assert!(nameless.is_trusted(), "it has shown nothing that could be bad");
}

#[tokio::test]
async fn who_came_in_by_others_is_held_to_those_that_they_follow() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = Server::new(authority.asking(authority.revoke(&["somebody"], NEVER))).await;
    let (inside, _) = come_in(&server, &Arc::new(authority.client(Some(authority.sign("one"))))).await.unwrap();
    let certificates = server.layers.tls.as_ref().unwrap();
    let load = |files| Certificates::load(files, TicketKeys::open(None)).unwrap();
    certificates.follow(&load(Files { verify: Verify::Required, ..authority.files(&["localhost"]) }));
    assert!(inside.is_trusted());
    certificates.follow(&load(Files { verify: Verify::Required, ..other.files(&["localhost"]) }));
    assert_eq!(server.refresh(), Refreshed::No, "they have been read");
    assert!(!inside.is_trusted());
}

#[tokio::test]
async fn a_list_that_is_out_of_date_holds_or_lets_nobody_in_as_is_said() {
    let authority = Authority::new();
    let one = Arc::new(authority.client(Some(authority.sign("one"))));
    for refuses_stale in [false, true] {
        let files = Files { refuses_stale, ..authority.asking(authority.revoke(&["somebody"], NEVER)) };
        let server = Server::new(files).await;
        let certificates = server.layers.tls.as_ref().unwrap();
        assert!(certificates.stale_at().unwrap() > std::time::SystemTime::now());
        let (inside, _) = come_in(&server, &one).await.unwrap();
        authority.revoke(&["somebody"], 2021);
        assert_eq!(server.refresh(), Refreshed::Trust);
        assert!(certificates.stale_at().unwrap() < std::time::SystemTime::now());
        assert_eq!(come_in(&server, &one).await.is_none(), refuses_stale);
        assert!(inside.is_trusted());
    }
}
