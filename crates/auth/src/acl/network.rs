//! Addresses that begin alike.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// An address, or all that have its first bits: `192.0.2.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network(IpNet);

/// Why a text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address: wants one like \"192.0.2.7\", or \"192.0.2.0/24\"")]
pub(crate) struct NoNetwork(String);

impl Network {
    pub(crate) fn has(self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let one = || text.parse::<IpAddr>().map(IpNet::from);
        let network = text.parse().or_else(|_| one()).map_err(|_| NoNetwork(text.to_owned()))?;
        // `::ffff:192.0.2.0/120` is `192.0.2.0/24`.
        let canonical = match (network, network.addr().to_canonical()) {
            (IpNet::V6(mapped), ours @ IpAddr::V4(_)) => IpNet::new(ours, mapped.prefix_len().saturating_sub(96)).ok(),
            _ => None,
        };
        Ok(Self(canonical.unwrap_or(network)))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() { self.0.addr().fmt(f) } else { self.0.fmt(f) }
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
