//! Keys that tokens are signed with.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{self, ParsedPublicKey, UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;

use crate::WrongLine;

/// Keys of a file.
const MAX_KEYS: usize = 100;

/// Of a public key of 2048 bits, or less.
const MIN_RSA_BYTES: usize = 256;

/// How a token is signed. That there is no `none` among them is the point of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Es256,
    Es384,
    EdDsa,
}

/// What kind of key an algorithm takes: a public key is never taken for a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Secret,
    Rsa,
    P256,
    P384,
    Ed25519,
}

#[derive(Debug)]
struct Key {
    kind: Kind,
    id: Option<String>,
    /// The only one it is for.
    algorithm: Option<Algorithm>,
    bytes: Vec<u8>,
}

/// All keys there are.
#[derive(Debug, Default)]
pub(super) struct Keys(Vec<Key>);

impl Algorithm {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "HS256" => Self::Hs256,
            "HS384" => Self::Hs384,
            "HS512" => Self::Hs512,
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "EdDSA" => Self::EdDsa,
            _ => return None,
        })
    }

    const fn kind(self) -> Kind {
        match self {
            Self::Hs256 | Self::Hs384 | Self::Hs512 => Kind::Secret,
            Self::Rs256 | Self::Rs384 | Self::Rs512 => Kind::Rsa,
            Self::Es256 => Kind::P256,
            Self::Es384 => Kind::P384,
            Self::EdDsa => Kind::Ed25519,
        }
    }

    fn verify(self, key: &[u8], signed: &[u8], signature: &[u8]) -> bool {
        let secret = |algorithm| hmac::verify(&hmac::Key::new(algorithm, key), signed, signature).is_ok();
        let public = |algorithm: &'static dyn VerificationAlgorithm| {
            UnparsedPublicKey::new(algorithm, key).verify(signed, signature).is_ok()
        };
        match self {
            Self::Hs256 => secret(hmac::HMAC_SHA256),
            Self::Hs384 => secret(hmac::HMAC_SHA384),
            Self::Hs512 => secret(hmac::HMAC_SHA512),
            Self::Rs256 => public(&signature::RSA_PKCS1_2048_8192_SHA256),
            Self::Rs384 => public(&signature::RSA_PKCS1_2048_8192_SHA384),
            Self::Rs512 => public(&signature::RSA_PKCS1_2048_8192_SHA512),
            Self::Es256 => public(&signature::ECDSA_P256_SHA256_FIXED),
            Self::Es384 => public(&signature::ECDSA_P384_SHA384_FIXED),
            Self::EdDsa => public(&signature::ED25519),
        }
    }
}

impl Kind {
    /// Of the bytes of a public key.
    fn of(bytes: &[u8]) -> Option<Self> {
        let kinds: [(Self, &'static dyn VerificationAlgorithm); 4] = [
            (Self::Ed25519, &signature::ED25519),
            (Self::P256, &signature::ECDSA_P256_SHA256_FIXED),
            (Self::P384, &signature::ECDSA_P384_SHA384_FIXED),
            (Self::Rsa, &signature::RSA_PKCS1_2048_8192_SHA256),
        ];
        let fits = |(_, algorithm): &(Self, &'static dyn VerificationAlgorithm)| {
            ParsedPublicKey::new(*algorithm, bytes).is_ok()
        };
        let kind = kinds.into_iter().find(fits).map(|(kind, _)| kind);
        // A shorter one is refused only when it is to verify something.
        kind.filter(|&kind| kind != Self::Rsa || bytes.len() >= MIN_RSA_BYTES)
    }
}

impl Keys {
    /// A text is a JWKS, or public keys in PEM.
    pub(super) fn read(text: &str) -> Result<Self, WrongLine> {
        let keys = if text.trim_start().starts_with('{') { read_jwks(text) } else { read_pem(text) }?;
        if keys.is_empty() || keys.len() > MAX_KEYS {
            let why = format!("wants 1 to {MAX_KEYS} public keys: PEM (-----BEGIN PUBLIC KEY-----) or a JWKS");
            return Err(WrongLine { line: 1, why });
        }
        Ok(Self(keys))
    }

    pub(super) fn with_secret(mut self, secret: Option<&str>) -> Self {
        let key = |secret: &str| Key { kind: Kind::Secret, id: None, algorithm: None, bytes: secret.into() };
        self.0.extend(secret.map(key));
        self
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether one of them is called so.
    pub(super) fn has(&self, id: &str) -> bool {
        self.0.iter().any(|key| key.id.as_deref() == Some(id))
    }

    /// Whether one of them has signed this. `id` is the one that the token names; a key without any may be it too.
    pub(super) fn verify(&self, algorithm: Algorithm, id: Option<&str>, signed: &[u8], signature: &[u8]) -> bool {
        let fits = |key: &&Key| {
            key.kind == algorithm.kind()
                && key.algorithm.is_none_or(|only| only == algorithm)
                && (id.is_none() || key.id.is_none() || key.id.as_deref() == id)
        };
        self.0.iter().filter(fits).any(|key| algorithm.verify(&key.bytes, signed, signature))
    }
}

fn read_pem(text: &str) -> Result<Vec<Key>, WrongLine> {
    let mut keys = Vec::new();
    let mut block: Option<(usize, String)> = None;
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        let wrong = |why: &str| WrongLine { line, why: why.to_owned() };
        match &mut block {
            None if matches!(text, "-----BEGIN PUBLIC KEY-----" | "-----BEGIN RSA PUBLIC KEY-----") => {
                block = Some((line, String::new()));
            }
            None if text.starts_with("-----BEGIN") => {
                return Err(wrong("wants public keys alone: openssl pkey -pubout makes one of a private key"));
            }
            None => {}
            Some((begin, base64)) if text.starts_with("-----END") => {
                let wrong = || WrongLine {
                    line: *begin,
                    why: "no public key for RSA from 2048 bits on, P-256, P-384 or Ed25519".to_owned(),
                };
                let bytes = BASE64_STANDARD.decode(base64).map_err(|_| wrong())?;
                let kind = Kind::of(&bytes).ok_or_else(wrong)?;
                keys.push(Key { kind, id: None, algorithm: None, bytes });
                block = None;
            }
            Some((_, base64)) => base64.push_str(text),
        }
    }
    match block {
        Some((line, _)) => Err(WrongLine { line, why: "this key has no end".to_owned() }),
        None => Ok(keys),
    }
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Jwk>,
}

/// A key of RFC 7517.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    k: Option<String>,
}

fn read_jwks(text: &str) -> Result<Vec<Key>, WrongLine> {
    let jwks: Jwks =
        serde_json::from_str(text).map_err(|error| WrongLine { line: error.line().max(1), why: error.to_string() })?;
    let for_signatures =
        jwks.keys.into_iter().filter(|key| key.purpose.as_deref().is_none_or(|purpose| purpose == "sig"));
    // Those of kinds that are not known here are for others.
    Ok(for_signatures.filter_map(Jwk::into_key).collect())
}

impl Jwk {
    fn into_key(self) -> Option<Key> {
        let decoded = |part: &Option<String>| BASE64_URL_SAFE_NO_PAD.decode(part.as_deref()?).ok();
        let (kind, bytes) = match &*self.kty {
            "oct" => (Kind::Secret, decoded(&self.k).filter(|key| !key.is_empty())?),
            kty => {
                let bytes = match kty {
                    "RSA" => rsa_key(&decoded(&self.n)?, &decoded(&self.e)?),
                    "EC" => [vec![4], decoded(&self.x)?, decoded(&self.y)?].concat(),
                    "OKP" => decoded(&self.x)?,
                    _ => return None,
                };
                (Kind::of(&bytes)?, bytes)
            }
        };
        let algorithm = match self.alg.as_deref() {
            None => None,
            // One for something that is not known here is for nothing.
            Some(name) => Some(Algorithm::from_name(name)?),
        };
        Some(Key { kind, id: self.kid, algorithm, bytes })
    }
}

/// `RSAPublicKey` of RFC 8017 in DER.
fn rsa_key(n: &[u8], e: &[u8]) -> Vec<u8> {
    let integer = |number: &[u8]| {
        let zeros = number.iter().take_while(|&&byte| byte == 0).count();
        let digits = &number[zeros..];
        // With a zero in front where it would be negative without.
        let sign: &[u8] = if digits.first().is_none_or(|&byte| byte >= 0x80) { &[0] } else { &[] };
        element(2, &[sign, digits].concat())
    };
    element(0x30, &[integer(n), integer(e)].concat())
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len();
    let bytes = len.to_be_bytes();
    let significant = &bytes[bytes.iter().take_while(|&&byte| byte == 0).count()..];
    let head = match len {
        0..0x80 => vec![tag, len as u8],
        _ => [&[tag, 0x80 | significant.len() as u8], significant].concat(),
    };
    [head, content.to_vec()].concat()
}
