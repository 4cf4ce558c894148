//! Lists of any length, page by page.

use serde_json::Value;

use crate::columns::{Cell, Columns};
use crate::failure::Failure;
use crate::output::Output;
use crate::remote::{Remote, encoded};

/// What the broker gives at once, at most.
const PAGE: usize = 10_000;

/// A path and what is asked for.
#[derive(Debug)]
pub(crate) struct Query(String);

impl Query {
    pub(crate) fn new(path: &str) -> Self {
        Self(format!("{path}?"))
    }

    pub(crate) fn add(&mut self, name: &str, value: &str) {
        self.0 += &format!("{name}={}&", encoded(value));
    }

    /// The path, with what was asked for so far.
    pub(crate) fn path(&self) -> &str {
        self.0.trim_end_matches(['?', '&'])
    }

    /// Shows `take` each page before it asks for the next, so a million rows need the memory of a page. `cursor` is the
    /// parameter that takes what a page says the next one begins with; lists that don't say it have numbered pages.
    pub(crate) async fn pages(
        &self,
        remote: &Remote,
        cursor: &str,
        limit: Option<usize>,
        mut take: impl FnMut(Vec<Value>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut left = limit.unwrap_or(usize::MAX);
        let mut place = String::new();
        // Of one size, for numbered ones to be parts of one list.
        let size = left.clamp(1, PAGE);
        for number in 2_u32.. {
            let mut answer = remote.get(&format!("{}_limit={size}{place}", self.0)).await?;
            let mut rows = match answer["data"].take() {
                Value::Array(rows) => rows,
                _ => Vec::new(),
            };
            rows.truncate(left);
            left -= rows.len();
            let is_last = rows.is_empty() || left == 0 || answer["meta"]["hasnext"] != true;
            take(rows)?;
            if is_last {
                break;
            }
            place = match answer["meta"]["next"].as_str() {
                Some(next) => format!("&{cursor}={}", encoded(next)),
                None => format!("&_page={number}"),
            };
        }
        Ok(())
    }

    /// Prints all rows that are wanted.
    pub(crate) async fn print(
        &self,
        remote: &Remote,
        cursor: &str,
        limit: Option<usize>,
        out: &mut Output,
        columns: &mut Columns,
        row: impl Fn(&Value) -> Vec<Cell>,
    ) -> Result<(), Failure> {
        let page = |rows: Vec<Value>| {
            out.rows(columns, &rows, &row)?;
            Ok(out.flush()?)
        };
        self.pages(remote, cursor, limit, page).await
    }
}
