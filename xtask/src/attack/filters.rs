//! What filters and topics of one client can cost the others.

use std::thread;

use anyhow::{Context, Result, bail};

use super::client::Client;
use super::floods;
use super::probe;
use super::stage::Stage;
use super::wire::{Connect, LONGEST, SUBACK, publish, retain, subscribe};

/// A code of SUBACK from here on is a refusal.
const REFUSED: u8 = 0x80;

/// One SUBSCRIBE with 1,000 filters, each of which matches all of so many retained messages.
pub(super) fn many_over_retained(stage: &mut Stage<'_>, retained: usize) -> Result<()> {
    over_retained(stage, retained, 1_000)
}

/// `#` over so many retained messages.
pub(super) fn all_retained(stage: &mut Stage<'_>, retained: usize) -> Result<()> {
    over_retained(stage, retained, 1)
}

fn over_retained(stage: &mut Stage<'_>, retained: usize, filters: usize) -> Result<()> {
    let mut filler = Client::connect(stage.addr(), &Connect::new("filler"))?;
    for first in (0..retained).step_by(1_000) {
        let packets =
            (first..retained.min(first + 1_000)).map(|n| retain(&format!("retained/{}/{n}", n % 100), b"value"));
        filler.send(&packets.flatten().collect::<Vec<_>>())?;
        filler.ping().context("the messages are not retained")?;
    }
    stage.quiet()?;
    let addr = stage.addr();
    let first = stage.under(|going| {
        let mut greedy = Client::connect(addr, &Connect::new("greedy"))?;
        greedy.send(&subscribe(vec!["#"; filters], 0))?;
        let first = loop {
            let packet = greedy.read().context("neither SUBACK nor a message comes")?;
            // The probe's own messages come as soon as it is subscribed, also before SUBACK.
            if packet.kind() == SUBACK || packet.first & 1 == 1 {
                break packet;
            }
        };
        let stream = greedy.stream().try_clone()?;
        let reader = thread::spawn(move || greedy.forget());
        going.hold(());
        // It may be closed already.
        let _ = stream.shutdown(std::net::Shutdown::Both);
        let _ = reader.join();
        Ok(first)
    })?;
    if first.kind() != SUBACK {
        stage.fault("a retained message comes before SUBACK");
    }
    Ok(())
}

/// A shared group of so many sessions whose clients are away, which matches what others publish.
pub(super) fn absent_members(stage: &mut Stage<'_>, members: usize) -> Result<()> {
    absent(stage, members, "$share/group/#")
}

/// So many sessions whose clients are away, and for each of which all is kept that others publish at QoS 1.
pub(super) fn absent_to_all(stage: &mut Stage<'_>, sessions: usize) -> Result<()> {
    absent(stage, sessions, "#")
}

fn absent(stage: &mut Stage<'_>, sessions: usize, filter: &str) -> Result<()> {
    stage.quiet()?;
    let addr = stage.addr();
    let joined = thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES)
            .map(|lane| {
                scope.spawn(move || -> Result<usize> {
                    let mut joined = 0;
                    for number in (lane..sessions).step_by(LANES) {
                        let mut absent = Client::connect(addr, &Connect::kept(&format!("absent-{number}")))?;
                        let codes = absent.subscribe([filter], 1)?;
                        joined += codes.into_iter().filter(|&code| code < REFUSED).count();
                    }
                    Ok(joined)
                })
            })
            .collect();
        let joined = lanes.into_iter().map(|lane| lane.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        joined.sum::<Result<usize>>()
    })?;
    stage.note(format!("{joined} subscribed"));
    stage.under(|_| Ok(()))
}

/// Threads that make sessions.
const LANES: usize = 8;

/// Filters of twelve levels, each with a set of wildcards of its own, none of which matches.
pub(super) fn wildcards(stage: &mut Stage<'_>, filters: usize) -> Result<()> {
    stage.quiet()?;
    let filters = never_matching(filters);
    let addr = stage.addr();
    let granted = stage.under(|going| {
        let mut client = Client::connect(addr, &Connect::new("wild"))?;
        let codes = client.subscribe(filters.iter().map(String::as_str), 0)?;
        going.hold(client);
        Ok(codes.into_iter().filter(|&code| code < REFUSED).count())
    })?;
    stage.note(format!("{granted} of {} filters granted", filters.len()));
    Ok(())
}

/// Filters with as many levels as the probe's topics, each of which fits but for one level.
fn never_matching(filters: usize) -> Vec<String> {
    let mut levels = probe::TOPIC.to_vec();
    levels.push("0");
    // The bits of a number say which levels are wildcards. If all are, the filter matches.
    let filter = |wildcards: usize| {
        let is_wildcard = |level: &usize| wildcards >> level & 1 == 1;
        let wrong = (0..levels.len()).rfind(|level| !is_wildcard(level));
        let one = |level| match Some(level) == wrong {
            true => "none",
            false if is_wildcard(&level) => "+",
            false => levels[level],
        };
        (0..levels.len()).map(one).collect::<Vec<_>>().join("/")
    };
    (0..filters).map(filter).collect()
}

/// Two filters of as many levels as fit; what another client asks for then is still granted.
pub(super) fn deep_filters(stage: &mut Stage<'_>, levels: usize) -> Result<()> {
    stage.quiet()?;
    let text = |first: &str, last: &str| [&[first], &vec!["a"; levels - 2][..], &[last]].concat().join("/");
    let (one, two) = (text("+", "a"), text("a", "+"));
    let addr = stage.addr();
    let refused = stage.under(|going| {
        let mut greedy = Client::connect(addr, &Connect::new("greedy"))?;
        // Who is sent away for it has taken nothing.
        let _ = greedy.subscribe([one.as_str(), two.as_str()], 0);
        let mut other = Client::connect(addr, &Connect::new("watcher"))?;
        let filters = ["$SYS/brokers/+/clients/#", "plant/+/state"];
        let codes = other.subscribe(filters, 1)?;
        if codes.len() != filters.len() {
            bail!("SUBACK has {} codes", codes.len());
        }
        going.hold((greedy, other));
        Ok(filters
            .into_iter()
            .zip(codes)
            .filter(|(_, code)| *code >= REFUSED)
            .map(|(filter, _)| filter)
            .collect::<Vec<_>>())
    })?;
    for filter in refused {
        stage.fault(format!("another client's {filter} is refused"));
    }
    Ok(())
}

/// Topics of 65,536 levels, published by so many without end, beside a filter that looks at each level.
pub(super) fn deep_topics(stage: &mut Stage<'_>, clients: usize) -> Result<()> {
    let mut subscriber = Client::connect(stage.addr(), &Connect::new("deep"))?;
    subscriber.subscribe(["+/+/none/#", "/+/+/none"], 0)?;
    floods::flood(stage, clients, |_| publish(&"/".repeat(LONGEST), b"").repeat(16))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_filter_of_twelve_levels_is_another_and_fails_at_one_level() {
        let filters = never_matching(4_095);
        assert_eq!(filters.iter().collect::<HashSet<_>>().len(), 4_095);
        for filter in filters {
            let topic = probe::TOPIC.into_iter().chain(["0"]);
            let wrong = filter.split('/').zip(topic).filter(|(level, name)| level != name && *level != "+");
            assert_eq!(wrong.count(), 1, "{filter}");
            assert_eq!(filter.split('/').count(), 12, "{filter}");
        }
    }
}
