//! The log goes to stderr, as text or JSON; stdout is the ready line's alone.

use std::io::{self, IsTerminal};

use mqtt_config::{Log, LogFormat};
use tracing_subscriber::EnvFilter;

/// Starts logging for the whole process. A second call changes nothing.
pub fn init(config: &Log) {
    let filter = EnvFilter::builder().parse(&config.level).expect("the config checked the directives");
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // An error means that a logger is there already: a program that embeds the broker has its own.
    let _ = match config.format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}
