//! What is one peer's of all addresses.

use std::net::{IpAddr, Ipv6Addr};

/// Of an address of version 6, what is left is for whoever has the network.
const NETWORK: u128 = u128::MAX << 64;

/// The address, or its network of version 6: whoever has one address of that has all of them. What is shared out by
/// addresses is shared out by these.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & NETWORK)),
        address => address,
    }
}
