//! The case `restart`: how long the broker takes to start with what an earlier process has left.

use anyhow::{Context, Result};
use serde::Serialize;

use super::{median, number};
use crate::broker::{Broker, Folder};
use crate::shell::{command, output, target};

const SESSIONS: u32 = 100_000;
const MESSAGES: u32 = 10;

/// One run.
#[derive(Serialize)]
pub(super) struct Outcome {
    after_stop: Start,
    after_kill: Start,
}

/// One start.
#[derive(Clone, Copy, Serialize)]
struct Start {
    seconds: f64,
    resident: u64,
    folder: u64,
}

pub(super) fn run(runs: usize, rollcall: &std::path::Path) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for run in 1..=runs {
        println!("run {run} of {runs}: restart");
        let folder = filled(SESSIONS, MESSAGES, None)?;
        let start = || -> Result<(Broker, Start)> {
            let broker = Broker::rollcall(rollcall, Some(&folder), &[])?;
            let seconds = broker.ready_after().as_secs_f64();
            let start = Start { seconds, resident: broker.resident()?, folder: folder.size()? };
            Ok((broker, start))
        };
        let (broker, after_stop) = start()?;
        // This kills it.
        drop(broker);
        let (broker, after_kill) = start()?;
        drop(broker);
        outcomes.push(Outcome { after_stop, after_kill });
    }
    Ok(outcomes)
}

/// A folder with so many sessions, and messages in each.
pub(super) fn filled(sessions: u32, messages: u32, expire_in: Option<u32>) -> Result<Folder> {
    let folder = Folder::new()?;
    let mut fill = command(target().join("release/fill"));
    fill.arg("--data-dir").arg(folder.path());
    fill.args(["--sessions", &sessions.to_string(), "--messages", &messages.to_string()]);
    if let Some(seconds) = expire_in {
        fill.args(["--expire-in", &seconds.to_string()]);
    }
    output(&mut fill).context("the folder is not filled")?;
    Ok(folder)
}

/// A table for people, which is also Markdown.
pub(super) fn print(outcomes: &[Outcome]) {
    if outcomes.is_empty() {
        return;
    }
    println!("\nA start with {SESSIONS} sessions of one subscription and {MESSAGES} messages each:\n");
    println!("| after | seconds | memory, MiB | folder, MiB |");
    println!("| --- | ---: | ---: | ---: |");
    row("SIGTERM", outcomes, |outcome| outcome.after_stop);
    row("`kill -9`", outcomes, |outcome| outcome.after_kill);
}

fn row(end: &str, outcomes: &[Outcome], start: fn(&Outcome) -> Start) {
    let columns: [fn(Start) -> f64; 3] =
        [|start| start.seconds, |start| start.resident as f64 / 1048576.0, |start| start.folder as f64 / 1048576.0];
    let cells = columns.map(|column| number(median(outcomes, |outcome| Some(column(start(outcome))))));
    println!("| {end} | {} |", cells.join(" | "));
}
