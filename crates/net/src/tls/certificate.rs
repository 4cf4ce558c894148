//! What stands in a certificate.

use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use x509_cert::Certificate;
use x509_cert::crl::CertificateList;
use x509_cert::der::asn1::{Any, ObjectIdentifier};
use x509_cert::der::{Decode as _, Tag, Tagged as _};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// A name that a client's certificate can be known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// The common name of its subject.
    CommonName,
    /// Its whole subject, as RFC 4514 writes it.
    Subject,
    /// The first DNS name it is for.
    Dns,
    /// The first URI it is for.
    Uri,
    /// Its SHA-256, in lower-case hexadecimal digits.
    Fingerprint,
}

/// Reads this name out of a certificate, DER. `None`: it has none of the kind, or one that is no text.
pub(crate) fn name_of(certificate: &[u8], named: Named) -> Option<String> {
    if named == Named::Fingerprint {
        let digits = digest(&SHA256, certificate);
        return Some(digits.as_ref().iter().map(|byte| format!("{byte:02x}")).collect());
    }
    let parsed = Certificate::from_der(certificate).ok()?;
    let inner = parsed.tbs_certificate();
    let name = match named {
        Named::Subject => inner.subject().to_string(),
        Named::CommonName => common_name(inner.subject())?,
        Named::Dns | Named::Uri => {
            let (_, names) = inner.get_extension::<SubjectAltName>().ok()??;
            names.0.iter().find_map(|name| match (named, name) {
                (Named::Dns, GeneralName::DnsName(name)) => Some(name.as_str().to_owned()),
                (Named::Uri, GeneralName::UniformResourceIdentifier(uri)) => Some(uri.as_str().to_owned()),
                _ => None,
            })?
        }
        Named::Fingerprint => return None,
    };
    // What has a NUL in it is nobody's name; it would be cut off somewhere.
    (!name.is_empty() && !name.contains('\0')).then_some(name)
}

/// The parts of the subject of a certificate, DER, with their names as RFC 4514 writes them (`CN`, `OU`), in the order in which they
/// stand there. What has no such name, or is no text, is left out.
pub fn subject_of(certificate: &[u8]) -> Vec<(&'static str, String)> {
    let Ok(parsed) = Certificate::from_der(certificate) else { return Vec::new() };
    let attributes = parsed.tbs_certificate().subject().iter();
    let named = attributes.filter_map(|attribute| {
        let name = ATTRIBUTES.iter().find(|(oid, _)| *oid == attribute.oid)?.1;
        let value = text_of(&attribute.value).filter(|value| !value.contains('\0'))?;
        Some((name, value))
    });
    named.collect()
}

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// RFC 4514, section 3.
const ATTRIBUTES: [(ObjectIdentifier, &str); 8] = [
    (COMMON_NAME, "CN"),
    (ObjectIdentifier::new_unwrap("2.5.4.7"), "L"),
    (ObjectIdentifier::new_unwrap("2.5.4.8"), "ST"),
    (ObjectIdentifier::new_unwrap("2.5.4.10"), "O"),
    (ObjectIdentifier::new_unwrap("2.5.4.11"), "OU"),
    (ObjectIdentifier::new_unwrap("2.5.4.6"), "C"),
    (ObjectIdentifier::new_unwrap("0.9.2342.19200300.100.1.25"), "DC"),
    (ObjectIdentifier::new_unwrap("0.9.2342.19200300.100.1.1"), "UID"),
];

fn common_name(subject: &x509_cert::name::Name) -> Option<String> {
    text_of(subject.iter().find(|attribute| attribute.oid == COMMON_NAME).map(|attribute| &attribute.value)?)
}

fn text_of(value: &Any) -> Option<String> {
    match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String => {
            std::str::from_utf8(value.value()).ok().map(ToOwned::to_owned)
        }
        // Others are of a time when names were not in UTF-8.
        _ => None,
    }
}

/// When it is no longer good; `None`: it can't be read.
pub(crate) fn end_of(certificate: &[u8]) -> Option<SystemTime> {
    let parsed = Certificate::from_der(certificate).ok()?;
    let end: Duration = parsed.tbs_certificate().validity().not_after.to_unix_duration();
    SystemTime::UNIX_EPOCH.checked_add(end)
}

/// When a list of revoked certificates, DER, wants to be replaced; `None`: it does not say so, or can't be read.
pub(crate) fn stale_at(list: &[u8]) -> Option<SystemTime> {
    let parsed: CertificateList = CertificateList::from_der(list).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(parsed.tbs_cert_list.next_update?.to_unix_duration())
}
