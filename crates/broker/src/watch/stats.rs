//! How many of everything there are.

use crate::broker::Broker;
use crate::watch::highest::STATS;

/// How many of everything there are, and the most that were seen by whoever asked.
pub(crate) fn all(broker: &Broker) -> Vec<(String, u64)> {
    let values = values(broker);
    let mut all = Vec::with_capacity(2 * STATS.len());
    for ((name, value), highest) in STATS.iter().zip(values).zip(broker.watched.highest.note(values)) {
        all.push((format!("{name}.count"), value as u64));
        all.push((format!("{name}.max"), highest as u64));
    }
    all
}

fn values(broker: &Broker) -> [usize; STATS.len()] {
    let online = broker.clients.online();
    let sessions = broker.clients.len();
    let (filters, subscriptions) = (broker.routes.router.filters_len(), broker.routes.router.subscriptions_len());
    [
        online,
        online,
        sessions,
        filters,
        subscriptions,
        subscriptions,
        subscriptions,
        broker.routes.router.shared_len(),
        broker.retained.len(),
    ]
}

/// `1 days, 2 hours, 3 minutes, 4 seconds`, without leading zero units.
pub(crate) fn uptime(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let mut text = String::new();
    for (value, total, unit) in [(days, days, "days"), (hours % 24, hours, "hours"), (minutes % 60, minutes, "minutes")]
    {
        if total > 0 {
            text.push_str(&format!("{value} {unit}, "));
        }
    }
    text.push_str(&format!("{} seconds", seconds % 60));
    text
}

#[cfg(test)]
mod tests {
    use super::uptime;

    #[test]
    fn uptime_leaves_out_leading_zero_units() {
        for (seconds, text) in [
            (5, "5 seconds"),
            (60, "1 minutes, 0 seconds"),
            (3661, "1 hours, 1 minutes, 1 seconds"),
            (86_400, "1 days, 0 hours, 0 minutes, 0 seconds"),
        ] {
            assert_eq!(uptime(seconds), text);
        }
    }
}
