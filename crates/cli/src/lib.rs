//! The command line of Rollcall: what it asks for, and the commands that ask a running broker.
//!
//! [`Cli::parse`] reads the arguments and puts flags and the environment over the layers it is given; [`carry_out`] does what they
//! ask for: what a [`Noun`] says over the REST API of the admin port, whose address and key it finds in `data_dir`, and prints for
//! people or scripts. `rollcall admin passwd` also writes into the folder of a broker that does not run, and
//! `rollcall store` looks at its files and repairs them, `rollcall backup` and `rollcall export` copy what is in them, also while
//! one runs; `rollcall init` makes what a broker begins with, and `rollcall import` makes it of what
//! another broker has.
//!
//! `rollcall pub` and `sub` are clients of MQTT.
//!
//! It starts no broker and knows nothing of one but its ports; that it does so at all is the binary's business.
//!
//! ```
//! use mqtt_cli::{Cli, carry_out};
//! use mqtt_config::Layers;
//!
//! let parse = |args: &[&str]| Cli::parse(Layers::new(Vec::new()), args.iter().map(Into::into), []);
//! let no_modules = |_: &std::path::Path, _: &str| Err("there are no modules here".to_owned());
//! assert!(carry_out(parse(&["rollcall", "check-config"])?, &no_modules)?.is_none());
//!
//! let layers = carry_out(parse(&["rollcall", "--node", "here"])?, &no_modules)?.expect("a broker is to be run");
//! assert_eq!(layers.resolve()?.node.name, "here");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod arguments;
mod carry_out;
mod columns;
mod commands;
mod complete;
mod failure;
mod find;
mod mqtt;
mod output;
mod pages;
mod prompt;
mod reach;
mod remote;

pub use arguments::{Cli, Command, UsageError};
pub use carry_out::carry_out;
pub use commands::Noun;
pub use commands::import::{Check, Verb as ImportVerb};
pub use failure::Failure;
pub use reach::Reach;
