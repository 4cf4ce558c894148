//! How many of everything there are.

use mqtt_router::Router;

use crate::client::ClientRef;
use crate::client::clients::Clients;
use crate::watch::highest::{Highest, STATS};

/// How many of everything there are, and the most that were seen by whoever asked.
pub(crate) fn all(
    clients: &Clients<ClientRef>,
    router: &Router<ClientRef>,
    retained: usize,
    highest: &Highest,
) -> Vec<(String, u64)> {
    let values = values(clients, router, retained);
    let mut all = Vec::with_capacity(2 * STATS.len());
    for ((name, value), highest) in STATS.iter().zip(values).zip(highest.note(values)) {
        all.push((format!("{name}.count"), value as u64));
        all.push((format!("{name}.max"), highest as u64));
    }
    all
}

fn values(clients: &Clients<ClientRef>, router: &Router<ClientRef>, retained: usize) -> [usize; STATS.len()] {
    let online = clients.online();
    let sessions = clients.len();
    let (filters, subscriptions) = (router.filters_len(), router.subscriptions_len());
    [online, online, sessions, filters, subscriptions, subscriptions, subscriptions, router.shared_len(), retained]
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
