//! Alarms about the certificates of ports.

use std::time::{Duration, SystemTime};

use mqtt_net::CertificatesSeen;
use serde_json::json;

use crate::watch::alarms::Wrong;

/// An alarm begins so long before the end of a certificate, and is told once more so long before it.
const EXPIRES_SOON: Duration = Duration::from_secs(21 * DAY);
const EXPIRES_NOW: Duration = Duration::from_secs(7 * DAY);

const DAY: u64 = 24 * 60 * 60;

/// What is wrong with certificates, or will soon be.
pub fn wrong_certificates(all: &[CertificatesSeen], now: SystemTime) -> Vec<Wrong> {
    let mut found = Vec::new();
    let invalid = all.iter().find_map(|seen| seen.wrong.as_ref().map(|why| (&seen.port, why)));
    if let Some((port, why)) = invalid {
        found.push(Wrong {
            name: "certificate_invalid",
            message: format!("{port}: {why}; the certificates from before stay in use"),
            details: json!({ "listener": name_of(port), "why": why }),
        });
    }
    let stale = all.iter().filter_map(|seen| Some((seen.stale_at?, &seen.port)));
    if let Some((_, port)) = stale.min().filter(|(at, _)| *at <= now) {
        found.push(Wrong {
            name: "crl_stale",
            message: format!("{port}: the list of revoked certificates is out of date"),
            details: json!({ "listener": name_of(port) }),
        });
    }
    let ends = all.iter().filter_map(|seen| Some((seen.expires_at?, &seen.port)));
    if let Some((end, port)) = ends.min() {
        let left = end.duration_since(now).unwrap_or_default();
        let days = left.as_secs() / DAY;
        let message = || format!("the certificate of {port} ends in {days} days");
        let details = json!({ "listener": name_of(port), "days": days });
        if left < EXPIRES_NOW {
            found.push(Wrong { name: "certificate_expires_now", message: message(), details: details.clone() });
        }
        if left < EXPIRES_SOON {
            found.push(Wrong { name: "certificate_expires", message: message(), details });
        }
    }
    found
}

/// As alarms name it: a listener by its own name.
fn name_of(port: &str) -> &str {
    port.strip_prefix("listeners.").unwrap_or(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn seen(port: &str) -> CertificatesSeen {
        CertificatesSeen { port: port.to_owned(), wrong: None, stale_at: None, expires_at: None }
    }

    #[track_caller]
    fn check(all: &[CertificatesSeen], names: &[&str]) -> Vec<Wrong> {
        let found = wrong_certificates(all, NOW);
        assert_eq!(found.iter().map(|wrong| wrong.name).collect::<Vec<_>>(), names);
        found
    }

    #[test]
    fn nothing_is_wrong_where_there_is_no_tls_or_all_is_good() {
        check(&[], &[]);
        check(&[seen("admin")], &[]);
        let later = Some(NOW + EXPIRES_SOON);
        check(
            &[CertificatesSeen { stale_at: Some(NOW + Duration::from_secs(1)), expires_at: later, ..seen("admin") }],
            &[],
        );
    }

    #[test]
    fn the_end_of_the_first_one_that_ends_is_told_twice() {
        let ends_in =
            |port, days| CertificatesSeen { expires_at: Some(NOW + Duration::from_secs(days * DAY)), ..seen(port) };
        let all = [ends_in("admin", 30), ends_in("listeners.a", 20), ends_in("listeners.b", 25)];
        let found = check(&all, &["certificate_expires"]);
        assert_eq!(found[0].message, "the certificate of listeners.a ends in 20 days");
        assert_eq!(found[0].details, json!({ "listener": "a", "days": 20 }));
        check(&[ends_in("admin", 6)], &["certificate_expires_now", "certificate_expires"]);
    }

    #[test]
    fn one_that_cannot_be_read_and_a_list_out_of_date_are_told() {
        let wrong = CertificatesSeen { wrong: Some("no file".to_owned()), stale_at: Some(NOW), ..seen("listeners.a") };
        let found = check(&[seen("admin"), wrong], &["certificate_invalid", "crl_stale"]);
        assert_eq!(found[0].details, json!({ "listener": "a", "why": "no file" }));
    }
}
