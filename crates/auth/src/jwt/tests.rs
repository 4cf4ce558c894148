use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use mqtt_codec::{Filter, Topic};
use mqtt_hooks::testing::{NOW, Recorder, foo};
use mqtt_hooks::{Access, Hooks, Verdict};
use serde_json::{Value, json};

use super::*;

const SECRET: &str = "a secret of 32 bytes, or longer..";

fn part(value: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(value.to_string())
}

fn token(header: Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", part(&header), part(claims));
    let signature = BASE64_URL_SAFE_NO_PAD.encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn hs256(claims: &Value) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    token(json!({"alg": "HS256"}), claims, |signed| hmac::sign(&key, signed).as_ref().to_vec())
}

/// `foo`'s, for a minute.
fn claims() -> Value {
    json!({"exp": NOW / 1000 + 60, "sub": "foo"})
}

fn with(key: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[key] = value;
    claims
}

async fn start(jwt: &Jwt) -> (Arc<Hooks>, mqtt_hooks::run::Entered) {
    let (hooks, host) = (Hooks::new(), Recorder::new());
    let ctx = Ctx::new("jwt", 0, host, Arc::default());
    jwt.start(&ctx).await.unwrap();
    let entered = hooks.enter(ctx);
    (hooks, entered)
}

async fn login(jwt: &Jwt, token: &str) -> Login {
    let (hooks, _entered) = start(jwt).await;
    hooks.authenticate(&foo(), Some(token.as_bytes())).await
}

#[tokio::test]
async fn a_signed_token_lets_in_until_it_expires() {
    let jwt = Jwt::new(Some(SECRET.to_owned()), None, None);
    let Login::Allow(grant) = login(&jwt, &hs256(&claims())).await else { panic!("it is right") };
    let left = grant.expires_at.unwrap() - NOW;
    assert!(grant.rules.is_empty() && (59_000..=60_000).contains(&left), "{left}");
    assert_eq!(grant.username.as_deref(), Some("foo"));
    let wrong = Login::Deny(ReasonCode::BadUserNameOrPassword);
    for (claims, expected) in [
        (with("exp", json!(NOW / 1000)), wrong.clone()),
        (with("exp", json!("never")), wrong.clone()),
        (json!({"sub": "foo"}), wrong.clone()),
        (with("nbf", json!(NOW / 1000 + 100)), wrong.clone()),
        (with("sub", json!("other")), wrong.clone()),
        (with("username", json!("other")), wrong.clone()),
        (with("sub", json!("")), wrong.clone()),
        (with("clientid", json!("other")), Login::Deny(ReasonCode::ClientIdNotValid)),
        (with("acl", json!({"pub": ["a#"]})), wrong.clone()),
        (with("acl", json!([{"allow": true, "who": {"user": "x"}}])), wrong.clone()),
    ] {
        assert_eq!(login(&jwt, &hs256(&claims)).await, expected, "{claims}");
    }
    for nothing in ["", "secret", "a.b.c", "..", "e30.e30.e30"] {
        assert_eq!(login(&jwt, nothing).await, Login::Ignore, "{nothing:?}");
    }
}

#[tokio::test]
async fn a_token_that_is_not_signed_by_us_lets_nobody_in() {
    let jwt = Jwt::new(Some(SECRET.to_owned()), None, None);
    let good = hs256(&claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (header, _) = signed.split_once('.').unwrap();
    let other = part(&with("sub", json!("foo ")));
    let none = token(json!({"alg": "none"}), &claims(), |_| Vec::new());
    let lower = token(json!({"alg": "hs256"}), &claims(), |_| Vec::new());
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let sign = |signed: &[u8]| hmac::sign(&key, signed).as_ref().to_vec();
    let critical = token(json!({"alg": "HS256", "crit": ["x"]}), &claims(), sign);
    let named = token(json!({"alg": "HS512"}), &claims(), sign);
    for wrong in [format!("{signed}."), format!("{header}.{other}.{signature}"), none, lower, critical, named] {
        assert_eq!(login(&jwt, &wrong).await, Login::Deny(ReasonCode::BadUserNameOrPassword), "{wrong}");
    }
}

type Sign = dyn Fn(&[u8]) -> Vec<u8>;

/// A key, how it signs, and its public half in PEM and as a JWK.
struct Signer {
    algorithm: &'static str,
    sign: Box<Sign>,
    pem: String,
    jwk: Value,
}

fn pem(der: &[u8], name: &str) -> String {
    format!("-----BEGIN {name}-----\n{}\n-----END {name}-----\n", BASE64_STANDARD.encode(der))
}

/// `SubjectPublicKeyInfo` of what has a fixed head.
fn spki(head: &str, key: &[u8]) -> Vec<u8> {
    [BASE64_STANDARD.decode(head).unwrap(), key.to_vec()].concat()
}

fn signers() -> [Signer; 3] {
    let base64 = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let rsa_public = rsa.public_key().as_ref().to_vec();
    // Heads of four and of five bytes, the modulus, a head of two and 65537.
    let (n, e) = (base64(&rsa_public[9..265]), base64(&rsa_public[267..]));
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = ec.public_key().as_ref().to_vec();
    let ed = Ed25519KeyPair::generate().unwrap();
    let ed_public = ed.public_key().as_ref().to_vec();
    [
        Signer {
            algorithm: "RS256",
            sign: Box::new(move |signed| {
                let mut signature = vec![0; rsa.public_modulus_len()];
                rsa.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed, &mut signature).unwrap();
                signature
            }),
            pem: pem(&rsa_public, "RSA PUBLIC KEY"),
            jwk: json!({"kty": "RSA", "n": n, "e": e, "kid": "1", "use": "sig", "alg": "RS256"}),
        },
        Signer {
            algorithm: "ES256",
            jwk: json!({"kty": "EC", "crv": "P-256", "x": base64(&point[1..33]), "y": base64(&point[33..])}),
            pem: pem(&spki("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgA=", &point), "PUBLIC KEY"),
            sign: Box::new(move |signed| ec.sign(&SystemRandom::new(), signed).unwrap().as_ref().to_vec()),
        },
        Signer {
            algorithm: "EdDSA",
            jwk: json!({"kty": "OKP", "crv": "Ed25519", "x": base64(&ed_public), "kid": "3"}),
            pem: pem(&spki("MCowBQYDK2VwAyEA", &ed_public), "PUBLIC KEY"),
            sign: Box::new(move |signed| ed.sign(signed).as_ref().to_vec()),
        },
    ]
}

#[tokio::test]
async fn public_keys_stand_in_pem_or_in_a_jwks() {
    let folder = tempfile::tempdir().unwrap();
    let signers = signers();
    let all_pem: String = signers.iter().map(|signer| &*signer.pem).collect();
    let unknown = json!({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"});
    let jwks = json!({"keys": signers.iter().map(|signer| &signer.jwk).chain([&unknown]).collect::<Vec<_>>()});
    for (name, text) in [("pem", all_pem), ("jwks", jwks.to_string())] {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        let jwt = Jwt::new(None, Some(file), None);
        for signer in &signers {
            let sign = |kid: Option<&str>| {
                let header = json!({"alg": signer.algorithm, "kid": kid});
                token(header, &claims(), &signer.sign)
            };
            assert!(matches!(login(&jwt, &sign(None)).await, Login::Allow(_)), "{name} {}", signer.algorithm);
            // A key of another name is not this one; in PEM none has any.
            let is_other = name == "jwks" && signer.jwk["kid"] != Value::Null;
            assert_eq!(matches!(login(&jwt, &sign(Some("9"))).await, Login::Deny(_)), is_other, "{name}");
        }
        // What is public is no secret to sign with.
        let public = std::fs::read(folder.path().join(name)).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &public);
        let forged = token(json!({"alg": "HS256"}), &claims(), |signed| hmac::sign(&key, signed).as_ref().to_vec());
        assert!(matches!(login(&jwt, &forged).await, Login::Deny(_)));
    }
}

#[test]
fn a_file_without_keys_says_what_is_wrong() {
    for (text, line, needle) in [
        ("", 1, "wants 1 to 100 public keys"),
        ("x\n-----BEGIN PRIVATE KEY-----\n", 2, "public keys alone"),
        ("\n-----BEGIN PUBLIC KEY-----\nAAAA\n", 2, "no end"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", 1, "no public key"),
        ("{\n\"keys\": 3}", 2, "expected a sequence"),
        ("{\"keys\": [{\"kty\": \"RSA\", \"n\": \"AQAB\", \"e\": \"AQAB\"}]}", 1, "wants 1 to 100"),
    ] {
        let wrong = Keys::read(text).map(drop).unwrap_err();
        assert!(wrong.line == line && wrong.why.contains(needle), "{text:?}: {wrong}");
    }
}

#[tokio::test]
async fn a_token_s_lists_are_all_that_is_allowed() {
    let jwt = Jwt::new(Some(SECRET.to_owned()), None, None);
    let lists = json!({"pub": ["up/%c/#"], "sub": ["down/%u", "$SYS/#"], "all": ["both"]});
    let Login::Allow(grant) = login(&jwt, &hs256(&with("acl", lists))).await else { panic!("it is right") };
    let publish = |text: String| grant.rules.decide(Access::Publish(&Topic::new(text).unwrap()));
    let subscribe = |text: &str| grant.rules.decide(Access::Subscribe(&Filter::new(text.to_owned()).unwrap()));
    let own = format!("up/{}/x", foo().client_id);
    let denied = Verdict::Deny(ReasonCode::NotAuthorized);
    assert_eq!([own, "both".to_owned(), "down/foo".to_owned()].map(publish), [Verdict::Allow, Verdict::Allow, denied]);
    for (filter, expected) in [
        ("down/foo", Verdict::Allow),
        ("both", Verdict::Allow),
        ("#", denied),
        ("$delayed/1/x", denied),
        ("down/+", denied),
    ] {
        assert_eq!(subscribe(filter), expected, "{filter}");
    }
    assert_eq!(subscribe("$SYS/x"), Verdict::Allow);
    let rules = json!([{"allow": false, "topics": ["a/#"]}, {"allow": true, "action": "publish"}]);
    let Login::Allow(grant) = login(&jwt, &hs256(&with("acl", rules))).await else { panic!("it is right") };
    let publish = |text: &str| grant.rules.decide(Access::Publish(&Topic::new(text.to_owned()).unwrap()));
    assert_eq!(["a/b", "b"].map(publish), [denied, Verdict::Allow]);
}

#[tokio::test]
async fn while_no_keys_were_ever_fetched_a_token_may_still_be_right() {
    // Nobody listens there.
    let keys = Some("http://127.0.0.1:9/keys".into());
    let jwt = Jwt::new(Some(SECRET.to_owned()), keys, None);
    assert!(matches!(login(&jwt, &hs256(&claims())).await, Login::Allow(_)), "by the secret");
    let signed = token(json!({"alg": "RS256", "kid": "x"}), &claims(), |_| vec![0; 256]);
    assert_eq!(login(&jwt, &signed).await, Login::Deny(ReasonCode::ServerUnavailable));
    assert!(matches!(&jwt.numbers()[0].value, mqtt_hooks::Reading::Counter(1..)));
}
