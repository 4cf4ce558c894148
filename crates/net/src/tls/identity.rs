//! Who we are, and who clients have to be: certificates, keys and lists of revoked ones, as files.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert, VerifierBuilderError,
};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

use crate::tls::certificate::end_of;
use crate::tls::tickets::{TicketKeys, Tickets};
use crate::tls::trust::Trust;

/// One ticket is enough to come back with: who comes back gets a new one.
const TICKETS: usize = 1;

/// Whether clients have to show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// They aren't asked.
    #[default]
    None,
    /// One that is shown has to be good.
    Optional,
    /// There has to be one, and it has to be good.
    Required,
}

/// What TLS at a listener is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Certificates with their chains, PEM. The first is shown to who asks for no name, or for one that none is for.
    pub certificates: Vec<PathBuf>,
    /// Their keys, PEM, in the same order.
    pub keys: Vec<PathBuf>,
    /// Who signs clients' certificates, PEM.
    pub authorities: Option<PathBuf>,
    /// Revoked clients' certificates, PEM.
    pub revoked: Option<PathBuf>,
    /// Nobody with a certificate comes in by a list of revoked ones that is out of date.
    pub refuses_stale: bool,
    /// Whether clients have to show one.
    pub verify: Verify,
}

/// Why TLS can't begin with these files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file can't be read, or is no PEM.
    #[error("{path:?}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        source: pem::Error,
    },
    /// There is nothing of the kind in it.
    #[error("{path:?}: there is no {what} in it, in PEM")]
    Empty {
        /// Which.
        path: PathBuf,
        /// What is looked for.
        what: &'static str,
    },
    /// It is not the key of this certificate, or of a kind that is not known.
    #[error("{key:?} is no key for {certificate:?}: {source}")]
    Key {
        /// Which.
        key: PathBuf,
        /// For which.
        certificate: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// As many keys as certificates are wanted, and at least one.
    #[error("{certificates} certificates and {keys} keys: wants a key for each certificate, in the same order")]
    Uneven {
        /// How many.
        certificates: usize,
        /// How many.
        keys: usize,
    },
    /// Clients can't be asked for certificates without saying who signs them.
    #[error("clients are asked for certificates, and who signs them is missing")]
    NoAuthority,
    /// An authority's certificate or a list of revoked ones is not what it should be.
    #[error("{path:?}: {source}")]
    Authority {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// The same.
    #[error("{path:?}: {source}")]
    Revoked {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        source: VerifierBuilderError,
    },
    /// What rustls says to all of it.
    #[error(transparent)]
    Tls(rustls::Error),
}

/// Certificates in use, which may be replaced while clients are connected.
pub struct Certificates {
    files: Mutex<Files>,
    tickets: Arc<TicketKeys>,
    used: ArcSwap<Used>,
    /// How the files were when they were last read.
    seen: Mutex<Vec<Option<Stamp>>>,
}

/// What the files came to when they were last read.
struct Used {
    config: Arc<ServerConfig>,
    trust: Arc<Trust>,
    expires_at: Option<SystemTime>,
    /// Our own, without their chains, DER.
    own: Vec<Vec<u8>>,
}

/// What has changed since the files were last read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// Nothing.
    No,
    /// What is shown to clients.
    Shown,
    /// What is asked of clients too: some who are connected may not [be trusted](crate::Transport::is_trusted) any more.
    Trust,
}

/// Tells whether a file is another one, or has been written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    written: Option<SystemTime>,
    length: u64,
    number: u64,
}

impl Stamp {
    /// `None`: it can't be found.
    fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        Some(Self { written: found.modified().ok(), length: found.len(), number: found.ino() })
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("files", &*self.files.lock()).finish_non_exhaustive()
    }
}

impl Certificates {
    /// Reads all of them.
    ///
    /// # Errors
    /// One can't be read, or they don't fit together.
    pub fn load(files: Files, tickets: Arc<TicketKeys>) -> Result<Self, TlsError> {
        // Before they are read: who writes to one meanwhile has it read again.
        let seen = Mutex::new(files.stamps());
        let used = ArcSwap::from_pointee(Used::read(&files, &tickets)?);
        Ok(Self { files: Mutex::new(files), tickets, used, seen })
    }

    /// Reads all of them again if one has changed. Who connects from now on meets the new ones. If what is asked of clients'
    /// certificates is another, sessions can't be resumed: what is revoked now is revoked for all.
    ///
    /// # Errors
    /// As [`Self::load`]; then the old ones stay in use until one changes again.
    pub fn refresh(&self) -> Result<Refreshed, TlsError> {
        let mut seen = self.seen.lock();
        let files = self.files.lock().clone();
        let now = files.stamps();
        if *seen == now {
            return Ok(Refreshed::No);
        }
        *seen = now;
        let mut used = Used::read(&files, &self.tickets)?;
        let trusted = self.trust();
        let is_same = trusted.digest() == used.trust.digest();
        if is_same {
            // So that nobody who is connected is looked at again for nothing.
            used.trust = trusted;
        }
        self.used.store(Arc::new(used));
        Ok(if is_same { Refreshed::Shown } else { Refreshed::Trust })
    }

    /// Becomes what another one is: who has come in by this one is held to what is asked by that one.
    pub fn follow(&self, other: &Self) {
        let mut seen = self.seen.lock();
        *self.files.lock() = other.files.lock().clone();
        // It has read them.
        seen.clone_from(&other.seen.lock());
        self.used.store(other.used.load_full());
    }

    /// When the first of our own is no longer good.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.used.load().expires_at
    }

    /// When the first list of revoked certificates is out of date.
    pub fn stale_at(&self) -> Option<SystemTime> {
        self.used.load().trust.stale_at()
    }

    /// Our own, each without its chain, DER: what peers are shown.
    pub fn own(&self) -> Vec<Vec<u8>> {
        self.used.load().own.clone()
    }

    /// For a handshake: what it goes by, and whom it trusts.
    pub(crate) fn in_use(&self) -> (Arc<ServerConfig>, Arc<Trust>) {
        let used = self.used.load();
        (Arc::clone(&used.config), Arc::clone(&used.trust))
    }

    pub(crate) fn trust(&self) -> Arc<Trust> {
        Arc::clone(&self.used.load().trust)
    }

    pub(crate) fn asks_for_one(&self) -> bool {
        self.files.lock().verify != Verify::None
    }
}

impl Files {
    fn stamps(&self) -> Vec<Option<Stamp>> {
        let Self { certificates, keys, authorities, revoked, .. } = self;
        certificates.iter().chain(keys).chain(authorities).chain(revoked).map(|path| Stamp::of(path)).collect()
    }
}

impl Used {
    fn read(files: &Files, keys: &Arc<TicketKeys>) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let shown = Shown::load(files, &provider)?;
        let expires_at = shown.0.iter().filter_map(|shown| end_of(shown.cert.first()?)).min();
        let own = shown.0.iter().filter_map(|shown| Some(shown.cert.first()?.to_vec())).collect();
        let trust = Arc::new(Trust::read(files, &provider)?);
        let builder = ServerConfig::builder_with_provider(provider);
        let builder = builder.with_protocol_versions(&[&TLS13, &TLS12]).map_err(TlsError::Tls)?;
        let mut config = match trust.verifier() {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(verifier),
        }
        .with_cert_resolver(Arc::new(shown));
        // Sessions are remembered by the clients, sealed in tickets: a table of them here would be full at the wrong time.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        let until = trust.stale_at().filter(|_| files.refuses_stale);
        config.ticketer = Arc::new(Tickets { keys: Arc::clone(keys), trust: *trust.digest(), until });
        config.send_tls13_tickets = TICKETS;
        Ok(Self { config: Arc::new(config), trust, expires_at, own })
    }
}

pub(super) fn pem_of<T: PemObject>(path: &Path, what: &'static str) -> Result<Vec<T>, TlsError> {
    let wrong = |source| TlsError::File { path: path.to_owned(), source };
    let all = T::pem_file_iter(path).map_err(wrong)?.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    if all.is_empty() { Err(TlsError::Empty { path: path.to_owned(), what }) } else { Ok(all) }
}

/// What is shown to clients, by the name that they ask for.
#[derive(Debug)]
struct Shown(Vec<Arc<CertifiedKey>>);

impl Shown {
    fn load(files: &Files, provider: &CryptoProvider) -> Result<Self, TlsError> {
        let Files { certificates, keys, .. } = files;
        if certificates.is_empty() || certificates.len() != keys.len() {
            return Err(TlsError::Uneven { certificates: certificates.len(), keys: keys.len() });
        }
        let all = certificates.iter().zip(keys).map(|(certificate, key)| {
            let chain = pem_of::<CertificateDer<'_>>(certificate, "certificate")?;
            let secret = PrivateKeyDer::from_pem_file(key).map_err(|source| match source {
                pem::Error::NoItemsFound => TlsError::Empty { path: key.clone(), what: "private key" },
                source => TlsError::File { path: key.clone(), source },
            })?;
            let fits = CertifiedKey::from_der(chain, secret, provider);
            let (key, certificate) = (key.clone(), certificate.clone());
            fits.map(Arc::new).map_err(|source| TlsError::Key { key, certificate, source })
        });
        all.collect::<Result<_, _>>().map(Self)
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| ServerName::try_from(name).ok()).and_then(|name| {
            self.0.iter().find(|shown| {
                let parsed = shown.cert.first().map(ParsedCertificate::try_from);
                parsed.is_some_and(|parsed| parsed.is_ok_and(|parsed| verify_server_name(&parsed, &name).is_ok()))
            })
        });
        named.or(self.0.first()).cloned()
    }
}
