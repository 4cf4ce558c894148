//! The log goes to stderr, as text or JSON; stdout is the ready line's alone.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, reload};

/// Has the log take another level, directives as [`init`] takes them.
pub type SetLevel = Box<dyn Fn(&str) + Send + Sync>;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// For machines: an object a line.
    Json,
}

/// Starts logging for the whole process. A second call changes nothing. `level` is directives of [`EnvFilter`].
///
/// # Panics
/// If they are none: whoever reads the configuration checks them.
pub fn init(level: &str, form: Form) -> SetLevel {
    let lines = tracing_subscriber::fmt().with_env_filter(filter(level)).with_writer(io::stderr);
    // An error means that a logger is there already: a program that embeds the broker has its own.
    match form {
        Form::Text => {
            let lines = lines.with_ansi(io::stderr().is_terminal()).with_filter_reloading();
            let handle = lines.reload_handle();
            let _ = lines.try_init();
            Box::new(move |level| note(handle.reload(filter(level))))
        }
        Form::Json => {
            let lines = lines.json().flatten_event(true).with_filter_reloading();
            let handle = lines.reload_handle();
            let _ = lines.try_init();
            Box::new(move |level| note(handle.reload(filter(level))))
        }
    }
}

fn filter(level: &str) -> EnvFilter {
    EnvFilter::builder().parse(level).expect("whoever reads the configuration checks the directives")
}

fn note(result: Result<(), reload::Error>) {
    if let Err(error) = result {
        tracing::error!(%error, "the log keeps its level");
    }
}
