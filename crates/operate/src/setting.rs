//! What the broker was told.

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
