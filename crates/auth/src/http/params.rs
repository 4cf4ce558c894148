//! What the service is told about a client.

use mqtt_fetch::Question;
use mqtt_hooks::ConnectionInfo;
use serde_json::{Map, Value};

/// Bytes of a question: so many may be held for each that waits. A token of the longest kind has room.
const MAX_QUESTION: usize = 24 << 10;

/// Names and texts with placeholders, as EMQ X has them: `clientid=%c,username=%u,password=%P`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Params {
    pairs: Vec<(String, String)>,
    form: Form,
}

/// How they are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// After the address.
    Query,
    /// As a browser sends a form.
    Fields,
    Json,
}

/// Who is asked about.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) client: &'a ConnectionInfo,
    pub(super) password: Option<&'a [u8]>,
}

impl Params {
    pub(super) fn read(text: &str, form: Form) -> Result<Self, String> {
        let pair = |text: &str| {
            let (name, value) = text.trim().split_once('=').filter(|(name, _)| !name.is_empty())?;
            Some((name.to_owned(), value.to_owned()))
        };
        let pairs = text.split(',').map(|text| pair(text).ok_or("wants \"name=%c,name=%u,..\"".to_owned()));
        let pairs = pairs.collect::<Result<Vec<_>, _>>()?;
        for (_, value) in &pairs {
            let mut rest = value.as_str();
            while let Some((_, after)) = rest.split_once('%') {
                let sign = after.chars().next().filter(|sign| "cuPaprl".contains(*sign));
                sign.ok_or_else(|| format!("{value:?}: wants %c, %u, %P, %a, %p, %r or %l after a per cent sign"))?;
                rest = &after[1..];
            }
        }
        Ok(Self { pairs, form })
    }

    /// `None`: what the client says has no place in such a question.
    pub(super) fn question(&self, asked: Asked<'_>) -> Option<Question> {
        let question = self.ask(asked)?;
        let len = question.query.as_ref().map_or(0, String::len) + question.body.len();
        (len <= MAX_QUESTION).then_some(question)
    }

    fn ask(&self, asked: Asked<'_>) -> Option<Question> {
        let values = self.pairs.iter().map(|(name, value)| (name, filled(value, asked)));
        match self.form {
            Form::Json => {
                let text = |(name, value): (&String, Vec<u8>)| {
                    Some((name.clone(), Value::String(String::from_utf8(value).ok()?)))
                };
                let body = values.map(text).collect::<Option<Map<_, _>>>()?;
                Some(Question::post(Value::Object(body).to_string()))
            }
            form => {
                let mut encoded = String::new();
                for (name, value) in values {
                    if !encoded.is_empty() {
                        encoded.push('&');
                    }
                    encode(name.as_bytes(), &mut encoded);
                    encoded.push('=');
                    encode(&value, &mut encoded);
                }
                Some(if form == Form::Query {
                    Question { query: Some(encoded), ..Question::default() }
                } else {
                    Question::post(encoded)
                })
            }
        }
    }
}

/// In one go: what is put in is not looked through again.
fn filled(text: &str, Asked { client, password }: Asked<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.extend(before.as_bytes());
        match after.as_bytes().first() {
            Some(b'c') => out.extend(client.client_id.as_bytes()),
            Some(b'u') => out.extend(client.username.as_deref().unwrap_or_default().as_bytes()),
            Some(b'P') => out.extend(password.unwrap_or_default()),
            Some(b'a') => out.extend(client.peer.ip().to_canonical().to_string().into_bytes()),
            Some(b'p') => out.extend(client.listener.port.to_string().into_bytes()),
            Some(b'r') => out.extend(b"mqtt"),
            Some(b'l') => out.extend(client.listener.name.as_bytes()),
            _ => {}
        }
        rest = after.get(1..).unwrap_or_default();
    }
    out.extend(rest.as_bytes());
    out
}

fn encode(bytes: &[u8], out: &mut String) {
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte.into());
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            out.push('%');
            out.push(HEX[usize::from(byte >> 4)].into());
            out.push(HEX[usize::from(byte & 15)].into());
        }
    }
}

#[cfg(test)]
mod tests {
    use mqtt_fetch::Method;
    use mqtt_hooks::testing::foo;

    use super::*;

    #[test]
    fn what_a_client_says_is_no_more_than_a_value() {
        let client = ConnectionInfo { client_id: "a&b=%u".into(), username: None, ..foo() };
        let asked = Asked { client: &client, password: Some(b"p \xff") };
        let question = |form| Params::read("id=%c, user=%u,x=-%P-", form).unwrap().question(asked);
        let expected = "id=a%26b%3D%25u&user=&x=-p%20%FF-";
        let form = question(Form::Fields).unwrap();
        assert_eq!((form.method, form.query, &form.body[..]), (Method::POST, None, expected.as_bytes()));
        let query = question(Form::Query).unwrap();
        assert_eq!((query.method, query.query.as_deref(), query.body.len()), (Method::GET, Some(expected), 0));
        assert!(question(Form::Json).is_none(), "no text");
        let asked = Asked { password: Some(b"\""), ..asked };
        let json = Params::read("id=%c,p=%P", Form::Json).unwrap().question(asked).unwrap();
        assert_eq!(&json.body[..], br#"{"id":"a&b=%u","p":"\""}"#);
        for form in [Form::Query, Form::Fields, Form::Json] {
            let long = vec![b'x'; MAX_QUESTION];
            let asked = Asked { password: Some(&long), ..asked };
            assert!(Params::read("p=%P", form).unwrap().question(asked).is_none(), "{form:?}");
        }
        for wrong in ["", "a", "=x", "a=%x", "a=%", "a=b,,c=d"] {
            assert!(Params::read(wrong, Form::Fields).is_err(), "{wrong}");
        }
    }
}
