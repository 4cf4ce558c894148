use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::{Dead, Digest, Down, Join, Up, Versions, Will};

fn text() -> impl Strategy<Value = ByteString> {
    "[a-z+/ü]{0,20}".prop_map(ByteString::from)
}

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn will() -> impl Strategy<Value = Will> {
    (any::<u32>(), bytes()).prop_map(|(delay, message)| Will { delay, message })
}

fn record() -> impl Strategy<Value = Record> {
    prop_oneof![
        (any::<u64>(), text(), any::<u16>(), any::<u16>()).prop_map(|(nonce, addr, from, to)| Record::Join(Join {
            nonce,
            addr,
            versions: Versions { from, to }
        })),
        (text(), any::<u64>(), any::<bool>(), any::<bool>(), any::<u64>(), bytes(), option::of(will())).prop_map(
            |(client, conn, is_clean, is_kept, at, info, will)| {
                Record::Up(Up { client, conn, is_clean, is_kept, at, info, will })
            }
        ),
        (text(), any::<u64>(), any::<u64>(), any::<bool>(), bytes()).prop_map(
            |(client, conn, at, with_will, reason)| Record::Down(Down { client, conn, at, with_will, reason })
        ),
        (text(), any::<u64>(), any::<u64>()).prop_map(|(node, epoch, last)| Record::Dead(Dead { node, epoch, last })),
        bytes().prop_map(|reason| Record::Left { reason }),
        (text(), any::<u64>()).prop_map(|(client, event)| Record::WillDue { client, event }),
        (text(), any::<bool>()).prop_map(|(client, is_here)| Record::Home { client, is_here }),
        (text(), option::of(bytes())).prop_map(|(key, value)| Record::Setting { key, value }),
        (any::<u64>(), any::<u64>())
            .prop_map(|(position, digest)| Record::Check { position, digest: Digest::new(digest) }),
        any::<u16>().prop_map(Record::Gate),
        text().prop_map(|node| Record::Forget { node }),
    ]
}

fn head() -> impl Strategy<Value = Head> {
    ("[a-z]{1,9}", any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(node, epoch, n, beat, at)| Head {
        node: node.into(),
        epoch,
        n,
        beat,
        at,
    })
}

fn encode(head: &Head, records: &[Record]) -> Bytes {
    let mut body = BytesMut::new();
    records.iter().for_each(|record| record.encode(&mut body));
    head.encode(&body)
}

fn some_head() -> Head {
    Head { node: "a".into(), epoch: 1, n: 2, beat: 3, at: 4 }
}

proptest! {
    #[test]
    fn a_batch_comes_back_as_it_was(head in head(), records in vec(record(), 0..9)) {
        let batch = Batch::decode(encode(&head, &records)).unwrap();
        prop_assert_eq!(&batch.head, &head);
        prop_assert_eq!(batch.records().collect::<Vec<_>>(), records);
    }

    #[test]
    fn a_part_of_a_batch_is_an_error(head in head(), records in vec(record(), 1..4)) {
        let whole = encode(&head, &records);
        for len in 0..whole.len() {
            prop_assert!(Batch::decode(whole.slice(..len)).is_err(), "{} of {} bytes", len, whole.len());
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(head in head(), body in vec(any::<u8>(), 0..200)) {
        let _ = Batch::decode(body.clone().into());
        if let Ok(batch) = Batch::decode(head.encode(&body)) {
            prop_assert!(batch.records().count() <= body.len());
        }
    }
}

#[test]
fn what_a_later_version_adds_to_a_record_is_passed_over() {
    let mut body = BytesMut::new();
    Record::Gate(7).encode(&mut body);
    assert_eq!(&body[..], [10, 1, 7]);
    let batch = Batch::decode(some_head().encode(&[10, 3, 7, 8, 9])).unwrap();
    assert_eq!(batch.records().collect::<Vec<_>>(), [Record::Gate(7)]);
}

#[test]
fn an_unknown_record_is_refused_unless_it_may_be_passed_over() {
    let batch = Batch::decode(some_head().encode(&[200, 2, 1, 1, 10, 1, 7])).unwrap();
    assert_eq!(batch.records().collect::<Vec<_>>(), [Record::Gate(7)]);
    assert_eq!(Batch::decode(some_head().encode(&[100, 2, 1, 1])), Err(Error::Kind(100)));
}

#[test]
fn another_form_is_refused_by_its_version() {
    let mut bytes = encode(&some_head(), &[]).to_vec();
    bytes[0] = 2;
    assert_eq!(Batch::decode(bytes.into()), Err(Error::Version(2)));
}

#[test]
fn nothing_longer_than_its_limit_is_read() {
    let long = Record::Down(Down {
        client: "a".into(),
        conn: 1,
        at: 1,
        with_will: false,
        reason: vec![0; crate::record::MAX_REASON + 1].into(),
    });
    assert_eq!(Batch::decode(encode(&some_head(), &[long])), Err(Error::TooLong("a reason")));
    assert_eq!(Batch::decode(vec![1; MAX_BATCH + 1].into()), Err(Error::TooLong("a batch")));
}
