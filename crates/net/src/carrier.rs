//! What every kind of transport does.

use std::io::{self, ErrorKind, IoSlice};
use std::task::{Context, Poll};

use bytes::BytesMut;

/// Reads of a carrier below that brought nothing for the one above, before others have their turn.
pub(crate) const FRUITLESS_READS: usize = 4;

/// Bytes of such reads: more than a record of TLS, so that nobody is kept from its turn who sends what amounts to something.
const FRUITLESS_BYTES: usize = 20 * 1024;

/// Room that a carrier below is given at least.
pub(crate) const LEAST_ROOM: usize = 1024;

/// Carries bytes in both directions. One task reads; whoever has bytes writes, there and then.
///
/// Bytes that [`Self::try_send`] has not taken are offered again, before any others: what is below may have sealed them
/// already and only not said so yet, for the socket was full.
pub trait Carrier {
    /// Reads what there is room for in `input`; 0: the peer has closed. [`ErrorKind::Interrupted`]: as much was read as fits a turn,
    /// it amounts to nothing, and there may be more.
    fn poll_receive(&self, context: &mut Context<'_>, input: &mut BytesMut) -> Poll<io::Result<usize>>;

    /// Reads up to `room` bytes if there are any, whether or not the system has told this process of them.
    fn receive_now(&self, input: &mut BytesMut, room: usize) -> Option<io::Result<usize>>;

    /// Writes what can be written without waiting.
    fn try_send(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Ready when it is worth trying to write again.
    fn poll_sendable(&self, context: &mut Context<'_>) -> Poll<()>;

    /// The peer has asked for answers that this carrier gives by itself, and takes none: it is not to be read from before it does,
    /// which [`Self::poll_sendable`] tells.
    fn is_behind(&self) -> bool {
        false
    }

    /// The certificate that the peer has shown, if it has, is good by what is asked of certificates now.
    fn is_trusted(&self) -> bool {
        true
    }

    /// Tells the peer that nothing more comes.
    fn finish(&self);

    /// Bytes of memory that it holds for what is half read or half written.
    fn held(&self) -> usize;
}

/// Makes room and reads.
pub(crate) async fn read(carrier: &impl Carrier, input: &mut BytesMut, room: usize) -> io::Result<usize> {
    input.reserve(room);
    std::future::poll_fn(|context| poll_receive_something(carrier, context, input)).await
}

/// For who reads little at a time and so needs no more than others' turns in between.
fn poll_receive_something(
    carrier: &impl Carrier,
    context: &mut Context<'_>,
    input: &mut BytesMut,
) -> Poll<io::Result<usize>> {
    match carrier.poll_receive(context, input) {
        Poll::Ready(Err(error)) if error.kind() == ErrorKind::Interrupted => {
            context.waker().wake_by_ref();
            Poll::Pending
        }
        polled => polled,
    }
}

/// Writes all of it, however long that takes.
pub(crate) async fn write_all(carrier: &impl Carrier, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match carrier.try_send(&[IoSlice::new(bytes)]) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::future::poll_fn(|context| carrier.poll_sendable(context)).await;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads from below until that brings something: `take` makes of what was appended after the given place what is to stand there,
/// and returns how much that is.
///
/// Who sends much that amounts to nothing (pings, empty records) has its turn ended by that, as [`Carrier::poll_receive`] says.
pub(crate) fn poll_receive_through(
    below: &impl Carrier,
    context: &mut Context<'_>,
    input: &mut BytesMut,
    mut take: impl FnMut(&mut BytesMut, usize) -> io::Result<Taken>,
) -> Poll<io::Result<usize>> {
    let mut fruitless = 0;
    for _ in 0..FRUITLESS_READS {
        let start = input.len();
        input.reserve(LEAST_ROOM);
        match below.poll_receive(context, input) {
            Poll::Ready(Ok(0)) => return Poll::Ready(Ok(0)),
            Poll::Ready(Ok(read)) => match take(input, start)? {
                Taken::Nothing => fruitless += read,
                Taken::Bytes(bytes) => return Poll::Ready(Ok(bytes)),
                Taken::End => return Poll::Ready(Ok(0)),
            },
            other => return other,
        }
        if fruitless > FRUITLESS_BYTES {
            break;
        }
    }
    Poll::Ready(Err(ErrorKind::Interrupted.into()))
}

/// [`poll_receive_through`] without a task.
pub(crate) fn receive_through_now(
    below: &impl Carrier,
    input: &mut BytesMut,
    room: usize,
    take: impl FnOnce(&mut BytesMut, usize) -> io::Result<Taken>,
) -> Option<io::Result<usize>> {
    let start = input.len();
    match below.receive_now(input, room.max(LEAST_ROOM))? {
        Ok(0) => Some(Ok(0)),
        Ok(_) => match take(input, start) {
            Ok(Taken::Nothing) => None,
            Ok(Taken::Bytes(bytes)) => Some(Ok(bytes)),
            Ok(Taken::End) => Some(Ok(0)),
            Err(error) => Some(Err(error)),
        },
        error => Some(error),
    }
}

/// What was read from below is for the one above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Not enough for anything yet.
    Nothing,
    /// So many bytes, more than none.
    Bytes(usize),
    /// The peer says that nothing more comes.
    End,
}
