//! TCP as a carrier.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::carrier::Carrier;

impl Carrier for TcpStream {
    /// As the reading half of a split stream would do it, which is memory of its own for each connection.
    fn poll_receive(&self, context: &mut Context<'_>, input: &mut BytesMut) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_read_ready(context))?;
            let room = input.capacity() - input.len();
            let mut result = Err(ErrorKind::WouldBlock.into());
            let taken = self.try_io(Interest::READABLE, || {
                result = self.try_read_buf(input);
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

    fn receive_now(&self, input: &mut BytesMut, room: usize) -> Option<io::Result<usize>> {
        let before = input.len();
        input.resize(before + room, 0);
        let read = (&*socket2::SockRef::from(self)).read(&mut input[before..]);
        input.truncate(before + read.as_ref().map_or(0, |read| *read));
        match read {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => None,
            read => Some(read),
        }
    }

    fn try_send(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = match slices {
            [one] => self.try_write(one),
            many => self.try_write_vectored(many),
        };
        match written {
            // Of a new socket the runtime does not know yet that it takes bytes. Where it knows that this one does not,
            // it will hear when that changes.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                (&*socket2::SockRef::from(self)).write_vectored(slices)
            }
            written => written,
        }
    }

    fn poll_sendable(&self, context: &mut Context<'_>) -> Poll<()> {
        // An error shows in the next write.
        self.poll_write_ready(context).map(drop)
    }

    fn finish(&self) {
        // An error means that the peer is gone: there is nobody left to tell.
        let _ = socket2::SockRef::from(self).shutdown(Shutdown::Write);
    }

    fn held(&self) -> usize {
        0
    }
}
