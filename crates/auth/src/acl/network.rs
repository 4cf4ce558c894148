//! Addresses that begin alike.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// An address, or all that have its first bits: `192.0.2.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    address: IpAddr,
    bits: u8,
}

/// Why a text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address: wants one like \"192.0.2.7\", or \"192.0.2.0/24\"")]
pub(crate) struct NoNetwork(String);

impl Network {
    pub(crate) fn has(self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                is_alike(ours.to_bits().into(), theirs.to_bits().into(), 32, self.bits)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => is_alike(ours.to_bits(), theirs.to_bits(), 128, self.bits),
            _ => false,
        }
    }
}

fn is_alike(one: u128, other: u128, len: u8, bits: u8) -> bool {
    // Shifting by all bits of the type is not defined; then all are alike.
    bits == 0 || (one ^ other) >> (len - bits) == 0
}

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let wrong = || NoNetwork(text.to_owned());
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits: u8 = bits.map_or(Ok(most), str::parse).map_err(|_| wrong())?;
        if bits > most {
            return Err(wrong());
        }
        Ok(match address.to_canonical() {
            // `::ffff:192.0.2.0/120` is `192.0.2.0/24`.
            IpAddr::V4(ours) if address.is_ipv6() => Self { address: ours.into(), bits: bits.saturating_sub(96) },
            address => Self { address, bits },
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = if self.address.is_ipv4() { 32 } else { 128 };
        if self.bits == most { write!(f, "{}", self.address) } else { write!(f, "{}/{}", self.address, self.bits) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(network: &str, inside: &[&str], outside: &[&str]) {
        let parsed: Network = network.parse().unwrap();
        for (addresses, expected) in [(inside, true), (outside, false)] {
            for address in addresses {
                assert_eq!(parsed.has(address.parse().unwrap()), expected, "{network} {address}");
            }
        }
    }

    #[test]
    fn a_network_has_addresses_that_begin_as_it_does() {
        check("127.0.0.1", &["127.0.0.1", "::ffff:127.0.0.1"], &["127.0.0.2", "::1"]);
        check("192.0.2.128/25", &["192.0.2.128", "192.0.2.255"], &["192.0.2.127", "192.0.3.128"]);
        check("0.0.0.0/0", &["192.0.2.1", "::ffff:192.0.2.1"], &["::1"]);
        check("::/0", &["::1", "2001:db8::1"], &["192.0.2.1"]);
        check("2001:db8::/32", &["2001:db8:ffff::"], &["2001:db9::"]);
        check("::ffff:192.0.2.0/120", &["192.0.2.7"], &["192.0.3.7"]);
        for wrong in
            ["", "localhost", "192.0.2.1/33", "192.0.2.1/", "192.0.2.1/x", "::1/129", "192.0.2/24", "1.2.3.4/-1"]
        {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
