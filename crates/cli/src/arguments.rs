//! The command line: what to do, and the layers of configuration to do it with.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser, Subcommand, error::ErrorKind};
use clap_complete::Shell;
use mqtt_config::{Error, Layers};

use crate::commands::{Noun, import, init};
use crate::complete;
use crate::reach::Reach;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Run the broker.
    Run,
    /// Say whether the configuration is right.
    CheckConfig,
    /// Print the configuration, all layers together.
    PrintConfig,
    /// Make what a broker begins with.
    Init(init::Args),
    /// Take over what another broker has.
    Import(import::Verb, Box<Reach>),
    /// Print this text and end well: help, the version, completions, the manual.
    Print(String),
    /// Write the manual's pages into this folder.
    WriteManual(PathBuf),
    /// Ask a running broker, or look into the folder of one that does not run.
    Ask(Box<Noun>, Box<Reach>),
}

/// A command line, read.
#[derive(Debug)]
pub struct Cli {
    /// What to do.
    pub command: Command,
    /// With what.
    pub layers: Layers,
}

/// Why a command line makes no sense, in one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UsageError {
    /// Not in the grammar.
    #[error("{0}; see --help")]
    Grammar(String),
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] Error),
}

#[derive(Debug, Parser)]
#[command(
    name = "rollcall",
    version,
    about = "The MQTT broker that knows who is online",
    after_help = "Settings come from, later ones winning: defaults, the file, the environment (ROLLCALL_NODE__NAME is node.name),\n\
                  flags, --set. All keys with what they mean: rollcall print-config\n\n\
                  Exit codes: 0 done; 1 the broker says no (not found, already started, wrong key); 2 wrong command line or\n\
                  setting, or the broker can't start; 3 no broker answers",
    infer_long_args = false
)]
struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// TOML file with settings
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Where to listen for MQTT; port 0 lets the system choose [listeners.mqtt.bind]
    #[arg(long, value_name = "ADDR|off", global = true)]
    bind: Option<String>,
    /// Where to listen for MQTT over WebSocket; port 0 lets the system choose [listeners.ws.bind]
    #[arg(long, value_name = "ADDR|off", global = true)]
    ws_bind: Option<String>,
    /// Where to listen for the REST API and the dashboard [admin.bind]
    #[arg(long, value_name = "ADDR|off", global = true)]
    admin: Option<String>,
    /// Where state is kept [data_dir]
    #[arg(long, value_name = "DIR|memory", global = true)]
    data_dir: Option<String>,
    /// The name of this broker [node.name]
    #[arg(long, value_name = "NAME", global = true)]
    node: Option<String>,
    /// Any setting, such as limits.max_packet_size=2MiB; may be given again
    #[arg(long, value_name = "dotted.key=value", global = true)]
    set: Vec<String>,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say whether the settings are right
    CheckConfig,
    /// Print all settings as a commented TOML file
    PrintConfig,
    /// Make what a broker on a network begins with: certificates, a user, a configuration
    Init(init::Args),
    /// Take over what another broker has: settings, users, rules
    #[command(subcommand, arg_required_else_help = false)]
    Import(import::Verb),
    #[command(flatten)]
    Ask(Box<Noun>),
    /// Print what a shell needs to complete commands, flags and the names that a running broker knows
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print the manual page, or write one of each command
    Man {
        /// The folder to write them to
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

impl Cli {
    /// Reads the arguments (the first is the program's name) and the environment, over what is in `layers`.
    pub fn parse(
        layers: Layers,
        args: impl IntoIterator<Item = OsString>,
        env: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, UsageError> {
        let mut env: Vec<_> = env.into_iter().collect();
        if let Some(shell) = complete::asking(&mut env) {
            let args: Vec<_> = args.into_iter().collect();
            let command = Command::Print(complete::offered(&shell, layers, &args, env));
            return Ok(Self { command, layers: Layers::new(Vec::new()) });
        }
        let args = match Args::try_parse_from(args) {
            Ok(args) => args,
            Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
                return Ok(Self { command: Command::Print(error.to_string()), layers });
            }
            Err(error) => return Err(UsageError::Grammar(one_line(&error.to_string()))),
        };
        let no_color = env.iter().any(|(name, value)| name == "NO_COLOR" && !value.is_empty());
        let layers = args.over(layers, env)?;
        let reach = Reach { colours: !no_color, ..args.reach };
        let command = match args.verb {
            Some(Verb::Ask(noun)) => return Ok(Self { command: Command::Ask(noun, Box::new(reach)), layers }),
            Some(Verb::Import(verb)) => return Ok(Self { command: Command::Import(verb, Box::new(reach)), layers }),
            None => Command::Run,
            Some(Verb::CheckConfig) => Command::CheckConfig,
            Some(Verb::PrintConfig) => Command::PrintConfig,
            Some(Verb::Init(args)) => Command::Init(args),
            Some(Verb::Completions { shell }) => {
                Command::Print(complete::script(&shell.to_string()).unwrap_or_default())
            }
            Some(Verb::Man { out: None }) => Command::Print(manual()),
            Some(Verb::Man { out: Some(folder) }) => Command::WriteManual(folder),
        };
        if (Reach { colours: false, ..reach }) != Reach::default() {
            let why = "--url, --key, --cafile, --cert and --json are for commands that ask a running broker".to_owned();
            return Err(UsageError::Grammar(why));
        }
        Ok(Self { command, layers })
    }
}

impl Args {
    fn over(&self, mut layers: Layers, env: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Layers, Error> {
        if let Some(file) = &self.config {
            layers.add_file(file)?;
        }
        layers.add_env(env)?;
        let flags = [
            ("--bind", "listeners.mqtt.bind", &self.bind),
            ("--ws-bind", "listeners.ws.bind", &self.ws_bind),
            ("--admin", "admin.bind", &self.admin),
            ("--data-dir", "data_dir", &self.data_dir),
            ("--node", "node.name", &self.node),
        ];
        for (flag, key, value) in flags {
            if let Some(value) = value {
                layers.add_flag(flag, key, value)?;
            }
        }
        for assignment in &self.set {
            layers.add_assignment(assignment)?;
        }
        Ok(layers)
    }
}

/// What may be said.
pub(crate) fn grammar() -> clap::Command {
    Args::command()
}

fn manual() -> String {
    let mut page = Vec::new();
    // A Vec takes all that is written to it.
    let _ = clap_mangen::Man::new(Args::command()).render(&mut page);
    String::from_utf8_lossy(&page).into_owned()
}

/// A page of `rollcall`, and of each of its commands.
///
/// # Errors
/// The folder is not there, or can't be written to.
pub(crate) fn write_manual(folder: &Path) -> io::Result<()> {
    clap_mangen::generate_to(Args::command(), folder)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", folder.display())))
}

/// What clap says over several lines, without its usage.
fn one_line(message: &str) -> String {
    let lines = message
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"));
    let lines = lines.filter(|line| !line.is_empty() && !line.contains("'-- "));
    lines.collect::<Vec<_>>().join("; ").trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str], env: &[(&str, &str)]) -> Result<Cli, UsageError> {
        let args = std::iter::once("rollcall").chain(args.iter().copied()).map(OsString::from);
        Cli::parse(
            Layers::new(Vec::new()),
            args,
            env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))),
        )
    }

    #[track_caller]
    fn fails(args: &[&str], line: &str) {
        assert_eq!(parse(args, &[]).unwrap_err().to_string(), line);
    }

    #[test]
    fn commands_are_known_before_and_after_flags() {
        for (args, command) in [
            (&[] as &[&str], Command::Run),
            (&["check-config"], Command::CheckConfig),
            (&["--node", "a", "print-config"], Command::PrintConfig),
            (&["print-config", "--node", "a"], Command::PrintConfig),
        ] {
            assert_eq!(parse(args, &[]).unwrap().command, command, "{args:?}");
        }
    }

    #[test]
    fn help_and_version_are_printed() {
        let text = |args| match parse(args, &[]).unwrap().command {
            Command::Print(text) => text,
            other => panic!("{other:?}"),
        };
        assert!(text(&["--version"]).starts_with("rollcall 0."));
        assert!(text(&["--help"]).contains("--set <dotted.key=value>"));
        assert!(text(&["print-config", "--help"]).contains("--config <FILE>"));
    }

    #[test]
    fn who_is_asked_stands_anywhere() {
        for args in [["--url", "u", "--key", "k", "--json", "stats"], ["stats", "--json", "--url", "u", "--key", "k"]] {
            let Command::Ask(_, reach) = parse(&args, &[]).unwrap().command else { panic!("{args:?}") };
            let expected =
                Reach { url: Some("u".into()), key: Some("k".into()), json: true, colours: true, ..Reach::default() };
            assert_eq!(*reach, expected);
            let Command::Ask(_, reach) = parse(&args, &[("NO_COLOR", "1")]).unwrap().command else {
                panic!("{args:?}")
            };
            assert!(!reach.colours);
        }
    }

    #[test]
    fn emqx_words_for_modules_are_known() {
        for (word, same) in [("load", "start"), ("unload", "stop"), ("reload", "restart")] {
            let [word, same] = [word, same].map(|word| parse(&["modules", word, "presence"], &[]).unwrap().command);
            assert_eq!(word, same);
        }
    }

    #[test]
    fn each_flag_sets_its_key() {
        let args = ["--bind", "127.0.0.1:0", "--ws-bind", "off", "--admin=off", "--data-dir", "memory", "--node", "n"];
        let config = parse(&args, &[]).unwrap().layers.resolve().unwrap();
        assert_eq!(config.listeners[0].bind.port(), 0);
        assert_eq!(config.node.name, "n");
    }

    #[test]
    fn set_is_over_flags_and_flags_are_over_the_environment() {
        let env = [("ROLLCALL_NODE__NAME", "env"), ("ROLLCALL_SYS__INTERVAL", "5s"), ("PATH", "/bin")];
        let args = ["--node", "flag", "--set", "limits.max_inflight=7", "--set", "limits.max_inflight=8"];
        let config = parse(&args, &env).unwrap().layers.resolve().unwrap();
        assert_eq!(config.node.name, "flag");
        assert_eq!(config.sys.interval.as_secs(), 5);
        assert_eq!(config.limits.max_inflight, 8);
        let args = ["--node", "flag", "--set", "node.name=set"];
        assert_eq!(parse(&args, &env).unwrap().layers.resolve().unwrap().node.name, "set");
    }

    #[test]
    fn a_wrong_command_line_is_one_line() {
        fails(
            &["print-confg"],
            "unrecognized subcommand 'print-confg'; tip: a similar subcommand exists: 'print-config'; see --help",
        );
        fails(
            &["modules"],
            "'rollcall modules' requires a subcommand but one was not provided; [subcommands: list, start, load, stop, unload, restart, reload, add, remove, help]; see --help",
        );
        fails(
            &["--json"],
            "--url, --key, --cafile, --cert and --json are for commands that ask a running broker; see --help",
        );
        fails(
            &["--bnid", "x"],
            "unexpected argument '--bnid' found; tip: a similar argument exists: '--bind'; see --help",
        );
        fails(&["--bind"], "a value is required for '--bind <ADDR|off>' but none was supplied; see --help");
        fails(&["--set", "a"], "--set \"a\": wants dotted.key=value");
    }
}
