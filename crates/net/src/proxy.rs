//! The PROXY protocol, versions 1 and 2: what a proxy says of whom it speaks for.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use nom::bytes::complete::take;
use nom::number::complete::{be_u8, be_u16};
use nom::{IResult, Parser as _};
use tokio::net::TcpStream;

use crate::opening::OpenError;

/// How version 2 begins. Version 1 is longer than that in its shortest form.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// A line of version 1, its end included.
const LONGEST_LINE: usize = 107;

/// What version 2 may bring after its first 16 bytes; proxies that tell of TLS send some hundred.
const LONGEST_REST: usize = 2048;

/// Who may say for whom it speaks.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// These, and nobody else.
    pub const fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether this is one of them. `::ffff:10.0.0.1` is `10.0.0.1`.
    pub fn trust(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Reads the header and not a byte more. `None`: the proxy speaks for itself, a check whether we are alive, or for one of
/// whom it knows no address.
pub(crate) async fn read_header(stream: &TcpStream) -> Result<Option<SocketAddr>, OpenError> {
    let mut start = [0; SIGNATURE.len()];
    read_exact(stream, &mut start).await?;
    if start == *SIGNATURE {
        let mut head = [0; 4];
        read_exact(stream, &mut head).await?;
        let [command, family, high, low] = head;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length > LONGEST_REST {
            return Err(OpenError::Proxy("more than 2048 bytes in a header of version 2"));
        }
        let mut rest = vec![0; length];
        read_exact(stream, &mut rest).await?;
        return second(command, family, &rest).map_err(OpenError::Proxy);
    }
    if !start.starts_with(b"PROXY ") {
        return Err(OpenError::Proxy("there is no header, and this listener wants one from this address"));
    }
    let mut line = start.to_vec();
    while !line.ends_with(b"\n") {
        let mut seen = [0; LONGEST_LINE];
        let room = LONGEST_LINE - line.len();
        if room == 0 {
            return Err(OpenError::Proxy("a header of version 1 that is longer than 107 bytes"));
        }
        // What comes after the line is not ours to read.
        let there = stream.peek(&mut seen[..room]).await?;
        let ours = seen[..there].iter().position(|&byte| byte == b'\n').map_or(there, |end| end + 1);
        if ours == 0 {
            return Err(OpenError::Closed);
        }
        read_exact(stream, &mut seen[..ours]).await?;
        line.extend_from_slice(&seen[..ours]);
    }
    first(&line).map_err(OpenError::Proxy)
}

async fn read_exact(stream: &TcpStream, mut room: &mut [u8]) -> Result<(), OpenError> {
    while !room.is_empty() {
        stream.readable().await?;
        match stream.try_read(room) {
            Ok(0) => return Err(OpenError::Closed),
            Ok(read) => room = &mut room[read..],
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(OpenError::from(io::Error::from(error.kind()))),
        }
    }
    Ok(())
}

/// A line of version 1: `PROXY TCP4 192.0.2.1 192.0.2.2 40000 1883\r\n`.
pub(crate) fn first(line: &[u8]) -> Result<Option<SocketAddr>, &'static str> {
    const WRONG: &str = "a header of version 1 that is wrong";
    let line = line.strip_suffix(b"\r\n").and_then(|line| std::str::from_utf8(line).ok()).ok_or(WRONG)?;
    let mut words = line.split(' ');
    if words.next() != Some("PROXY") {
        return Err(WRONG);
    }
    let family = words.next();
    if family == Some("UNKNOWN") {
        return Ok(None);
    }
    let (Some(source), Some(_), Some(port), Some(_), None) =
        (words.next(), words.next(), words.next(), words.next(), words.next())
    else {
        return Err(WRONG);
    };
    let address = match family {
        Some("TCP4") => source.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|_| WRONG)?,
        Some("TCP6") => source.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| WRONG)?,
        _ => return Err(WRONG),
    };
    let port = port.parse().map_err(|_| WRONG)?;
    Ok(Some(SocketAddr::new(address, port)))
}

/// What stands behind the signature of version 2.
pub(crate) fn second(command: u8, family: u8, rest: &[u8]) -> Result<Option<SocketAddr>, &'static str> {
    const SHORT: &str = "a header of version 2 that is too short for its addresses";
    match command {
        // It speaks for itself.
        0x20 => return Ok(None),
        0x21 => {}
        _ => return Err("a header of version 2 with an unknown version or command"),
    }
    let address = match family {
        0x11 => addresses(rest, ipv4).map_err(|_| SHORT)?.1,
        0x21 => addresses(rest, ipv6).map_err(|_| SHORT)?.1,
        // Of no family, datagrams, or Unix sockets, which have no address that is one here.
        _ => return Ok(None),
    };
    Ok(Some(address))
}

/// Source, destination, and the ports of both; what follows is not looked at.
fn addresses(input: &[u8], address: impl Fn(&[u8]) -> IResult<&[u8], IpAddr>) -> IResult<&[u8], SocketAddr> {
    let (rest, (source, _, port, _)) = (&address, &address, be_u16, be_u16).parse(input)?;
    Ok((rest, SocketAddr::new(source, port)))
}

fn ipv4(input: &[u8]) -> IResult<&[u8], IpAddr> {
    let (rest, (a, b, c, d)) = (be_u8, be_u8, be_u8, be_u8).parse(input)?;
    Ok((rest, Ipv4Addr::new(a, b, c, d).into()))
}

fn ipv6(input: &[u8]) -> IResult<&[u8], IpAddr> {
    let (rest, bytes) = take(16_usize).parse(input)?;
    let (_, octets) = nom::combinator::map_res(take(16_usize), <[u8; 16]>::try_from).parse(bytes)?;
    Ok((rest, Ipv6Addr::from(octets).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_version_1_tells_who_it_is() {
        let read = |line: &str| first(line.as_bytes());
        assert_eq!(read("PROXY TCP4 192.0.2.1 192.0.2.2 40000 1883\r\n"), Ok(Some("192.0.2.1:40000".parse().unwrap())));
        assert_eq!(read("PROXY TCP6 2001:db8::1 ::1 1 2\r\n"), Ok(Some("[2001:db8::1]:1".parse().unwrap())));
        assert_eq!(read("PROXY UNKNOWN\r\n"), Ok(None));
        assert_eq!(read("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), Ok(None));
        for wrong in [
            "PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 40000\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 70000 1883\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 40000 1883 x\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 40000 1883\n",
            "PROXX TCP4 192.0.2.1 192.0.2.2 40000 1883\r\n",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_header_of_version_2_tells_who_it_is() {
        let four = [192, 0, 2, 1, 192, 0, 2, 2, 0x9c, 0x40, 7, 0x5b];
        assert_eq!(second(0x21, 0x11, &four), Ok(Some("192.0.2.1:40000".parse().unwrap())));
        let with_more = [&four[..], &[0x20, 0, 1, 0]].concat();
        assert_eq!(second(0x21, 0x11, &with_more), Ok(Some("192.0.2.1:40000".parse().unwrap())));
        assert_eq!(second(0x20, 0x11, &four), Ok(None), "LOCAL");
        assert_eq!(second(0x20, 0, &[]), Ok(None), "LOCAL");
        assert_eq!(second(0x21, 0x31, &[0; 216]), Ok(None), "a Unix socket");
        assert!(second(0x21, 0x11, &four[..11]).is_err());
        assert!(second(0x21, 0x21, &[0; 35]).is_err());
        assert!(second(0x11, 0x11, &four).is_err());
        assert_eq!(second(0x21, 0x21, &[0; 36]), Ok(Some("[::]:0".parse().unwrap())));
    }
}
