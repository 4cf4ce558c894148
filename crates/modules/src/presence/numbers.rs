//! What presence counts and measures.

use mqtt_hooks::{Bucket, Histogram, Number};

use super::{Counts, LATENCY_BOUNDS, LatencyCounts};

/// Clients of which something was not done, and how often.
pub(super) struct Skipped {
    pub(super) unavailable: u64,
    pub(super) unsettled: u64,
    pub(super) no_uptime: u64,
    pub(super) unfit: u64,
}

pub(super) fn of(counts: &Counts, skipped: Skipped, missing: [(&'static str, u64); 2]) -> Vec<Number> {
    let events = |event, count| {
        let help = "Presence events since the start, whether or not anyone subscribes.";
        Number::counter("events", help, count).labelled("event", event)
    };
    let missing = missing.map(|(state, count)| {
        let help = "Clients that are missed by a rule of modules.presence.absence.";
        Number::gauge("clients.missing", help, count as f64).labelled("state", state)
    });
    let mut numbers = vec![
        events("connected", counts.connected),
        events("disconnected", counts.disconnected),
        Number::gauge("events.kept", "Presence events that can be looked up.", counts.len as f64),
        Number::gauge("clients.known", "Clients of which the last event is known.", counts.known as f64),
        Number::counter(
            "clients.forgotten",
            "Clients that were forgotten: for others, or because they have been away for so long.",
            counts.forgotten,
        ),
        Number::counter(
            "events.skipped",
            "Presence events not published, for MQTT does not allow their topic: it is too long.",
            counts.skipped,
        )
        .alarming("presence events were not published: client ids too long for a topic; see limits.max_client_id"),
        Number::counter(
            "availability.skipped",
            "Changes of availability not published, for no topic can be made of the client id.",
            skipped.unavailable,
        ),
        Number::counter(
            "events.dropped",
            "Presence events that a subscriber did not get, for its queue or its socket was full.",
            counts.dropped,
        )
        .alarming("presence events did not reach a subscriber: its queue or its socket is full"),
        Number::counter(
            "settled.skipped",
            "Clients of which it was not told that they stayed away, for too many were about to be: see modules.presence.known.",
            skipped.unsettled,
        ),
        Number::counter(
            "uptime.skipped",
            "Times that a client went of which no uptime is kept, for there were too many: see modules.presence.known.",
            skipped.no_uptime,
        ),
        Number::counter(
            "tags.skipped",
            "Texts that were to be tags of clients by modules.presence.tags, and are too long or have a character that no tag has.",
            skipped.unfit,
        ),
        Number::histogram(
            "latency.seconds",
            "From when the broker noticed that a client came or went until all subscribers had that.",
            histogram(&counts.latency),
        ),
    ];
    numbers.extend(missing);
    numbers
}

fn histogram(latency: &LatencyCounts) -> Histogram {
    let bounds = LATENCY_BOUNDS.iter().zip(latency.counts);
    Histogram {
        buckets: bounds.map(|(&us, count)| Bucket { up_to: us as f64 / 1e6, count }).collect(),
        above: latency.counts[LATENCY_BOUNDS.len()],
        sum: latency.total.as_secs_f64(),
    }
}
