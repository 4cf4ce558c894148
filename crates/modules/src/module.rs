//! A module.

use std::sync::Arc;

use crate::{Authenticate, Authorize, Host, Intercept, Observe};

/// Something that can be started and stopped while clients are connected.
#[async_trait::async_trait]
pub trait Module: Send + Sync + 'static {
    /// What it is.
    fn info(&self) -> Info;

    /// Registers hooks through `ctx`. What was registered vanishes if this fails or panics.
    async fn start(&self, ctx: &Ctx) -> Result<(), StartError>;

    /// Its hooks are gone when this is called.
    async fn stop(&self) {}
}

/// What a module is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// `presence`
    pub name: &'static str,
    /// For people: `Online and Offline Notification`.
    pub title: &'static str,
    /// One sentence.
    pub description: &'static str,
    /// Started unless told otherwise.
    pub default_on: bool,
}

/// Why a module did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The settings are wrong.
    #[error("{0}")]
    Config(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// What a module gets at its start: the broker, its settings, and where to register hooks.
pub struct Ctx {
    _host: Arc<dyn Host>,
}

impl Ctx {
    /// The broker.
    pub fn host(&self) -> Arc<dyn Host> {
        todo!()
    }

    /// The module's settings; unknown keys are errors if `T` says so. Missing settings are those of `T::default()`.
    pub fn config<T: serde::de::DeserializeOwned + Default>(&self) -> Result<T, StartError> {
        todo!()
    }

    /// Registers an observer.
    pub fn observe(&self, hook: Arc<dyn Observe>) {
        let _ = hook;
        todo!()
    }

    /// Registers an authenticator.
    pub fn authenticate(&self, hook: Arc<dyn Authenticate>) {
        let _ = hook;
        todo!()
    }

    /// Registers an authorizer.
    pub fn authorize(&self, hook: Arc<dyn Authorize>) {
        let _ = hook;
        todo!()
    }

    /// Registers an interceptor.
    pub fn intercept(&self, hook: Arc<dyn Intercept>) {
        let _ = hook;
        todo!()
    }
}
