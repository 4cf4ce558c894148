//! What a client is answered, unless it has another connection by now.

use std::sync::Arc;

use mqtt_codec::{Packet, ReasonCode};
use mqtt_hooks::Reason;

use crate::client::ClientRef;
use crate::client::connection::Connection;
use crate::client::ending::Ending;
use crate::client::seat::Seat;
use crate::delivery::batch::Batch;
use crate::packets::count;

/// The client has another connection by now.
pub(super) fn superseded(connection: &Connection) -> Ending {
    connection.ending().unwrap_or(Ending::gone(Reason::TakenOver))
}

pub(super) fn push(seat: &Seat, packet: &Packet, batch: &mut Batch<'_>) -> Result<(), Ending> {
    push_to(&seat.client, &seat.connection, packet, batch)
}

/// Like [`push`], where the seat is another task's.
pub(super) fn push_to(
    client: &ClientRef,
    connection: &Arc<Connection>,
    packet: &Packet,
    batch: &mut Batch<'_>,
) -> Result<(), Ending> {
    let mut state = client.state.lock();
    if !state.is_current(connection) {
        return Err(superseded(connection));
    }
    // [MQTT-3.1.2-24]: the client waits for this answer and could never get it.
    if packet.encoded_len(state.session.version()) > state.session.max_packet_size() as usize {
        return Err(Ending::refused(ReasonCode::PacketTooLarge));
    }
    state.push(packet);
    // What it answers for is staged by this batch, and the client is not to hear of it before that is stored.
    state.wait_for_store(true, batch);
    state.touch(client, batch);
    count::sent(packet, batch);
    Ok(())
}
