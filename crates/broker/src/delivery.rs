//! What is published, on its way to whoever wants it.

pub(crate) mod batch;
pub(crate) mod shown;
