//! What is kept of a bridge: what its two sessions may still be subscribed to.

use std::collections::BTreeMap;

use mqtt_codec::Filter;
use mqtt_hooks::{Actor, Records, StartError};
use serde::{Deserialize, Serialize};

use crate::mapping::Mapping;

/// Record of a number that tells this broker from all others.
const HERE: &[u8] = b"here";

/// What is kept of one bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Kept {
    /// Filters here of which retained messages have been carried over.
    pub(crate) carried: Vec<String>,
    /// Filters here that the session may be subscribed to.
    pub(crate) out: Vec<String>,
    /// Filters there.
    pub(crate) r#in: Vec<String>,
    /// Both sessions were brought in step since the one here began.
    pub(crate) is_in_step: bool,
    /// The one there began later, and the one here may hold packet ids that mean nothing any more.
    pub(crate) sweeps_here: bool,
}

/// Where it is kept.
#[derive(Clone)]
pub(crate) struct Book {
    records: Records,
    actor: Actor,
}

impl Book {
    pub(crate) const fn new(records: Records, actor: Actor) -> Self {
        Self { records, actor }
    }

    /// All there are, by names of bridges.
    pub(crate) fn all(&self) -> Result<BTreeMap<String, Kept>, StartError> {
        let mut all = BTreeMap::new();
        let read = self.records.part("bridges").each(&mut |key, record| {
            // One that can't be read is as one that is not there: filters are subscribed to anew.
            let kept = serde_json::from_slice(record).unwrap_or_default();
            all.insert(String::from_utf8_lossy(key).into_owned(), kept);
        });
        read.map_err(|error| StartError::Other(error.to_string()))?;
        Ok(all)
    }

    pub(crate) fn keep(&self, name: &str, kept: &Kept) {
        let Ok(record) = serde_json::to_vec(kept) else { return };
        let records = self.records.part("bridges");
        self.actor.act(|moment| records.keep(moment, name.as_bytes(), &record));
    }

    pub(crate) fn forget(&self, name: &str) {
        let records = self.records.part("bridges");
        self.actor.act(|moment| records.forget(moment, name.as_bytes()));
    }

    /// What tells this broker from all others, also from those of the same name; made by the first start.
    pub(crate) fn here(&self) -> Result<String, StartError> {
        let (mut here, records) = (None, self.records.part("node"));
        let read = records.each(&mut |key, record| {
            if key == HERE {
                here = Some(String::from_utf8_lossy(record).into_owned());
            }
        });
        read.map_err(|error| StartError::Other(error.to_string()))?;
        if let Some(here) = here {
            return Ok(here);
        }
        let here = random();
        self.actor.act(|moment| records.keep(moment, HERE, here.as_bytes()));
        Ok(here)
    }
}

impl Kept {
    /// Filters here that are given up.
    pub(crate) fn former_out(&self, mapping: &Mapping) -> Vec<Filter> {
        former(&self.out, mapping)
    }

    /// Filters there that are given up.
    pub(crate) fn former_in(&self, mapping: &Mapping) -> Vec<Filter> {
        former(&self.r#in, mapping)
    }
}

fn former(kept: &[String], mapping: &Mapping) -> Vec<Filter> {
    let is_former = |text: &&String| !mapping.rules().iter().any(|rule| rule.from.as_str() == **text);
    kept.iter().filter(is_former).filter_map(|text| Filter::new(text.clone()).ok()).collect()
}

/// The filters of a mapping.
pub(crate) fn filters(mapping: &Mapping) -> Vec<String> {
    mapping.rules().iter().map(|rule| rule.from.as_str().to_owned()).collect()
}

/// It need be no secret, only nobody else's.
fn random() -> String {
    use std::hash::{BuildHasher, RandomState};
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}
