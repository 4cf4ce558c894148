//! What the command line asks of a running broker, a file for each noun.

use clap::Subcommand;
use mqtt_config::Config;

use crate::failure::Failure;
use crate::find;
use crate::output::Output;
use crate::reach::Reach;

mod acl;
mod admin;
mod alarms;
mod backup;
mod banned;
mod clients;
mod cluster;
mod drain;
pub(crate) mod import;
pub(crate) mod init;
mod listeners;
pub(crate) mod modules;
mod operator;
mod password;
mod presence;
mod publish;
mod reload;
mod retained;
mod roster;
mod routes;
mod state;
mod stats;
mod status;
mod store;
mod subscribe;
mod subscriptions;
mod trace;
mod users;

/// What is asked for.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum Noun {
    /// How the broker is, in short
    Status,
    /// Publish a message
    Pub(Box<publish::Args>),
    /// Subscribe, and show messages as they come, until Ctrl-C
    Sub(Box<subscribe::Args>),
    /// Modules: what there is; start, stop, add and remove them
    #[command(subcommand, arg_required_else_help = false)]
    Modules(modules::Verb),
    /// Listeners: where clients come in; start, stop and restart them
    #[command(subcommand, arg_required_else_help = false)]
    Listeners(listeners::Verb),
    /// Have the broker read its configuration anew, as SIGHUP does, and say what is another now
    Reload,
    /// Clients, online and away
    #[command(subcommand, arg_required_else_help = false)]
    Clients(clients::Verb),
    /// The cluster that the broker is a node of
    #[command(subcommand, arg_required_else_help = false)]
    Cluster(cluster::Verb),
    /// Before a restart: take no new clients, and send those elsewhere who are there, evenly over a time
    Drain(drain::Args),
    /// Bans: who may not come in for a while
    #[command(subcommand, arg_required_else_help = false)]
    Banned(banned::Verb),
    /// Who is online, who came and went, and who does so now
    #[command(subcommand, arg_required_else_help = false)]
    Presence(presence::Verb),
    /// The roster: who is expected, and who is missing of them
    #[command(subcommand, arg_required_else_help = false)]
    Roster(roster::Verb),
    /// Subscriptions
    Subscriptions(subscriptions::Args),
    /// Filters that somebody subscribes with
    Routes(routes::Args),
    /// Retained messages: listed, looked at, taken away
    #[command(subcommand, arg_required_else_help = false)]
    Retained(retained::Verb),
    /// Alarms: what is wrong, and what was
    Alarms(alarms::Args),
    /// What there is now, in numbers
    Stats(stats::Args),
    /// One client's packets as they come and go, until Ctrl-C
    Trace(trace::Args),
    /// Users: who may come in with a password
    #[command(subcommand, arg_required_else_help = false)]
    Users(users::Verb),
    /// Rules: what clients may do, and which one decides
    #[command(subcommand, arg_required_else_help = false)]
    Acl(acl::Verb),
    /// Who may ask: operators, the password of admin, the keys of scripts
    #[command(subcommand, arg_required_else_help = false)]
    Admin(admin::Verb),
    /// The files in data_dir, while no broker runs: what is whole, and repair
    #[command(subcommand, arg_required_else_help = false)]
    Store(store::Verb),
    /// Copy all of data_dir that is kept, also while the broker runs: a copy of one moment
    Backup(backup::To),
    /// Write users, rules, bans, the roster, retained messages and what is wanted of modules into one file of JSON, for
    /// `rollcall import rollcall`
    Export(state::To),
    /// Put a backup where data_dir says, which is to be empty or not there
    Restore(backup::From),
}

/// Does what is asked for and prints what is answered.
///
/// # Errors
/// See [`Failure`].
pub(crate) async fn run(noun: &Noun, reach: &Reach, config: &Config) -> Result<(), Failure> {
    let mut out = Output::new(reach);
    let remote = || find::find(reach, config);
    let done = match noun {
        Noun::Status => status::run(&remote()?, &mut out).await,
        Noun::Pub(args) => publish::run(args, reach, remote, &mut out).await,
        Noun::Sub(args) => subscribe::run(args, reach, remote, &mut out).await,
        Noun::Modules(verb) => modules::run(verb, &remote()?, &mut out).await,
        Noun::Listeners(verb) => listeners::run(verb, &remote()?, &mut out).await,
        Noun::Reload => reload::run(&remote()?, &mut out).await,
        Noun::Clients(verb) => clients::run(verb, &remote()?, &mut out).await,
        Noun::Cluster(verb) => cluster::run(verb, &remote()?, &mut out).await,
        Noun::Drain(args) => drain::run(args, &remote()?, &mut out).await,
        Noun::Banned(verb) => banned::run(verb, &remote()?, &mut out).await,
        Noun::Presence(verb) => presence::run(verb, &remote()?, &mut out).await,
        Noun::Roster(verb) => roster::run(verb, &remote()?, &mut out).await,
        Noun::Subscriptions(args) => subscriptions::run(args, &remote()?, &mut out).await,
        Noun::Routes(args) => routes::run(args, &remote()?, &mut out).await,
        Noun::Retained(verb) => retained::run(verb, &remote()?, &mut out).await,
        Noun::Alarms(args) => alarms::run(args, &remote()?, &mut out).await,
        Noun::Stats(args) => stats::run(args, &remote()?, &mut out).await,
        Noun::Trace(args) => trace::run(args, &remote()?, &mut out).await,
        Noun::Acl(verb) => acl::run(verb, &remote()?, &mut out).await,
        Noun::Users(verb) => users::run(verb, &remote()?, &mut out).await,
        Noun::Admin(admin::Verb::Passwd(args)) => password::run(args, reach, config, &mut out).await,
        Noun::Admin(admin::Verb::Key(verb)) => admin::run(verb, &remote()?, &mut out).await,
        Noun::Admin(admin::Verb::Operator(verb)) => operator::run(verb, &remote()?, &mut out).await,
        Noun::Store(verb) => store::run(verb, config, &mut out),
        Noun::Backup(to) => backup::back_up(to, config, &mut out),
        Noun::Export(to) => state::export(to, config, &mut out),
        Noun::Restore(from) => backup::restore(from, config, &mut out),
    };
    // Also what was found before it failed.
    out.flush()?;
    done
}
