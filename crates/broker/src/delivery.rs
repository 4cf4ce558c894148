//! What is published, on its way to whoever wants it.

pub(crate) mod batch;
mod expiry;
mod handing_on;
mod retaining;
pub(crate) mod routing;
pub(crate) mod shown;
