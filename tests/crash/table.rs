//! What a run found, for people.

use std::time::Duration;

use crate::report::{Count, Fault, Report};

pub(crate) fn print(rounds: u32, opened: &[Duration], clients: usize, report: &Report) {
    let count = |count| report.count(count);
    let fault = |fault| report.faults(fault);
    let mut opened = opened.to_vec();
    opened.sort();
    let milliseconds = |at: usize| opened.get(at).map_or(0, Duration::as_millis);
    println!(
        "\n{rounds} rounds, killed each time; from start to ready: median {} ms, worst {} ms\n",
        milliseconds(opened.len() / 2),
        milliseconds(opened.len().saturating_sub(1))
    );
    println!("| checked | | broken | |");
    println!("| --- | ---: | --- | ---: |");
    let rows = [
        ("QoS 1 messages acknowledged", count(Count::AcknowledgedQos1), "lost", fault(Fault::Lost)),
        ("QoS 2 messages acknowledged", count(Count::AcknowledgedQos2), "doubled", fault(Fault::Doubled)),
        ("messages delivered", count(Count::Delivered), "swapped", fault(Fault::Swapped)),
        ("of them QoS 1 duplicates", count(Count::Duplicates), "never asked for", fault(Fault::Unasked)),
        ("retained topics", count(Count::Retained), "wrong", fault(Fault::Retained)),
        ("sessions resumed", count(Count::SessionsResumed), "lost or resurrected", fault(Fault::Session)),
        ("clients", clients as u64, "rules of MQTT broken", fault(Fault::Protocol)),
        ("presence events", count(Count::Events), "missing", fault(Fault::EventMissing)),
        ("of them node_down", count(Count::NodeDown), "doubled", fault(Fault::EventDoubled)),
        ("events repeated with DUP", count(Count::Repeated), "swapped", fault(Fault::EventSwapped)),
        ("", 0, "wrong numbers", fault(Fault::EventNumber)),
        ("", 0, "wrong state", fault(Fault::EventState)),
        ("", 0, "memory that grows", fault(Fault::Memory)),
    ];
    for (checked, number, broken, faults) in rows {
        let number = if checked.is_empty() { String::new() } else { number.to_string() };
        println!("| {checked} | {number} | {broken} | {faults} |");
    }
}
