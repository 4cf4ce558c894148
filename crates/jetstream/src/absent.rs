//! What stands for a publisher where none is built.

use std::convert::Infallible;

use crate::{Message, Servers, Unpublished};

/// There is none.
pub struct Publisher(Infallible);

impl Publisher {
    /// There is none.
    ///
    /// # Errors
    /// Always.
    pub fn new(_: Servers) -> Result<Self, String> {
        Err("this build can't speak to nats-servers: it is without the feature `client` of mqtt-jetstream".to_owned())
    }

    /// Nobody has one to ask.
    ///
    /// # Errors
    /// None.
    #[expect(clippy::unused_async, reason = "as the one that is built")]
    pub async fn publish(&self, _: Vec<Vec<Message>>, _: usize, _: impl Fn(&str) + Sync) -> Result<(), Unpublished> {
        match self.0 {}
    }
}
