//! What is kept of a password.

use std::num::NonZeroU32;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Algorithm, Context, SHA256, SHA512};
use aws_lc_rs::pbkdf2::{self, PBKDF2_HMAC_SHA512};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// What is kept of a password: it tells whether a secret is right, and not what would be. As text, in one of these forms:
///
/// - `$argon2id$...`, a PHC string, which has its cost in it
/// - `$7$ITERATIONS$SALT$HASH`, mosquitto's PBKDF2 with HMAC-SHA-512
/// - `$6$SALT$HASH`, mosquitto's SHA-512 of password and salt
/// - `$emqx-sha256$SALT$HASH`, `$emqx-sha512$SALT$HASH`, EMQ X's, of salt and password
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hash(Box<str>);

/// Why a text is no [`Hash`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Wrong {
    #[error("the password stands there as it is: let `mosquitto_passwd -U FILE` hash it")]
    Plain,
    #[error("a hash of a kind that is not known: wants $argon2id$, $7$ or $6$, as mosquitto_passwd writes them")]
    Kind,
    #[error("the hash is not whole: give this user a password anew, with mosquitto_passwd FILE NAME")]
    Form,
}

/// The cost of no password.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// More would let one login take seconds.
const MAX_ITERATIONS: u32 = 2_000_000;

/// The same for Argon2: KiB, and passes over them.
const MAX_MEMORY: u32 = 256 << 10;
const MAX_PASSES: u32 = 16;

/// A hash in its parts.
enum Form<'a> {
    Argon2(Box<PasswordHash>),
    Pbkdf2 { iterations: NonZeroU32, salt: Vec<u8>, hash: Vec<u8>, head: &'a str },
    Sha512 { salt: Vec<u8>, hash: Vec<u8> },
    Emqx { algorithm: &'static Algorithm, name: &'static str, salt: Vec<u8>, hash: Vec<u8> },
}

impl Hash {
    /// Of a new password: Argon2id (19 MiB, 2 passes, 1 lane, as OWASP has it), some 20 ms.
    pub(crate) fn of(password: &[u8]) -> Result<Self, String> {
        let hash = Argon2::default().hash_password(password).map_err(|error| error.to_string())?;
        Ok(Self(hash.to_string().into()))
    }

    /// From its text.
    pub(crate) fn parse(text: &str) -> Result<Self, Wrong> {
        Form::read(text)?;
        Ok(Self(text.into()))
    }

    /// Its text, which tells it from any other: it is salted.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Of nobody's password: no secret is right, and to find that out costs as much as a new password.
    pub(crate) fn nobody() -> Self {
        Self(NOBODY.into())
    }

    /// The same, and it costs as much as this one.
    pub(crate) fn nobody_like(&self) -> Self {
        match Form::read(&self.0) {
            Ok(Form::Pbkdf2 { head, hash, .. }) => {
                Self(format!("{head}${}", BASE64_STANDARD.encode(vec![0; hash.len()])).into())
            }
            Ok(Form::Sha512 { hash, .. }) => {
                Self(format!("$6$AAAA${}", BASE64_STANDARD.encode(vec![0; hash.len()])).into())
            }
            Ok(Form::Emqx { name, hash, .. }) => {
                Self(format!("${name}$AAAA${}", BASE64_STANDARD.encode(vec![0; hash.len()])).into())
            }
            Ok(Form::Argon2(_)) | Err(_) => Self::nobody(),
        }
    }

    /// Takes its time.
    pub(crate) fn is_of(&self, secret: &[u8]) -> bool {
        match Form::read(&self.0) {
            Ok(Form::Argon2(hash)) => Argon2::default().verify_password(secret, &*hash).is_ok(),
            Ok(Form::Pbkdf2 { iterations, salt, hash, .. }) => {
                pbkdf2::verify(PBKDF2_HMAC_SHA512, iterations, &salt, secret, &hash).is_ok()
            }
            Ok(Form::Sha512 { salt, hash }) => {
                let mut found = Context::new(&SHA512);
                found.update(secret);
                found.update(&salt);
                verify_slices_are_equal(found.finish().as_ref(), &hash).is_ok()
            }
            Ok(Form::Emqx { algorithm, salt, hash, .. }) => {
                let mut found = Context::new(algorithm);
                found.update(&salt);
                found.update(secret);
                verify_slices_are_equal(found.finish().as_ref(), &hash).is_ok()
            }
            Err(_) => false,
        }
    }
}

/// EMQ X's kinds that are still to be had; md5 and sha are not.
const EMQX: [(&str, &Algorithm); 2] = [("emqx-sha256", &SHA256), ("emqx-sha512", &SHA512)];

impl<'a> Form<'a> {
    fn read(text: &'a str) -> Result<Self, Wrong> {
        if text.starts_with("$argon2id$") {
            let hash = PasswordHash::new(text).map_err(|_| Wrong::Form)?;
            let is_at_most = |name: &str, max: u32| hash.params.get_decimal(name).is_some_and(|number| number <= max);
            let is_bounded = is_at_most("m", MAX_MEMORY) && is_at_most("t", MAX_PASSES) && hash.hash.is_some();
            return if is_bounded { Ok(Self::Argon2(Box::new(hash))) } else { Err(Wrong::Form) };
        }
        let base64 = |text: &str| BASE64_STANDARD.decode(text).map_err(|_| Wrong::Form);
        let hash =
            |text: &str| base64(text).and_then(|hash| if hash.len() == 64 { Ok(hash) } else { Err(Wrong::Form) });
        if let Some(rest) = text.strip_prefix("$7$") {
            let (iterations, rest) = rest.split_once('$').ok_or(Wrong::Form)?;
            let (salt, end) = rest.split_once('$').ok_or(Wrong::Form)?;
            let iterations: NonZeroU32 = iterations.parse().map_err(|_| Wrong::Form)?;
            if iterations.get() > MAX_ITERATIONS {
                return Err(Wrong::Form);
            }
            let head = &text[..text.len() - end.len() - 1];
            return Ok(Self::Pbkdf2 { iterations, salt: base64(salt)?, hash: hash(end)?, head });
        }
        if let Some(rest) = text.strip_prefix("$6$") {
            let (salt, end) = rest.split_once('$').ok_or(Wrong::Form)?;
            return Ok(Self::Sha512 { salt: base64(salt)?, hash: hash(end)? });
        }
        for (name, algorithm) in EMQX {
            let Some(rest) = text.strip_prefix('$').and_then(|text| text.strip_prefix(name)?.strip_prefix('$')) else {
                continue;
            };
            let (salt, end) = rest.split_once('$').ok_or(Wrong::Form)?;
            let (salt, hash) = (base64(salt)?, base64(end)?);
            let is_whole = hash.len() == algorithm.output_len();
            return if is_whole { Ok(Self::Emqx { algorithm, name, salt, hash }) } else { Err(Wrong::Form) };
        }
        Err(if text.starts_with('$') { Wrong::Kind } else { Wrong::Plain })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `mosquitto_passwd` of Debian's mosquitto 2.0.11 wrote them.
    const SHA512: &str =
        "$6$VlkC7ZHaTbd0wkw6$367GPFpeTP8NIzeX+he4saCIQGJOH4PN3BYopztLTutpuyR6GEjXmq+ddCaA1H1JeKLRjrZ4NGjXJUvRq3CT/g==";
    const PBKDF2: &str = "$7$101$C4y3BS9gnheJWuGe$QMdySbJ/DRK7drFNQZXqCAx/EcniSVGzS4CxOH+FzZz50NWooKKr3QF3IMy9ltViye+40i2qA5B70kRSGSVKiA==";

    /// As EMQ X 4.3 keeps it: salt `aabbccdd`, and the digits of SHA-256 of that and "alicepass".
    const EMQX_SHA256: &str = "$emqx-sha256$qrvM3Q==$NYoyeFH28lUq7j3+4flJkkGyS7wW4xijXsLryn8pvbk=";

    #[test]
    fn a_password_is_known_by_its_hash_and_another_is_not() {
        let own = Hash::of(b"correct horse").unwrap();
        assert_ne!(Hash::of(b"correct horse").unwrap(), own, "salted");
        for (hash, password) in
            [(own.as_str(), "correct horse"), (SHA512, "secret"), (PBKDF2, "other pass"), (EMQX_SHA256, "alicepass")]
        {
            let hash = Hash::parse(hash).unwrap();
            assert!(hash.is_of(password.as_bytes()), "{hash:?}");
            assert!(!hash.is_of(&password.as_bytes()[1..]) && !hash.is_of(b""), "{hash:?}");
        }
    }

    #[test]
    fn what_is_no_hash_says_why() {
        let long = PBKDF2.replace("101", "2000001");
        for (text, expected) in [
            ("secret", Wrong::Plain),
            ("", Wrong::Plain),
            ("$5$x$y", Wrong::Kind),
            ("$6$x", Wrong::Form),
            ("$6$VlkC7ZHaTbd0wkw6$367G", Wrong::Form),
            ("$7$0$C4y3BS9gnheJWuGe$QMdySbJ/", Wrong::Form),
            (&long, Wrong::Form),
            ("$7$101$", Wrong::Form),
            ("$emqx-md5$qrvM3Q==$AAAA", Wrong::Kind),
            ("$emqx-sha256$qrvM3Q==$AAAA", Wrong::Form),
            ("$argon2id$", Wrong::Form),
            (&NOBODY.replace("19456", "4000000"), Wrong::Form),
            (&NOBODY.replace("t=2", "t=99"), Wrong::Form),
        ] {
            assert_eq!(Hash::parse(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn nobody_costs_what_somebody_costs() {
        let params = |hash: &Hash| PasswordHash::new(&hash.0).expect("well formed").params;
        assert_eq!(params(&Hash::nobody()), params(&Hash::of(b"x").unwrap()));
        assert!(!Hash::nobody().is_of(b""));
        for (text, like) in [(SHA512, "$6$"), (PBKDF2, "$7$101$C4y3BS9gnheJWuGe$"), (EMQX_SHA256, "$emqx-sha256$")] {
            let nobody = Hash::parse(text).unwrap().nobody_like();
            assert!(nobody.as_str().starts_with(like) && Hash::parse(nobody.as_str()).is_ok(), "{nobody:?}");
            assert!(!nobody.is_of(b"secret"));
        }
    }
}
