//! From a socket to CONNACK, and from the end of a connection to the last thing told of it.

pub(crate) mod arrival;
pub(crate) mod banned;
mod challenge;
pub(crate) mod door;
pub(crate) mod doors;
pub(crate) mod draining;
pub(crate) mod entering;
pub(crate) mod entrance;
pub(crate) mod farewell;
pub(crate) mod flapping;
pub(crate) mod guests;
mod handshake;
pub(crate) mod lateness;
mod leaving;
pub(crate) mod line;
mod offline;
pub(crate) mod pace;
pub(crate) mod rates;
pub(crate) mod reader;
mod refusing;
pub(crate) mod sending_away;
pub(crate) mod serve;
pub(crate) mod shutdown;
pub(crate) mod ticket;
mod welcome;
