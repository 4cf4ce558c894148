//! The case `scale`: the broker with 1,000 to 1,000,000 sessions, each number in a process of its own.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{median, number};
use crate::shell::{command, output, target};

const SIZES: [usize; 3] = [1000, 100_000, 1_000_000];

/// As `scale` prints it.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Outcome {
    session_bytes: f64,
    connection_bytes: f64,
    pipe_bytes: f64,
    create_us: f64,
    connect_us: f64,
    presence_us: f64,
    publish_us: f64,
}

/// So many sessions, and what the runs gave.
#[derive(Serialize)]
pub(super) struct Size {
    sessions: usize,
    outcomes: Vec<Outcome>,
}

pub(super) fn run(runs: usize) -> Result<Vec<Size>> {
    let mut sizes = SIZES.map(|sessions| Size { sessions, outcomes: Vec::new() });
    for number in 1..=runs {
        for size in &mut sizes {
            println!("run {number} of {runs}: scale, {} sessions", size.sessions);
            let mut scale = command(target().join("release/scale"));
            // Huge pages would make the memory of 1,000 sessions a matter of luck.
            scale.args(["--sessions", &size.sessions.to_string()]).env("MIMALLOC_ALLOW_THP", "0");
            let printed = output(&mut scale)?;
            size.outcomes.push(serde_json::from_str(&printed).with_context(|| format!("scale printed {printed:?}"))?);
        }
    }
    Ok(sizes.into())
}

/// A table for people, which is also Markdown.
pub(super) fn print(sizes: &[Size]) {
    if sizes.is_empty() {
        return;
    }
    println!("\nRollcall with so many sessions, bytes of memory and µs of CPU for each:\n");
    println!(
        "| sessions | bytes/session | bytes/connection | bytes/pipe | create | connect | the same, watched | publish |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for Size { sessions, outcomes } in sizes {
        let columns: [fn(&Outcome) -> f64; 7] = [
            |outcome| outcome.session_bytes,
            |outcome| outcome.connection_bytes,
            |outcome| outcome.pipe_bytes,
            |outcome| outcome.create_us,
            |outcome| outcome.connect_us,
            |outcome| outcome.presence_us,
            |outcome| outcome.publish_us,
        ];
        let cells = columns.map(|column| number(median(outcomes, |outcome| Some(column(outcome)))));
        println!("| {sessions} | {} |", cells.join(" | "));
    }
}
