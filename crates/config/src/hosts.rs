//! Names of hosts.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, SeqAccess, Unexpected, Visitor},
};

/// Names, each with a port or without: a list, or a text with commas, as `--set` and variables have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hosts(pub(crate) Vec<String>);

impl Hosts {
    fn add<E: Error>(&mut self, name: &str) -> Result<(), E> {
        let (host, port) = name.split_once(':').map_or((name, None), |(host, port)| (host, Some(port)));
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_fit) || port.is_some_and(|port| port.parse::<u16>().is_err()) {
            return Err(E::invalid_value(Unexpected::Str(name), &"a name like \"mqtt.example.org\", or with a port"));
        }
        self.0.push(name.to_owned());
        Ok(())
    }
}

impl<'de> Visitor<'de> for Hosts {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of names like [\"mqtt.example.org\"]")
    }

    fn visit_str<E: Error>(mut self, value: &str) -> Result<Self, E> {
        let names = value.split(',').map(str::trim).filter(|_| !value.trim().is_empty());
        names.into_iter().try_for_each(|name| self.add(name))?;
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut names: A) -> Result<Self, A::Error> {
        while let Some(name) = names.next_element::<String>()? {
            self.add(&name)?;
        }
        Ok(self)
    }
}

impl<'de> Deserialize<'de> for Hosts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self::default())
    }
}

impl Serialize for Hosts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
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
