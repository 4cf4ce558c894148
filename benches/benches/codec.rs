//! What reading and writing a PUBLISH costs.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use mqtt_codec::{Decoder, FixedHeader, Packet, PacketId, Properties, Property, Publish, Qos, Role, Topic, Version};

const SIZES: [usize; 2] = [64, 16 * 1024];
/// Frames in one buffer, as a busy socket hands them over.
const FRAMES: u64 = 64;

fn publish(version: Version, payload: usize) -> Packet {
    let properties = match version {
        Version::V5 => Properties::from([
            Property::ContentType("text/plain".into()),
            Property::UserProperty("a".into(), "b".into()),
        ]),
        Version::V3_1 | Version::V3_1_1 => Properties::EMPTY,
    };
    Packet::Publish(Publish {
        dup: false,
        qos: Qos::AtLeastOnce,
        retain: false,
        topic: Some(Topic::new("fleet/region-07/vehicle-0012345/position").expect("a topic")),
        packet_id: PacketId::new(7),
        properties,
        payload: Bytes::from(vec![b'x'; payload]),
    })
}

fn frames(version: Version, payload: usize) -> BytesMut {
    let mut bytes = BytesMut::new();
    for _ in 0..FRAMES {
        publish(version, payload).encode(version, &mut bytes).expect("below the limit");
    }
    bytes
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(FRAMES));
    for version in [Version::V3_1_1, Version::V5] {
        for payload in SIZES {
            let bytes = frames(version, payload).freeze();
            group.bench_function(format!("publish/v{}/{payload}", version.level()), |bencher| {
                bencher.iter_batched(
                    || (Decoder::new(Role::Client(version), u32::MAX), BytesMut::from(&bytes[..])),
                    |(mut decoder, mut input)| {
                        while let Some(packet) = decoder.decode(&mut input).expect("whole frames") {
                            black_box(packet);
                        }
                        input
                    },
                    BatchSize::SmallInput,
                );
            });
        }
    }
    let bytes = frames(Version::V3_1_1, 64);
    group.bench_function("fixed header", |bencher| {
        bencher.iter(|| {
            let mut at = 0;
            while let Some(header) = FixedHeader::read(black_box(&bytes[at..])).expect("whole frames") {
                at += header.packet_size();
            }
            at
        });
    });
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    for version in [Version::V3_1_1, Version::V5] {
        for payload in SIZES {
            let packet = publish(version, payload);
            let mut out = BytesMut::with_capacity(2 * payload + 256);
            group.bench_function(format!("publish/v{}/{payload}", version.level()), |bencher| {
                bencher.iter(|| {
                    out.clear();
                    black_box(&packet).encode(version, &mut out).expect("below the limit");
                    black_box(out.len())
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, decode, encode);
criterion_main!(benches);
