//! `rollcall init --lan`: what a broker needs that others on the network reach, made in one go.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::num::NonZeroU32;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::pbkdf2::{self, PBKDF2_HMAC_SHA512};
use aws_lc_rs::rand;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::{Span, Zoned};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

use crate::failure::Failure;

/// How to begin.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct Args {
    /// For a network: a certificate authority, a certificate, a user with a password, and a configuration with TLS
    #[arg(long, required = true)]
    lan: bool,
    /// Where to put all of it
    #[arg(long, value_name = "DIR", default_value = "rollcall")]
    dir: PathBuf,
    /// What clients call this machine, a name or an IP address; may be given again. When not given: its names and addresses
    #[arg(long, value_name = "HOST")]
    name: Vec<String>,
}

/// Days that the server's certificate is good; some clients take none that is good for longer.
const SERVER_DAYS: i64 = 820;
const AUTHORITY_DAYS: i64 = 3_650;

/// The first user.
const USER: &str = "client";

/// Characters of a password that has more than 100 bits of chance.
const PASSWORD: usize = 20;

/// Few, for such a password is not found by trying, however fast.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(1_000).expect("it is not 0");

/// A file that is made, and whether others may read it.
struct Made {
    name: &'static str,
    text: String,
    is_secret: bool,
}

/// Makes all of it, and returns what to tell.
///
/// # Errors
/// One of the files is there already, or can't be written; then none is made, or not all.
pub(crate) fn init(args: &Args) -> Result<String, Failure> {
    let Args { lan: _, dir, name } = args;
    let failed = |path: &Path, error: &io::Error| Failure::Refused(format!("{}: {error}", path.display()));
    fs::create_dir_all(dir).map_err(|error| failed(dir, &error))?;
    let dir = dir.canonicalize().map_err(|error| failed(dir, &error))?;
    let names = if name.is_empty() { own_names() } else { with_loopback(name) };
    let password = password()?;
    let files = files(&dir, &names, &password)?;
    // All are looked for first: half of the new with half of the old would fit nothing.
    if let Some(there) = files.iter().map(|file| dir.join(file.name)).find(|path| path.exists()) {
        let why = "is there already, and nothing is overwritten; give another folder with --dir";
        return Err(Failure::Refused(format!("{} {why}", there.display())));
    }
    for file in &files {
        let path = dir.join(file.name);
        write(&path, file).map_err(|error| failed(&path, &error))?;
    }
    Ok(told(&dir, &names, &password))
}

fn write(path: &Path, file: &Made) -> io::Result<()> {
    let mode = if file.is_secret { 0o600 } else { 0o644 };
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?.write_all(file.text.as_bytes())
}

fn files(dir: &Path, names: &[String], password: &str) -> Result<[Made; 6], Failure> {
    let wrong = |error: rcgen::Error| Failure::Refused(format!("cannot make certificates: {error}"));
    let (authority, authority_key) = authority(names).map_err(wrong)?;
    let (server, server_key) = server(names, &authority, &authority_key).map_err(wrong)?;
    let made = |name, text, is_secret| Made { name, text, is_secret };
    Ok([
        made("ca.pem", authority.1, false),
        made("ca.key", authority_key.serialize_pem(), true),
        made("server.pem", server, false),
        made("server.key", server_key.serialize_pem(), true),
        made("users", format!("{USER}:{}\n", hash(password)?), true),
        made("rollcall.toml", configuration(dir), false),
    ])
}

/// Its description, and itself.
struct Authority(CertificateParams, String);

fn authority(names: &[String]) -> Result<(Authority, KeyPair), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    let name = names.first().map_or("this network", |name| name);
    params.distinguished_name.push(DnType::CommonName, format!("Rollcall CA of {name}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    good_for(&mut params, AUTHORITY_DAYS);
    let itself = params.self_signed(&key)?.pem();
    Ok((Authority(params, itself), key))
}

fn server(names: &[String], authority: &Authority, signer: &KeyPair) -> Result<(String, KeyPair), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name.push(DnType::CommonName, names.first().map_or("rollcall", |name| name));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    good_for(&mut params, SERVER_DAYS);
    let issuer = Issuer::from_params(&authority.0, signer);
    Ok((params.signed_by(&key, &issuer)?.pem(), key))
}

/// From yesterday on, for clocks differ.
fn good_for(params: &mut CertificateParams, days: i64) {
    let day = |days: i64| {
        let date = Zoned::now().date().saturating_add(Span::new().days(days));
        date_time_ymd(date.year().into(), date.month() as u8, date.day() as u8)
    };
    (params.not_before, params.not_after) = (day(-1), day(days));
}

fn password() -> Result<String, Failure> {
    /// Without those that are taken for one another; there are 32 of them, so each byte gives one as likely as any.
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0; PASSWORD];
    rand::fill(&mut bytes).map_err(|_| no_chance())?;
    Ok(bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect())
}

/// As `mosquitto_passwd` writes it.
fn hash(password: &str) -> Result<String, Failure> {
    let (mut salt, mut hash) = ([0; 12], [0; 64]);
    rand::fill(&mut salt).map_err(|_| no_chance())?;
    pbkdf2::derive(PBKDF2_HMAC_SHA512, ITERATIONS, &salt, password.as_bytes(), &mut hash);
    Ok(format!("$7${ITERATIONS}${}${}", BASE64_STANDARD.encode(salt), BASE64_STANDARD.encode(hash)))
}

fn no_chance() -> Failure {
    Failure::Refused("this system has no random bytes".to_owned())
}

/// The machine's name, as it has it and as its network may; its address towards others; loopback.
fn own_names() -> Vec<String> {
    let named = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let named = named.trim();
    let mut names = Vec::new();
    if !named.is_empty() && named != "localhost" {
        names.push(named.to_owned());
        if !named.contains('.') {
            names.push(format!("{named}.local"));
        }
    }
    names.extend(own_address().map(|address| address.to_string()));
    with_loopback(&names)
}

/// The address that others see. Nothing is sent for that: the system only looks where it would go.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // One that is nobody's.
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|address| !address.is_unspecified())
}

fn with_loopback(names: &[String]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for name in names.iter().map(String::as_str).chain(["localhost", "127.0.0.1", "::1"]) {
        if !all.iter().any(|known| known == name) {
            all.push(name.to_owned());
        }
    }
    all
}

fn configuration(dir: &Path) -> String {
    // A path in JSON's quotes is one in TOML's.
    let path = |name: &str| serde_json::Value::from(dir.join(name).to_string_lossy().into_owned()).to_string();
    format!(
        r#"# Made by `rollcall init --lan`. `rollcall print-config` prints all keys with what they mean.

# Sessions, queues, retained messages and who is online.
data_dir = {data}

# listeners.mqtt and listeners.ws, without TLS, are for this machine only, as they are by default; so are the dashboard and the
# REST API (admin.bind).

[listeners.mqtts]
kind = "mqtts"
bind = "0.0.0.0:8883"
# ca.pem is for clients, ca.key for whoever makes further certificates: it is not needed here.
cert = {cert}
key = {key}

# MQTT over WebSocket, at the path /mqtt. Pages of which sites may connect: origins = ["https://app.example.com"]
[listeners.wss]
kind = "wss"
bind = "0.0.0.0:8084"
cert = {cert}
key = {key}

[auth]
# Nobody comes in without a user name and its password, on this machine neither.
anonymous = false
# `mosquitto_passwd FILE NAME` adds users to it; `rollcall users add NAME` others to the running broker.
password_file = {users}

# Who is online is told below $SYS, to clients on this machine. For a user on another one:
# [[auth.rules]]
# allow = true
# who = {{ user = "{USER}" }}
# action = "subscribe"
# topics = ["$SYS/#"]
"#,
        data = path("data"),
        cert = path("server.pem"),
        key = path("server.key"),
        users = path("users"),
    )
}

fn told(dir: &Path, names: &[String], password: &str) -> String {
    let dir = dir.display();
    let host = names.first().map_or("localhost", |name| name);
    format!(
        "made in {dir}: ca.pem, ca.key, server.pem, server.key (for {all}), users, rollcall.toml\n\
         user: {USER} password: {password} (shown this once)\n\n\
         Start it:\n  rollcall --config {dir}/rollcall.toml\n\
         Try it here, and with {dir}/ca.pem copied there from other machines:\n  \
         mosquitto_sub --cafile {dir}/ca.pem -h {host} -p 8883 -u {USER} -P {password} -t 'test/#' -v\n  \
         mosquitto_pub --cafile {dir}/ca.pem -h {host} -p 8883 -u {USER} -P {password} -t test/1 -m hello\n",
        all = names.join(", "),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use mqtt_config::Layers;

    use super::*;

    #[test]
    fn what_is_made_is_a_configuration_and_nothing_is_overwritten() {
        let folder = std::env::temp_dir().join(format!("rollcall-init-{}", std::process::id()));
        let args = Args { lan: true, dir: folder.clone(), name: vec!["broker.lan".to_owned(), "10.0.0.7".to_owned()] };
        let told = init(&args).unwrap();
        assert!(told.contains("-h broker.lan") && told.contains("localhost, 127.0.0.1, ::1"), "{told}");
        let mut layers = Layers::new(Vec::new());
        layers.add_file(&folder.join("rollcall.toml")).unwrap();
        let config = layers.resolve().unwrap();
        let found: Vec<_> = config.listeners.iter().map(|listener| (&*listener.name, listener.bind.port())).collect();
        assert_eq!(found, [("mqtt", 1883), ("ws", 8083), ("mqtts", 8883), ("wss", 8084)]);
        let mode = |name: &str| fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(["ca.key", "server.key", "users"].map(mode), [0o600; 3]);
        let before = fs::read(folder.join("server.key")).unwrap();
        fs::remove_file(folder.join("ca.pem")).unwrap();
        let refused = init(&args).unwrap_err().to_string();
        assert!(refused.contains("ca.key is there already"), "{refused}");
        assert!(!folder.join("ca.pem").exists());
        assert_eq!(fs::read(folder.join("server.key")).unwrap(), before);
        fs::remove_dir_all(folder).unwrap();
    }
}
