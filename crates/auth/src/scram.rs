//! SCRAM-SHA-256 (RFC 5802, RFC 7677), the server's side: neither says the password, and each learns that the other knows it.

use std::num::NonZeroU32;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use aws_lc_rs::pbkdf2::{PBKDF2_HMAC_SHA256, derive};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// The method of extended authentication.
pub(crate) const METHOD: &str = "SCRAM-SHA-256";

/// RFC 7677 wants no fewer.
pub(crate) const MIN_ITERATIONS: u32 = 4_096;

/// Bytes of a message of the client's, and of its part of the nonce.
const MAX_MESSAGE: usize = 8 << 10;
const MAX_NONCE: usize = 1 << 10;

/// What is kept to check a proof. It does not make one, but whoever has it may try passwords, as fast as the iterations let them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verifier {
    pub(crate) salt: Vec<u8>,
    pub(crate) iterations: u32,
    pub(crate) stored_key: [u8; 32],
    pub(crate) server_key: [u8; 32],
}

/// It is no message of the protocol, or says something that can't be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wrong;

/// What the client begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct First {
    pub(crate) user: String,
    /// `n,,` or `y,,`, which the client repeats.
    head: String,
    bare: String,
    nonce: String,
}

/// The client is to prove that it knows the password.
#[derive(Debug)]
pub(crate) struct Challenge {
    first: First,
    nonce: String,
    /// What it is sent.
    pub(crate) message: String,
}

impl Verifier {
    /// Of a new password; takes its time.
    pub(crate) fn of(password: &[u8], salt: Vec<u8>, iterations: NonZeroU32) -> Self {
        let mut salted = [0; 32];
        derive(PBKDF2_HMAC_SHA256, iterations, &salt, password, &mut salted);
        let client_key = hmac(&salted, b"Client Key");
        Self {
            salt,
            iterations: iterations.get(),
            stored_key: sha256(&client_key),
            server_key: hmac(&salted, b"Server Key"),
        }
    }
}

impl First {
    pub(crate) fn read(message: &[u8]) -> Result<Self, Wrong> {
        let text = str::from_utf8(message).ok().filter(|text| text.len() <= MAX_MESSAGE).ok_or(Wrong)?;
        // `y`: it could bind to a channel and thinks that we can't, which is so. Nobody acts for another (`a=`).
        let bare = text.strip_prefix("n,,").or_else(|| text.strip_prefix("y,,")).ok_or(Wrong)?;
        let mut parts = bare.split(',');
        let user = parts.next().and_then(|part| part.strip_prefix("n=")).ok_or(Wrong)?;
        let nonce = parts.next().and_then(|part| part.strip_prefix("r=")).ok_or(Wrong)?;
        if nonce.is_empty() || nonce.len() > MAX_NONCE || !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Wrong);
        }
        // Extensions may follow, which are not known here and so passed over; `m=` would have to be known, and stands before.
        Ok(Self { user: name(user)?, head: text[..3].to_owned(), bare: bare.to_owned(), nonce: nonce.to_owned() })
    }

    /// `random` is our part of the nonce, printable and without a comma.
    pub(crate) fn challenge(self, verifier: &Verifier, random: &str) -> Challenge {
        let nonce = format!("{}{random}", self.nonce);
        let message = format!("r={nonce},s={},i={}", BASE64_STANDARD.encode(&verifier.salt), verifier.iterations);
        Challenge { first: self, nonce, message }
    }
}

/// `=2C` is a comma and `=3D` an equals sign, and no other stands for itself.
fn name(text: &str) -> Result<String, Wrong> {
    let mut name = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('=') {
        name.push_str(before);
        let (sign, after) = after.split_at_checked(2).ok_or(Wrong)?;
        name.push(match sign {
            "2C" => ',',
            "3D" => '=',
            _ => return Err(Wrong),
        });
        rest = after;
    }
    name.push_str(rest);
    if name.is_empty() { Err(Wrong) } else { Ok(name) }
}

impl Challenge {
    /// Returns what tells the client that we know its password too, if it has proven that it does.
    pub(crate) fn conclude(&self, verifier: &Verifier, message: &[u8]) -> Result<String, Wrong> {
        let text = str::from_utf8(message).ok().filter(|text| text.len() <= MAX_MESSAGE).ok_or(Wrong)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(Wrong)?;
        let mut parts = without_proof.split(',');
        let binding = parts.next().and_then(|part| part.strip_prefix("c=")).ok_or(Wrong)?;
        let nonce = parts.next().and_then(|part| part.strip_prefix("r=")).ok_or(Wrong)?;
        if binding != BASE64_STANDARD.encode(&self.first.head) || nonce != self.nonce {
            return Err(Wrong);
        }
        let proof: [u8; 32] =
            BASE64_STANDARD.decode(proof).ok().and_then(|proof| proof.try_into().ok()).ok_or(Wrong)?;
        let said = format!("{},{},{without_proof}", self.first.bare, self.message);
        let signature = hmac(&verifier.stored_key, said.as_bytes());
        let mut client_key = proof;
        client_key.iter_mut().zip(signature).for_each(|(byte, mask)| *byte ^= mask);
        verify_slices_are_equal(&sha256(&client_key), &verifier.stored_key).map_err(|_| Wrong)?;
        Ok(format!("v={}", BASE64_STANDARD.encode(hmac(&verifier.server_key, said.as_bytes()))))
    }
}

fn hmac(key: &[u8], data: &[u8]) -> [u8; 32] {
    let tag = sign(&Key::new(HMAC_SHA256, key), data);
    tag.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

fn sha256(data: &[u8]) -> [u8; 32] {
    digest(&SHA256, data).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677.
    #[test]
    fn the_example_of_the_rfc_is_understood() {
        let salt = BASE64_STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = Verifier::of(b"pencil", salt, NonZeroU32::new(4096).unwrap());
        let first = First::read(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO").unwrap();
        assert_eq!(first.user, "user");
        let challenge = first.challenge(&verifier, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
        let expected = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        assert_eq!(challenge.message, expected);
        let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let expected = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert_eq!(challenge.conclude(&verifier, last.as_bytes()).as_deref(), Ok(expected));
        let other = Verifier::of(b"pencils", verifier.salt.clone(), NonZeroU32::new(4096).unwrap());
        assert_eq!(challenge.conclude(&other, last.as_bytes()), Err(Wrong));
        for wrong in [
            last.replace("biws", "eSws"),
            last.replace("k0,p=", "k1,p="),
            last.replace("p=dH", "p=eH"),
            last.replace(",p=", ",x=1,p="),
            "c=biws,r=x".to_owned(),
            "c=biws,r=x,p=AA==".to_owned(),
            String::new(),
        ] {
            assert_eq!(challenge.conclude(&verifier, wrong.as_bytes()), Err(Wrong), "{wrong}");
        }
    }

    #[test]
    fn only_what_begins_right_is_challenged() {
        let user = |message: &str| First::read(message.as_bytes()).map(|first| first.user);
        assert_eq!(user("y,,n=a=2Cb=3D,r=x,ext=1").as_deref(), Ok("a,b="));
        for wrong in [
            "",
            "n,,",
            "n,,n=a",
            "n,,n=,r=x",
            "n,,n=a,r=",
            "n,,n=a,r=x y",
            "n,,n=a=2c,r=x",
            "n,,n=a=,r=x",
            "n,,m=x,n=a,r=x",
            "n,a=b,n=a,r=x",
            "p=tls-unique,,n=a,r=x",
            "n,,r=x,n=a",
            "n,,n=a=é,r=x",
        ] {
            assert_eq!(user(wrong), Err(Wrong), "{wrong:?}");
        }
    }
}
