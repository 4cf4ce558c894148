//! What carries a connection's bytes.

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::Pipe;

/// What carries a connection's bytes. Its task reads; whoever delivers writes, there and then, and what would block is
/// written by the task once [`Self::poll_writable`] says so.
///
/// A kind that only its own task can write to (TLS, WebSocket) answers others with [`ErrorKind::WouldBlock`]: that is
/// what makes them leave the bytes and wake the task.
#[derive(Debug)]
pub enum Transport {
    /// A socket.
    Tcp(TcpStream),
    /// No socket.
    Memory(Pipe),
}

impl Transport {
    /// False: it takes none of the files that a process may have open.
    pub const fn is_socket(&self) -> bool {
        matches!(self, Self::Tcp(_))
    }

    /// Reads what there is room for in `input`; 0: the peer has closed.
    pub fn poll_read(&self, context: &mut Context<'_>, input: &mut BytesMut) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => poll_read_tcp(stream, context, input),
            Self::Memory(pipe) => pipe.poll_read_into(context, input, input.capacity() - input.len()).map(Ok),
        }
    }

    /// Reads up to `room` bytes if there are any, whether or not the system has told this process of them; `None`:
    /// there are none.
    pub fn read_now(&self, input: &mut BytesMut, room: usize) -> Option<io::Result<usize>> {
        let stream = match self {
            Self::Tcp(stream) => stream,
            Self::Memory(_) => return None,
        };
        let before = input.len();
        input.resize(before + room, 0);
        let read = (&*socket2::SockRef::from(stream)).read(&mut input[before..]);
        input.truncate(before + read.as_ref().map_or(0, |read| *read));
        match read {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => None,
            read => Some(read),
        }
    }

    /// Makes room for `room` bytes and reads.
    pub async fn read(&self, input: &mut BytesMut, room: usize) -> io::Result<usize> {
        input.reserve(room);
        poll_fn(|context| self.poll_read(context, input)).await
    }

    /// Writes what can be written without waiting.
    pub fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match (self, slices) {
            (Self::Tcp(stream), slices) => try_write_tcp(stream, slices),
            (Self::Memory(pipe), slices) => pipe.try_write(slices),
        }
    }

    /// Ready when it is worth trying to write again. For the connection's task only.
    pub fn poll_writable(&self, context: &mut Context<'_>) -> Poll<()> {
        match self {
            // An error shows in the next write.
            Self::Tcp(stream) => stream.poll_write_ready(context).map(drop),
            Self::Memory(pipe) => pipe.poll_writable(context),
        }
    }

    /// Writes all of it, however long that takes.
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.try_write(&[IoSlice::new(bytes)]) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    poll_fn(|context| self.poll_writable(context)).await;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What presence calls it when the peer closes without DISCONNECT.
    pub const fn name_of_close(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp_closed",
            Self::Memory(_) => "memory_closed",
        }
    }

    /// Tells the peer that nothing more comes; what is on its way arrives first.
    pub fn shut_down(&self) {
        match self {
            // An error means that the peer is gone: there is nobody left to tell.
            Self::Tcp(stream) => drop(socket2::SockRef::from(stream).shutdown(Shutdown::Write)),
            Self::Memory(pipe) => pipe.shut_down(),
        }
    }
}

fn try_write_tcp(stream: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let written = match slices {
        [one] => stream.try_write(one),
        many => stream.try_write_vectored(many),
    };
    match written {
        // Of a new socket the runtime does not know yet that it takes bytes. Where it knows that this one does not,
        // it will hear when that changes.
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            (&*socket2::SockRef::from(stream)).write_vectored(slices)
        }
        written => written,
    }
}

/// As the reading half of a split stream would do it, which is memory of its own for each connection.
fn poll_read_tcp(stream: &TcpStream, context: &mut Context<'_>, input: &mut BytesMut) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_read_ready(context))?;
        let room = input.capacity() - input.len();
        let mut result = Err(ErrorKind::WouldBlock.into());
        let taken = stream.try_io(Interest::READABLE, || {
            result = stream.try_read_buf(input);
            match &result {
                // Less than there was room for: there is no more. Saying so here saves the read that would find out.
                Ok(read) if (1..room).contains(read) => Err(ErrorKind::WouldBlock.into()),
                _ => Ok(()),
            }
        });
        match (result, taken) {
            (Err(error), _) if error.kind() == ErrorKind::WouldBlock => {}
            (result, _) => return Poll::Ready(result),
        }
    }
}
