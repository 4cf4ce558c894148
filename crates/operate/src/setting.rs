//! What the broker was told.

/// What a broker was told, and how it is told anew while it runs.
pub trait Configured: Send + Sync {
    /// What it runs with and where that was said, key by key.
    fn settings(&self) -> Vec<Setting>;

    /// Reads anew what it was told, and changes what can be changed while it runs. It is called in a tokio runtime where it may
    /// block.
    ///
    /// # Errors
    /// Something is wrong with it, in one line; then nothing has changed.
    fn reload(&self) -> Result<Reloaded, String>;
}

/// What reading the configuration anew has brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// What is another now, in words.
    pub changed: Vec<String>,
    /// Keys that say something else and wait for a restart.
    pub waiting: Vec<String>,
}

/// A key of the configuration.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Dotted.
    pub key: String,
    /// What it means.
    pub about: String,
    /// As TOML; `None`: not set, or not to be shown.
    pub value: Option<String>,
    /// Where it was said; `None`: nowhere, it is the default.
    pub place: Option<String>,
}
