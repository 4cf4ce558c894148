//! A page of rows that lie at several nodes.

use axum::http::Uri;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::other_nodes::encoded;
use crate::reply::{Listed, Missing, Paging, Refusal};

/// Rows that a node is asked for at once: what it answers goes the way of messages.
const AT_ONCE: usize = 500;

/// A node's part of it.
#[derive(Deserialize)]
pub(super) struct Part {
    data: Vec<Box<RawValue>>,
    meta: Meta,
}

#[derive(Deserialize)]
struct Meta {
    count: i64,
    hasnext: bool,
    next: Option<String>,
    skipped: Option<usize>,
}

/// Which page.
pub(super) struct Asked {
    paging: Paging,
    after: Option<String>,
    /// All else that was asked, as it was.
    rest: String,
}

/// Where the next page begins.
#[derive(Deserialize)]
struct Cursor {
    #[serde(rename = "_after")]
    after: Option<String>,
}

impl Asked {
    /// `None`: it can't be read.
    pub(super) fn read(uri: &Uri) -> Option<Self> {
        let axum::extract::Query(paging) = axum::extract::Query::try_from_uri(uri).ok()?;
        let axum::extract::Query(Cursor { after }) = axum::extract::Query::try_from_uri(uri).ok()?;
        let is_own = |pair: &&str| !["_page=", "_limit=", "_skip=", "_after="].iter().any(|key| pair.starts_with(key));
        let rest: Vec<_> = uri.query().unwrap_or_default().split('&').filter(is_own).collect();
        Some(Self { paging, after, rest: rest.join("&") })
    }

    pub(super) fn begin(&self, nodes: &[String]) -> Result<Page<'_>, Refusal> {
        let mut page = Page {
            asked: self,
            nodes: nodes.to_vec(),
            at: 0,
            first: 0,
            from: From::Skip(self.paging.skip()),
            after: None,
            skip: self.paging.skip(),
            at_once: AT_ONCE,
            is_counted: false,
            rows: Vec::new(),
            count: 0,
            next: None,
            has_more: false,
            missing: Vec::new(),
        };
        if let Some(after) = &self.after {
            let Some((node, id)) = after.split_once('/') else {
                return Err(Refusal::bad_param("_after: in a cluster it is what meta.next says, NODE/CLIENTID"));
            };
            page.first = nodes.iter().position(|known| **known >= *node).unwrap_or(nodes.len());
            // It may be gone by now; then those that follow begin at their beginning.
            page.after = nodes.get(page.first).filter(|known| *known == node).map(|_| id.to_owned());
            page.skip = 0;
            page.begin_with_node();
        }
        Ok(page)
    }
}

/// What a node is to begin with.
enum From {
    Skip(usize),
    After(String),
}

/// As far as it is made.
pub(super) struct Page<'a> {
    asked: &'a Asked,
    nodes: Vec<String>,
    /// Who is asked now.
    at: usize,
    /// Those before it are only counted.
    first: usize,
    from: From,
    /// Where the first one begins.
    after: Option<String>,
    /// Rows that are still to be left out, at this node and those that follow.
    skip: usize,
    at_once: usize,
    /// This node has said how many it has.
    is_counted: bool,
    rows: Vec<Box<RawValue>>,
    /// -1: nobody knows.
    count: i64,
    next: Option<String>,
    has_more: bool,
    missing: Vec<Missing>,
}

impl Page<'_> {
    /// Whom to ask, and for what; `None`: that was all.
    pub(super) fn next_question(&self) -> Option<(String, String)> {
        let node = self.nodes.get(self.at)?;
        // One, where none is taken: how many there are, and whether there is any.
        let limit = if self.at < self.first { 1 } else { self.room().clamp(1, self.at_once) };
        let from = match &self.from {
            From::Skip(skip) => format!("_skip={skip}"),
            From::After(id) => format!("_after={}", encoded(id)),
        };
        Some((node.clone(), format!("{from}&_limit={limit}&{}", self.asked.rest)))
    }

    fn room(&self) -> usize {
        self.asked.paging.limit() - self.rows.len()
    }

    pub(super) fn take(&mut self, Part { data, meta }: Part) {
        if !std::mem::replace(&mut self.is_counted, true) {
            self.count = if self.count < 0 || meta.count < 0 { -1 } else { self.count + meta.count };
        }
        if self.at < self.first {
            return self.go_to_next();
        }
        self.skip -= meta.skipped.unwrap_or_default().min(self.skip);
        if self.room() == 0 {
            if !data.is_empty() && !self.has_more {
                self.has_more = true;
                self.next = Some(format!("{}/", self.nodes[self.at]));
            }
            return self.go_to_next();
        }
        let taken = data.len();
        self.rows.extend(data);
        if !meta.hasnext {
            return self.go_to_next();
        }
        if self.room() == 0 {
            self.has_more = true;
            self.next = meta.next.map(|next| format!("{}/{next}", self.nodes[self.at]));
            return self.go_to_next();
        }
        self.from = match (meta.next, &self.from) {
            (Some(next), _) => From::After(next),
            (None, From::Skip(skip)) => From::Skip(skip + taken),
            // Lists without a cursor are asked for without one.
            (None, From::After(_)) => return self.go_to_next(),
        };
    }

    /// Its answer was too long; false if there is no less.
    pub(super) const fn ask_for_less(&mut self) -> bool {
        let is_less = self.at_once > 1;
        self.at_once = if is_less { self.at_once / 2 } else { 1 };
        is_less
    }

    /// The node that was asked has no part in it.
    pub(super) fn pass_over(&mut self, missing: &Missing) {
        self.missing.push(missing.clone());
        self.count = -1;
        self.go_to_next();
    }

    fn go_to_next(&mut self) {
        self.at += 1;
        if self.count < 0 {
            // There is nothing to count any more.
            self.at = self.at.max(self.first);
        }
        self.is_counted = false;
        self.at_once = AT_ONCE;
        self.begin_with_node();
    }

    fn begin_with_node(&mut self) {
        let after = if self.at == self.first { self.after.take() } else { None };
        self.from = after.map_or(From::Skip(self.skip), From::After);
    }

    pub(super) fn finish(self) -> Listed<Box<RawValue>> {
        let listed = Listed::new(self.rows, self.asked.paging, self.count, self.has_more);
        listed.with_next(self.next).without(self.missing)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// What the nodes have, and how many rows they can answer at once; 0: they do not answer.
    type Cluster = BTreeMap<String, (Vec<String>, usize)>;

    /// As a node answers; `None`: it would be too long.
    fn answer((rows, most): &(Vec<String>, usize), query: &str, has_cursor: bool) -> Option<Part> {
        let said: BTreeMap<_, _> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let number = |key| said.get(key).map(|value: &&str| value.parse::<usize>().unwrap());
        let skip = match said.get("_after") {
            Some(after) => rows.iter().take_while(|row| row.as_str() <= *after).count(),
            None => number("_skip").unwrap().min(rows.len()),
        };
        let limit = number("_limit").unwrap();
        let part: Vec<_> = rows.iter().skip(skip).take(limit).collect();
        if part.len() > *most || *most == 0 {
            return None;
        }
        let has_next = skip + part.len() < rows.len();
        let next = part.last().filter(|_| has_next && has_cursor);
        let skipped = number("_skip").map(|_| skip);
        let meta = json!({"count": rows.len(), "hasnext": has_next, "next": next, "skipped": skipped});
        Some(serde_json::from_str(&json!({"data": part, "meta": meta}).to_string()).unwrap())
    }

    fn page(cluster: &Cluster, query: &str, has_cursor: bool) -> Value {
        let names: Vec<_> = cluster.keys().cloned().collect();
        let asked = Asked::read(&format!("/clients?{query}").parse().unwrap()).unwrap();
        let mut page = asked.begin(&names).unwrap();
        while let Some((node, query)) = page.next_question() {
            match answer(&cluster[&node], &query, has_cursor) {
                Some(part) => page.take(part),
                None if page.ask_for_less() => {}
                None => page.pass_over(&Missing { node, message: "too long".to_owned() }),
            }
        }
        serde_json::to_value(page.finish()).unwrap()
    }

    fn rows(page: &Value) -> Vec<String> {
        serde_json::from_value(page["data"].clone()).unwrap()
    }

    fn clusters() -> impl Strategy<Value = Cluster> {
        let node = (0..12_usize, 0..4_usize);
        proptest::collection::vec(node, 1..5).prop_map(|nodes| {
            let named = nodes.into_iter().enumerate().map(|(at, (len, most))| {
                let name = format!("n{at}@x");
                let rows = (0..len).map(|n| format!("{at}-{n:02}")).collect();
                (name, (rows, most))
            });
            named.collect()
        })
    }

    proptest! {
        #[test]
        fn pages_are_those_of_one_list(cluster in clusters(), limit in 1..15_usize, has_cursor: bool) {
            let told: Vec<_> = cluster.values().filter(|(_, most)| *most > 0).collect();
            let all: Vec<_> = told.iter().flat_map(|(rows, _)| rows.clone()).collect();
            let count = if told.len() == cluster.len() { all.len() as i64 } else { -1 };
            for (number, expected) in all.chunks(limit).chain([[].as_slice()]).enumerate() {
                let page = page(&cluster, &format!("_page={}&_limit={limit}", number + 1), has_cursor);
                prop_assert_eq!(rows(&page), expected);
                prop_assert_eq!(&page["meta"]["hasnext"], (number + 1) * limit < all.len());
                prop_assert_eq!(&page["meta"]["count"], count);
            }
            let (mut found, mut after) = (Vec::new(), Some(String::new()));
            while let (true, Some(more)) = (has_cursor, after.take()) {
                let page = page(&cluster, &format!("_limit={limit}{more}"), true);
                found.extend(rows(&page));
                after = page["meta"]["next"].as_str().map(|next| format!("&_after={}", encoded(next)));
            }
            prop_assert!(!has_cursor || found == all);
        }
    }
}
