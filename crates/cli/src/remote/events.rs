//! Server-sent events, as they come.

use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::failure::Failure;

/// A line that is longer is no event of ours.
const MAX_LINE: usize = 16 << 20;

/// A stream of events.
#[derive(Debug)]
pub(crate) struct Events {
    body: Incoming,
    lines: Lines,
    /// Where it comes from, for errors.
    found: String,
}

/// An event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// `message` if it has no name.
    pub(crate) name: String,
    pub(crate) data: String,
}

impl Events {
    pub(crate) fn new(body: Incoming, found: String) -> Self {
        Self { body, lines: Lines::default(), found }
    }

    /// The next event; the end of the stream is an error, for it has none while the broker runs.
    pub(crate) async fn next(&mut self) -> Result<Event, Failure> {
        loop {
            if let Some(event) = self.lines.next() {
                return Ok(event);
            }
            let frame = self.body.frame().await;
            let Some(data) = frame.and_then(Result::ok) else {
                return Err(Failure::Unreachable(format!("{}: the broker has ended the stream", self.found)));
            };
            if let Some(data) = data.data_ref() {
                self.lines.push(data);
            }
            if self.lines.rest.len() > MAX_LINE {
                return Err(Failure::Unreachable(format!("{}: sends what is no event", self.found)));
            }
        }
    }
}

/// What has come, cut into events.
#[derive(Debug, Default)]
struct Lines {
    rest: Vec<u8>,
    event: Event,
}

impl Lines {
    fn push(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
    }

    fn next(&mut self) -> Option<Event> {
        while let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                // A line that begins with a colon keeps the connection alive.
                "" if !line.is_empty() => {}
                "" if self.event.data.is_empty() => self.event = Event::default(),
                "" => {
                    let mut event = std::mem::take(&mut self.event);
                    event.data.pop();
                    if event.name.is_empty() {
                        event.name.push_str("message");
                    }
                    return Some(event);
                }
                "event" => value.clone_into(&mut self.event.name),
                "data" => self.event.data.extend([value, "\n"]),
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_however_they_are_cut() {
        let text = ": hello\r\nevent: packet\ndata: {\"a\":\"\u{e9}\"}\n\nid: 7\ndata:one\ndata: two\n\n\n:\n\nevent: none\n\ndata: x\n";
        let event = |name: &str, data: &str| Event { name: name.to_owned(), data: data.to_owned() };
        let expected = [event("packet", "{\"a\":\"\u{e9}\"}"), event("message", "one\ntwo")];
        for size in 1..text.len() {
            let mut lines = Lines::default();
            let mut events = Vec::new();
            for chunk in text.as_bytes().chunks(size) {
                lines.push(chunk);
                events.extend(std::iter::from_fn(|| lines.next()));
            }
            assert_eq!(events, expected, "in pieces of {size}");
        }
    }
}
