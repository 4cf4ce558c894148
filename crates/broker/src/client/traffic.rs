//! What has gone over one connection.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use mqtt_session::Pushed;

/// What has gone over one connection. Who reads is the only one who counts what came, and only one writes at a time, so
/// a load and a store add up; whoever looks may see one number before the other.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    recv_oct: AtomicU64,
    recv_cnt: AtomicU64,
    recv_pkt: AtomicU64,
    recv_msg: AtomicU64,
    send_oct: AtomicU64,
    send_cnt: AtomicU64,
    send_pkt: AtomicU64,
    send_msg: AtomicU64,
}

impl Traffic {
    /// One read.
    pub(crate) fn note_read(&self, octets: usize) {
        add(&self.recv_oct, octets as u64);
        add(&self.recv_cnt, 1);
    }

    /// What was in it; messages are PUBLISH packets, which count as packets too.
    pub(crate) fn note_received(&self, packets: u64, messages: u64) {
        add(&self.recv_pkt, packets);
        add(&self.recv_msg, messages);
    }

    /// Packets that begin to leave.
    pub(crate) fn note_sent(&self, pushed: Pushed) {
        add(&self.send_pkt, u64::from(pushed.messages) + u64::from(pushed.others));
        add(&self.send_msg, pushed.messages.into());
    }

    /// Bytes that the socket took.
    pub(crate) fn note_written(&self, octets: u64, writes: u64) {
        add(&self.send_oct, octets);
        add(&self.send_cnt, writes);
    }

    pub(crate) fn state(&self) -> mqtt_operate::Traffic {
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        mqtt_operate::Traffic {
            recv_oct: of(&self.recv_oct),
            recv_cnt: of(&self.recv_cnt),
            recv_pkt: of(&self.recv_pkt),
            recv_msg: of(&self.recv_msg),
            send_oct: of(&self.send_oct),
            send_cnt: of(&self.send_cnt),
            send_pkt: of(&self.send_pkt),
            send_msg: of(&self.send_msg),
        }
    }
}

fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Relaxed) + n, Relaxed);
}
