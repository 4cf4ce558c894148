//! What one delivery costs in a session: QoS 0, and QoS 1 with its acknowledgement.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mqtt_codec::{Ack, Connect, Message, Packet, PacketId, Properties, Qos, ReasonCode, Topic, Version};
use mqtt_session::{Attach, Config, Delivered, DeliveryOptions, Fanout, Outbox, Publication, Session, Timestamp};

const NOW: Timestamp = Timestamp(1_000_000);

fn session(version: Version, out: &mut Outbox) -> Session {
    let connect = Connect {
        version,
        client_id: "bench".into(),
        is_bridge: false,
        clean_start: true,
        keep_alive: 60,
        username: None,
        password: None,
        will: None,
        properties: Properties::EMPTY,
    };
    let mut session = Session::new(Arc::new(Config::default()));
    session.attach(&Attach { connect: &connect, session_expiry: 0, keep_alive: 60 });
    session.resume(NOW, out);
    session
}

fn publication(qos: Qos) -> Publication {
    let message = Message {
        topic: Topic::new("fleet/region-07/vehicle-0012345/position").expect("a topic"),
        payload: Bytes::from(vec![b'x'; 64]),
        qos,
        retain: false,
        properties: Properties::EMPTY,
    };
    Publication::new(message, NOW)
}

/// Empties an outbox as a socket that takes everything does.
fn flush(out: &mut Outbox) {
    out.advance(out.len());
}

fn deliver(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("deliver");
    group.throughput(Throughput::Elements(1));
    for version in [Version::V3_1_1, Version::V5] {
        group.bench_function(format!("qos0/v{}", version.level()), |bencher| {
            let mut out = Outbox::new();
            let mut session = session(version, &mut out);
            let publication = publication(Qos::AtMostOnce);
            // One fan-out over many receivers: the frame is encoded once.
            let mut fanout = Fanout::new(&publication);
            bencher.iter(|| {
                let delivered = session.deliver(&mut fanout, DeliveryOptions::default(), NOW, &mut out);
                assert_eq!(black_box(delivered), Delivered::Sent);
                flush(&mut out);
            });
        });
        group.bench_function(format!("qos1 + ack/v{}", version.level()), |bencher| {
            let mut out = Outbox::new();
            let mut session = session(version, &mut out);
            let publication = publication(Qos::AtLeastOnce);
            let mut fanout = Fanout::new(&publication);
            let options = DeliveryOptions { qos: Qos::AtLeastOnce, ..DeliveryOptions::default() };
            let mut packet_id = PacketId::new(1).expect("not zero");
            bencher.iter(|| {
                let delivered = session.deliver(&mut fanout, options, NOW, &mut out);
                assert_eq!(black_box(delivered), Delivered::Sent);
                flush(&mut out);
                let ack = Packet::PubAck(Ack::new(packet_id, ReasonCode::Success));
                session.handle_packet(ack, NOW, &mut out).expect("it was sent with this id");
                packet_id = packet_id.next();
            });
        });
    }
    group.finish();
}

criterion_group!(benches, deliver);
criterion_main!(benches);
