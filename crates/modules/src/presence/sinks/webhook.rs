//! Events sent to a service by HTTP.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use mqtt_fetch::header::{CONTENT_TYPE, HeaderName};
use mqtt_fetch::{Answer, Fetcher, HeaderMap, HeaderValue, Question, Url};
use mqtt_hooks::{Host, Secret, Span};

use super::batch::Batch;
use super::secret;
use super::target::{Outcome, Target};

/// Bytes of an answer, which nobody reads.
const MAX_ANSWER: usize = 64 << 10;

/// As long as a service may put off the next try.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

const SIGNATURE: HeaderName = HeaderName::from_static("rollcall-signature");
const NODE: HeaderName = HeaderName::from_static("rollcall-node");
const SINK: HeaderName = HeaderName::from_static("rollcall-sink");

mqtt_hooks::settings! {
    /// A service that is sent events.
    pub struct Webhook {
        /// Name
        ///
        /// In metrics and logs; with another one it is another sink. Letters, digits, `-`, `_` and `.`.
        pub name: String = "",
        /// Address
        ///
        /// `https://example.com/events`; sent POST requests with arrays of events.
        pub url: String = "",
        /// Secret
        ///
        /// Requests are signed with it: `Rollcall-Signature: sha256=HEX`, the HMAC-SHA256 of the body.
        pub secret: Secret = "",
        /// File with the secret
        ///
        /// Instead of the secret itself; read at a start, without blanks at its ends.
        pub secret_file: String = "",
        /// Authorities
        ///
        /// A file, PEM: who signs the service's certificate. Without one, who the system trusts.
        pub ca: String = "",
        /// Events of a request
        ///
        /// At the most; one request is under way at a time.
        pub batch: u16 = 100 in 1..=1000,
        /// Time for an answer
        ///
        /// Without one by then the request is made again.
        pub timeout: Span = "10s",
        /// Longest rest
        ///
        /// Between two tries. The first rest is a second, each is twice as long as the one before, and Retry-After makes it longer.
        pub retry_max: Span = "1m",
    }
}

/// One that can be used.
pub(super) struct Hook {
    fetcher: Fetcher,
    key: Option<hmac::Key>,
    timeout: Duration,
}

impl Webhook {
    /// Reads the files that it names, too.
    pub(super) fn hook(&self) -> Result<Hook, String> {
        let url = Url::read(&self.url).map_err(|why| format!("url: {:?}: {why}", self.url))?;
        if self.timeout.0.is_zero() {
            return Err("timeout: wants more than 0s".to_owned());
        }
        if self.retry_max.0 < Duration::from_millis(100) {
            return Err("retry_max: wants 100ms or more".to_owned());
        }
        let named = |file: &str| if file.is_empty() { None } else { Some(Path::new(file).to_owned()) };
        let secret = secret::read("secret", &self.secret, &self.secret_file)?;
        let key = secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()));
        let tls = if url.is_tls() { Some(mqtt_fetch::tls(named(&self.ca).as_deref(), "ca")?) } else { None };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let name = HeaderValue::from_str(&self.name).map_err(|_| "name: wants text".to_owned())?;
        headers.insert(SINK, name);
        Ok(Hook { fetcher: Fetcher::new(url, &headers, tls, MAX_ANSWER), key, timeout: self.timeout.0 })
    }
}

impl Hook {
    pub(super) fn into_target(self, host: Arc<dyn Host>) -> impl Target {
        Sender { hook: self, host }
    }
}

struct Sender {
    hook: Hook,
    host: Arc<dyn Host>,
}

#[async_trait::async_trait]
impl Target for Sender {
    async fn tell(&self, batch: &Batch) -> Outcome {
        let body = batch.array();
        let mut headers = HeaderMap::new();
        if let Some(key) = &self.hook.key {
            headers.insert(SIGNATURE, signature(key, body.as_bytes()));
        }
        // Numbers of events are a node's own.
        if let Ok(node) = HeaderValue::from_str(self.host.node()) {
            headers.insert(NODE, node);
        }
        let question = Question { headers, ..Question::post(body) };
        match self.hook.fetcher.ask(&question, self.hook.timeout).await {
            Ok(answer) => outcome(&answer, self.host.now_ms()),
            Err(error) => Outcome::NotNow { why: error.to_string(), after: None },
        }
    }
}

/// `sha256=` and the HMAC in hexadecimal digits, as many services' webhooks have it.
fn signature(key: &hmac::Key, body: &[u8]) -> HeaderValue {
    let tag = hmac::sign(key, body);
    let text = tag.as_ref().iter().fold("sha256=".to_owned(), |text, byte| text + &format!("{byte:02x}"));
    HeaderValue::from_str(&text).expect("digits and letters are fit for a header")
}

/// What an answer means.
fn outcome(answer: &Answer, now_ms: u64) -> Outcome {
    let why = format!("it answers with status {}", answer.status);
    match answer.status {
        200..=299 => Outcome::Taken,
        // These say that another time may be better.
        408 | 425 | 429 => Outcome::NotNow { why, after: retry_after(answer, now_ms) },
        400..=499 => Outcome::Refused { why, is_for_content: matches!(answer.status, 400 | 413 | 422) },
        _ => Outcome::NotNow { why, after: retry_after(answer, now_ms) },
    }
}

/// Seconds or a date.
fn retry_after(answer: &Answer, now_ms: u64) -> Option<Duration> {
    let text = answer.retry_after.as_deref()?.trim();
    let after = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
            Duration::from_millis(u64::try_from(at.as_millisecond()).ok()?.saturating_sub(now_ms))
        }
    };
    Some(after.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, retry_after: Option<&str>) -> Answer {
        Answer { status, cache_control: None, retry_after: retry_after.map(str::to_owned), body: Vec::new().into() }
    }

    #[test]
    fn the_signature_is_that_of_rfc_4231() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"Jefe");
        assert_eq!(
            signature(&key, b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn what_is_refused_for_good_is_not_sent_again() {
        for (status, expected) in [
            (200, "Taken"),
            (204, "Taken"),
            (302, "NotNow"),
            (400, "content"),
            (401, "Refused"),
            (404, "Refused"),
            (408, "NotNow"),
            (413, "content"),
            (422, "content"),
            (425, "NotNow"),
            (429, "NotNow"),
            (500, "NotNow"),
            (503, "NotNow"),
        ] {
            let found = match outcome(&answer(status, None), 0) {
                Outcome::Taken => "Taken",
                Outcome::NotNow { .. } => "NotNow",
                Outcome::Refused { is_for_content: true, .. } => "content",
                Outcome::Refused { .. } => "Refused",
            };
            assert_eq!(found, expected, "{status}");
        }
    }

    #[test]
    fn a_service_says_when_to_come_again() {
        let now_ms = 784_111_777_000;
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (said, expected) in [
            (None, None),
            (Some("7"), seconds(7)),
            (Some(" 0 "), seconds(0)),
            (Some("Sun, 06 Nov 1994 08:49:47 GMT"), seconds(10)),
            (Some("Sun, 06 Nov 1994 08:49:27 GMT"), seconds(0)),
            (Some("99999999"), Some(LONGEST_WAIT)),
            (Some("soon"), None),
            (Some("-1"), None),
        ] {
            assert_eq!(retry_after(&answer(503, said), now_ms), expected, "{said:?}");
        }
    }
}
