//! JSON by its own forms: where fields have names an object is wanted, and an array of values without names is none.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Error as _, IntoDeserializer, Unexpected, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};
use serde_json::{Error, Value};

/// What `value` says. Serde also takes an array for a struct, its fields in the order in which they are written in the source: whoever
/// has sent that did not mean them.
///
/// # Errors
/// Those of serde.
pub fn read_strictly<T: DeserializeOwned>(value: &Value) -> Result<T, Error> {
    T::deserialize(Strict(value))
}

struct Strict<'de>(&'de Value);

impl<'de> Deserializer<'de> for Strict<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(items) => {
                let mut items = SeqDeserializer::new(items.iter().map(Strict));
                let read = visitor.visit_seq(&mut items)?;
                items.end().map(|()| read)
            }
            Value::Object(fields) => {
                let mut fields = MapDeserializer::new(fields.iter().map(|(key, value)| (&**key, Strict(value))));
                let read = visitor.visit_map(&mut fields)?;
                fields.end().map(|()| read)
            }
            plain => plain.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if self.0.is_array() {
            return Err(Error::invalid_type(Unexpected::Seq, &visitor));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Error> for Strict<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Outer {
        number: u8,
        ratio: f64,
        text: Option<String>,
        inner: Vec<Inner>,
        pair: (u8, bool),
        names: BTreeMap<String, Kind>,
        any: Value,
    }

    impl Default for Outer {
        fn default() -> Self {
            let (text, inner, names) = (None, Vec::new(), BTreeMap::new());
            Self { number: 7, ratio: 0.5, text, inner, pair: (1, true), names, any: Value::Null }
        }
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Inner {
        name: String,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Plain,
        With(u8),
    }

    #[test]
    fn all_but_arrays_for_structs_is_read_as_serde_reads_it() {
        for value in [
            json!({}),
            json!({"number": 255, "ratio": 2, "text": "x", "inner": [{"name": "a"}, {"name": "b"}], "pair": [3, false],
                "names": {"a": "plain", "b": {"with": 3}}, "any": {"deep": [1, [2, {"x": null}]]}}),
            json!({"text": null, "inner": []}),
            json!({"number": 256}),
            json!({"number": "7"}),
            json!({"pair": [1]}),
            json!({"other": 1}),
            json!({"names": {"a": "strange"}}),
            json!("text"),
            json!(null),
        ] {
            let (strict, loose) = (read_strictly::<Outer>(&value), serde_json::from_value::<Outer>(value.clone()));
            let words = |read: Result<Outer, Error>| read.map_err(|error| error.to_string());
            assert_eq!(words(strict), words(loose), "{value}");
        }
    }

    #[test]
    fn an_array_is_no_object() {
        for value in [json!([]), json!([1, 2.0]), json!({"inner": [["a"]]}), json!({"inner": [{"name": "a"}, ["b"]]})] {
            assert!(serde_json::from_value::<Outer>(value.clone()).is_ok(), "serde reads {value}");
            let why = read_strictly::<Outer>(&value).unwrap_err().to_string();
            assert!(why.starts_with("invalid type: sequence, expected struct "), "{why}");
        }
        assert!(read_strictly::<Outer>(&json!({"pair": [1, true, 2]})).is_err(), "too many");
        assert_eq!(read_strictly::<Vec<Inner>>(&json!([{"name": "a"}])).unwrap(), [Inner { name: "a".to_owned() }]);
    }
}
