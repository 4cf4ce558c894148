//! Prints the packets in a file, on standard input, or in hexadecimal on the command line:
//!
//! ```text
//! dump [--from-server 3|4|5] [FILE | --hex 101000044d5154540502003c00000374...]
//! ```
//!
//! Without `--from-server` the bytes are a client's, and start with its CONNECT.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use bytes::BytesMut;
use mqtt_codec::{Decoder, Role, Version};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let mut role = Role::Server;
    let mut input = None;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--from-server" => role = Role::Client(version(&args.next().unwrap_or_default())?),
            "--hex" => input = Some(hex(&args.next().unwrap_or_default())?),
            file => input = Some(std::fs::read(file)?),
        }
    }
    let input = match input {
        Some(input) => input,
        None => {
            let mut input = Vec::new();
            std::io::stdin().read_to_end(&mut input)?;
            input
        }
    };
    dump(role, BytesMut::from(&input[..]))
}

fn dump(role: Role, mut input: BytesMut) -> Result<(), Failure> {
    let mut decoder = Decoder::new(role, u32::MAX);
    let mut out = std::io::stdout().lock();
    let total = input.len();
    loop {
        let at = total - input.len();
        match decoder.decode(&mut input) {
            Ok(Some(packet)) => writeln!(out, "{at}: {packet:#?}")?,
            Ok(None) if input.is_empty() => return Ok(()),
            Ok(None) => return Err(format!("{at}: half a packet, {} bytes", input.len()).into()),
            Err(error) => return Err(format!("{at}: {error} ({})", error.reason_code().name()).into()),
        }
    }
}

fn version(level: &str) -> Result<Version, Failure> {
    match level {
        "3" => Ok(Version::V3_1),
        "4" => Ok(Version::V3_1_1),
        "5" => Ok(Version::V5),
        _ => Err("--from-server takes the protocol level: 3, 4 or 5".into()),
    }
}

fn hex(digits: &str) -> Result<Vec<u8>, Failure> {
    let digits: Vec<_> = digits.chars().filter(|digit| !digit.is_whitespace()).collect();
    let pairs = digits.chunks(2).map(|pair| Ok(u8::from_str_radix(&String::from_iter(pair), 16)?));
    pairs.collect()
}
