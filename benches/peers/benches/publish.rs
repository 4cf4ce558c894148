//! PUBLISH, decoded and encoded by this codec and by its peers, in one run.
//!
//! Decoding takes a batch of packets out of one buffer with room to spare, as a busy connection finds them, and drops
//! them; the buffer is filled outside of the measurement. Encoding writes a batch into one buffer that is emptied in
//! between and keeps its memory. Times are for a batch: 64 packets of 64 bytes, 8 of 16 KiB.
//!
//! What differs between the codecs and can't be made alike:
//! * mqttbytes copies the topic into a `String`; the others slice it. None but mqtt-codec looks for U+0000,
//!   wildcards and control characters in it.
//! * ntex-mqtt has buffers of its own (`ntex-bytes`): short strings are kept inline, and a payload is not copied when
//!   encoded but queued as a page. Beside it stands mqtt-codec's own way to do that, `PublishHead` (`mqtt-codec
//!   shared`). Its decoder hands out a payload in chunks; here it always has the whole packet.
//! * rmqtt-codec and ntex-mqtt take the packet to be encoded by value; they are given clones made outside of the
//!   measurement.

use std::hint::black_box;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use mqtt_codec::{Connect, Decoder, Packet, Properties, Publish, PublishHead, Qos, Role, Topic, Version};

/// What the codecs find free behind the packets; some reserve after each packet, and would else copy the rest.
const SPARE: usize = 4096;
const TOPIC: &str = "plant/7/line/3/temperature";

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|byte| byte as u8).collect()
}

/// Packets in a batch.
const fn batch(len: usize) -> usize {
    if len < 1024 { 64 } else { 8 }
}

/// A batch of packets back to back.
fn wire(version: Version, len: usize) -> Vec<u8> {
    let mut out = BytesMut::new();
    for _ in 0..batch(len) {
        ours(len).encode(version, &mut out).unwrap();
    }
    out.to_vec()
}

fn ours(len: usize) -> Packet {
    Packet::Publish(Publish {
        dup: false,
        qos: Qos::AtMostOnce,
        retain: false,
        topic: Some(Topic::new(TOPIC).unwrap()),
        packet_id: None,
        properties: Properties::EMPTY,
        payload: Bytes::from(payload(len)),
    })
}

fn decoder(version: Version) -> Decoder {
    let mut decoder = Decoder::new(Role::Server, u32::MAX);
    let mut connect = BytesMut::new();
    Packet::Connect(Box::new(Connect::new(version, "c"))).encode(version, &mut connect).unwrap();
    decoder.decode(&mut connect).unwrap().unwrap();
    decoder
}

fn decode(c: &mut Criterion) {
    for (version, len) in CASES {
        let mut group = group(c, "decode", version, len);
        let wire = wire(version, len);
        let v5 = version == Version::V5;
        let filled = || {
            let mut input = BytesMut::with_capacity(wire.len() + SPARE);
            input.extend_from_slice(&wire);
            input
        };
        let filled_ntex = || {
            let mut input = ntex_bytes::BytesMut::with_capacity(wire.len() + SPARE);
            input.extend_from_slice(&wire);
            input
        };

        let mut ours = decoder(version);
        bench_decode(&mut group, "mqtt-codec", filled, |input| {
            while let Some(packet) = ours.decode(input).unwrap() {
                black_box(packet);
            }
        });
        bench_decode(&mut group, "mqttbytes", filled, |input| {
            while !input.is_empty() {
                if v5 {
                    black_box(mqttbytes::v5::read(input, usize::MAX).unwrap());
                } else {
                    black_box(mqttbytes::v4::read(input, usize::MAX).unwrap());
                }
            }
        });
        bench_decode(&mut group, "rmqtt-codec", filled, |input| {
            use tokio_util::codec::Decoder as _;
            if v5 {
                let mut codec = rmqtt_codec::v5::Codec::new(0, 0);
                while let Some(packet) = codec.decode(input).unwrap() {
                    black_box(packet);
                }
            } else {
                let mut codec = rmqtt_codec::v3::Codec::new(0);
                while let Some(packet) = codec.decode(input).unwrap() {
                    black_box(packet);
                }
            }
        });
        bench_decode(&mut group, "ntex-mqtt", filled_ntex, |input| {
            use ntex_codec::Decoder as _;
            if v5 {
                let codec = ntex_mqtt::v5::codec::Codec::new();
                while let Some(packet) = codec.decode(input).unwrap() {
                    black_box(packet);
                }
            } else {
                let codec = ntex_mqtt::v3::codec::Codec::new();
                while let Some(packet) = codec.decode(input).unwrap() {
                    black_box(packet);
                }
            }
        });
        group.finish();
    }
}

fn bench_decode<I>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    input: impl Fn() -> I,
    mut decode: impl FnMut(&mut I),
) {
    group.bench_function(name, |b| b.iter_batched_ref(&input, &mut decode, BatchSize::SmallInput));
}

fn encode(c: &mut Criterion) {
    for (version, len) in CASES {
        let mut group = group(c, "encode", version, len);
        let v5 = version == Version::V5;
        let room = wire(version, len).len();

        let packet = ours(len);
        let mut out = BytesMut::with_capacity(room);
        group.bench_function("mqtt-codec", |b| {
            b.iter(|| {
                out.clear();
                for _ in 0..batch(len) {
                    write_ours(black_box(&packet), version, &mut out);
                }
                black_box(&out);
            });
        });

        let payload = Bytes::from(payload(len));
        let (mut heads, mut payloads) = (BytesMut::with_capacity(room), Vec::with_capacity(batch(len)));
        group.bench_function("mqtt-codec shared", |b| {
            b.iter(|| {
                heads.clear();
                payloads.clear();
                for _ in 0..batch(len) {
                    let head = PublishHead {
                        dup: false,
                        qos: Qos::AtMostOnce,
                        retain: false,
                        topic: black_box(TOPIC),
                        packet_id: None,
                        topic_alias: None,
                        message_expiry: None,
                        subscription_ids: &[],
                        properties: &Properties::EMPTY,
                        payload_len: payload.len(),
                    };
                    head.encode(version, &mut heads).unwrap();
                    payloads.push(payload.clone());
                }
                black_box((&heads, &payloads));
            });
        });

        bench_mqttbytes(&mut group, v5, len, room);
        bench_rmqtt(&mut group, v5, len, room);
        bench_ntex(&mut group, v5, len);
        group.finish();
    }
}

// Calls, as in a program that writes packets in more than one place: inlined into a loop over one packet either codec
// saves what no broker saves.

#[inline(never)]
fn write_ours(packet: &Packet, version: Version, out: &mut BytesMut) {
    packet.encode(version, out).unwrap();
}

#[inline(never)]
fn write_mqttbytes_v4(packet: &mqttbytes::v4::Publish, out: &mut BytesMut) {
    packet.write(out).unwrap();
}

#[inline(never)]
fn write_mqttbytes_v5(packet: &mqttbytes::v5::Publish, out: &mut BytesMut) {
    packet.write(out).unwrap();
}

fn bench_mqttbytes(group: &mut BenchmarkGroup<'_, WallTime>, v5: bool, len: usize, room: usize) {
    let mut out = BytesMut::with_capacity(room);
    let v4_packet = mqttbytes::v4::Publish::new(TOPIC, mqttbytes::QoS::AtMostOnce, payload(len));
    let v5_packet = mqttbytes::v5::Publish::new(TOPIC, mqttbytes::QoS::AtMostOnce, payload(len));
    group.bench_function("mqttbytes", |b| {
        b.iter(|| {
            out.clear();
            for _ in 0..batch(len) {
                if v5 {
                    write_mqttbytes_v5(black_box(&v5_packet), &mut out);
                } else {
                    write_mqttbytes_v4(black_box(&v4_packet), &mut out);
                }
            }
            black_box(&out);
        });
    });
}

fn bench_rmqtt(group: &mut BenchmarkGroup<'_, WallTime>, v5: bool, len: usize, room: usize) {
    use rmqtt_codec::types::{Publish, QoS};
    use tokio_util::codec::Encoder as _;

    let publish = Publish {
        dup: false,
        retain: false,
        qos: QoS::AtMostOnce,
        topic: TOPIC.into(),
        packet_id: None,
        payload: Bytes::from(payload(len)),
        properties: v5.then(Default::default),
    };
    let mut out = BytesMut::with_capacity(room);
    let mut v3_codec = rmqtt_codec::v3::Codec::new(0);
    let mut v5_codec = rmqtt_codec::v5::Codec::new(0, 0);
    group.bench_function("rmqtt-codec", |b| {
        b.iter_batched(
            || vec![Box::new(publish.clone()); batch(len)],
            |packets| {
                out.clear();
                for packet in packets {
                    if v5 {
                        v5_codec.encode(rmqtt_codec::v5::Packet::Publish(packet), &mut out).unwrap();
                    } else {
                        v3_codec.encode(rmqtt_codec::v3::Packet::Publish(packet), &mut out).unwrap();
                    }
                }
                black_box(&out);
            },
            BatchSize::SmallInput,
        );
    });
}

fn bench_ntex(group: &mut BenchmarkGroup<'_, WallTime>, v5: bool, len: usize) {
    use ntex_codec::Encoder as _;
    use ntex_mqtt::{QoS, v3, v5 as five};

    let payload = ntex_bytes::Bytes::copy_from_slice(&payload(len));
    let v3_publish = v3::codec::Publish {
        dup: false,
        retain: false,
        qos: QoS::AtMostOnce,
        topic: ntex_bytes::ByteString::from_static(TOPIC),
        packet_id: None,
        payload_size: len as u32,
    };
    let v5_publish = five::codec::Publish {
        topic: ntex_bytes::ByteString::from_static(TOPIC),
        payload_size: len as u32,
        ..Default::default()
    };
    let (v3_codec, v5_codec) = (v3::codec::Codec::new(), five::codec::Codec::new());
    group.bench_function("ntex-mqtt", |b| {
        let mut out = ntex_bytes::BytePages::new(ntex_bytes::BytePageSize::Size16);
        b.iter_batched(
            || vec![(v3_publish.clone(), v5_publish.clone(), payload.clone()); batch(len)],
            |packets| {
                out.clear();
                for (v3_publish, v5_publish, payload) in packets {
                    if v5 {
                        let item = five::codec::Encoded::Publish(v5_publish, Some(payload));
                        v5_codec.encodev(item, &mut out).unwrap();
                    } else {
                        let item = v3::codec::Encoded::Publish(v3_publish, Some(payload));
                        v3_codec.encodev(item, &mut out).unwrap();
                    }
                }
                black_box(&out);
            },
            BatchSize::SmallInput,
        );
    });
}

const CASES: [(Version, usize); 4] =
    [(Version::V3_1_1, 64), (Version::V5, 64), (Version::V3_1_1, 16 * 1024), (Version::V5, 16 * 1024)];

fn group<'a>(c: &'a mut Criterion, what: &str, version: Version, len: usize) -> BenchmarkGroup<'a, WallTime> {
    let mut group = c.benchmark_group(format!("{what} {version:?} {len}"));
    group.throughput(Throughput::Elements(batch(len) as u64));
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_millis(1500)).sample_size(20);
    group
}

criterion_group!(benches, decode, encode);
criterion_main!(benches);
