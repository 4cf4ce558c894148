//! The log goes to stderr, as text or JSON; stdout is the ready line's alone.

use std::io::{self, IsTerminal};

use mqtt_config::{Log, LogFormat};
use tracing_subscriber::{EnvFilter, reload};

/// Has the log take another level; it is checked by the configuration.
pub type SetLevel = Box<dyn Fn(&str) + Send + Sync>;

/// Starts logging for the whole process. A second call changes nothing.
pub fn init(config: &Log) -> SetLevel {
    let lines = tracing_subscriber::fmt().with_env_filter(filter(&config.level)).with_writer(io::stderr);
    // An error means that a logger is there already: a program that embeds the broker has its own.
    match config.format {
        LogFormat::Text => {
            let lines = lines.with_ansi(io::stderr().is_terminal()).with_filter_reloading();
            let handle = lines.reload_handle();
            let _ = lines.try_init();
            Box::new(move |level| note(handle.reload(filter(level))))
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_filter_reloading();
            let handle = lines.reload_handle();
            let _ = lines.try_init();
            Box::new(move |level| note(handle.reload(filter(level))))
        }
    }
}

fn filter(level: &str) -> EnvFilter {
    EnvFilter::builder().parse(level).expect("the config checked the directives")
}

fn note(result: Result<(), reload::Error>) {
    if let Err(error) = result {
        tracing::error!(%error, "the log keeps its level");
    }
}
