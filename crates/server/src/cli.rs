//! The command line: what to do, and the layers of configuration to do it with.

use std::{ffi::OsString, path::PathBuf};

use clap::{Parser, Subcommand, error::ErrorKind};

use crate::config::{Error, Layers};

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Run the broker.
    Run,
    /// Say whether the configuration is right.
    CheckConfig,
    /// Print the configuration, all layers together.
    PrintConfig,
    /// Print this text and end well: help or the version.
    Print(String),
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
    /// Known, but not in this build.
    #[error("{0:?} speaks to a running broker's admin port, which this build does not have")]
    NeedsAdmin(String),
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] Error),
}

#[derive(Debug, Parser)]
#[command(
    name = "rollcall",
    version,
    about = "The MQTT broker that knows who is online",
    after_help = "Settings come from, later ones winning: defaults, the file, the environment (ROLLCALL_MQTT__BIND is mqtt.bind),\n\
                  flags, --set. All keys with what they mean: rollcall print-config",
    infer_long_args = false
)]
struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// TOML file with settings
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Where to listen for MQTT; port 0 lets the system choose [mqtt.bind]
    #[arg(long, value_name = "ADDR", global = true)]
    bind: Option<String>,
    /// Where to listen for MQTT over WebSocket [ws.bind]
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
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say whether the settings are right
    CheckConfig,
    /// Print all settings as a commented TOML file
    PrintConfig,
    /// modules, clients, users and presence, later.
    #[command(external_subcommand)]
    Other(Vec<String>),
}

/// Commands that speak to the admin port.
const NEED_ADMIN: [&str; 4] = ["modules", "clients", "users", "presence"];

impl Cli {
    /// Reads the arguments (the first is the program's name) and the environment.
    pub fn parse(
        args: impl IntoIterator<Item = OsString>,
        env: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, UsageError> {
        let args = match Args::try_parse_from(args) {
            Ok(args) => args,
            Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
                return Ok(Self { command: Command::Print(error.to_string()), layers: Layers::new() });
            }
            Err(error) => return Err(UsageError::Grammar(one_line(&error.to_string()))),
        };
        let command = match &args.verb {
            None => Command::Run,
            Some(Verb::CheckConfig) => Command::CheckConfig,
            Some(Verb::PrintConfig) => Command::PrintConfig,
            Some(Verb::Other(words)) => return Err(unknown_verb(words)),
        };
        Ok(Self { command, layers: args.layers(env)? })
    }
}

impl Args {
    fn layers(&self, env: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Layers, Error> {
        let mut layers = Layers::new();
        if let Some(file) = &self.config {
            layers.add_file(file)?;
        }
        layers.add_env(env)?;
        let flags = [
            ("--bind", "mqtt.bind", &self.bind),
            ("--ws-bind", "ws.bind", &self.ws_bind),
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

fn unknown_verb(words: &[String]) -> UsageError {
    let word = words.first().cloned().unwrap_or_default();
    if NEED_ADMIN.contains(&word.as_str()) {
        return UsageError::NeedsAdmin(word);
    }
    let known = ["check-config", "print-config"].into_iter().chain(NEED_ADMIN);
    let likeness = |known: &str| strsim::jaro_winkler(&word, known);
    let nearest = known.max_by(|a, b| likeness(a).total_cmp(&likeness(b))).unwrap_or_default();
    UsageError::Grammar(format!("unknown command {word:?}; the nearest is {nearest}"))
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
        Cli::parse(args, env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))))
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
    fn each_flag_sets_its_key() {
        let args = ["--bind", "127.0.0.1:0", "--ws-bind", "off", "--admin=off", "--data-dir", "memory", "--node", "n"];
        let config = parse(&args, &[]).unwrap().layers.resolve().unwrap();
        assert_eq!(config.mqtt.bind.port(), 0);
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
        let admin = "speaks to a running broker's admin port, which this build does not have";
        fails(&["modules", "list"], &format!("\"modules\" {admin}"));
        fails(&["presence", "watch", "--all"], &format!("\"presence\" {admin}"));
        fails(&["print-confg"], "unknown command \"print-confg\"; the nearest is print-config; see --help");
        fails(
            &["--bnid", "x"],
            "unexpected argument '--bnid' found; tip: a similar argument exists: '--bind'; see --help",
        );
        fails(&["--bind"], "a value is required for '--bind <ADDR>' but none was supplied; see --help");
        fails(&["--set", "a"], "--set \"a\": wants dotted.key=value");
    }
}
