//! Which modules there are and which run.

use std::sync::Arc;

use crate::{Hooks, Host, Info, Module};

/// Where the wanted state of modules is kept.
pub trait States: Send + Sync + 'static {
    /// `None`: never told.
    fn wanted(&self, name: &str) -> Option<bool>;

    /// Returns once it is kept.
    fn keep(&self, name: &str, on: bool) -> std::io::Result<()>;
}

/// Keeps the wanted states in memory only.
#[derive(Debug, Default)]
pub struct MemoryStates {}

impl States for MemoryStates {
    fn wanted(&self, name: &str) -> Option<bool> {
        let _ = name;
        todo!()
    }

    fn keep(&self, name: &str, on: bool) -> std::io::Result<()> {
        let _ = (name, on);
        todo!()
    }
}

/// A module and how it is.
#[derive(Clone, Debug)]
pub struct Status {
    /// What it is.
    pub info: Info,
    /// True while it runs.
    pub running: bool,
    /// Why the last start failed.
    pub error: Option<String>,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// No module has this name.
    #[error("no module is called {0}")]
    NotFound(String),
    /// It runs.
    #[error("module {0} is started already")]
    AlreadyStarted(String),
    /// It does not run.
    #[error("module {0} is not started")]
    NotStarted(String),
    /// `start` said no or panicked; no hook of it is left.
    #[error("module {name} did not start: {why}")]
    Start {
        /// Which.
        name: String,
        /// What it said.
        why: String,
    },
    /// The wanted state could not be kept.
    #[error("the state of module {name} could not be kept: {source}")]
    Keep {
        /// Which.
        name: String,
        /// Why.
        source: std::io::Error,
    },
}

/// All modules of a broker. Changes go one at a time.
pub struct Registry {}

impl Registry {
    /// A registry without modules.
    pub fn new(host: Arc<dyn Host>, hooks: Arc<Hooks>, states: Arc<dyn States>) -> Self {
        let _ = (host, hooks, states);
        todo!()
    }

    /// Adds a module with its settings; it is not started.
    pub fn register(&self, module: Arc<dyn Module>, config: serde_json::Value) {
        let _ = (module, config);
        todo!()
    }

    /// Starts all that are wanted (or on by default and never told otherwise); returns what failed.
    pub async fn start_wanted(&self) -> Vec<ChangeError> {
        todo!()
    }

    /// Starts a module; the wish is kept before this returns.
    pub async fn start(&self, name: &str) -> Result<(), ChangeError> {
        let _ = name;
        todo!()
    }

    /// Stops a module; the wish is kept before this returns.
    pub async fn stop(&self, name: &str) -> Result<(), ChangeError> {
        let _ = name;
        todo!()
    }

    /// Stops and starts.
    pub async fn restart(&self, name: &str) -> Result<(), ChangeError> {
        let _ = name;
        todo!()
    }

    /// Replaces the settings; a running module is restarted with them, and with the old ones if that fails.
    pub async fn configure(&self, name: &str, config: serde_json::Value) -> Result<(), ChangeError> {
        let _ = (name, config);
        todo!()
    }

    /// All modules in order of registration.
    pub fn list(&self) -> Vec<Status> {
        todo!()
    }

    /// Stops all, without changing what is wanted: the broker ends.
    pub async fn stop_all(&self) {
        todo!()
    }
}
