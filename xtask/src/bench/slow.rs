//! The case `slow`: what a subscriber that reads nothing costs the others, and what becomes of it.

use serde::{Deserialize, Serialize};

use super::{Case, Outcome, median, number};

/// As the load driver prints it.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) struct Slow {
    alone: Delay,
    reading: Delay,
    qos0: Stuck,
    qos1: Stuck,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Delay {
    median: f64,
    p99: f64,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Stuck {
    delay: Delay,
    memory_before: u64,
    memory_most: u64,
    published: usize,
    lost: usize,
    closed: bool,
}

/// A table for people, which is also Markdown.
pub(super) fn print(cases: &[Case], beside: &str) {
    let brokers = || {
        let all = cases.iter().flat_map(|case| [("rollcall", &case.rollcall), (beside, &case.other)]);
        all.filter(|(_, outcomes)| outcomes.iter().any(|outcome| outcome.slow.is_some()))
    };
    if brokers().next().is_none() {
        return;
    }
    println!("\nHealthy pairs beside a subscriber that is sent 200 MB in 4 seconds, delays in µs, memory in MiB:\n");
    println!(
        "| broker | the other subscriber | median | 99th of 100 | × alone | memory before | most | lost | closed |"
    );
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |");
    for (broker, outcomes) in brokers() {
        let row = |what: &str, delay: fn(&Slow) -> Delay, stuck: Option<fn(&Slow) -> Stuck>| {
            let ratio = middle(outcomes, |slow| delay(slow).p99 / slow.alone.p99);
            let [median, p99] = [middle(outcomes, |slow| delay(slow).median), middle(outcomes, |slow| delay(slow).p99)];
            print!("| {broker} | {what} | {} | {} | {} |", number(median), number(p99), number(ratio));
            let Some(stuck) = stuck else {
                println!(" | | | |");
                return;
            };
            let mib = |bytes: u64| bytes as f64 / 1048576.0;
            let [before, most] = [
                middle(outcomes, |slow| mib(stuck(slow).memory_before)),
                middle(outcomes, |slow| mib(stuck(slow).memory_most)),
            ];
            let lost = middle(outcomes, |slow| 100.0 * stuck(slow).lost as f64 / stuck(slow).published as f64);
            let closed = outcomes.iter().filter_map(|outcome| outcome.slow).filter(|slow| stuck(slow).closed).count();
            let lost = lost.map_or("0".to_owned(), |share| format!("{share:.0}"));
            println!(" {} | {} | {lost} % | {closed} of {} |", number(before), number(most), outcomes.len());
        };
        row("none", |slow| slow.alone, None);
        row("reads", |slow| slow.reading, None);
        row("reads nothing, QoS 0", |slow| slow.qos0.delay, Some(|slow| slow.qos0));
        row("reads nothing, QoS 1", |slow| slow.qos1.delay, Some(|slow| slow.qos1));
    }
}

fn middle(outcomes: &[Outcome], of: impl Fn(&Slow) -> f64) -> Option<f64> {
    median(outcomes, |outcome| outcome.slow.as_ref().map(&of))
}
