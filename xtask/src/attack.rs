//! `cargo xtask attack`: clients that mean harm, and what they do to those who don't.
//!
//! Each attack has a broker of its own. A probe measures it quiet and then under attack.

mod client;
mod doors;
mod edges;
mod filters;
mod floods;
mod list;
mod memory;
mod probe;
mod report;
mod stage;
mod wire;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use self::list::{ATTACKS, Attack, Run};
use self::report::{Leave, Row};
use self::stage::{Pace, Stage};
use crate::broker::{Broker, Folder, build};
use crate::shell::{command, output};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these; all if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// The same against this broker of the system too
    #[arg(long, value_name = "BROKER")]
    beside: Option<Beside>,
    /// A short form that asserts no times
    #[arg(long)]
    quick: bool,
    /// Write all figures here
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// List the attacks and end
    #[arg(long)]
    list: bool,
    /// Against this build of rollcall instead of the workspace's
    #[arg(long, value_name = "PROGRAM")]
    program: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Beside {
    Mosquitto,
}

/// The short form of all, against the workspace's build; an error if any attack finds a fault.
pub(crate) fn quick() -> Result<()> {
    run(&Args { names: Vec::new(), beside: None, quick: true, json: None, list: false, program: None })
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.list {
        for Attack { name, about, .. } in ATTACKS {
            println!("{name:20} {about}");
        }
        return Ok(());
    }
    if let Some(unknown) = args.names.iter().find(|name| ATTACKS.iter().all(|attack| attack.name != **name)) {
        bail!("no attack is called {unknown}; `cargo xtask attack --list` names them");
    }
    let program = match &args.program {
        Some(program) => program.canonicalize().with_context(|| format!("no {}", program.display()))?,
        None => build()?,
    };
    let pace = if args.quick { Pace::QUICK } else { Pace::FULL };
    let mut rows = Vec::new();
    for attack in
        ATTACKS.iter().filter(|attack| args.names.is_empty() || args.names.iter().any(|name| name == attack.name))
    {
        let counts = if args.quick { std::slice::from_ref(&attack.quick) } else { attack.counts };
        for &count in counts {
            rows.push(attack.row("rollcall", count, pace, &program));
            if args.beside.is_some() && attack.is_for_all() {
                rows.push(attack.row(MOSQUITTO, count, pace, &program));
            }
        }
    }
    report::print(&rows);
    if let Some(file) = &args.json {
        std::fs::write(file, serde_json::to_vec_pretty(&rows)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    let ours = || rows.iter().filter(|row| row.broker != MOSQUITTO);
    let faulty: Vec<_> = ours().filter(|row| !row.faults.is_empty()).map(|row| &*row.attack).collect();
    if !faulty.is_empty() {
        bail!("{} of {} show faults: {}", faulty.len(), ours().count(), faulty.join(", "));
    }
    Ok(())
}

const MOSQUITTO: &str = "mosquitto";

/// A longer log than this is not kept when its broker has ended.
const KEPT_LOG: u64 = 16 << 20;

/// Bytes of a file; one that is not there has none.
fn size(file: &Path) -> u64 {
    file.metadata().map_or(0, |file| file.len())
}

impl Attack {
    /// Others have no admin port, and no such settings.
    const fn is_for_all(&self) -> bool {
        matches!(self.run, Run::Plain(_) | Run::Memory(_))
    }

    /// What others may lose.
    const fn leave(&self) -> Leave {
        match self.run {
            Run::Plain(_) | Run::Memory(_) | Run::Admin(_) | Run::Doors(_) => Leave::Nothing,
            Run::Files(_) => Leave::Newcomers,
            Run::Disk(_) => Leave::All,
        }
    }

    /// Whatever goes wrong is a fault of the row.
    fn row(&self, broker: &str, count: usize, pace: Pace, program: &Path) -> Row {
        let attack = format!("{} {count}", self.name);
        println!("{attack}, {broker}: {}", self.about);
        let mut row = Row { attack, broker: broker.to_owned(), ..Row::default() };
        match self.play(row.clone(), count, pace, program) {
            Ok(played) => row = played,
            Err(why) => row.faults.push(format!("{why:#}")),
        }
        // A run that is cut short has said this much.
        let [quiet, attacked] = [&row.quiet, &row.attacked].map(|window| window.messages);
        println!(
            "  p50 {:.2} -> {:.2} ms, p99 {:.2} -> {:.2} ms: {}",
            quiet.p50,
            attacked.p50,
            quiet.p99,
            attacked.p99,
            row.verdict()
        );
        row
    }

    fn play(&self, mut row: Row, count: usize, pace: Pace, program: &Path) -> Result<Row> {
        let folder = Folder::new()?;
        let disk = match self.run {
            Run::Disk(_) => match Disk::mount(folder.path(), edges::DISK) {
                Ok(disk) => Some(disk),
                Err(why) => {
                    row.skipped = Some(format!("no small disk can be mounted: {why:#}"));
                    return Ok(row);
                }
            },
            _ => None,
        };
        let broker = match &*row.broker {
            MOSQUITTO => Broker::mosquitto(None, "allow_anonymous true")?,
            _ => self.rollcall(program, &folder)?,
        };
        let mut stage = Stage::new(&broker, pace, row)?;
        let done = match self.run {
            Run::Plain(run) | Run::Memory(run) | Run::Files(run) | Run::Admin(run) | Run::Doors(run) => {
                run(&mut stage, count)
            }
            Run::Disk(run) => run(&mut stage, count, folder.path()),
        };
        if let Err(why) = done {
            stage.fault(format!("{why:#}"));
        }
        let mut row = stage.finish();
        row.judge(self.leave(), pace.is_quick);
        let log = broker.log().to_owned();
        match broker.stop() {
            Ok(status) if status.success() => {}
            Ok(status) => row.faults.push(format!("the broker ended with {status}")),
            Err(why) => row.faults.push(format!("the broker does not end: {why:#}")),
        }
        drop(disk);
        if size(&log) > KEPT_LOG {
            std::fs::remove_file(&log)?;
        }
        Ok(row)
    }

    fn rollcall(&self, program: &Path, folder: &Folder) -> Result<Broker> {
        let memory = format!("limits.memory={}MiB", memory::LIMIT);
        let password = format!("admin.password={}", edges::PASSWORD);
        let admin = ["--admin", "127.0.0.1:0", "--set", &password];
        match self.run {
            Run::Memory(_) => Broker::rollcall(program, Some(folder), &["--set", &memory]),
            Run::Admin(_) => Broker::rollcall(program, Some(folder), &admin),
            Run::Doors(_) => {
                let mut settings = doors::listeners(folder.path())?;
                settings.push(memory);
                let arguments: Vec<_> = settings.iter().flat_map(|setting| ["--set", setting.as_str()]).collect();
                Broker::rollcall(program, Some(folder), &arguments)
            }
            Run::Files(_) => Broker::with_files(program, edges::FILES, Some(folder), &admin),
            Run::Plain(_) | Run::Disk(_) => Broker::rollcall(program, Some(folder), &[]),
        }
    }
}

/// A file system in memory; unmounted when dropped.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    fn mount(at: &'a Path, mib: u64) -> Result<Self> {
        output(command("mount").args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"]).arg(at))?;
        Ok(Self(at))
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        // Lazily, so that it goes even if the broker has not ended. What can't be unmounted stays for the system's end.
        let _ = output(command("umount").arg("-l").arg(self.0));
    }
}
