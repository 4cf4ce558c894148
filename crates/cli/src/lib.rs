//! The command line of Rollcall: what it asks for, and the commands that ask a running broker.
//!
//! [`Cli::parse`] reads the arguments and puts flags and the environment over the layers it is given; [`run`] does what a
//! [`Noun`] asks for over the REST API of the admin port, whose address and key it finds in `data_dir`, and prints for
//! people or scripts. `rollcall admin passwd` also writes into the folder of a broker that does not run, and
//! `rollcall store` looks at its files and repairs them, `rollcall backup` and `rollcall export` copy what is in them, also while
//! one runs; `rollcall init` ([`init`]) makes what a broker begins with, and `rollcall import` ([`import()`]) makes it of what
//! another broker has.
//!
//! `rollcall pub` and `sub` are clients of MQTT.
//!
//! It starts no broker and knows nothing of one but its ports; that it does so at all is the binary's business.
//!
//! ```
//! use mqtt_cli::{Cli, Command};
//! use mqtt_config::Layers;
//!
//! let args = ["rollcall", "--node", "here", "clients", "list", "--json"];
//! let cli = Cli::parse(Layers::new(Vec::new()), args.map(Into::into), [])?;
//! let config = cli.layers.resolve()?;
//! assert_eq!(config.node.name, "here");
//! let Command::Ask(noun, reach) = cli.command else { panic!("a broker knows its clients") };
//! assert!(reach.json);
//! # drop(async move {
//! mqtt_cli::run(&noun, &reach, &config).await
//! # });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod arguments;
mod columns;
mod commands;
mod failure;
mod find;
mod mqtt;
mod output;
mod pages;
mod prompt;
mod reach;
mod remote;

pub use arguments::{Cli, Command, UsageError, write_manual};
pub use commands::import::{Check, Verb as ImportVerb, import};
pub use commands::init::init;
pub use commands::{Noun, run};
pub use failure::Failure;
pub use reach::Reach;
