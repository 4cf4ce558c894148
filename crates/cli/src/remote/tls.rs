//! TLS towards the admin port: whom we take for it, and who we say we are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_rustls::TlsConnector;

use crate::failure::Failure;
use crate::reach::Reach;

/// Where systems keep the certificates of authorities that everybody trusts.
const SYSTEM_ROOTS: &[&str] =
    &["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Whom we take for the broker.
pub(crate) enum Trust<'a> {
    /// Who shows one of these certificates, DER in base64: the broker that runs here has left them for us.
    Pinned(&'a [String]),
    /// Who shows one for its name, signed by an authority.
    Signed,
}

/// Makes TLS for a broker.
pub(crate) fn connector(trust: &Trust<'_>, reach: &Reach) -> Result<TlsConnector, Failure> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| Failure::Usage(error.to_string()))?;
    let builder = match (trust, &reach.cafile) {
        (_, Some(file)) => builder.with_root_certificates(roots(file, "--cafile")?),
        (Trust::Pinned(certificates), None) => {
            let pins = certificates.iter().filter_map(|text| BASE64_STANDARD.decode(text).ok()).collect();
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Pinned { pins, provider }))
        }
        (Trust::Signed, None) => builder.with_root_certificates(system_roots()?),
    };
    let config = match &reach.cert {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let chain = certificates(file, "--cert")?;
            let (key, flag) = reach.cert_key.as_ref().map_or((file, "--cert"), |key| (key, "--cert-key"));
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, flag, &error))?;
            let config = builder.with_client_auth_cert(chain, key);
            config.map_err(|error| Failure::Usage(format!("--cert {}: {error}", file.display())))?
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

fn system_roots() -> Result<RootCertStore, Failure> {
    let file = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let file = file.or_else(|| SYSTEM_ROOTS.iter().map(PathBuf::from).find(|path| path.is_file()));
    let Some(file) = file else {
        let why = "this system has no file of authorities where we look: give --cafile FILE, with who signed the broker's certificate";
        return Err(Failure::Usage(why.to_owned()));
    };
    roots(&file, "authorities in")
}

fn roots(file: &Path, what: &str) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates(file, what)?);
    if added == 0 {
        return Err(unreadable(file, what, &"there is no certificate in it, in PEM"));
    }
    Ok(roots)
}

fn certificates(file: &Path, what: &str) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let all = CertificateDer::pem_file_iter(file).and_then(|all| all.collect::<Result<Vec<_>, _>>());
    all.map_err(|error| unreadable(file, what, &error))
}

fn unreadable(file: &Path, what: &str, why: &dyn std::fmt::Display) -> Failure {
    Failure::Usage(format!("{what} {}: {why}", file.display()))
}

/// Takes these certificates and no others, whatever name they are for and however old they are.
#[derive(Debug)]
struct Pinned {
    pins: Vec<Vec<u8>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.pins.iter().any(|pin| pin.as_slice() == shown.as_ref()) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    // That it has the certificate's key is shown by these.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, shown, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, shown, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
