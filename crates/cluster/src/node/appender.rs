//! One batch on its way.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::pending;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::following::PAUSE;
use crate::Log;

/// Batches that the log has, and that the node has not read yet. When there are more, the next one waits.
const MAX_UNREAD: usize = 64;

/// Sends batches one by one, each until the log has it.
#[derive(Default)]
pub(super) struct Appender {
    flying: Option<Flying>,
    /// Those who wait for a batch to be applied, by its number.
    unread: VecDeque<(u64, Vec<oneshot::Sender<()>>)>,
}

struct Flying {
    n: u64,
    since: Instant,
    arrival: Pin<Box<dyn Future<Output = u64> + Send>>,
}

/// A batch that the log has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived {
    /// How many times it was sent again.
    pub(super) resent: u64,
    /// How long it was on its way.
    pub(super) after: Duration,
}

impl Appender {
    /// Whether another batch may set off.
    pub(super) fn is_free(&self) -> bool {
        self.flying.is_none() && self.unread.len() < MAX_UNREAD
    }

    pub(super) fn flying_since(&self) -> Option<Instant> {
        self.flying.as_ref().map(|flying| flying.since)
    }

    pub(super) fn send<L: Log>(
        &mut self,
        log: &Arc<L>,
        n: u64,
        batch: Bytes,
        waiters: Vec<oneshot::Sender<()>>,
        patience: Duration,
    ) {
        let arrival = Box::pin(deliver(Arc::clone(log), batch, patience));
        self.flying = Some(Flying { n, since: Instant::now(), arrival });
        self.unread.push_back((n, waiters));
    }

    /// Waits until the log has what is on its way. It may be dropped and called again.
    pub(super) async fn arrived(&mut self) -> Arrived {
        let Some(flying) = &mut self.flying else { return pending().await };
        let resent = flying.arrival.as_mut().await;
        let after = flying.since.elapsed();
        self.flying = None;
        Arrived { resent, after }
    }

    /// The node has read this batch of its own and told all of it: who waits for it, or for one before, is told. It has arrived,
    /// even if the answer was lost.
    pub(super) fn read(&mut self, n: u64) -> Option<Arrived> {
        while self.unread.front().is_some_and(|(unread, _)| *unread <= n) {
            let waiters = self.unread.pop_front().map(|(_, waiters)| waiters).unwrap_or_default();
            for waiter in waiters {
                // Who does not wait any more does not mind.
                let _ = waiter.send(());
            }
        }
        let flying = self.flying.take_if(|flying| flying.n <= n)?;
        // An answer that is there by now was not lost, but it was only looked at after this.
        let Flying { since, arrival, .. } = flying;
        Some(Arrived { resent: arrival.now_or_never().unwrap_or(0), after: since.elapsed() })
    }
}

/// Sends a batch again until it is acknowledged. By its number it counts once, however often it arrives.
async fn deliver<L: Log>(log: Arc<L>, batch: Bytes, patience: Duration) -> u64 {
    let mut resent = 0;
    loop {
        let why = match timeout(patience, log.append(batch.clone())).await {
            Ok(Ok(())) => return resent,
            Ok(Err(why)) => why.to_string(),
            Err(_) => "no answer".into(),
        };
        tracing::debug!(why, "a batch is sent again");
        resent += 1;
        sleep(PAUSE).await;
    }
}
