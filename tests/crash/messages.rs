//! Compares what was sent with what has come, once every session is drained.

use mqtt_codec::Qos;

use crate::publisher::{Publisher, qos_of};
use crate::report::{Count, Fault, Report};
use crate::subscriber::{Received, Subscriber};

pub(crate) fn check(publishers: &mut [Publisher], subscribers: &mut [Subscriber], report: &Report) {
    for subscriber in &mut *subscribers {
        let mut from = vec![Vec::new(); publishers.len()];
        for received in &subscriber.received {
            match from.get_mut(received.publisher) {
                Some(list) => list.push(*received),
                None => report.fault(Fault::Unasked, &format!("{}: {received:?}", subscriber.client.id)),
            }
        }
        for (number, (publisher, received)) in publishers.iter().zip(from).enumerate() {
            check_pair(number, publisher, subscriber, &received, report);
        }
        report.add(Count::Delivered, subscriber.received.len() as u64);
        subscriber.forget();
    }
    publishers.iter_mut().for_each(Publisher::forget);
}

fn check_pair(from: usize, publisher: &Publisher, to: &Subscriber, received: &[Received], report: &Report) {
    let fault = |fault, received: &Received| report.fault(fault, &format!("{}: {received:?}", to.client.id));
    let mut came = vec![false; publisher.sent.len()];
    let mut last = std::collections::HashMap::new();
    for one in received {
        let Some(at) = one.number.checked_sub(publisher.first).map(|at| at as usize) else {
            // Its acknowledgement may not have been stored before the broker died.
            match one.qos {
                Qos::AtLeastOnce if one.dup => report.add(Count::Duplicates, 1),
                _ => fault(Fault::Doubled, one),
            }
            continue;
        };
        let Some(sent) = publisher.sent.get(at) else {
            fault(Fault::Unasked, one);
            continue;
        };
        let until = sent.acknowledged.or(sent.given_up).unwrap_or(u64::MAX);
        let is_right = sent.topic == one.topic && !sent.retain && one.qos == to.granted(qos_of(sent.topic));
        if !is_right || !to.may_get(from, sent.from, until) {
            fault(Fault::Unasked, one);
        }
        if std::mem::replace(&mut came[at], true) {
            match one.qos {
                Qos::AtLeastOnce => report.add(Count::Duplicates, 1),
                _ => fault(Fault::Doubled, one),
            }
        } else if last.insert(one.topic, one.number).is_some_and(|last| last > one.number)
            // One that was sent again may have come before the client had subscribed.
            && to.must_get(from, sent.from, until)
        {
            fault(Fault::Swapped, one);
        }
    }
    for (at, sent) in publisher.sent.iter().enumerate() {
        if let Some(acknowledged) = sent.acknowledged
            && !sent.retain
            && !came[at]
            && to.must_get(from, sent.from, acknowledged)
        {
            let number = publisher.first + at as u64;
            report.fault(Fault::Lost, &format!("{}: {number} of {from}, {sent:?}", to.client.id));
        }
    }
}
