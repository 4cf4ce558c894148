//! A way to a server that can be cut in one direction or both: what is sent waits then, as it does in a network.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use anyhow::Result;

/// Where a gate is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) to_server: bool,
    pub(super) from_server: bool,
}

#[derive(Debug)]
pub(super) struct Gate {
    pub(super) addr: SocketAddr,
    cut: Arc<(Mutex<Cut>, Condvar)>,
}

impl Gate {
    /// Its threads end with the process.
    pub(super) fn open(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let gate = Self { addr: listener.local_addr()?, cut: Arc::default() };
        let cut = Arc::clone(&gate.cut);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // While a way is cut, connections are taken, for the system does so, and lead nowhere.
                let cut = Arc::clone(&cut);
                thread::spawn(move || pass(client, server, &cut));
            }
        });
        Ok(gate)
    }

    pub(super) fn set(&self, cut: Cut) {
        let (lock, changed) = &*self.cut;
        *locked(lock) = cut;
        changed.notify_all();
    }
}

fn pass(client: TcpStream, server: SocketAddr, cut: &Arc<(Mutex<Cut>, Condvar)>) {
    wait(cut, |cut| cut.to_server);
    let Ok(server) = TcpStream::connect(server) else { return };
    let [Ok(client_too), Ok(server_too)] = [&client, &server].map(TcpStream::try_clone) else { return };
    for end in [&client, &server] {
        // It is slower without, no more.
        let _ = end.set_nodelay(true);
    }
    let back = Arc::clone(cut);
    thread::spawn(move || copy(server_too, client_too, || wait(&back, |cut| cut.from_server)));
    copy(client, server, || wait(cut, |cut| cut.to_server));
}

/// Waits as long as it is cut there.
fn wait(cut: &Arc<(Mutex<Cut>, Condvar)>, is_cut: impl Fn(&Cut) -> bool) {
    let (lock, changed) = &**cut;
    let mut now = locked(lock);
    while is_cut(&now) {
        now = changed.wait(now).expect("nobody panics with a gate in hand");
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, wait: impl Fn()) {
    let mut buffer = [0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        wait();
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    wait();
    for end in [from, to] {
        // The other way ends with this one; it may have ended before.
        let _ = end.shutdown(Shutdown::Both);
    }
}

fn locked(lock: &Mutex<Cut>) -> MutexGuard<'_, Cut> {
    lock.lock().expect("nobody panics with a gate in hand")
}
