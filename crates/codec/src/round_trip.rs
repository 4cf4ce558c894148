//! What is written is read back, however it arrives; what is damaged is refused, never worse.

mod packets;

use crate::{Decoder, Packet, Role, Version};
use bytes::BytesMut;
use packets::packet;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

const VERSIONS: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5];

/// A way to read, with packets that may come that way.
fn conversation(len: usize) -> impl Strategy<Value = (Role, Version, Vec<Packet>)> {
    (prop::sample::select(&VERSIONS[..]), any::<bool>()).prop_flat_map(move |(version, server)| {
        let role = if server { Role::Server } else { Role::Client(version) };
        (Just(role), Just(version), vec(packet(role, version), 1..=len))
    })
}

/// A decoder that knows the version already.
fn decoder(role: Role, version: Version) -> Decoder {
    let mut decoder = Decoder::new(role, u32::MAX);
    if role == Role::Server {
        let mut connect = BytesMut::new();
        Packet::Connect(Box::new(crate::Connect::new(version, "c"))).encode(version, &mut connect).unwrap();
        decoder.decode(&mut connect).unwrap().unwrap();
    }
    decoder
}

fn encoded(packets: &[Packet], version: Version) -> BytesMut {
    let mut bytes = BytesMut::new();
    for packet in packets {
        let before = bytes.len();
        packet.encode(version, &mut bytes).unwrap();
        assert_eq!(bytes.len() - before, packet.encoded_len(version), "{packet:?}");
    }
    bytes
}

/// Decodes until nothing more comes out.
fn drain(decoder: &mut Decoder, input: &mut BytesMut) -> Result<Vec<Packet>, crate::DecodeError> {
    std::iter::from_fn(|| decoder.decode(input).transpose()).take(10_000).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decoding_undoes_encoding((role, version, packets) in conversation(4)) {
        let mut bytes = encoded(&packets, version);
        prop_assert_eq!(drain(&mut decoder(role, version), &mut bytes), Ok(packets));
        prop_assert!(bytes.is_empty());
    }

    #[test]
    fn any_split_of_the_bytes_decodes_the_same(
        (role, version, packets) in conversation(4),
        cuts in vec(any::<Index>(), 0..6),
    ) {
        let bytes = encoded(&packets, version);
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).chain([0, bytes.len()]).collect();
        cuts.sort_unstable();
        let (mut decoder, mut input, mut got) = (decoder(role, version), BytesMut::new(), Vec::new());
        for part in cuts.windows(2) {
            input.extend_from_slice(&bytes[part[0]..part[1]]);
            got.extend(drain(&mut decoder, &mut input).unwrap());
        }
        prop_assert_eq!(got, packets);
    }

    #[test]
    fn damage_is_refused_or_read_but_never_panics(
        (role, version, packets) in conversation(2),
        damage in vec((any::<Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = encoded(&packets, version);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        check_stream(role, version, bytes);
    }

    #[test]
    fn noise_never_panics(
        server in any::<bool>(),
        version in prop::sample::select(&VERSIONS[..]),
        bytes in vec(any::<u8>(), 0..200),
    ) {
        let role = if server { Role::Server } else { Role::Client(version) };
        check_stream(role, version, BytesMut::from(&bytes[..]));
        let _ = drain(&mut Decoder::new(role, 100), &mut BytesMut::from(&bytes[..]));
    }
}

/// Whatever comes out of `bytes` can be looked at, and comes back once written.
fn check_stream(role: Role, version: Version, mut bytes: BytesMut) {
    let mut decoder = decoder(role, version);
    while let Ok(Some(packet)) = decoder.decode(&mut bytes) {
        let _ = format!("{packet:?}");
        // A CONNECT is in its own version, whatever the connection's.
        let mut again = encoded(std::slice::from_ref(&packet), version);
        assert_eq!(decoder.clone().decode(&mut again), Ok(Some(packet)));
    }
}
