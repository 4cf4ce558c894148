//! What is asked of other nodes in operators' names, and how much of it at once.

use std::sync::{Arc, Weak};

use mqtt_operate::{Answering, Reply};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::questions::Questions;

/// Of one node, as many are asked for at once.
const MAX_ASKED: usize = 8;

/// For one node, as many are made, or are on their way, at once.
const MAX_ANSWERED: usize = 4;

/// What was asked of other nodes, and who answers them.
#[derive(Default)]
pub(super) struct Inquiries {
    pub(super) asked: Questions<Reply>,
    pub(super) answering: Mutex<Option<Weak<dyn Answering>>>,
}

/// How many there may be with one node.
#[derive(Clone)]
pub(super) struct Places {
    pub(super) asked: Arc<Semaphore>,
    pub(super) answered: Arc<Semaphore>,
}

impl Default for Places {
    fn default() -> Self {
        Self { asked: Arc::new(Semaphore::new(MAX_ASKED)), answered: Arc::new(Semaphore::new(MAX_ANSWERED)) }
    }
}
