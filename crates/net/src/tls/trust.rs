//! Which of clients' certificates are good.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use crate::tls::certificate::stale_at;
use crate::tls::identity::{Files, TlsError, Verify, pem_of};

/// Which of clients' certificates are good, as the files were when they were last read.
pub(crate) struct Trust {
    /// The same for the same certificates asked of clients.
    digest: [u8; 32],
    asked: Option<Asked>,
    stale_at: Option<SystemTime>,
}

struct Asked {
    /// For who comes in.
    at_the_door: Arc<dyn ClientCertVerifier>,
    /// For who is in: that a list is out of date is nothing that they have done since.
    inside: Arc<dyn ClientCertVerifier>,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").field("stale_at", &self.stale_at).finish_non_exhaustive()
    }
}

impl Trust {
    pub(super) fn read(files: &Files, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let Files { authorities, revoked, refuses_stale, verify, .. } = files;
        let digest = digest_of(files);
        if *verify == Verify::None {
            return Ok(Self { digest, asked: None, stale_at: None });
        }
        let path = authorities.as_ref().ok_or(TlsError::NoAuthority)?;
        let roots = Arc::new(roots(path)?);
        // A list is for those whom its issuer has signed; who is signed by an authority without one is good.
        let lists = match revoked {
            Some(path) => pem_of::<CertificateRevocationListDer<'_>>(path, "list of revoked certificates")?,
            None => Vec::new(),
        };
        let build = |is_strict: bool| {
            let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider));
            if !lists.is_empty() {
                builder = builder.with_crls(lists.iter().cloned()).allow_unknown_revocation_status();
            }
            if is_strict {
                builder = builder.enforce_revocation_expiration();
            }
            if *verify == Verify::Optional {
                builder = builder.allow_unauthenticated();
            }
            let path = revoked.as_ref().unwrap_or(path);
            builder.build().map_err(|source| TlsError::Revoked { path: path.clone(), source })
        };
        let inside = build(false)?;
        let at_the_door = if *refuses_stale { build(true)? } else { Arc::clone(&inside) };
        let stale_at = lists.iter().filter_map(|list| stale_at(list)).min();
        Ok(Self { digest, asked: Some(Asked { at_the_door, inside }), stale_at })
    }

    pub(super) const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// `None`: clients are asked for no certificates.
    pub(super) fn verifier(&self) -> Option<Arc<dyn ClientCertVerifier>> {
        self.asked.as_ref().map(|asked| Arc::clone(&asked.at_the_door))
    }

    /// When the first list of revoked certificates is out of date.
    pub(super) const fn stale_at(&self) -> Option<SystemTime> {
        self.stale_at
    }

    /// Whether what a client has shown, its own first, is good today.
    pub(super) fn accepts(&self, chain: &[CertificateDer<'_>]) -> bool {
        match (&self.asked, chain) {
            (Some(asked), [own, others @ ..]) => asked.inside.verify_client_cert(own, others, UnixTime::now()).is_ok(),
            // Who shows nothing was let in without, and is asked for nothing more.
            _ => true,
        }
    }
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in pem_of::<CertificateDer<'_>>(path, "certificate")? {
        roots.add(certificate).map_err(|source| TlsError::Authority { path: path.to_owned(), source })?;
    }
    Ok(roots)
}

fn digest_of(files: &Files) -> [u8; 32] {
    let Files { authorities, revoked, refuses_stale, verify, .. } = files;
    let mut all = format!("{verify:?} {refuses_stale}").into_bytes();
    for path in [authorities, revoked] {
        // They are about to be read; should one be gone by then, it is no digest of anything.
        let digest = path.as_ref().map(|path| digest(&SHA256, &std::fs::read(path).unwrap_or_default()));
        all.extend_from_slice(digest.as_ref().map_or(&[], |digest| digest.as_ref()));
    }
    let mut trust = [0; 32];
    trust.copy_from_slice(digest(&SHA256, &all).as_ref());
    trust
}
