//! The task that sends and hears.

use std::collections::VecDeque;
use std::time::Duration;

use super::*;
use crate::link::{Frame, Incoming, Taken};
use crate::wire::Inbox;

/// How often it is looked whether something has to be sent again.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Frames of one node that wait until we have read as far as it had; what it sends beyond is lost, and comes again.
const MAX_WAITING: usize = 256;

/// Frames that are sent to one node before others have their turn.
const IN_A_ROW: usize = 16;

pub(super) struct Task<W: Wire, H> {
    wire: Arc<W>,
    name: ByteString,
    shared: Arc<Shared>,
    hear: H,
    epoch: Option<u64>,
    links: Vec<Link>,
}

/// With one other node.
struct Link {
    peer: Arc<Peer>,
    incoming: Incoming,
    waiting: VecDeque<Frame>,
    /// It is to be told how far we are.
    owes_ack: bool,
    /// What it says can't be understood.
    is_broken: bool,
}

impl<W: Wire, H: Hear> Task<W, H> {
    pub(super) fn new(wire: W, name: ByteString, shared: Arc<Shared>, hear: H) -> Self {
        Self { wire: Arc::new(wire), name, shared, hear, epoch: None, links: Vec::new() }
    }

    pub(super) async fn run(mut self) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut inbox = None;
        let (wire, shared) = (Arc::clone(&self.wire), Arc::clone(&self.shared));
        let name = self.name.clone();
        loop {
            if inbox.is_none() {
                inbox =
                    wire.listen(&name).await.inspect_err(|why| tracing::warn!(%why, "other nodes can't be heard")).ok();
            }
            tokio::select! {
                biased;
                _ = looks.tick() => {
                    let now = Instant::now();
                    self.links.iter().for_each(|link| link.peer.out.lock().look(now));
                }
                frame = next(&mut inbox) => match frame {
                    Some(frame) => self.take(frame),
                    None => inbox = None,
                },
                () = shared.wake.notified() => {}
            }
            // What has come meanwhile is heard together and has one answer.
            for _ in 0..IN_A_ROW {
                let Some(frame) = now_or_never(next(&mut inbox)).flatten() else { break };
                self.take(frame);
            }
            self.look_at_lives();
            self.hear_some().await;
            self.send_some().await;
        }
    }

    fn take(&mut self, frame: Bytes) {
        let Some(frame) = Frame::decode(frame) else {
            tracing::warn!("what another node has sent is no frame that is known here");
            return;
        };
        // Of another life of either: it is void.
        if self.epoch != Some(frame.to_epoch) {
            return;
        }
        let is_of = |link: &&mut Link| link.peer.name == frame.from && link.peer.epoch == frame.epoch;
        let Some(link) = self.links.iter_mut().find(is_of) else { return };
        let handled = {
            let mut out = link.peer.out.lock();
            out.note_ack(frame.ack, Instant::now());
            out.handled()
        };
        link.peer.note_handled(handled);
        if !frame.data.is_empty() {
            link.owes_ack = true;
            if link.waiting.len() < MAX_WAITING && !link.is_broken {
                link.waiting.push_back(frame);
            }
        }
    }

    /// Who has come and who is gone.
    fn look_at_lives(&mut self) {
        let roll = self.shared.roll.lock().clone();
        let (epoch, lives) = roll.map_or((None, Lives::new()), |(epoch, lives)| (Some(epoch), lives));
        let is_another = self.epoch != epoch;
        self.epoch = epoch;
        let hear = &mut self.hear;
        self.links.retain(|Link { peer, .. }| {
            let stays = !is_another && lives.get(&peer.name) == Some(&peer.epoch);
            if !stays {
                let lost = peer.end();
                if lost > 0 {
                    tracing::warn!(node = %peer.name, lost, "a node is gone, and what was said to it may not have been heard");
                }
                hear.went(peer);
            }
            stays
        });
        for (name, epoch) in lives {
            if self.links.iter().all(|link| link.peer.name != name) {
                let peer = Arc::new(Peer::new(name, epoch, Arc::clone(&self.shared.wake)));
                hear.came(Arc::clone(&peer));
                self.links.push(Link {
                    peer,
                    incoming: Incoming::default(),
                    waiting: VecDeque::new(),
                    owes_ack: false,
                    is_broken: false,
                });
            }
        }
    }

    async fn hear_some(&mut self) {
        let position = self.shared.position.load(Relaxed);
        for link in &mut self.links {
            let mut pieces = Vec::new();
            // What it says was said when it had read so far: whom it is about must be known here, too.
            while let Some(frame) = link.waiting.pop_front_if(|frame| frame.position <= position) {
                match link.incoming.take(frame.offset, &frame.data) {
                    Taken::New => pieces.extend(std::iter::from_fn(|| link.incoming.poll_piece())),
                    Taken::Nothing => {}
                    Taken::Bad => {
                        tracing::error!(node = %link.peer.name, "what this node says can't be understood");
                        link.is_broken = true;
                        link.waiting.clear();
                    }
                }
            }
            if !pieces.is_empty() {
                self.hear.hear(&link.peer, pieces).await;
                link.incoming.note_handled();
                link.owes_ack = true;
            }
        }
    }

    async fn send_some(&mut self) {
        let Some(epoch) = self.epoch else { return };
        let now = Instant::now();
        let mut has_more = false;
        for link in &mut self.links {
            for at in 0..IN_A_ROW {
                let data = link.peer.out.lock().poll_data(now);
                if data.is_none() && !link.owes_ack {
                    break;
                }
                let (offset, data) = data.unwrap_or_default();
                has_more |= at + 1 == IN_A_ROW && !data.is_empty();
                link.owes_ack = false;
                let frame = Frame {
                    from: self.name.clone(),
                    epoch,
                    to_epoch: link.peer.epoch,
                    position: self.shared.position.load(Relaxed),
                    ack: link.incoming.ack(),
                    offset,
                    data,
                };
                self.wire.send(&link.peer.name, frame.encode()).await;
            }
        }
        if has_more {
            self.shared.wake.notify_one();
        }
    }
}

async fn next<I: Inbox>(inbox: &mut Option<I>) -> Option<Bytes> {
    match inbox {
        Some(inbox) => inbox.next().await,
        None => pending().await,
    }
}

/// What is there at once.
fn now_or_never<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match Pin::as_mut(&mut future).poll(&mut context) {
        std::task::Poll::Ready(done) => Some(done),
        std::task::Poll::Pending => None,
    }
}
