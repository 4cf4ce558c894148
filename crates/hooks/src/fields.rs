//! How records are written that are made whenever somebody comes or goes.
//!
//! They are maps in CBOR (RFC 8949) with a number for each field, in the shortest form of each number: byte for byte what `minicbor` writes
//! of them, and it reads them. It checks whether its output takes what it writes, piece by piece, and a record is fifty
//! pieces; here there is nothing to fail.

use std::net::{IpAddr, SocketAddr};

/// Kinds of items, as they are in the first byte of each.
const NUMBER: u8 = 0 << 5;
const BYTES: u8 = 2 << 5;
const TEXT: u8 = 3 << 5;
const LIST: u8 = 4 << 5;
const MAP: u8 = 5 << 5;

const FALSE: u8 = 0xF4;
const TRUE: u8 = 0xF5;

/// The first number that is not in the byte that says what it is.
const LONG: u8 = 24;

/// Appends the fields of a map. Keys, and how many fields it has, are below 24.
#[derive(Debug)]
pub struct Fields<'a>(&'a mut Vec<u8>);

impl<'a> Fields<'a> {
    /// Behind what is in `out`: a map with so many fields.
    pub fn map(out: &'a mut Vec<u8>, fields: u8) -> Self {
        debug_assert!(fields < LONG, "{fields} fields");
        out.push(MAP | fields);
        Self(out)
    }

    /// A number.
    pub fn number(&mut self, key: u8, number: impl Into<u64>) {
        self.head(key, NUMBER, number.into());
    }

    /// Yes or no.
    pub fn bool(&mut self, key: u8, is_so: bool) {
        self.0.extend_from_slice(&[key, if is_so { TRUE } else { FALSE }]);
    }

    /// A text.
    pub fn text(&mut self, key: u8, text: &str) {
        self.head(key, TEXT, text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    /// An address and a port.
    pub fn address(&mut self, key: u8, address: SocketAddr) {
        // Which version of two, then the address and the port of that.
        let last = match address.ip() {
            IpAddr::V4(ip) => {
                let [a, b, c, last] = ip.octets();
                self.0.extend_from_slice(&[key, LIST | 2, 0, LIST | 2, BYTES | 4, a, b, c]);
                last
            }
            IpAddr::V6(ip) => {
                let [start @ .., last] = ip.octets();
                self.0.extend_from_slice(&[key, LIST | 2, 1, LIST | 2, BYTES | 16]);
                self.0.extend_from_slice(&start);
                last
            }
        };
        self.head(last, NUMBER, address.port().into());
    }

    /// A map of its own, which `write` appends.
    pub fn inner(&mut self, key: u8, write: impl FnOnce(&mut Vec<u8>)) {
        self.0.push(key);
        write(self.0);
    }

    /// A number, or the length of what follows, behind the byte that is before it. All in one piece, of which is taken back what the
    /// number does not need: so there is nothing to decide for each byte.
    fn head(&mut self, before: u8, kind: u8, number: u64) {
        let (in_kind, bytes) = match number {
            0..24 => (number as u8, 0),
            24..0x100 => (LONG, 1),
            0x100..0x1_0000 => (25, 2),
            0x1_0000..0x1_0000_0000 => (26, 4),
            _ => (27, 8),
        };
        let mut piece = [0; 10];
        (piece[0], piece[1]) = (before, kind | in_kind);
        // From its first byte that counts on; where there is none this is taken back.
        piece[2..].copy_from_slice(&number.rotate_right(8 * bytes).to_be_bytes());
        self.0.extend_from_slice(&piece);
        self.0.truncate(self.0.len() - 8 + bytes as usize);
    }
}

#[cfg(test)]
mod tests {
    use minicbor::Encoder;

    use super::*;

    /// What was written before is the same.
    #[test]
    fn it_is_what_minicbor_writes() {
        let edges = [0, 23, 24, 255, 256, 65_535, 65_536, u64::from(u32::MAX), 1 << 32, u64::MAX];
        for (key, number) in [0, 1, 23].into_iter().flat_map(|key| edges.map(|number| (key, number))) {
            let text = "x".repeat(number.min(70_000) as usize);
            let addresses = ["192.0.2.1:1883", "[2001:db8::1]:5"].map(|text| text.parse::<SocketAddr>().unwrap());
            let (mut written, mut expected) = (Vec::new(), Encoder::new(Vec::new()));
            let mut fields = Fields::map(&mut written, 6);
            fields.number(key, number);
            fields.text(key, &text);
            fields.bool(key, number == 0);
            addresses.into_iter().for_each(|address| fields.address(key, address));
            fields.inner(key, |out| {
                let _ = Fields::map(out, 0);
            });
            expected.map(6).unwrap().u8(key).unwrap().u64(number).unwrap();
            expected.u8(key).unwrap().str(&text).unwrap().u8(key).unwrap().bool(number == 0).unwrap();
            for address in addresses {
                expected.u8(key).unwrap().encode(address).unwrap();
            }
            expected.u8(key).unwrap().map(0).unwrap();
            assert!(written == expected.into_writer(), "{key} {number}");
        }
    }
}
