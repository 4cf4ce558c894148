//! What is published, on its way to whoever wants it.

pub(crate) mod batch;
mod expiry;
mod handing_on;
pub(crate) mod replay;
mod retaining;
pub(crate) mod routing;
pub(crate) mod shown;
