//! Compares what the watchers were told with each other, and with what the clients did.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::line::{Line, Visit};
use super::nodes::Map;
use super::publisher::Publisher;
use super::watcher::{Event, Told, Watcher};
use crate::report::{Count, Fault, Report};

/// All of them were told the same, in one order.
pub(super) fn agree(watchers: &[Watcher], report: &Report) {
    let clients: BTreeSet<_> = watchers.iter().flat_map(|watcher| watcher.told.keys()).collect();
    for client in clients {
        // A watcher does not see how it came to watch.
        let is_watcher =
            |told: &&Told| client.starts_with("watcher") && matches!(told, Told::Event(event) if event.seq == 1);
        let of = |watcher: &Watcher| -> Vec<_> {
            watcher.of(client).iter().filter(|told| !is_watcher(told)).cloned().collect()
        };
        let first = of(&watchers[0]);
        for watcher in &watchers[1..] {
            let other = of(watcher);
            if other != first {
                let at = first.iter().zip(&other).take_while(|(one, other)| one == other).count();
                let what = format!(
                    "{client}: {} was told {} times {:?}, {} {} times {:?}",
                    watchers[0].line.id,
                    first.len(),
                    first.get(at),
                    watcher.line.id,
                    other.len(),
                    other.get(at)
                );
                report.fault(Fault::Different, &what);
            }
        }
    }
}

/// What was told of a client is what it did. `down`: the nodes that were lost.
pub(super) fn visits(line: &Line, told: &[Told], down: &HashSet<usize>, report: &Report) {
    let id = &line.id;
    alternate(id, told, report);
    let mut events = told.iter().filter_map(|told| match told {
        Told::Event(event) => Some(event),
        Told::Will(_) => None,
    });
    let came: Vec<_> = events.clone().filter(|event| event.is_connected).collect();
    // How often a connection may have been told of, and how often it was.
    let mut places: HashMap<(usize, u16), (usize, usize, usize)> = HashMap::new();
    for visit in &line.visits {
        let place = places.entry((visit.node, visit.port)).or_default();
        place.0 += usize::from(visit.answered);
        place.1 += 1;
    }
    for event in &came {
        match places.iter_mut().find(|((node, port), _)| event.is_at(*node) && event.peerport == *port) {
            Some((_, place)) => place.2 += 1,
            None => report.fault(Fault::EventDoubled, &format!("{id} never came so: {event:?}")),
        }
    }
    for (place, (answered, all, told)) in places {
        if told < answered {
            report.fault(Fault::EventMissing, &format!("{id} at {place:?}: {answered} let in, {told} told of"));
        } else if told > all {
            report.fault(Fault::EventDoubled, &format!("{id} at {place:?}: came {all} times, {told} told of"));
        }
    }
    let lost_with = events.clone().filter(|event| event.reason.as_deref() == Some("node_down"));
    for event in lost_with.filter(|event| !down.iter().any(|node| event.is_at(*node))) {
        report.fault(Fault::EventState, &format!("{id}: nothing was wrong with that node: {event:?}"));
    }
    state(line, events.next_back(), report);
    wills(line, told, report);
}

fn state(line: &Line, last: Option<&Event>, report: &Report) {
    let is_right = match (last, line.is_online().then(|| line.visits.last()).flatten()) {
        (Some(event), Some(visit)) => event.is_connected && event.is_at(visit.node) && event.peerport == visit.port,
        (Some(event), None) => !event.is_connected,
        (None, visit) => visit.is_none(),
    };
    if !is_right {
        let what = format!("{} is online: {}, {:?}; told: {last:?}", line.id, line.is_online(), line.visits.last());
        report.fault(Fault::EventState, &what);
    }
}

/// Connected, disconnected, connected, and so on, numbered upwards.
fn alternate(id: &str, told: &[Told], report: &Report) {
    let mut last: Option<&Event> = None;
    for one in told {
        let Told::Event(event) = one else { continue };
        let was_connected = last.is_some_and(|last| last.is_connected);
        if event.is_connected == was_connected {
            report.fault(Fault::EventSwapped, &format!("{id}: {event:?} after {last:?}"));
        }
        if last.is_some_and(|last| last.seq >= event.seq) {
            report.fault(Fault::EventNumber, &format!("{id}: {event:?} after {last:?}"));
        }
        if let Some(last) = last
            && !event.is_connected
            && (&last.node, last.peerport) != (&event.node, event.peerport)
        {
            report.fault(Fault::EventNumber, &format!("{id}: {event:?} ends {last:?}"));
        }
        last = Some(event);
    }
}

/// A will is published once, between its client's coming and going, unless the client said goodbye or was never let in.
fn wills(line: &Line, told: &[Told], report: &Report) {
    let mut seen = HashSet::new();
    let mut online: Option<(usize, &Visit)> = None;
    // Ports come again, so of two visits it is the later one.
    let mut last = None;
    for one in told {
        match one {
            Told::Will(number) => {
                let fits = online.is_some_and(|(at, visit)| at as u64 == *number && visit.has_will);
                if !fits || !seen.insert(*number) {
                    report.fault(Fault::Will, &format!("{}: will {number}, while {online:?}", line.id));
                }
            }
            Told::Event(event) if event.is_connected => {
                let is_it = |(_, visit): &(usize, &Visit)| event.is_at(visit.node) && event.peerport == visit.port;
                let mut visits = line.visits.iter().enumerate().filter(is_it);
                online = visits.clone().find(|(at, _)| Some(*at) > last).or_else(|| visits.next());
                last = online.map(|(at, _)| at).max(last);
            }
            Told::Event(event) => {
                let Some((at, visit)) = online.take().filter(|(_, visit)| visit.has_will) else { continue };
                let was_published = seen.contains(&(at as u64));
                let is_right = match event.reason.as_deref() {
                    // The log was away, and CONNACK said no.
                    Some("normal" | "server_unavailable") => !was_published,
                    // It had gone before it was answered.
                    _ if !visit.answered => true,
                    _ => was_published,
                };
                if !is_right {
                    let what = format!("{}: will {at} published: {was_published}, before {event:?}", line.id);
                    report.fault(Fault::Will, &what);
                }
            }
        }
    }
}

/// What was acknowledged has come to each node that was well.
pub(super) fn messages(watchers: &[Watcher], publishers: &[Publisher], map: &Map) {
    for watcher in watchers {
        let came: HashSet<_> = watcher.messages.iter().copied().collect();
        map.report.add(Count::Duplicates, (watcher.messages.len() - came.len()) as u64);
        for (number, publisher) in publishers.iter().enumerate() {
            for sent in &publisher.acknowledged {
                if came.contains(&(number, sent.number)) {
                    continue;
                }
                let excused = [watcher.node, sent.node].iter().any(|node| !map.was_well(*node, sent.from, sent.until));
                if excused {
                    map.report.add(Count::LostWithNode, 1);
                } else {
                    map.report.fault(Fault::Lost, &format!("{}: {sent:?} of publisher {number}", watcher.line.id));
                }
            }
        }
    }
}
