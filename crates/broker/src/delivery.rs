//! What is published, on its way to whoever wants it.

mod absent;
pub(crate) mod batch;
mod expiry;
mod handing_on;
mod lost;
pub(crate) mod publishing;
pub(crate) mod reasons;
pub(crate) mod replay;
pub(crate) mod retained;
mod retaining;
pub(crate) mod routes;
pub(crate) mod routing;
pub(crate) mod shown;
pub(crate) mod states;
pub(crate) mod wanted;
