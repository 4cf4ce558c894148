//! `cargo xtask bench`: criterion for the parts, then the load driver on rollcall and on Debian's mosquitto in turn.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::broker::{Broker, build};
use crate::shell::{cargo, command, output, run as run_command, target};

/// Rollcall only: others announce nobody.
const ALONE: &str = "presence";

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
}

/// What `load --case` prints.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Outcome {
    value: f64,
    per_second: f64,
    driver_us: f64,
    median: Option<f64>,
    faults: Option<usize>,
}

/// A case of `load --list`, and what its runs gave.
#[derive(Serialize)]
struct Case {
    name: String,
    unit: String,
    what: String,
    rollcall: Vec<Outcome>,
    mosquitto: Vec<Outcome>,
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
        run_command(cargo().args(["bench", "--package", "benches"]))?;
    }
    for number in 1..=args.runs {
        for case in &mut cases {
            println!("run {number} of {}: {}", args.runs, case.name);
            let broker = Broker::rollcall(&rollcall, &[])?;
            case.rollcall.push(measure(&load, &case.name, broker)?);
            if case.name != ALONE {
                case.mosquitto.push(measure(&load, &case.name, Broker::mosquitto()?)?);
            }
        }
    }
    print(&cases);
    if let Some(file) = &args.json {
        std::fs::write(file, serde_json::to_vec_pretty(&cases)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    let faults: usize = cases.iter().flat_map(|case| &case.rollcall).filter_map(|outcome| outcome.faults).sum();
    if faults > 0 {
        bail!("{faults} presence events were missing, doubled or swapped");
    }
    Ok(())
}

fn chosen(load: &Path, names: &[String]) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for line in output(command(load).arg("--list"))?.lines() {
        let mut words = line.split('\t').map(str::to_owned);
        let (Some(name), Some(unit), Some(what)) = (words.next(), words.next(), words.next()) else {
            bail!("`load --list` printed {line:?}");
        };
        cases.push(Case { name, unit, what, rollcall: Vec::new(), mosquitto: Vec::new() });
    }
    if let Some(unknown) = names.iter().find(|name| cases.iter().all(|case| case.name != **name)) {
        let known: Vec<_> = cases.iter().map(|case| case.name.as_str()).collect();
        bail!("no case is called {unknown}; there are {}", known.join(", "));
    }
    if !names.is_empty() {
        cases.retain(|case| names.contains(&case.name));
    }
    Ok(cases)
}

fn measure(load: &Path, case: &str, broker: Broker) -> Result<Outcome> {
    let (addr, pid) = (broker.addr().to_string(), broker.pid().to_string());
    let mut driver = command(load);
    driver.args(["--addr", &addr, "--pid", &pid, "--case", case]);
    let printed = output(&mut driver).with_context(|| format!("the broker said:\n{}", broker.said()))?;
    broker.stop()?;
    serde_json::from_str(&printed).with_context(|| format!("the load driver printed {printed:?}"))
}

/// A table for people, which is also Markdown.
fn print(cases: &[Case]) {
    println!();
    println!("| case | unit | rollcall | mosquitto | ratio | rollcall/s | driver's own |");
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: |");
    for Case { what, unit, rollcall, mosquitto, .. } in cases {
        let value = |outcomes: &[Outcome]| median(outcomes, |outcome| outcome.value);
        let (ours, theirs) = (value(rollcall), value(mosquitto));
        let ratio = ours.zip(theirs).map(|(ours, theirs)| format!("{:.2}", ours / theirs));
        let rate = median(rollcall, |outcome| outcome.per_second).filter(|rate| *rate > 0.0);
        let driver = median(rollcall, |outcome| outcome.driver_us).filter(|own| *own > 0.0);
        let unit = match median(rollcall, |outcome| outcome.median.unwrap_or(f64::NAN)) {
            Some(median) if median.is_finite() => format!("{unit} (median {median:.0})"),
            _ => unit.clone(),
        };
        let faults: Option<usize> = rollcall.iter().map(|outcome| outcome.faults).sum();
        let what = faults.map_or_else(|| what.clone(), |faults| format!("{what}; events faulty: {faults}"));
        println!(
            "| {what} | {unit} | {} | {} | {} | {} | {} |",
            number(ours),
            number(theirs),
            ratio.unwrap_or_default(),
            rate.map(|rate| format!("{rate:.0}")).unwrap_or_default(),
            number(driver),
        );
    }
}

fn number(value: Option<f64>) -> String {
    match value {
        None => String::new(),
        Some(value) if value >= 100.0 => format!("{value:.0}"),
        Some(value) => format!("{value:.2}"),
    }
}

fn median(outcomes: &[Outcome], of: impl Fn(&Outcome) -> f64) -> Option<f64> {
    let mut values: Vec<f64> = outcomes.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
