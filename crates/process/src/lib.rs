//! What a process has to do with its system: [`Signals`] that end it, the [`Service`] manager that started it, its [`log`], and how
//! many files it may open.
//!
//! It knows nothing of what the process is for, and nothing here is of use to a program that embeds the broker: that has its
//! own.
//!
//! ```no_run
//! # async fn run() -> std::io::Result<()> {
//! mqtt_process::raise_open_files();
//! let signals = mqtt_process::Signals::catch()?;
//! let service = mqtt_process::Service::find();
//! // Here the work would begin.
//! service.note_ready();
//! let ended_by = signals.ending(|| println!("read anew")).await;
//! service.note_stopping();
//! println!("{ended_by}");
//! # Ok(())
//! # }
//! ```

pub mod log;

mod files;
mod service;
mod signals;

pub use files::raise_open_files;
pub use service::Service;
pub use signals::Signals;
