//! Who counts as one when places are shared out and wrong guesses are counted.

use std::net::{IpAddr, Ipv4Addr};

/// Where requests come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// This machine. All of 127.0.0.0/8 is one: a program here can take any of them.
    Loopback,
    V4(Ipv4Addr),
    /// The network part: who has one address of a /64 has them all.
    V6([u16; 4]),
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            address if address.is_loopback() => Self::Loopback,
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6([a, b, c, d])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(one: &str, other: &str, same: bool) {
        let [one, other] = [one, other].map(|text| Source::from(text.parse::<IpAddr>().unwrap()));
        assert_eq!(one == other, same, "{one:?} {other:?}");
    }

    #[test]
    fn what_one_machine_can_take_is_one_source() {
        check("127.0.0.1", "127.9.9.9", true);
        check("127.0.0.1", "::1", true);
        check("127.0.0.1", "::ffff:127.0.0.1", true);
        check("192.0.2.1", "::ffff:192.0.2.1", true);
        check("192.0.2.1", "192.0.2.2", false);
        check("2001:db8::1", "2001:db8::ffff:1", true);
        check("2001:db8::1", "2001:db8:0:1::1", false);
    }
}
