//! Bytes ready to leave.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};
use mqtt_codec::{Packet, PublishHead, Version};

/// Payloads from this size on are shared, not copied. Below it, copying costs less than the two allocations that
/// cutting the buffer takes and the slices that the socket is then to be given.
pub(crate) const SHARE_FROM: usize = 4096;

/// A buffer that grew beyond this is not kept once it is empty: it may have taken one burst in the life of a client.
const KEEP: usize = 2048;

/// Encoded packets in the order in which they leave. Large payloads are kept as shared slices, small ones copied.
///
/// A driver that does not want to hold the client's lock while it writes takes what is there, and brings back what
/// the socket did not take:
///
/// ```
/// # use mqtt_codec::{Packet, Version};
/// # use mqtt_session::Outbox;
/// # fn write(slices: &[std::io::IoSlice<'_>]) -> usize { slices.iter().map(|slice| slice.len()).sum::<usize>().min(3) }
/// # let mut outbox = Outbox::new();
/// outbox.push(&Packet::PingResp, Version::V5);
/// outbox.push(&Packet::PingResp, Version::V5);
///
/// let mut leaving = outbox.take();
/// // Unlocked: others may push into `outbox` while this is written.
/// let mut slices = [std::io::IoSlice::new(&[]); 16];
/// let filled = leaving.io_slices(&mut slices);
/// let written = write(&slices[..filled]);
/// leaving.advance(written);
/// // Locked again.
/// outbox.put_back(leaving);
/// assert_eq!(outbox.len(), 1);
/// ```
#[derive(Debug, Default)]
pub struct Outbox {
    /// Leaves before the tail. Most outboxes never have any; where there is one, it is not empty.
    front: Option<Box<Front>>,
    tail: BytesMut,
    pushed: Pushed,
}

#[derive(Debug, Default)]
struct Front {
    len: usize,
    parts: VecDeque<Bytes>,
}

/// How many packets were put into an outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// PUBLISH packets.
    pub messages: u32,
    /// All others.
    pub others: u32,
}

impl Front {
    fn push(&mut self, part: Bytes) {
        self.len += part.len();
        self.parts.push_back(part);
    }
}

impl Outbox {
    /// An empty outbox. It owns no memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes waiting.
    pub fn len(&self) -> usize {
        self.tail.len() + self.front.as_ref().map_or(0, |front| front.len)
    }

    /// True if nothing waits.
    pub fn is_empty(&self) -> bool {
        self.tail.is_empty() && self.front.is_none()
    }

    /// Packets put in since this was last asked. For counting.
    pub fn take_pushed(&mut self) -> Pushed {
        std::mem::take(&mut self.pushed)
    }

    /// Appends a packet; one that is over MQTT's limit of 256 MiB is left out.
    pub fn push(&mut self, packet: &Packet, version: Version) {
        if packet.encode(version, &mut self.tail).is_ok() {
            self.pushed.others += 1;
        }
    }

    /// Fills `slices` from the front of the outbox and returns how many were filled.
    pub fn io_slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let front = self.front.iter().flat_map(|front| front.parts.iter()).map(|bytes| &bytes[..]);
        let waiting = front.chain([&self.tail[..]]).filter(|bytes| !bytes.is_empty());
        let mut filled = 0;
        for (slice, bytes) in slices.iter_mut().zip(waiting) {
            *slice = IoSlice::new(bytes);
            filled += 1;
        }
        filled
    }

    /// Forgets the first `written` bytes.
    pub fn advance(&mut self, written: usize) {
        let mut written = written.min(self.len());
        if let Some(front) = &mut self.front {
            while let Some(first) = front.parts.front_mut() {
                let part = first.len().min(written);
                front.len -= part;
                if first.len() > written {
                    first.advance(written);
                    return;
                }
                written -= part;
                front.parts.pop_front();
            }
            // A front that is there is never empty, so whether there is one says whether something is in front of the
            // tail.
            self.front = None;
        }
        if written == self.tail.len() {
            // Unlike `advance`, this keeps the whole buffer at hand.
            self.tail.clear();
        } else {
            self.tail.advance(written);
        }
    }

    /// Takes everything, so that it can be written without a lock on where this outbox is.
    #[must_use]
    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// Puts `rest` (taken from this outbox before, partly written) in front of what came since.
    pub fn put_back(&mut self, mut rest: Self) {
        // Also of what is put back unwritten; who writes has taken these numbers out before.
        self.pushed.messages += rest.pushed.messages;
        self.pushed.others += rest.pushed.others;
        if rest.is_empty() {
            self.recycle(rest);
            return;
        }
        // The rest may begin in the midst of a packet: nothing may come between it and what the socket took.
        let since = std::mem::replace(self, Self { pushed: self.pushed, ..Self::default() });
        if let Some(since) = since.front {
            // Its tail is older than the front of what came since, so it joins the front part.
            rest.cut();
            let front = rest.front.get_or_insert_default();
            front.len += since.len;
            front.parts.extend(since.parts);
        }
        rest.append_shared_or_copied(since.tail);
        self.front = rest.front;
        self.tail = rest.tail;
    }

    /// Takes over the buffer of an outbox that has been written, if it has none of its own and that one is small.
    ///
    /// Before delivering into an empty outbox, this also lends it a buffer of the driver's, so that idle clients need
    /// not own one.
    pub fn recycle(&mut self, spare: Self) {
        // A buffer that is there has bytes or will have: it is not given away for another.
        if self.tail.capacity() == 0 && self.tail.is_empty() && spare.is_empty() {
            self.tail = spare.tail;
            self.shrink();
        }
    }

    /// True if there is a buffer to write into already.
    pub fn has_buffer(&self) -> bool {
        self.tail.capacity() > 0
    }

    /// Drops everything, keeping small buffers for re-use.
    pub fn clear(&mut self) {
        self.front = None;
        self.tail.clear();
        self.shrink();
    }

    /// Appends a PUBLISH with the given payload. Nothing is appended if it is over MQTT's limit.
    pub(crate) fn push_publish(&mut self, head: &PublishHead<'_>, payload: &Bytes, version: Version) -> bool {
        if head.encode(version, &mut self.tail).is_err() {
            return false;
        }
        self.pushed.messages += 1;
        self.push_payload(payload);
        true
    }

    /// Appends an encoded PUBLISH, its payload left out where that is shared, and lends them for the change that makes them this receiver's.
    pub(crate) fn push_frame(&mut self, frame: &[u8]) -> &mut [u8] {
        let before = self.tail.len();
        self.tail.extend_from_slice(frame);
        self.pushed.messages += 1;
        &mut self.tail[before..]
    }

    /// Appends a payload, shared if it is large.
    pub(crate) fn push_payload(&mut self, payload: &Bytes) {
        if payload.len() >= SHARE_FROM {
            self.cut();
            self.front.get_or_insert_default().push(payload.clone());
        } else {
            self.tail.extend_from_slice(payload);
        }
    }

    /// Moves the tail to the front part; what follows is written behind it, into the same buffer while it lasts.
    fn cut(&mut self) {
        if !self.tail.is_empty() {
            // Shares the buffer's memory: no byte is copied for the payload that is put between.
            let tail = self.tail.split().freeze();
            self.front.get_or_insert_default().push(tail);
        }
    }

    fn append_shared_or_copied(&mut self, bytes: BytesMut) {
        if bytes.len() >= SHARE_FROM {
            self.cut();
            self.tail = bytes;
        } else {
            self.tail.extend_from_slice(&bytes);
        }
    }

    fn shrink(&mut self) {
        if self.tail.capacity() > KEEP {
            self.tail = BytesMut::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that waits, by way of as few slices at a time as it can get.
    fn contents(outbox: &Outbox) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 64];
        let filled = outbox.io_slices(&mut slices);
        let bytes = slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect::<Vec<_>>();
        assert_eq!(bytes.len(), outbox.len());
        bytes
    }

    fn with(parts: &[&[u8]]) -> Outbox {
        let mut outbox = Outbox::new();
        for part in parts {
            outbox.push_payload(&Bytes::copy_from_slice(part));
        }
        outbox
    }

    #[test]
    fn any_partial_write_leaves_the_rest_in_order() {
        let large: Vec<u8> = (0..SHARE_FROM).map(|n| n as u8).collect();
        let parts: [&[u8]; 6] = [b"abc", &large, b"", b"de", b"fgh", &large];
        let all = parts.concat();
        for written in (0..all.len() + 2).step_by(7).chain([1, 2, 3, 4, all.len()]) {
            let mut outbox = with(&parts);
            outbox.advance(written);
            assert_eq!(contents(&outbox), all[written.min(all.len())..]);
        }
    }

    #[test]
    fn few_slices_get_the_front() {
        let large = [7; SHARE_FROM];
        let outbox = with(&[b"abc", &large, b"de"]);
        let mut slices = [IoSlice::new(&[]); 2];
        assert_eq!(outbox.io_slices(&mut slices), 2);
        assert_eq!((&slices[0][..], &slices[1][..]), (&b"abc"[..], &large[..]));
    }

    #[test]
    fn large_payloads_are_shared() {
        let payload = Bytes::from(vec![1; SHARE_FROM]);
        let mut outbox = Outbox::new();
        outbox.push_payload(&payload);
        let mut slices = [IoSlice::new(&[]); 1];
        outbox.io_slices(&mut slices);
        assert_eq!(slices[0].as_ptr(), payload.as_ptr());
    }

    #[test]
    fn what_is_put_back_goes_first() {
        let large = [7; SHARE_FROM];
        let shapes: [&[&[u8]]; 5] = [&[], &[b"abc"], &[&large], &[b"abc", &large], &[b"abc", &large, b"de"]];
        for rest in shapes {
            for since in shapes {
                let mut outbox = with(since);
                outbox.put_back(with(rest));
                assert_eq!(contents(&outbox), [rest.concat(), since.concat()].concat());
            }
        }
    }

    #[test]
    fn a_small_buffer_is_kept_and_a_large_one_is_not() {
        let mut outbox = with(&[b"abc"]);
        let memory = outbox.tail.as_ptr();
        let mut leaving = outbox.take();
        assert!(!outbox.has_buffer());
        leaving.advance(3);
        outbox.recycle(leaving);
        outbox.push_payload(&Bytes::from_static(b"xyz"));
        assert_eq!((outbox.tail.as_ptr(), contents(&outbox)), (memory, b"xyz".to_vec()));

        let mut grown = with(&[&[1; 3000]]);
        grown.clear();
        assert!(grown.is_empty() && !grown.has_buffer());
    }

    #[test]
    fn packets_are_counted_once_wherever_they_wait() {
        let mut outbox = Outbox::new();
        outbox.push(&Packet::PingResp, Version::V5);
        let mut leaving = outbox.take();
        assert_eq!(leaving.take_pushed(), Pushed { messages: 0, others: 1 });
        outbox.push_frame(b"abc");
        outbox.put_back(leaving);
        assert_eq!(outbox.take_pushed(), Pushed { messages: 1, others: 0 });
        let leaving = outbox.take();
        outbox.push(&Packet::PingResp, Version::V5);
        outbox.put_back(leaving);
        assert_eq!((outbox.len(), outbox.take_pushed()), (7, Pushed { messages: 0, others: 1 }));
    }

    #[test]
    fn an_empty_outbox_is_small() {
        assert!(size_of::<Outbox>() <= 48);
    }
}
