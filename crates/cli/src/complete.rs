//! What a shell offers when somebody asks it to go on with a line: commands and flags, and names that the broker knows which runs.
//!
//! The shell's script, which `rollcall completions` prints, runs `rollcall` with [`VARIABLE`] set. Whatever goes wrong then, nothing
//! is offered and nothing is said: it would stand in the middle of the line.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::time::Duration;

use clap::Command;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::Shells;
use mqtt_config::{Config, Layers};
use serde_json::Value;
use tokio::runtime::Builder;
use tokio::time::timeout;

use crate::arguments::{Cli, Command as Wanted, grammar};
use crate::commands::modules::short;
use crate::find::find;
use crate::pages::Query;
use crate::reach::Reach;

/// Says that a shell asks, and which. No setting has this name, so that nobody has it by mistake.
const VARIABLE: &str = "_ROLLCALL_COMPLETE";

/// So many names are offered at once, at most.
const MOST: usize = 100;

/// Who waits has pressed a key.
const PATIENCE: Duration = Duration::from_secs(1);

/// Names that a broker knows.
#[derive(Clone, Copy)]
enum Known {
    Clients,
    Listeners,
    Modules,
    Users,
}

/// Commands whose argument of this name is one of those.
const PLACES: [(&[&str], &str, Known); 14] = [
    (&["clients", "show"], "client_id", Known::Clients),
    (&["clients", "kick"], "client_id", Known::Clients),
    (&["clients", "list"], "prefix", Known::Clients),
    (&["subscriptions"], "client", Known::Clients),
    (&["trace"], "client_id", Known::Clients),
    (&["listeners", "start"], "name", Known::Listeners),
    (&["listeners", "stop"], "name", Known::Listeners),
    (&["listeners", "restart"], "name", Known::Listeners),
    (&["modules", "start"], "name", Known::Modules),
    (&["modules", "stop"], "name", Known::Modules),
    (&["modules", "restart"], "name", Known::Modules),
    (&["modules", "remove"], "name", Known::Modules),
    (&["users", "passwd"], "name", Known::Users),
    (&["users", "remove"], "name", Known::Users),
];

/// What makes a shell ask; `None`: there is none of this name.
pub(crate) fn script(shell: &str) -> Option<String> {
    let mut script = Vec::new();
    Shells::builtins()
        .completer(shell)?
        .write_registration(VARIABLE, "rollcall", "rollcall", "rollcall", &mut script)
        .ok()?;
    let mut script = String::from_utf8_lossy(&script).into_owned();
    if shell == "zsh" {
        // Found in a folder for completions, it is the body of a function, which is to do at once what it says is to be done.
        script += "[[ $funcstack[1] == _rollcall ]] && _clap_dynamic_completer_rollcall \"$@\"\n";
    }
    Some(script)
}

/// The shell that asks, by what is taken out of the environment.
pub(crate) fn asking(env: &mut Vec<(OsString, OsString)>) -> Option<String> {
    let at = env.iter().position(|(name, _)| name == VARIABLE)?;
    env.swap_remove(at).1.into_string().ok()
}

/// What is offered for the line that stands behind `--` in these arguments, as this shell takes it.
pub(crate) fn offered(shell: &str, layers: Layers, args: &[OsString], env: Vec<(OsString, OsString)>) -> String {
    let line = args.iter().skip_while(|word| *word != "--").skip(1).cloned().collect::<Vec<_>>();
    let shells = Shells::builtins();
    let Some(shell) = shells.completer(shell).filter(|_| !line.is_empty()) else { return String::new() };
    let mut command = grammar();
    if let Some(broker) = Meant::by(layers, &line, env) {
        command = with_names(command, &Arc::new(broker));
    }
    let mut out = Vec::new();
    // Half of what is offered is no help.
    shell
        .write_complete(&mut command, line, None, &mut out)
        .map_or_else(|_| String::new(), |()| String::from_utf8_lossy(&out).into_owned())
}

fn with_names(command: Command, broker: &Arc<Meant>) -> Command {
    PLACES.iter().fold(command, |command, &(path, argument, known)| {
        let broker = Arc::clone(broker);
        at(command, path, &move |command| {
            let broker = Arc::clone(&broker);
            let offer = move |begun: &OsStr| broker.offer(known, begun);
            command.mut_arg(argument, |arg| arg.add(ArgValueCompleter::new(offer)))
        })
    })
}

/// Changes the command at this path.
fn at(command: Command, path: &[&str], change: &dyn Fn(Command) -> Command) -> Command {
    match path {
        [] => change(command),
        [first, rest @ ..] => command.mut_subcommand(*first, |command| at(command, rest, change)),
    }
}

/// The broker that a line means.
struct Meant {
    reach: Reach,
    config: Config,
}

impl Meant {
    /// By the flags that stand in the line so far, as a command would find it.
    fn by(layers: Layers, line: &[OsString], env: Vec<(OsString, OsString)>) -> Option<Self> {
        let mut args = vec![OsString::from("rollcall"), OsString::from("status")];
        args.extend(flags(line));
        let Cli { command: Wanted::Ask(_, reach), layers } = Cli::parse(layers, args, env).ok()? else { return None };
        Some(Self { reach: *reach, config: layers.resolve().ok()? })
    }

    fn offer(&self, known: Known, begun: &OsStr) -> Vec<CompletionCandidate> {
        let Some(begun) = begun.to_str() else { return Vec::new() };
        let names = self.ask(known, begun).unwrap_or_default();
        let begun = |name: &String| name.starts_with(begun) && is_plain(name);
        names.into_iter().filter(begun).take(MOST).map(CompletionCandidate::new).collect()
    }

    fn ask(&self, known: Known, begun: &str) -> Option<Vec<String>> {
        let remote = find(&self.reach, &self.config).ok()?;
        let mut query = Query::new(match known {
            Known::Clients => "/clients",
            Known::Listeners => "/listeners",
            Known::Modules => "/modules",
            Known::Users => "/auth/users",
        });
        if let Known::Clients = known {
            query.add("prefix", begun);
            query.add("_limit", &MOST.to_string());
        }
        let runtime = Builder::new_current_thread().enable_all().build().ok()?;
        let answer = runtime.block_on(async { timeout(PATIENCE, remote.get(query.path())).await }).ok()?.ok()?;
        let all = |key: &str, list: &Value| -> Vec<String> {
            let names = list.as_array().into_iter().flatten().filter_map(|one| one[key].as_str());
            names.map(|name| short(name).to_owned()).collect()
        };
        let of_nodes = |key: &str| {
            let nodes = answer["data"].as_array().into_iter().flatten();
            nodes.flat_map(|node| all("name", &node[key])).collect()
        };
        Some(match known {
            Known::Clients => all("clientid", &answer["data"]),
            Known::Listeners => of_nodes("listeners"),
            Known::Modules => of_nodes("modules"),
            Known::Users => all("username", &answer["data"]),
        })
    }
}

/// Shells put what is offered into the line as it is, and clients name themselves: what means something to some shell is not
/// offered.
fn is_plain(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:@/+=%".contains(&byte);
    name.bytes().all(is_plain) && name.starts_with(|first: char| first.is_ascii_alphanumeric())
}

/// Those that hold for all commands, with their values.
fn flags(line: &[OsString]) -> Vec<OsString> {
    let grammar = grammar();
    let takes_value = |word: &str| {
        let name = word.strip_prefix("--")?.split('=').next()?;
        let flag = grammar.get_arguments().find(|arg| arg.get_long() == Some(name))?;
        Some(flag.get_action().takes_values() && !word.contains('='))
    };
    let (mut flags, mut words) = (Vec::new(), line.iter());
    while let Some(word) = words.next() {
        let Some(takes_value) = word.to_str().and_then(takes_value) else { continue };
        flags.push(word.clone());
        if takes_value {
            flags.extend(words.next().cloned());
        }
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_is_in_the_grammar() {
        let meant = Meant::by(Layers::new(Vec::new()), &[], Vec::new()).unwrap();
        // Which panics where there is no such command.
        let grammar = with_names(grammar(), &Arc::new(meant));
        for (path, argument, _) in PLACES {
            let mut command = &grammar;
            for word in path {
                command = command.find_subcommand(word).unwrap_or_else(|| panic!("{path:?}"));
            }
            assert!(command.get_arguments().any(|arg| arg.get_id() == argument), "{path:?} {argument}");
        }
    }

    #[test]
    fn each_shell_that_is_known_has_a_script() {
        use clap::ValueEnum;
        for shell in clap_complete::Shell::value_variants() {
            let script = script(&shell.to_string());
            assert!(script.is_some_and(|script| script.contains(VARIABLE)), "{shell}");
        }
        assert_eq!(script("cmd"), None);
    }

    #[test]
    fn what_a_shell_would_act_on_is_not_offered() {
        for name in ["anna", "a.b-c_d:e@f/g+h=i%j", "7"] {
            assert!(is_plain(name), "{name}");
        }
        for name in
            ["", "$(reboot)", "a;b", "a b", "*", "a*", "~", "-f", "@a", "=a", "a'b", "a\"b", "a`b", "a\nb", "ä", "a,b"]
        {
            assert!(!is_plain(name), "{name}");
        }
    }

    #[test]
    fn flags_are_found_wherever_they_stand() {
        let line = [
            "rollcall",
            "--data-dir",
            "d",
            "clients",
            "--json",
            "show",
            "--set=a=b",
            "--online",
            "--url",
            "u",
            "x",
            "--key",
        ];
        let found = flags(&line.map(OsString::from));
        assert_eq!(found, ["--data-dir", "d", "--json", "--set=a=b", "--url", "u", "--key"]);
    }
}
