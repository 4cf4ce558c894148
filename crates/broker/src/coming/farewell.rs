//! The end of a socket: what is left is written, and the peer has time to read it.

use std::sync::Arc;

use bytes::BytesMut;
use mqtt_net::Transport;

use crate::client::connection::Connection;

/// Bytes that are read at once from a peer that was told to go.
const IGNORED_READ: usize = 4096;

/// Writes what is left, says that nothing more comes and waits for the peer to close: a socket closed with unread
/// bytes would take back what was just sent.
pub(crate) async fn linger(connection: Arc<Connection>) {
    std::future::poll_fn(|context| connection.poll_tail(context)).await;
    say_farewell(connection.transport()).await;
}

/// Says that nothing more comes and waits for the peer to close; the caller's time limit bounds it.
pub(crate) async fn say_farewell(transport: &Transport) {
    transport.shut_down();
    let mut ignored = BytesMut::new();
    loop {
        ignored.clear();
        match transport.read(&mut ignored, IGNORED_READ).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}
