//! `rollcall import`: what another broker has becomes settings and state of this one.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use mqtt_config::Config;
use mqtt_migrate::state::State;
use mqtt_migrate::{Beside, Migration, Target, mosquitto};

use crate::failure::Failure;
use crate::output::Output;
use crate::reach::Reach;

mod database;
pub(super) mod disk;
mod emqx4;
mod report;
pub(super) mod writing;

use disk::OnDisk;

/// From where.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum Verb {
    /// From mosquitto: its mosquitto.conf with all that this names (listeners, users, rules, dynamic security)
    Mosquitto {
        /// The file, such as /etc/mosquitto/mosquitto.conf
        path: PathBuf,
        /// What is made of it.
        #[command(flatten)]
        made: Made,
    },
    /// From mosquitto.db, versions 5 and 6: retained messages, and sessions with what they are owed, into the data_dir of a
    /// broker that does not run. Stop mosquitto first, for it writes the file when it ends
    MosquittoDb {
        /// The file, such as /var/lib/mosquitto/mosquitto.db
        file: PathBuf,
        /// Say what would be imported, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// From EMQ X 4: its folder or emqx.conf, acl.conf, loaded_modules, loaded_plugins, files of etc/plugins, the JSON of
    /// `emqx_ctl data export`; or http://host:8081 of one that runs, for its bans and modules
    Emqx4(emqx4::Args),
    /// What `rollcall export` wrote, into the data_dir of a broker that does not run; what is not in it stays as it is
    Rollcall {
        /// The file
        file: PathBuf,
        /// Say what would be imported, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// What is made of it.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct Made {
    /// Where to write the settings; files that they name are put beside. Without it nothing is written, and what would be
    /// carried over is told
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write over files that are there
    #[arg(long)]
    force: bool,
    /// With --out: write nothing all the same
    #[arg(long)]
    dry_run: bool,
}

/// Reads settings with those of modules among them; a line says what is wrong.
pub type Check<'a> = dyn Fn(&Path, &str) -> Result<Config, String> + 'a;

/// Takes over what another broker has, and tells what became of it.
///
/// # Errors
/// What is there can't be read or makes no sense, or what is to be written is there already; then nothing is written.
pub(crate) async fn import(verb: &Verb, reach: &Reach, config: &Config, check: &Check<'_>) -> Result<(), Failure> {
    let mut out = Output::new(reach);
    let done = match verb {
        Verb::Mosquitto { path, made } => {
            let target = target(made)?;
            let migration = mosquitto::migrate(&OnDisk, path, &target);
            finish(migration, &target, made, check, &mut out)
        }
        Verb::MosquittoDb { file, dry_run } => database::import(file, *dry_run, config, &mut out),
        Verb::Emqx4(args) => {
            let target = target(&args.made)?;
            let migration = emqx4::read(args, &target, reach).await?;
            finish(migration, &target, &args.made, check, &mut out)
        }
        Verb::Rollcall { file, dry_run } => super::state::import(file, *dry_run, config, &mut out),
    };
    // Also what was found before it failed.
    out.flush()?;
    done
}

fn target(made: &Made) -> Result<Target, Failure> {
    let file = made.out.as_deref().unwrap_or(Path::new("rollcall.toml"));
    // A broker that is started elsewhere finds its files all the same.
    let file = std::path::absolute(file).map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
    Ok(Target::new(file))
}

fn finish(
    mut migration: Migration,
    target: &Target,
    made: &Made,
    check: &Check<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    if !migration.problems.is_empty() {
        report::problems(&migration, out)?;
        let count = migration.problems.len();
        return Err(Failure::Refused(format!("nothing was written: {count} {}", report::plural(count, "problem"))));
    }
    if migration.state != State::default() {
        state(&mut migration, target)?;
    }
    let text = writing::text(&migration);
    let config = check(&target.file, &text)
        .map_err(|why| Failure::Refused(format!("nothing was written: the settings as they would be made: {why}")))?;
    if let (Some(why), false) = (&config.auth.unguarded, config.asks_clients()) {
        migration.next.push(format!("who comes in: the broker does not start like this: {why}"));
    }
    let is_written = made.out.is_some() && !made.dry_run;
    if made.out.is_some() {
        writing::check(&migration, target, made.force)?;
    }
    if is_written {
        writing::write(&migration, &text, target)?;
        migration.next.insert(0, format!("look at it, then start it: rollcall --config {}", target.file.display()));
    }
    report::tell(&migration, is_written.then_some(&*target.file), out)
}

/// What is no setting goes into a file of its own.
fn state(migration: &mut Migration, target: &Target) -> Result<(), Failure> {
    let path = target.file.with_extension("state.json");
    let by = concat!("rollcall ", env!("CARGO_PKG_VERSION"));
    let text =
        migration.state.write(by, super::state::now_ms()).map_err(|wrong| Failure::Refused(wrong.to_string()))?;
    let (file, folder) = (path.display(), target.data_dir.display());
    migration.next.push(format!("bans: before its first start: rollcall import rollcall {file} --data-dir {folder}"));
    migration.beside.push(Beside { path, text });
    Ok(())
}
