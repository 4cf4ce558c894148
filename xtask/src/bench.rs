//! `cargo xtask bench`: criterion for the parts, the load driver on rollcall and on Debian's mosquitto in turn, and the
//! run with a million sessions.

mod door;
mod kept;
mod restart;
mod scale;
mod slow;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use self::door::Door;
use self::slow::Slow;
use crate::broker::{Broker, Folder, build};
use crate::shell::{cargo, command, output, run as run_command, target};

/// Rollcall only: others announce nobody, keep nothing as soon as it is there, or can't be made ready quickly.
const ALONE: &[&str] = &["presence", "queue-power", "expire"];

/// Also with `--data-dir memory`.
const ALSO_IN_MEMORY: &[&str] =
    &["pairs-100", "pairs-qos1", "pairs-kept", "connect", "presence", "queue-qos1", "drain"];

/// mosquitto persists too.
const PERSISTENT: &[&str] = &["pairs-kept", "queue-qos1", "drain"];

/// Enough to see a change of a tenth, and the whole in a minute or two.
const CRITERION: &[&str] = &["--warm-up-time", "0.3", "--measurement-time", "0.6", "--sample-size", "20"];

/// Not of the load driver's.
const SCALE: &str = "scale";
const RESTART: &str = "restart";

/// Sessions that end at one moment, and when: so many seconds after they were made, which has the broker ready.
const EXPIRING: u32 = 1_000_000;
const EXPIRE_IN: u32 = 15;

/// All outcomes, for `--json`.
#[derive(Serialize)]
struct Report<'a> {
    cases: &'a [Case],
    restart: &'a [restart::Outcome],
    scale: &'a [scale::Size],
}

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this case; may be given again
    #[arg(long = "case", value_name = "NAME")]
    cases: Vec<String>,
    /// How often each case is run on each broker; the medians are shown
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Write all outcomes here
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Leave out the criterion benches
    #[arg(long)]
    no_criterion: bool,
    /// Beside this build of rollcall, an earlier one for example, instead of mosquitto
    #[arg(long, value_name = "PROGRAM")]
    against: Option<PathBuf>,
}

/// What `load --case` prints.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Outcome {
    value: f64,
    per_second: f64,
    driver_us: f64,
    median: Option<f64>,
    faults: Option<Faults>,
    slow: Option<Slow>,
}

/// What was wrong with presence events.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Faults {
    missing: usize,
    doubled: usize,
    swapped: usize,
}

/// A case of `load --list`, and what its runs gave.
#[derive(Serialize)]
struct Case {
    name: String,
    unit: String,
    /// The kind of listener.
    over: String,
    what: String,
    rollcall: Vec<Outcome>,
    /// With `--data-dir memory`, for some.
    memory: Vec<Outcome>,
    /// mosquitto's, or those of the build that this one is run against.
    other: Vec<Outcome>,
    /// Bytes of rollcall's folder at the end.
    folder: Vec<u64>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.runs == 0 {
        bail!("--runs 0 measures nothing");
    }
    let rollcall = build()?;
    run_command(cargo().args(["build", "--release", "--package", "benches"]))?;
    let load = target().join("release/load");
    let mut cases = chosen(&load, &args.cases)?;
    if !args.no_criterion && args.cases.is_empty() {
        run_command(cargo().args(["bench", "--package", "benches", "--"]).args(CRITERION))?;
    }
    for number in 1..=args.runs {
        for case in &mut cases {
            println!("run {number} of {}: {}", args.runs, case.name);
            case.run(&rollcall, args.against.as_deref(), &load)?;
        }
    }
    let is_wanted = |name: &str| args.cases.is_empty() || args.cases.iter().any(|case| case == name);
    let restarts = if is_wanted(RESTART) { restart::run(args.runs, &rollcall)? } else { Vec::new() };
    let sizes = if is_wanted(SCALE) { scale::run(args.runs)? } else { Vec::new() };
    let beside = if args.against.is_some() { "the other" } else { "mosquitto" };
    print(&cases, beside);
    kept::print(&cases);
    restart::print(&restarts);
    slow::print(&cases, beside);
    scale::print(&sizes);
    if let Some(file) = &args.json {
        std::fs::write(file, serde_json::to_vec_pretty(&Report { cases: &cases, restart: &restarts, scale: &sizes })?)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    let faults = cases.iter().map(|case| all_faults(&case.rollcall)).sum::<usize>();
    if faults > 0 {
        bail!("{faults} presence events were missing, doubled or swapped");
    }
    Ok(())
}

fn chosen(load: &Path, names: &[String]) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for line in output(command(load).arg("--list"))?.lines() {
        let mut words = line.split('\t').map(str::to_owned);
        let (Some(name), Some(unit), Some(over), Some(what)) = (words.next(), words.next(), words.next(), words.next())
        else {
            bail!("`load --list` printed {line:?}");
        };
        let none = Vec::new;
        let (rollcall, memory, other, folder) = (none(), none(), none(), Vec::new());
        cases.push(Case { name, unit, over, what, rollcall, memory, other, folder });
    }
    let mut known: Vec<_> = cases.iter().map(|case| case.name.as_str()).collect();
    known.extend([RESTART, SCALE]);
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("no case is called {unknown}; there are {}", known.join(", "));
    }
    if !names.is_empty() {
        cases.retain(|case| names.contains(&case.name));
    }
    Ok(cases)
}

/// What rollcall is told for a case beyond its defaults.
fn settings(case: &str) -> &'static [&'static str] {
    match case {
        // A run is not to wait for 30 seconds.
        "slow" => &["limits.slow_consumer_timeout=8s"],
        "queue-power" => &["storage.durability=power"],
        // It tells how many sessions are left.
        "expire" => &["sys.interval=1s"],
        _ => &[],
    }
}

impl Case {
    /// Once on each broker.
    fn run(&mut self, rollcall: &Path, against: Option<&Path>, load: &Path) -> Result<()> {
        let name = self.name.as_str();
        let door = Door::new(name, &self.over)?;
        let driver = Driver { load, case: name, door: &door };
        let mut settings: Vec<_> = settings(name).iter().map(|&setting| setting.to_owned()).collect();
        settings.extend(door.settings());
        let arguments: Vec<_> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
        let with_folder = |program| {
            let folder = match name {
                "expire" => restart::filled(EXPIRING, 0, Some(EXPIRE_IN))?,
                _ => Folder::new()?,
            };
            driver.measure(Broker::rollcall(program, Some(&folder), &arguments)?, Some(&folder))
        };
        let (outcome, size) = with_folder(rollcall)?;
        self.rollcall.push(outcome);
        self.folder.push(size);
        if let Some(program) = against {
            // Another build may not read what this one has filled a folder with.
            if name != "expire" {
                self.other.push(with_folder(program)?.0);
            }
            return Ok(());
        }
        if ALSO_IN_MEMORY.contains(&name) {
            self.memory.push(driver.measure(Broker::rollcall(rollcall, None, &arguments)?, None)?.0);
        }
        if !ALONE.contains(&name) {
            let folder = if PERSISTENT.contains(&name) { Some(Folder::new()?) } else { None };
            match Broker::mosquitto(folder.as_ref(), &door.mosquitto()) {
                Ok(broker) => self.other.push(driver.measure(broker, None)?.0),
                // Not every build of it has WebSocket.
                Err(why) if door.is_web() => println!("{name} is not run on mosquitto: {why:#}"),
                Err(why) => return Err(why),
            }
        }
        Ok(())
    }
}

/// The load driver, told of one case.
struct Driver<'a> {
    load: &'a Path,
    case: &'a str,
    door: &'a Door,
}

impl Driver<'_> {
    /// What it found, and how large the folder was then.
    fn measure(&self, broker: Broker, folder: Option<&Folder>) -> Result<(Outcome, u64)> {
        // mosquitto has one listener, and no names for them.
        let addr = broker.listener(self.door.listener()).unwrap_or(broker.addr());
        let mut driver = command(self.load);
        driver.args(["--addr", &addr.to_string(), "--pid", &broker.pid().to_string(), "--case", self.case]);
        driver.args(self.door.arguments());
        let printed = output(&mut driver).with_context(|| format!("the broker said:\n{}", broker.said()))?;
        let said = broker.said();
        let size = folder.map_or(Ok(0), Folder::size)?;
        let status = broker.stop()?;
        if !status.success() {
            bail!("after {} the broker ended with {status}; it said:\n{said}", self.case);
        }
        let outcome = serde_json::from_str(&printed).with_context(|| format!("the load driver printed {printed:?}"))?;
        Ok((outcome, size))
    }
}

/// A table for people, which is also Markdown.
fn print(cases: &[Case], beside: &str) {
    if cases.is_empty() {
        return;
    }
    println!("\nMedians on {}, the load driver on the same cores.\n", machine());
    println!("| case | | unit | rollcall | {beside} | ratio | rollcall/s | {beside}/s | driver |");
    println!("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for Case { name, what, unit, rollcall, other, .. } in cases {
        let mut what = what.clone();
        if rollcall.iter().any(|outcome| outcome.faults.is_some()) {
            what += &format!("; faults: {}", all_faults(rollcall));
        }
        row(name, &what, unit, [rollcall, other].map(|outcomes| median(outcomes, |outcome| Some(outcome.value))));
        let rates = [rollcall, other].map(|outcomes| median(outcomes, |outcome| Some(outcome.per_second)));
        let own = median(rollcall, |outcome| Some(outcome.driver_us));
        println!(" {} | {} | {} |", number(rates[0]), number(rates[1]), number(own));
        let medians = [rollcall, other].map(|outcomes| median(outcomes, |outcome| outcome.median));
        if medians[0].is_some() {
            row(name, "the median of the same", unit, medians);
            println!(" | | |");
        }
    }
    println!("\ndriver: what the load driver itself spent on each while rollcall was measured, in µs of CPU.");
}

/// Half a row: what is compared.
fn row(name: &str, what: &str, unit: &str, values: [Option<f64>; 2]) {
    let [ours, theirs] = values;
    let ratio = ours.zip(theirs).map(|(ours, theirs)| format!("{:.2}", ours / theirs)).unwrap_or_default();
    print!("| `{name}` | {what} | {unit} | {} | {} | {ratio} |", number(ours), number(theirs));
}

/// Cores and memory: what else a machine is called says nothing.
pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory.split_whitespace().nth(1).and_then(|number| number.parse::<f64>().ok()).unwrap_or_default();
    format!("{cores} cores and {:.0} GiB of memory", kib / 1048576.0)
}

fn all_faults(outcomes: &[Outcome]) -> usize {
    let faults = outcomes.iter().filter_map(|outcome| outcome.faults);
    faults.map(|faults| faults.missing + faults.doubled + faults.swapped).sum()
}

fn number(value: Option<f64>) -> String {
    match value {
        None => String::new(),
        Some(value) if value >= 100.0 => format!("{value:.0}"),
        Some(value) => format!("{value:.2}"),
    }
}

/// The median of what there is; nothing counts nothing.
fn median<T>(outcomes: &[T], of: impl Fn(&T) -> Option<f64>) -> Option<f64> {
    let mut values: Vec<f64> = outcomes.iter().filter_map(of).filter(|value| *value != 0.0).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
