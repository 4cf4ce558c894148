//! What is asked.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Refusal;
use crate::read_strictly;

/// A request to a [`Route`](super::Route).
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The parts of the path that vary, without percent-encoding.
    pub path: Vec<Pair>,
    /// What follows the `?`, without percent-encoding.
    pub query: Vec<Pair>,
    /// `None`: it had none.
    pub body: Option<Value>,
    /// The id of the last event that who asks for a feed has heard, if they have heard it before.
    pub last_event_id: Option<String>,
}

/// A name and what is said for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// `prefix`
    pub name: String,
    /// Any text.
    pub value: String,
}

impl Request {
    /// One that asks `?name=value` for each of them; for tests.
    pub fn asking(query: &[(&str, &str)]) -> Self {
        let pair = |&(name, value): &(&str, &str)| Pair { name: name.to_owned(), value: value.to_owned() };
        Self { query: query.iter().map(pair).collect(), ..Self::default() }
    }

    /// A part of the path; the route has its name in braces.
    pub fn part(&self, name: &str) -> &str {
        self.path.iter().find(|pair| pair.name == name).map_or("", |pair| &pair.value)
    }

    /// What is said for a parameter; refused if it is said twice.
    pub fn text(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let mut said = self.query.iter().filter(|pair| pair.name == name);
        let first = said.next().map(|pair| &*pair.value);
        match said.next() {
            Some(_) => Err(Refusal::BadRequest(format!("{name}: it is there twice"))),
            None => Ok(first),
        }
    }

    /// A parameter that is a whole number.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let parsed = self.text(name)?.map(str::parse).transpose();
        parsed.map_err(|error| Refusal::BadRequest(format!("{name}: {error}")))
    }

    /// A parameter that is one of some texts.
    pub fn choice(&self, name: &str, choices: &[&str]) -> Result<Option<&str>, Refusal> {
        match self.text(name)? {
            Some(other) if !choices.contains(&other) => {
                Err(Refusal::BadRequest(format!("{name}: {other:?} is none of {}", choices.join(", "))))
            }
            said => Ok(said),
        }
    }

    /// The body.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        let body = self.body.as_ref().unwrap_or(&Value::Null);
        read_strictly(body).map_err(|error| Refusal::BadRequest(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_what_they_should_be() {
        let request = Request::asking(&[("a", "1"), ("b", "x"), ("c", ""), ("d", "1"), ("d", "1")]);
        assert_eq!((request.text("a").unwrap(), request.number("a").unwrap()), (Some("1"), Some(1)));
        assert_eq!((request.text("other").unwrap(), request.number("other").unwrap()), (None, None));
        assert_eq!(request.choice("b", &["x", "y"]).unwrap(), Some("x"));
        for why in [
            request.number("b").unwrap_err(),
            request.number("c").unwrap_err(),
            request.text("d").unwrap_err(),
            request.choice("a", &["x", "y"]).unwrap_err(),
        ] {
            assert!(matches!(why, Refusal::BadRequest(_)), "{why}");
        }
    }
}
