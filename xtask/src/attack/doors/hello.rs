//! How a TLS client begins (RFC 8446, 4.1.2), as far as a server goes on with it.

/// Of the groups, signatures and ciphers that are offered.
const X25519: [u8; 2] = [0, 0x1D];
const ECDSA_P256_SHA256: [u8; 2] = [4, 3];
const AES_128_GCM_SHA256: [u8; 2] = [0x13, 1];
const TLS_1_3: [u8; 2] = [3, 4];

/// What browsers fill theirs up to.
const LENGTH: usize = 512;

/// One record with a ClientHello of TLS 1.3.
pub(super) fn hello() -> Vec<u8> {
    let mut share = [&X25519[..], &[0, 32]].concat();
    // Any bytes are a public key of X25519.
    share.extend_from_slice(&[9; 32]);
    let extensions = [
        extension(10, &with_length(&X25519)),
        extension(13, &with_length(&ECDSA_P256_SHA256)),
        extension(43, &[&[2][..], &TLS_1_3].concat()),
        extension(51, &with_length(&share)),
    ]
    .concat();
    let mut body = vec![3, 3];
    body.extend_from_slice(&[7; 32]);
    // A session id, for those in between who know TLS 1.2 only.
    body.push(32);
    body.extend_from_slice(&[5; 32]);
    body.extend(with_length(&AES_128_GCM_SHA256));
    body.extend_from_slice(&[1, 0]);
    let room = LENGTH - 4 - body.len() - 2 - extensions.len() - 4;
    body.extend(with_length(&[extensions, extension(21, &vec![0; room])].concat()));
    let [high, low] = (body.len() as u16).to_be_bytes();
    record(&[&[1, 0, high, low][..], &body].concat())
}

/// The same in records of one byte each.
pub(super) fn in_small_records(hello: &[u8]) -> Vec<u8> {
    hello[5..].chunks(1).flat_map(record).collect()
}

fn record(handshake: &[u8]) -> Vec<u8> {
    [&[0x16, 3, 1][..], &with_length(handshake)].concat()
}

fn extension(kind: u8, data: &[u8]) -> Vec<u8> {
    [&[0, kind][..], &with_length(data)].concat()
}

fn with_length(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("all of it fits a hello");
    [&length.to_be_bytes()[..], data].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_is_as_long_as_it_says() {
        let hello = hello();
        assert_eq!(hello.len(), 5 + LENGTH);
        assert_eq!(hello[3..5], (LENGTH as u16).to_be_bytes());
        assert_eq!(hello[6..9], [0, 1, 252]);
        assert_eq!(in_small_records(&hello).len(), 6 * LENGTH);
    }
}
