//! Counts since the start, by EMQ X 4.3's names.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What is counted; everything else that is shown is a sum of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Metric {
    BytesReceived,
    BytesSent,
    Connect,
    Connected,
    Disconnected,
    ConnAckSent,
    ConnAckError,
    ConnAckAuthError,
    Qos0Received,
    Qos1Received,
    Qos2Received,
    Qos0Sent,
    Qos1Sent,
    Qos2Sent,
    PublishAuthError,
    PubAckReceived,
    PubRecReceived,
    PubRelReceived,
    PubCompReceived,
    SubscribeReceived,
    SubscribeAuthError,
    SubAckSent,
    UnsubscribeReceived,
    UnsubAckSent,
    PingReqReceived,
    DisconnectReceived,
    DisconnectSent,
    AuthReceived,
    Retained,
    NoSubscribers,
    DroppedTooLarge,
    DroppedQos0,
    DroppedQueueFull,
    DroppedExpired,
    Authenticate,
    AuthSuccess,
    AuthAnonymous,
    AuthFailure,
    SessionCreated,
    SessionResumed,
    SessionLost,
    SessionTakenOver,
    SessionDiscarded,
    SessionTerminated,
    RefusedConnections,
    RefusedRate,
    RefusedHalfOpen,
    RefusedAbsentees,
    HeldBack,
    FlappingSlowed,
    FlappingBanned,
    WaitedLate,
    RefusedLate,
}

impl Metric {
    /// Messages sent, by QoS.
    pub(crate) const SENT: [Self; 3] = [Self::Qos0Sent, Self::Qos1Sent, Self::Qos2Sent];
}

const METRICS: usize = Metric::RefusedLate as usize + 1;

/// A thread's counts, until its batch ends.
pub(crate) struct Tally {
    counts: [u64; METRICS],
    /// A bit for each that was counted: a batch counts a few of them.
    counted: u64,
}

const _: () = assert!(METRICS <= u64::BITS as usize);

impl Tally {
    pub(crate) const fn count(&mut self, metric: Metric, n: u64) {
        self.counts[metric as usize] += n;
        self.counted |= 1 << metric as usize;
    }

    pub(crate) fn add_to(&mut self, metrics: &Metrics) {
        let mut counted = std::mem::take(&mut self.counted);
        while counted != 0 {
            let metric = counted.trailing_zeros() as usize;
            metrics.0[metric].fetch_add(std::mem::take(&mut self.counts[metric]), Relaxed);
            counted &= counted - 1;
        }
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self { counts: [0; METRICS], counted: 0 }
    }
}

/// The broker's counts.
#[derive(Debug)]
pub(crate) struct Metrics([AtomicU64; METRICS]);

impl Default for Metrics {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; METRICS])
    }
}

impl Metrics {
    pub(crate) fn total(&self, metric: Metric) -> u64 {
        self.0[metric as usize].load(Relaxed)
    }

    /// For who has no batch.
    pub(crate) fn count(&self, metric: Metric) {
        self.0[metric as usize].fetch_add(1, Relaxed);
    }

    fn sum(&self, metrics: &[Metric]) -> u64 {
        metrics.iter().map(|&metric| self.total(metric)).sum()
    }

    /// Every metric with its name; dots become slashes in topics.
    pub(crate) fn list(&self) -> Vec<(&'static str, u64)> {
        use Metric::*;
        let sum = |metrics: &[Metric]| self.sum(metrics);
        let received = [Qos0Received, Qos1Received, Qos2Received];
        let sent = Metric::SENT;
        let other_received = [
            Connect,
            PubAckReceived,
            PubRecReceived,
            PubRelReceived,
            PubCompReceived,
            SubscribeReceived,
            UnsubscribeReceived,
            PingReqReceived,
            DisconnectReceived,
            AuthReceived,
        ];
        // An answer is due to each of these, and given in the same batch.
        let other_sent = [
            ConnAckSent,
            Qos1Received,
            Qos2Received,
            PubRelReceived,
            PubRecReceived,
            SubAckSent,
            UnsubAckSent,
            PingReqReceived,
            DisconnectSent,
        ];
        let dropped = [DroppedTooLarge, DroppedQos0, DroppedQueueFull, DroppedExpired];
        vec![
            ("bytes.received", sum(&[BytesReceived])),
            ("bytes.sent", sum(&[BytesSent])),
            ("packets.received", sum(&received) + sum(&other_received)),
            ("packets.sent", sum(&sent) + sum(&other_sent)),
            ("packets.connect.received", sum(&[Connect])),
            ("packets.connack.sent", sum(&[ConnAckSent])),
            ("packets.connack.error", sum(&[ConnAckError])),
            ("packets.connack.auth_error", sum(&[ConnAckAuthError])),
            ("packets.publish.received", sum(&received)),
            ("packets.publish.sent", sum(&sent)),
            ("packets.publish.auth_error", sum(&[PublishAuthError])),
            ("packets.publish.dropped", 0),
            ("packets.puback.received", sum(&[PubAckReceived])),
            ("packets.puback.sent", sum(&[Qos1Received])),
            ("packets.pubrec.received", sum(&[PubRecReceived])),
            ("packets.pubrec.sent", sum(&[Qos2Received])),
            ("packets.pubrel.received", sum(&[PubRelReceived])),
            ("packets.pubrel.sent", sum(&[PubRecReceived])),
            ("packets.pubcomp.received", sum(&[PubCompReceived])),
            ("packets.pubcomp.sent", sum(&[PubRelReceived])),
            ("packets.subscribe.received", sum(&[SubscribeReceived])),
            ("packets.subscribe.auth_error", sum(&[SubscribeAuthError])),
            ("packets.suback.sent", sum(&[SubAckSent])),
            ("packets.unsubscribe.received", sum(&[UnsubscribeReceived])),
            ("packets.unsuback.sent", sum(&[UnsubAckSent])),
            ("packets.pingreq.received", sum(&[PingReqReceived])),
            ("packets.pingresp.sent", sum(&[PingReqReceived])),
            ("packets.disconnect.received", sum(&[DisconnectReceived])),
            ("packets.disconnect.sent", sum(&[DisconnectSent])),
            ("packets.auth.received", sum(&[AuthReceived])),
            ("packets.auth.sent", 0),
            ("messages.received", sum(&received)),
            ("messages.sent", sum(&sent)),
            ("messages.qos0.received", sum(&[Qos0Received])),
            ("messages.qos0.sent", sum(&[Qos0Sent])),
            ("messages.qos1.received", sum(&[Qos1Received])),
            ("messages.qos1.sent", sum(&[Qos1Sent])),
            ("messages.qos2.received", sum(&[Qos2Received])),
            ("messages.qos2.sent", sum(&[Qos2Sent])),
            ("messages.publish", sum(&received)),
            ("messages.dropped", sum(&dropped) + sum(&[NoSubscribers])),
            ("messages.dropped.no_subscribers", sum(&[NoSubscribers])),
            ("messages.retained", sum(&[Retained])),
            ("messages.delivered", sum(&sent)),
            ("messages.acked", sum(&[PubAckReceived, PubCompReceived])),
            ("delivery.dropped", sum(&dropped)),
            ("delivery.dropped.too_large", sum(&[DroppedTooLarge])),
            ("delivery.dropped.qos0_msg", sum(&[DroppedQos0])),
            ("delivery.dropped.queue_full", sum(&[DroppedQueueFull])),
            ("delivery.dropped.expired", sum(&[DroppedExpired])),
            ("client.connect", sum(&[Connect])),
            ("client.connack", sum(&[ConnAckSent])),
            ("client.connected", sum(&[Connected])),
            ("client.disconnected", sum(&[Disconnected])),
            ("client.authenticate", sum(&[Authenticate])),
            ("client.subscribe", sum(&[SubscribeReceived])),
            ("client.unsubscribe", sum(&[UnsubscribeReceived])),
            ("client.auth.success", sum(&[AuthSuccess, AuthAnonymous])),
            ("client.auth.success.anonymous", sum(&[AuthAnonymous])),
            ("client.auth.failure", sum(&[AuthFailure])),
            ("session.created", sum(&[SessionCreated])),
            ("session.resumed", sum(&[SessionResumed])),
            ("session.lost", sum(&[SessionLost])),
            ("session.takeovered", sum(&[SessionTakenOver])),
            ("session.discarded", sum(&[SessionDiscarded])),
            ("session.terminated", sum(&[SessionTerminated])),
            ("limits.refused.connections", sum(&[RefusedConnections])),
            ("limits.refused.connect_rate", sum(&[RefusedRate])),
            ("limits.refused.half_open", sum(&[RefusedHalfOpen])),
            ("limits.refused.absentees", sum(&[RefusedAbsentees])),
            ("limits.held_back", sum(&[HeldBack])),
            ("limits.flapping.slowed_down", sum(&[FlappingSlowed])),
            ("limits.flapping.banned", sum(&[FlappingBanned])),
            ("limits.late.waited", sum(&[WaitedLate])),
            ("limits.late.refused", sum(&[RefusedLate])),
        ]
    }
}
