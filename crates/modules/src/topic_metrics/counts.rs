//! What is counted of one topic.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use serde_json::{Map, Value};

/// Ticks that a rate is made of, so that it neither jumps nor lags.
const TICKS: usize = 10;

/// By the names of EMQ X.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metric {
    In,
    Out,
    Dropped,
    In0,
    In1,
    In2,
    Out0,
    Out1,
    Out2,
}

impl Metric {
    /// By quality of service.
    pub(super) const IN: [Self; 3] = [Self::In0, Self::In1, Self::In2];
    /// By quality of service.
    pub(super) const OUT: [Self; 3] = [Self::Out0, Self::Out1, Self::Out2];
}

/// In the order of [`Metric`].
const NAMES: [&str; 9] = [
    "messages.in",
    "messages.out",
    "messages.dropped",
    "messages.qos0.in",
    "messages.qos1.in",
    "messages.qos2.in",
    "messages.qos0.out",
    "messages.qos1.out",
    "messages.qos2.out",
];

type All = [u64; NAMES.len()];

/// Since the topic was named, or the module started.
#[derive(Debug, Default)]
pub(super) struct Counts {
    now: [AtomicU64; NAMES.len()],
    /// At the last ticks, the oldest first.
    before: Mutex<VecDeque<All>>,
}

impl Counts {
    pub(super) fn add(&self, metric: Metric) {
        self.now[metric as usize].fetch_add(1, Relaxed);
    }

    fn all(&self) -> All {
        self.now.each_ref().map(|count| count.load(Relaxed))
    }

    /// A second has passed.
    pub(super) fn tick(&self) {
        let mut before = self.before.lock();
        if before.len() > TICKS {
            before.pop_front();
        }
        before.push_back(self.all());
    }

    /// Each in a second, over the last [`TICKS`], or as many as there were.
    fn rates(&self) -> [f64; NAMES.len()] {
        let before = self.before.lock();
        let mut rates = [0.0; NAMES.len()];
        if let (Some(first), Some(last), 2..) = (before.front(), before.back(), before.len()) {
            let seconds = (before.len() - 1) as f64;
            for (rate, (first, last)) in rates.iter_mut().zip(first.iter().zip(last)) {
                // To hundredths: it is read by people.
                *rate = ((last - first) as f64 / seconds * 100.0).round() / 100.0;
            }
        }
        rates
    }

    /// `messages.in.count`, `messages.in.rate` and so on, as EMQ X has them.
    pub(super) fn shown(&self) -> Map<String, Value> {
        let values = NAMES.iter().zip(self.all()).zip(self.rates());
        values
            .flat_map(|((name, count), rate)| {
                [(format!("{name}.count"), count.into()), (format!("{name}.rate"), rate.into())]
            })
            .collect()
    }
}
