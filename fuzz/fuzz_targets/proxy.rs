//! Headers of the PROXY protocol: an address is read as it was written, whatever else stands there.
//!
//! The first byte tells the version, or that an address is to be written and read.
#![no_main]

use std::net::{Ipv6Addr, SocketAddr};

use libfuzzer_sys::fuzz_target;
use mqtt_net::fuzz::{first, second};

fuzz_target!(|data: &[u8]| match data {
    [0, line @ ..] => {
        if let Ok(Some(address)) = first(line) {
            check(address);
        }
    }
    [1, command, family, rest @ ..] => {
        if let Ok(Some(address)) = second(*command, *family, rest) {
            assert_eq!((*command, address.is_ipv4()), (0x21, *family == 0x11));
            check(address);
        }
    }
    [2, high, low, octets @ ..] => {
        let port = u16::from_be_bytes([*high, *low]);
        if let Ok(octets) = <[u8; 16]>::try_from(octets) {
            check((Ipv6Addr::from(octets), port).into());
        } else if let Ok(octets) = <[u8; 4]>::try_from(octets) {
            check((octets, port).into());
        }
    }
    _ => {}
});

/// Both versions tell it.
fn check(address: SocketAddr) {
    let (ip, port) = (address.ip(), address.port());
    let version = if address.is_ipv4() { 4 } else { 6 };
    let line = format!("PROXY TCP{version} {ip} {ip} {port} 1883\r\n");
    assert!(line.len() <= 107, "{line}");
    assert_eq!(first(line.as_bytes()), Ok(Some(address)), "{line}");
    let (family, octets) = match address {
        SocketAddr::V4(address) => (0x11, address.ip().octets().to_vec()),
        SocketAddr::V6(address) => (0x21, address.ip().octets().to_vec()),
    };
    let rest = [&octets[..], &octets, &port.to_be_bytes(), &[0, 1], b"more"].concat();
    assert_eq!(second(0x21, family, &rest), Ok(Some(address)));
    assert!(second(0x21, family, &rest[..2 * octets.len() + 3]).is_err());
}
