//! Sockets of this machine.

use std::fs;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};

use crate::carrier::Carrier;

/// A path that is taken; nobody can connect yet.
#[derive(Debug)]
pub(crate) struct Bound {
    socket: Socket,
    file: SocketFile,
}

/// A socket that accepts. Its file goes with it.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) listener: UnixListener,
    _file: SocketFile,
}

/// The file of a socket, as long as it is that one.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    is: (u64, u64),
}

impl Bound {
    /// Takes the path. A file that a broker has left behind is removed: it is a socket, ours, and nobody listens there.
    pub(crate) fn new(path: &Path, mode: u32) -> io::Result<Self> {
        if is_left_behind(path) {
            fs::remove_file(path)?;
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::unix(path)?)?;
        let file = SocketFile { path: path.to_owned(), is: identity(&fs::symlink_metadata(path)?) };
        // Before it listens: until then nobody gets in by what the umask left open.
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        Ok(Self { socket, file })
    }

    pub(crate) fn listen(self, backlog: u32) -> io::Result<Listening> {
        self.socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        Ok(Listening { listener: UnixListener::from_std(self.socket.into())?, _file: self.file })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another program may have put its own there.
        if fs::symlink_metadata(&self.path).is_ok_and(|found| identity(&found) == self.is) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(found: &fs::Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

fn is_left_behind(path: &Path) -> bool {
    let Ok(found) = fs::symlink_metadata(path) else { return false };
    // Who we are: the owner of what the system tells of this process.
    let is_ours = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == found.uid());
    let refused =
        || std::os::unix::net::UnixStream::connect(path).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused);
    found.file_type().is_socket() && is_ours && refused()
}

impl Carrier for UnixStream {
    /// As for TCP.
    fn poll_receive(&self, context: &mut Context<'_>, input: &mut BytesMut) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_read_ready(context))?;
            match self.try_read_buf(input) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn receive_now(&self, input: &mut BytesMut, room: usize) -> Option<io::Result<usize>> {
        let before = input.len();
        input.resize(before + room, 0);
        let read = (&*SockRef::from(self)).read(&mut input[before..]);
        input.truncate(before + read.as_ref().map_or(0, |read| *read));
        match read {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => None,
            read => Some(read),
        }
    }

    fn try_send(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.try_io(Interest::WRITABLE, || (&*SockRef::from(self)).write_vectored(slices)) {
            // Of a new socket the runtime does not know yet that it takes bytes.
            Err(error) if error.kind() == ErrorKind::WouldBlock => (&*SockRef::from(self)).write_vectored(slices),
            written => written,
        }
    }

    fn poll_sendable(&self, context: &mut Context<'_>) -> Poll<()> {
        // An error shows in the next write.
        self.poll_write_ready(context).map(drop)
    }

    fn finish(&self) {
        // An error means that the peer is gone: there is nobody left to tell.
        let _ = SockRef::from(self).shutdown(Shutdown::Write);
    }

    fn held(&self) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_broker_left_behind_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mqtt.sock");
        let first = Bound::new(&path, 0o600).unwrap().listen(16).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let taken = Bound::new(&path, 0o600).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse, "somebody listens there");
        UnixStream::connect(&path).await.unwrap();
        drop(first);
        assert!(!path.exists());
        // As after `kill -9`.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let second = Bound::new(&path, 0o660).unwrap().listen(16).unwrap();
        UnixStream::connect(&path).await.unwrap();
        // Of another by now.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "a file").unwrap();
        drop(second);
        assert!(path.exists());
        assert_eq!(Bound::new(&path, 0o600).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert_eq!(fs::read_to_string(&path).unwrap(), "a file");
    }
}
