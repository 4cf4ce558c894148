//! A connection in memory: two queues of bytes.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, BufMut, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop;

use crate::carrier::Carrier;

/// Bytes that may wait in one direction, as in a socket's buffer.
const CAPACITY: usize = 64 * 1024;

/// One end of a connection in memory; it is made by [`Pipe::pair`].
///
/// Up to 64 KiB wait in each direction; an empty direction owns no buffer. Dropping an end closes both directions: the
/// other end reads what is there and then the end of the stream, and its writes fail with [`ErrorKind::BrokenPipe`].
#[derive(Debug)]
pub struct Pipe {
    lanes: Arc<[Mutex<Lane>; 2]>,
    /// The lane this end writes to.
    out: usize,
}

/// One direction.
#[derive(Debug, Default)]
struct Lane {
    bytes: BytesMut,
    /// Nothing more is written.
    ended: bool,
    /// Nothing is read any more.
    abandoned: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    /// The two ends of a connection.
    pub fn pair() -> (Self, Self) {
        let lanes = Arc::<[Mutex<Lane>; 2]>::default();
        (Self { lanes: Arc::clone(&lanes), out: 0 }, Self { lanes, out: 1 })
    }

    fn outgoing(&self) -> &Mutex<Lane> {
        &self.lanes[self.out]
    }

    /// Bytes that the other end has not read.
    #[cfg(test)]
    pub(crate) fn held_by_other(&self) -> usize {
        self.outgoing().lock().bytes.len()
    }

    fn incoming(&self) -> &Mutex<Lane> {
        &self.lanes[1 - self.out]
    }

    /// Reads up to `room` bytes; 0: nothing more comes.
    pub fn poll_read_into(&self, context: &mut Context<'_>, input: &mut impl BufMut, room: usize) -> Poll<usize> {
        // Without a budget a fast peer could keep a task from ever waiting.
        let budget = ready!(coop::poll_proceed(context));
        let mut lane = self.incoming().lock();
        if lane.bytes.is_empty() && !lane.ended {
            keep(&mut lane.reader, context);
            return Poll::Pending;
        }
        let read = room.min(lane.bytes.len());
        input.put_slice(&lane.bytes[..read]);
        lane.bytes.advance(read);
        if lane.bytes.is_empty() {
            lane.bytes = BytesMut::new();
        }
        let writer = lane.writer.take();
        drop(lane);
        budget.made_progress();
        wake(writer);
        Poll::Ready(read)
    }

    /// Writes what there is room for.
    ///
    /// # Errors
    /// `WouldBlock`: there is no room. `BrokenPipe`: nobody reads any more.
    pub fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut lane = self.outgoing().lock();
        if lane.ended || lane.abandoned {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let before = lane.bytes.len();
        for slice in slices {
            let room = CAPACITY - lane.bytes.len();
            lane.bytes.extend_from_slice(&slice[..room.min(slice.len())]);
        }
        let written = lane.bytes.len() - before;
        if written == 0 && slices.iter().any(|slice| !slice.is_empty()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        let reader = lane.reader.take();
        drop(lane);
        wake(reader);
        Ok(written)
    }

    /// Ready when it is worth trying to write again.
    pub fn poll_writable(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut lane = self.outgoing().lock();
        if lane.bytes.len() < CAPACITY || lane.ended || lane.abandoned {
            return Poll::Ready(());
        }
        keep(&mut lane.writer, context);
        Poll::Pending
    }

    /// Tells the other end that nothing more comes.
    pub fn shut_down(&self) {
        let mut lane = self.outgoing().lock();
        lane.ended = true;
        let reader = lane.reader.take();
        drop(lane);
        wake(reader);
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.shut_down();
        let mut lane = self.incoming().lock();
        lane.abandoned = true;
        lane.bytes = BytesMut::new();
        let writer = lane.writer.take();
        drop(lane);
        wake(writer);
    }
}

impl Carrier for Pipe {
    fn poll_receive(&self, context: &mut Context<'_>, input: &mut BytesMut) -> Poll<io::Result<usize>> {
        self.poll_read_into(context, input, input.capacity() - input.len()).map(Ok)
    }

    fn receive_now(&self, _: &mut BytesMut, _: usize) -> Option<io::Result<usize>> {
        None
    }

    fn try_send(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_write(slices)
    }

    fn poll_sendable(&self, context: &mut Context<'_>) -> Poll<()> {
        self.poll_writable(context)
    }

    fn finish(&self) {
        self.shut_down();
    }

    fn held(&self) -> usize {
        0
    }
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, input: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = input.remaining();
        self.poll_read_into(context, input, room).map(|_| Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_writable(context));
        Poll::Ready(self.try_write(&[IoSlice::new(bytes)]))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shut_down();
        Poll::Ready(Ok(()))
    }
}

fn keep(waker: &mut Option<Waker>, context: &Context<'_>) {
    match waker {
        Some(waker) => waker.clone_from(context.waker()),
        None => *waker = Some(context.waker().clone()),
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn what_was_written_is_read_before_the_end() {
        let (mut one, mut other) = Pipe::pair();
        one.write_all(b"last words").await.unwrap();
        drop(one);
        let mut read = Vec::new();
        other.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"last words");
        assert_eq!(other.write_all(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn a_full_pipe_waits_for_its_reader() {
        let (mut one, mut other) = Pipe::pair();
        let sent = vec![7; 3 * CAPACITY];
        let full = [IoSlice::new(&sent)];
        assert_eq!(one.try_write(&full).unwrap(), CAPACITY);
        assert_eq!(one.try_write(&full).unwrap_err().kind(), ErrorKind::WouldBlock);
        let mut read = vec![0; 4 * CAPACITY];
        let (written, _) = tokio::join!(one.write_all(&sent), other.read_exact(&mut read));
        written.unwrap();
        assert!(read.iter().all(|&byte| byte == 7));
    }

    #[tokio::test]
    async fn shutting_down_ends_one_direction_only() {
        let (mut one, mut other) = Pipe::pair();
        one.shutdown().await.unwrap();
        assert_eq!(other.read(&mut [0; 8]).await.unwrap(), 0);
        other.write_all(b"still here").await.unwrap();
        let mut read = [0; 10];
        one.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"still here");
    }
}
