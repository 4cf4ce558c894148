//! What the command line asks of a running broker, a file for each noun.

use std::io::{self, ErrorKind};

use clap::Subcommand;
use mqtt_config::Config;

mod admin;
mod clients;
mod find;
mod modules;
mod output;
mod pages;
mod password;
mod presence;
mod prompt;
mod stats;
mod subscriptions;
mod table;
mod trace;

use output::Output;

/// What is asked for.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum Noun {
    /// Modules: what there is; start, stop, add and remove them
    #[command(subcommand, arg_required_else_help = false)]
    Modules(modules::Verb),
    /// Clients, online and away
    #[command(subcommand, arg_required_else_help = false)]
    Clients(clients::Verb),
    /// Who is online, who came and went, and who does so now
    #[command(subcommand, arg_required_else_help = false)]
    Presence(presence::Verb),
    /// Subscriptions
    Subscriptions(subscriptions::Args),
    /// What there is now, in numbers
    Stats(stats::Args),
    /// One client's packets as they come and go, until Ctrl-C
    Trace(trace::Args),
    /// The operator's password and the keys of scripts
    #[command(subcommand, arg_required_else_help = false)]
    Admin(admin::Verb),
}

/// Where to ask, as whom, and how to show what is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "To ask a running broker")]
pub struct Reach {
    /// Its admin port, http://host:port; else that of the broker that runs on data_dir, else admin.bind
    #[arg(long, value_name = "URL", global = true)]
    pub url: Option<String>,
    /// An API key, or @FILE that holds it; else admin.password, else what data_dir allows who can read it
    #[arg(long, value_name = "NAME:SECRET", global = true)]
    pub key: Option<String>,
    /// Print JSON for scripts; lists and streams have one object a line
    #[arg(long, global = true)]
    pub json: bool,
    /// Colours are welcome where the output is a terminal.
    #[arg(skip)]
    pub colours: bool,
}

/// Why a command could not be done, in one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The broker says no.
    #[error("{0}")]
    Refused(String),
    /// It makes no sense, or a setting is wrong.
    #[error("{0}")]
    Usage(String),
    /// There is nobody to ask.
    #[error("{0}")]
    Unreachable(String),
    /// Nobody reads what is printed, or it can't be printed.
    #[error("cannot print: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    /// The process ends with this; `None`: quietly and well, for who has read enough.
    pub fn exit_code(&self) -> Option<u8> {
        match self {
            Self::Output(error) if error.kind() == ErrorKind::BrokenPipe => None,
            Self::Refused(_) | Self::Output(_) => Some(1),
            Self::Usage(_) => Some(2),
            Self::Unreachable(_) => Some(3),
        }
    }
}

/// Does what is asked for and prints what is answered.
///
/// # Errors
/// See [`Failure`].
pub async fn run(noun: &Noun, reach: &Reach, config: &Config) -> Result<(), Failure> {
    let mut out = Output::new(reach);
    let remote = || find::find(reach, config);
    match noun {
        Noun::Modules(verb) => modules::run(verb, &remote()?, &mut out).await,
        Noun::Clients(verb) => clients::run(verb, &remote()?, &mut out).await,
        Noun::Presence(verb) => presence::run(verb, &remote()?, &mut out).await,
        Noun::Subscriptions(args) => subscriptions::run(args, &remote()?, &mut out).await,
        Noun::Stats(args) => stats::run(args, &remote()?, &mut out).await,
        Noun::Trace(args) => trace::run(args, &remote()?, &mut out).await,
        Noun::Admin(admin::Verb::Passwd(args)) => password::run(args, reach, config, &mut out).await,
        Noun::Admin(admin::Verb::Key(verb)) => admin::run(verb, &remote()?, &mut out).await,
    }?;
    Ok(out.flush()?)
}
