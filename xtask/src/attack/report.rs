//! What the attacks gave.

use serde::Serialize;

use super::probe::{Delay, Totals, Window};
use crate::bench::machine;

/// A delay under attack may be less than so many times the quiet one.
const GOAL: f64 = 2.0;

/// The broker's resident memory, in bytes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Memory {
    pub(super) before: u64,
    pub(super) peak: u64,
    pub(super) after: u64,
}

/// What an attack may take from others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    Nothing,
    /// New connections may be refused.
    Newcomers,
    /// Messages too.
    All,
}

/// One attack on one broker.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Row {
    pub(super) attack: String,
    pub(super) broker: String,
    pub(super) quiet: Window,
    pub(super) attacked: Window,
    pub(super) totals: Totals,
    pub(super) memory: Memory,
    /// Bytes of log written during the attack.
    pub(super) log: u64,
    pub(super) faults: Vec<String>,
    pub(super) notes: Vec<String>,
    /// Why it was not run.
    pub(super) skipped: Option<String>,
}

impl Row {
    /// Adds the faults that every attack can show.
    pub(super) fn judge(&mut self, leave: Leave, is_quick: bool) {
        let Totals { sent, lost, .. } = self.totals;
        let mut losses = self.totals.faults.clone();
        if lost > 0 {
            losses.push(format!("{lost} of the probe's {sent} messages never came"));
        }
        if leave == Leave::All { &mut self.notes } else { &mut self.faults }.append(&mut losses);
        let Window { refused, newcomers, why_refused, .. } = &self.attacked;
        if *refused > 0 && leave == Leave::Nothing {
            let why = why_refused.as_deref().unwrap_or_default();
            self.faults.push(format!("{refused} of {} newcomers not let in: {why}", newcomers.count));
        }
        if is_quick || leave == Leave::All {
            return;
        }
        let pairs = [
            ("messages", self.attacked.messages, self.quiet.messages),
            ("newcomers", self.attacked.newcomers, self.quiet.newcomers),
        ];
        for (what, attacked, quiet) in pairs {
            if attacked.p99 >= GOAL * quiet.p99 {
                self.faults.push(format!("{what} p99 × {:.1}", attacked.p99 / quiet.p99));
            }
        }
    }

    pub(super) fn verdict(&self) -> String {
        if let Some(why) = &self.skipped {
            return format!("skipped: {why}");
        }
        // A row is a line.
        let joined =
            |texts: &[String]| texts.iter().filter_map(|text| text.lines().next()).collect::<Vec<_>>().join("; ");
        let verdict = if self.faults.is_empty() { "holds".to_owned() } else { joined(&self.faults) };
        if self.notes.is_empty() { verdict } else { format!("{verdict} ({})", joined(&self.notes)) }
    }
}

/// A table for people, which is also Markdown.
pub(super) fn print(rows: &[Row]) {
    println!("\nOn {}, the attackers on the same cores.\n", machine());
    println!(
        "| attack | broker | quiet, p50 / p99 | attacked, p50 / p99 / max | × p99 | newcomers quiet, p50 / p99 | attacked, p50 / p99 / max | × p99 | memory before / peak / after | log | verdict |"
    );
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |");
    for row in rows {
        let Row { quiet, attacked, memory, .. } = row;
        print!("| `{}` | {} |", row.attack, row.broker);
        for (quiet, attacked) in [(quiet.messages, attacked.messages), (quiet.newcomers, attacked.newcomers)] {
            let ratio = if quiet.p99 > 0.0 { format!("{:.1}", attacked.p99 / quiet.p99) } else { String::new() };
            print!(" {} | {} / {} | {ratio} |", middle(quiet), middle(attacked), milliseconds(attacked.max));
        }
        let memory = [memory.before, memory.peak, memory.after].map(|bytes| format!("{:.0}", mib(bytes)));
        println!(" {} | {} | {} |", memory.join(" / "), kib(row.log), row.verdict());
    }
    println!(
        "\nDelays in ms: messages at QoS 1 from PUBLISH to PUBLISH, newcomers from connect to CONNACK; what never came"
    );
    println!(
        "counts with the time it has waited. Memory is resident, in MiB; log, in KiB, is what was written meanwhile."
    );
}

fn middle(delay: Delay) -> String {
    format!("{} / {}", milliseconds(delay.p50), milliseconds(delay.p99))
}

fn milliseconds(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

fn kib(bytes: u64) -> String {
    format!("{:.0}", bytes as f64 / 1024.0)
}

pub(super) fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1048576.0
}
