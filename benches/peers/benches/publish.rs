//! PUBLISH, decoded and encoded by this codec and by its peers, in one run.
//!
//! Decoding takes a batch of packets out of a buffer with room to spare, as a busy connection finds them, and drops
//! them. The buffer is filled outside of the measurement, always in the same memory, as a read buffer is: were it new
//! each time, the figures would be those of page faults. Encoding writes a batch into one buffer that is emptied in
//! between and keeps its memory. Times are for a batch: 64 packets of 64 bytes, 8 of 16 KiB. All is measured twice,
//! the second time in the opposite order; where the two differ, something else was running.
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
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use mqtt_codec::{Connect, Decoder, Packet, Properties, Publish, PublishHead, Qos, Role, Topic, Version};

/// What the codecs find free behind the packets; some reserve after each packet, and would else copy the rest.
const SPARE: usize = 4096;
/// Buffers between two looks at the clock: few enough to stay in a cache, as what a socket has just delivered does.
const BUFFERS: usize = 2;
const TOPIC: &str = "plant/7/line/3/temperature";

#[derive(Clone, Copy)]
enum Codec {
    Ours,
    Mqttbytes,
    Rmqtt,
    Ntex,
}

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
        ours(payload(len).into()).encode(version, &mut out).unwrap();
    }
    out.to_vec()
}

fn ours(payload: Bytes) -> Packet {
    Packet::Publish(Publish {
        dup: false,
        qos: Qos::AtMostOnce,
        retain: false,
        topic: Some(Topic::new(TOPIC).unwrap()),
        packet_id: None,
        properties: Properties::EMPTY,
        payload,
    })
}

fn decoder(version: Version) -> Decoder {
    let mut decoder = Decoder::new(Role::Server, u32::MAX);
    let mut connect = BytesMut::new();
    Packet::Connect(Box::new(Connect::new(version, "c"))).encode(version, &mut connect).unwrap();
    decoder.decode(&mut connect).unwrap().unwrap();
    decoder
}

fn decode(c: &mut Criterion, round: &str, codecs: &[Codec]) {
    use ntex_codec::Decoder as _;
    use tokio_util::codec::Decoder as _;

    for (version, len) in CASES {
        let mut group = group(c, "decode", version, len, round);
        let wire = wire(version, len);
        let v5 = version == Version::V5;
        let fill = |input: &mut BytesMut| {
            input.clear();
            input.reserve(wire.len() + SPARE);
            input.extend_from_slice(&wire);
        };
        let fill_ntex = |input: &mut ntex_bytes::BytesMut| {
            input.clear();
            input.reserve(wire.len() + SPARE);
            input.extend_from_slice(&wire);
        };
        for codec in codecs {
            match codec {
                Codec::Ours => {
                    let mut ours = decoder(version);
                    bench_decode(&mut group, "mqtt-codec", fill, |input| {
                        while let Some(packet) = ours.decode(input).unwrap() {
                            black_box(packet);
                        }
                    });
                }
                Codec::Mqttbytes if v5 => bench_decode(&mut group, "mqttbytes", fill, |input| {
                    while !input.is_empty() {
                        black_box(mqttbytes::v5::read(input, usize::MAX).unwrap());
                    }
                }),
                Codec::Mqttbytes => bench_decode(&mut group, "mqttbytes", fill, |input| {
                    while !input.is_empty() {
                        black_box(mqttbytes::v4::read(input, usize::MAX).unwrap());
                    }
                }),
                Codec::Rmqtt if v5 => {
                    let mut codec = rmqtt_codec::v5::Codec::new(0, 0);
                    bench_decode(&mut group, "rmqtt-codec", fill, |input| {
                        while let Some(packet) = codec.decode(input).unwrap() {
                            black_box(packet);
                        }
                    });
                }
                Codec::Rmqtt => {
                    let mut codec = rmqtt_codec::v3::Codec::new(0);
                    bench_decode(&mut group, "rmqtt-codec", fill, |input| {
                        while let Some(packet) = codec.decode(input).unwrap() {
                            black_box(packet);
                        }
                    });
                }
                Codec::Ntex if v5 => {
                    let codec = ntex_mqtt::v5::codec::Codec::new();
                    bench_decode(&mut group, "ntex-mqtt", fill_ntex, |input| {
                        while let Some(packet) = codec.decode(input).unwrap() {
                            black_box(packet);
                        }
                    });
                }
                Codec::Ntex => {
                    let codec = ntex_mqtt::v3::codec::Codec::new();
                    bench_decode(&mut group, "ntex-mqtt", fill_ntex, |input| {
                        while let Some(packet) = codec.decode(input).unwrap() {
                            black_box(packet);
                        }
                    });
                }
            }
        }
        group.finish();
    }
}

/// Fills a few buffers, then takes the time of emptying them, and so on, always in the same memory.
fn bench_decode<I: Default>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    fill: impl Fn(&mut I),
    mut decode: impl FnMut(&mut I),
) {
    let mut inputs: [I; BUFFERS] = Default::default();
    group.bench_function(name, |b| {
        b.iter_custom(|iters| {
            let (mut left, mut spent) = (iters, Duration::ZERO);
            while left > 0 {
                let now = left.min(BUFFERS as u64);
                let inputs = &mut inputs[..now as usize];
                inputs.iter_mut().for_each(&fill);
                let start = Instant::now();
                inputs.iter_mut().for_each(&mut decode);
                spent += start.elapsed();
                left -= now;
            }
            spent
        });
    });
}

fn encode(c: &mut Criterion, round: &str, codecs: &[Codec]) {
    for (version, len) in CASES {
        let mut group = group(c, "encode", version, len, round);
        let v5 = version == Version::V5;
        // The same memory for all that copy: how fast a payload is copied depends on where both ends lie.
        let payload = Bytes::from(payload(len));
        let mut out = BytesMut::with_capacity(wire(version, len).len());
        for codec in codecs {
            match codec {
                Codec::Ours => {
                    bench_ours(&mut group, version, &payload, &mut out);
                    bench_shared(&mut group, version, &payload);
                }
                Codec::Mqttbytes => bench_mqttbytes(&mut group, v5, &payload, &mut out),
                Codec::Rmqtt => bench_rmqtt(&mut group, v5, &payload, &mut out),
                Codec::Ntex => bench_ntex(&mut group, v5, &payload),
            }
        }
        group.finish();
    }
}

fn bench_ours(group: &mut BenchmarkGroup<'_, WallTime>, version: Version, payload: &Bytes, out: &mut BytesMut) {
    let packet = ours(payload.clone());
    group.bench_function("mqtt-codec", |b| {
        b.iter(|| {
            out.clear();
            for _ in 0..batch(payload.len()) {
                write_ours(black_box(&packet), version, out);
            }
            black_box(&out);
        });
    });
}

fn bench_shared(group: &mut BenchmarkGroup<'_, WallTime>, version: Version, payload: &Bytes) {
    let (mut heads, mut payloads) = (BytesMut::with_capacity(8192), Vec::with_capacity(batch(payload.len())));
    group.bench_function("mqtt-codec shared", |b| {
        b.iter(|| {
            heads.clear();
            payloads.clear();
            for _ in 0..batch(payload.len()) {
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

fn bench_mqttbytes(group: &mut BenchmarkGroup<'_, WallTime>, v5: bool, payload: &Bytes, out: &mut BytesMut) {
    let v4_packet = mqttbytes::v4::Publish::from_bytes(TOPIC, mqttbytes::QoS::AtMostOnce, payload.clone());
    let v5_packet = mqttbytes::v5::Publish::from_bytes(TOPIC, mqttbytes::QoS::AtMostOnce, payload.clone());
    group.bench_function("mqttbytes", |b| {
        b.iter(|| {
            out.clear();
            for _ in 0..batch(payload.len()) {
                if v5 {
                    write_mqttbytes_v5(black_box(&v5_packet), out);
                } else {
                    write_mqttbytes_v4(black_box(&v4_packet), out);
                }
            }
            black_box(&out);
        });
    });
}

fn bench_rmqtt(group: &mut BenchmarkGroup<'_, WallTime>, v5: bool, payload: &Bytes, out: &mut BytesMut) {
    use rmqtt_codec::types::{Publish, QoS};
    use tokio_util::codec::Encoder as _;

    let publish = Publish {
        dup: false,
        retain: false,
        qos: QoS::AtMostOnce,
        topic: TOPIC.into(),
        packet_id: None,
        payload: payload.clone(),
        properties: v5.then(Default::default),
    };
    let mut v3_codec = rmqtt_codec::v3::Codec::new(0);
    let mut v5_codec = rmqtt_codec::v5::Codec::new(0, 0);
    group.bench_function("rmqtt-codec", |b| {
        b.iter_batched(
            || vec![Box::new(publish.clone()); batch(payload.len())],
            |packets| {
                out.clear();
                for packet in packets {
                    if v5 {
                        v5_codec.encode(rmqtt_codec::v5::Packet::Publish(packet), out).unwrap();
                    } else {
                        v3_codec.encode(rmqtt_codec::v3::Packet::Publish(packet), out).unwrap();
                    }
                }
                black_box(&out);
            },
            BatchSize::NumIterations(BUFFERS as u64),
        );
    });
}

fn bench_ntex(group: &mut BenchmarkGroup<'_, WallTime>, v5: bool, payload: &Bytes) {
    use ntex_codec::Encoder as _;
    use ntex_mqtt::{QoS, v3, v5 as five};

    let len = payload.len();
    let payload = ntex_bytes::Bytes::copy_from_slice(payload);
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
            BatchSize::NumIterations(BUFFERS as u64),
        );
    });
}

const CASES: [(Version, usize); 4] =
    [(Version::V3_1_1, 64), (Version::V5, 64), (Version::V3_1_1, 16 * 1024), (Version::V5, 16 * 1024)];

fn group<'a>(
    c: &'a mut Criterion,
    what: &str,
    version: Version,
    len: usize,
    round: &str,
) -> BenchmarkGroup<'a, WallTime> {
    let mut group = c.benchmark_group(format!("{what} {version:?} {len} {round}"));
    group.throughput(Throughput::Elements(batch(len) as u64));
    group.warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(800)).sample_size(20);
    group
}

/// Twice, the second time in the opposite order.
fn rounds(c: &mut Criterion) {
    let mut codecs = [Codec::Ours, Codec::Mqttbytes, Codec::Rmqtt, Codec::Ntex];
    for round in ["forth", "back"] {
        decode(c, round, &codecs);
        encode(c, round, &codecs);
        codecs.reverse();
    }
}

criterion_group!(benches, rounds);
criterion_main!(benches);
