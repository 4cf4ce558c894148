//! Subjects of NATS, by which events can be chosen.

use aws_lc_rs::digest;

use super::batch::Tells;

/// Bytes of what is set.
const TEMPLATE: usize = 256;

/// Bytes of a token. A server closes the connection at what is, all in all, over 4096.
const TOKEN: usize = 255;

/// What stands for the client where events are missing, which may be anybody's: no client's id is written so.
const NOBODY: &str = "~gap";

/// What subjects are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Node,
    ClientId,
    Event,
}

impl Template {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| Err(format!("subject: {text:?}: {why}"));
        if text.len() > TEMPLATE {
            return wrong("is longer than 256 bytes");
        }
        let mut parts = Vec::new();
        for (at, piece) in text.split("${").enumerate() {
            // What is not closed names nothing.
            let (name, rest) = if at == 0 { ("", piece) } else { piece.split_once('}').unwrap_or_default() };
            parts.push(match name {
                "" if at == 0 => Part::Text(String::new()),
                "node" => Part::Node,
                "clientid" => Part::ClientId,
                "event" => Part::Event,
                _ => return wrong("wants ${node}, ${clientid} and ${event}, and no others"),
            });
            parts.push(Part::Text(rest.to_owned()));
        }
        let is_fit = |byte: u8| byte.is_ascii_graphic() && !b"*>$".contains(&byte);
        if parts.iter().any(|part| matches!(part, Part::Text(text) if !text.bytes().all(is_fit))) {
            return wrong("wants visible ASCII without '*', '>' and '$'");
        }
        let template = Self(parts);
        let shape = template.fill("x", "x", "x");
        if shape.split('.').any(str::is_empty) {
            return wrong("wants something on both sides of each dot");
        }
        if shape.starts_with("_INBOX.") {
            return wrong("is where answers go");
        }
        Ok(template)
    }

    /// Where this is told.
    pub(super) fn subject(&self, node: &str, tells: &Tells) -> String {
        match tells {
            Tells::Event(entry) => {
                let event = if entry.is_connected() { "connected" } else { "disconnected" };
                self.fill(&token(node), &token(entry.client_id()), event)
            }
            Tells::Gap(_) => self.fill(&token(node), NOBODY, "gap"),
        }
    }

    fn fill(&self, node: &str, client_id: &str, event: &str) -> String {
        let mut subject = String::new();
        for part in &self.0 {
            subject += match part {
                Part::Text(text) => text,
                Part::Node => node,
                Part::ClientId => client_id,
                Part::Event => event,
            };
        }
        subject
    }
}

/// A name as one token: letters, digits, `-`, `_`, `:` and `@` stay, of all else each byte is `%` and two digits. What is too long then is `~` and
/// its SHA-256. No two names have one token, but for two with the same SHA-256.
pub(super) fn token(name: &str) -> String {
    let mut token = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_:@".contains(&byte) {
            token.push(char::from(byte));
        } else {
            token += &format!("%{byte:02X}");
        }
        if token.len() > TOKEN {
            let digest = digest::digest(&digest::SHA256, name.as_bytes());
            return digest.as_ref().iter().fold("~".to_owned(), |token, byte| token + &format!("{byte:02x}"));
        }
    }
    // A token has something in it, and only the empty name has nothing.
    if token.is_empty() { "~".to_owned() } else { token }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::presence::sinks::cursor::Span;

    /// As a consumer does it, of those that are no digest.
    fn name(token: &str) -> String {
        let mut pieces = token.split('%');
        let mut name = pieces.next().unwrap().as_bytes().to_vec();
        for piece in pieces {
            let (digits, rest) = piece.split_at(2);
            name.push(u8::from_str_radix(digits, 16).unwrap());
            name.extend(rest.as_bytes());
        }
        String::from_utf8(name).unwrap()
    }

    #[test]
    fn a_token_is_a_name_with_what_nats_reads_written_otherwise() {
        for (name, expected) in [
            ("meter-1_A:b", "meter-1_A:b"),
            ("rollcall@127.0.0.1", "rollcall@127%2E0%2E0%2E1"),
            ("*", "%2A"),
            ("a>b c", "a%3Eb%20c"),
            ("100%", "100%25"),
            ("%2E", "%252E"),
            ("~gap", "%7Egap"),
            ("é\r\n\0", "%C3%A9%0D%0A%00"),
            ("", "~"),
        ] {
            assert_eq!(token(name), expected);
        }
        let long = "a".repeat(TOKEN);
        assert_eq!(token(&long), long);
        let digest = token(&(long + "a"));
        assert!(digest.starts_with("~") && digest.len() == 65, "{digest}");
    }

    proptest! {
        #[test]
        fn a_token_is_of_one_name_and_fit_for_a_subject(a in "\\PC{0,300}|[.*>%~ \r\na]{0,9}", b in "\\PC{0,300}|[.*>%~ \r\na]{0,9}") {
            let (first, second) = (token(&a), token(&b));
            prop_assert_eq!(a == b, first == second);
            prop_assert!(!first.is_empty() && first.len() <= TOKEN);
            prop_assert!(first.bytes().all(|byte| byte.is_ascii_graphic() && !b".*>$".contains(&byte)), "{}", first);
            if !first.starts_with('~') {
                prop_assert_eq!(name(&first), a);
            }
        }
    }

    #[test]
    fn a_subject_is_a_template_that_is_filled() {
        let gap = Tells::Gap(Span { from: 1, to: 2 });
        for (text, expected) in [
            ("rollcall.presence.${node}.${clientid}", "rollcall.presence.n%2E1.~gap"),
            ("${event}", "gap"),
            ("a-${clientid}-b.${event}.c", "a-~gap-b.gap.c"),
            ("all", "all"),
        ] {
            assert_eq!(Template::read(text).unwrap().subject("n.1", &gap), expected);
        }
    }

    #[test]
    fn what_is_no_subject_is_named() {
        for (text, why) in [
            ("", "something on both sides"),
            ("a..b", "something on both sides"),
            (".${node}", "something on both sides"),
            ("a.", "something on both sides"),
            ("a b", "visible ASCII"),
            ("a.*", "visible ASCII"),
            ("a.>", "visible ASCII"),
            ("é", "visible ASCII"),
            ("$JS.API", "visible ASCII"),
            ("a.${user}", "and no others"),
            ("a.${node", "and no others"),
            ("a.${}", "and no others"),
            ("_INBOX.${clientid}", "where answers go"),
            (&*"a".repeat(TEMPLATE + 1), "longer than"),
        ] {
            let said = Template::read(text).unwrap_err();
            assert!(said.contains(why) && said.starts_with("subject: "), "{said}");
        }
    }
}
