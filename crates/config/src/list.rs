//! Lists: in brackets, or as a text with commas, as `--set` and variables have it.

use std::{fmt, marker::PhantomData, net::IpAddr};

use ipnet::IpNet;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, SeqAccess, Unexpected, Visitor},
};

use crate::FlappingBy;

/// What stands in a list.
pub(crate) trait Item: Clone + fmt::Debug + PartialEq + fmt::Display {
    /// What one is to be.
    const WANTED: &'static str;

    /// What the whole list is to be.
    const LIST: &'static str;

    fn read(text: &str) -> Option<Self>;
}

/// A list of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct List<T>(pub(crate) Vec<T>);

/// A name of a host, with a port or without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host(pub(crate) String);

/// Where a nats-server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nats(pub(crate) String);

/// The path of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File(pub(crate) String);

/// Addresses that begin alike, or one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Range(pub(crate) IpNet);

/// Where a page comes from, as browsers say it, or all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin(pub(crate) String);

impl Item for Host {
    const WANTED: &'static str = "a name like \"mqtt.example.org\", or with a port";
    const LIST: &'static str = "a list of names like [\"mqtt.example.org\"]";

    fn read(text: &str) -> Option<Self> {
        let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_host = !host.is_empty() && host.bytes().all(is_fit);
        (is_host && port.is_none_or(|port| port.parse::<u16>().is_ok())).then(|| Self(text.to_owned()))
    }
}

impl Item for Nats {
    const WANTED: &'static str = "an address like \"nats://10.0.0.1:4222\", without user and password";
    const LIST: &'static str = "a list of addresses like [\"nats://10.0.0.1:4222\"]";

    fn read(text: &str) -> Option<Self> {
        let host = ["nats://", "tls://"].into_iter().find_map(|scheme| text.strip_prefix(scheme))?;
        // What is kept secret has keys of its own, which are not shown.
        (!host.is_empty() && !host.contains(['@', '/', ' '])).then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Item for File {
    const WANTED: &'static str = "a path";
    const LIST: &'static str = "a path like \"cert.pem\", or a list of them";

    fn read(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }
}

impl Item for Range {
    const WANTED: &'static str = "an address, or a range like \"10.0.0.0/8\"";
    const LIST: &'static str = "a list of addresses and ranges like [\"10.0.0.0/8\"]";

    fn read(text: &str) -> Option<Self> {
        let one = || text.parse::<IpAddr>().map(IpNet::from);
        text.parse().or_else(|_| one()).map(Self).ok()
    }
}

impl Item for Origin {
    const WANTED: &'static str = "an origin like \"https://app.example.com\", or \"*\"";
    const LIST: &'static str = "a list of origins like [\"https://app.example.com\"], or \"*\"";

    fn read(text: &str) -> Option<Self> {
        let is_origin = |(scheme, host): (&str, &str)| !scheme.is_empty() && !host.is_empty() && !host.contains('/');
        (text == "*" || text.split_once("://").is_some_and(is_origin)).then(|| Self(text.to_owned()))
    }
}

impl Item for FlappingBy {
    const WANTED: &'static str = "\"clientid\", \"username\" or \"address\"";
    const LIST: &'static str = "a list of \"clientid\", \"username\" and \"address\"";

    fn read(text: &str) -> Option<Self> {
        [Self::ClientId, Self::Username, Self::Address].into_iter().find(|by| by.to_string() == text)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

struct ListVisitor<T>(PhantomData<T>);

fn item<T: Item, E: Error>(text: &str) -> Result<T, E> {
    T::read(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &T::WANTED))
}

impl<'de, T: Item> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::LIST)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<List<T>, E> {
        let items = value.split(',').map(str::trim).filter(|_| !value.trim().is_empty());
        items.map(item).collect::<Result<_, _>>().map(List)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<List<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(text) = items.next_element::<String>()? {
            list.push(item(&text)?);
        }
        Ok(List(list))
    }
}

impl<'de, T: Item> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor(PhantomData))
    }
}

impl<T: Item> Serialize for List<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(ToString::to_string))
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::{reads, reads_error, with_watch};

    #[test]
    fn names_are_a_list_or_stand_with_commas() {
        assert!(reads("").admin.hosts.is_empty());
        let expected = ["mqtt.example.org", "a-b_c.example:8443"];
        assert_eq!(reads("[admin]\nhosts = [\"mqtt.example.org\", \"a-b_c.example:8443\"]").admin.hosts, expected);
        for text in ["mqtt.example.org, a-b_c.example:8443", "[\"mqtt.example.org\", \"a-b_c.example:8443\"]"] {
            let mut layers = with_watch();
            layers.add_assignment(&format!("admin.hosts={text}")).unwrap();
            assert_eq!(layers.resolve().unwrap().admin.hosts, expected, "{text}");
            assert!(layers.print().unwrap().contains("hosts = [\"mqtt.example.org\", \"a-b_c.example:8443\"]"));
        }
        for wrong in ["7", "[7]", "\"http://x\"", "[\"a b\"]", "[\"\"]", "[\"a:x\"]", "\"a,,b\""] {
            let error = reads_error(&format!("[admin]\nhosts = {wrong}"));
            assert!(error.starts_with("r.toml:2: admin.hosts: "), "{wrong}: {error}");
        }
    }
}
