//! What a command line asks for, done.

use std::io::{self, Write};

use mqtt_config::{Ignored, Layers};
use tokio::runtime::{Builder, Runtime};

use crate::arguments::{Cli, Command, write_manual};
use crate::commands::import::{Check, import};
use crate::commands::init::init;
use crate::commands::run;
use crate::failure::Failure;

/// Does what is asked for. If that is to run the broker, nothing is done, and the layers are those to run it with.
///
/// `check` reads settings that were made of another broker's, and what modules say of them.
///
/// # Errors
/// See [`Failure`].
pub fn carry_out(cli: Cli, check: &Check<'_>) -> Result<Option<Layers>, Failure> {
    let Cli { command, layers } = cli;
    let resolved = || layers.resolve().map_err(usage);
    match command {
        Command::Run => return Ok(Some(layers)),
        Command::Print(text) => print(&text),
        Command::WriteManual(folder) => write_manual(&folder).map_err(usage)?,
        Command::CheckConfig => {
            if let Some(why) = resolved()?.check().map_err(Failure::Usage)? {
                warn(&format!("no start, unless a user was added: {why}"));
            }
            let ignored = layers.ignored();
            if !ignored.is_empty() {
                warn(&format!("{}: {ignored}", Ignored::WHAT));
            }
            print("the configuration is right\n");
        }
        Command::PrintConfig => print(&layers.print().map_err(usage)?),
        Command::Init(args) => print(&init(&args)?),
        Command::Import(verb, reach) => runtime()?.block_on(import(&verb, &reach, &resolved()?, check))?,
        Command::Ask(noun, reach) => runtime()?.block_on(run(&noun, &reach, &resolved()?))?,
    }
    Ok(None)
}

fn runtime() -> Result<Runtime, Failure> {
    Builder::new_current_thread().enable_all().build().map_err(usage)
}

fn usage(error: impl ToString) -> Failure {
    Failure::Usage(error.to_string())
}

fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    // A reader that went away is no reason to fail: `rollcall print-config | head`.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

fn warn(line: &str) {
    // There is nobody left to tell if stderr is gone.
    let _ = writeln!(io::stderr(), "warning: {line}");
}
