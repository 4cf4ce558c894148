//! What is told of an import.

use std::io;
use std::path::Path;

use mqtt_migrate::{Fate, Line, Migration};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::Output;

/// What became of each line.
pub(super) fn tell(migration: &Migration, written: Option<&Path>, out: &mut Output) -> Result<(), Failure> {
    let left = migration.left().count();
    let beside: Vec<_> = migration.beside.iter().map(|file| file.path.display().to_string()).collect();
    if out.is_json {
        let written = written.map(|file| file.display().to_string());
        let lines: Vec<_> = migration.lines.iter().map(as_json).collect();
        let answer =
            json!({ "written": written, "beside": beside, "left": left, "lines": lines, "next": migration.next });
        return Ok(out.json(&answer)?);
    }
    part("carried over:", migration, |fate| if let Fate::Carried(to) = fate { Some(to) } else { None }, out)?;
    part("needs nothing here:", migration, |fate| if let Fate::Needless(why) = fate { Some(why) } else { None }, out)?;
    part("NOT carried over:", migration, |fate| if let Fate::Left(why) = fate { Some(why) } else { None }, out)?;
    match written {
        Some(file) => {
            let mut files = vec![file.display().to_string()];
            files.extend(beside);
            out.line(&format!("written: {}", files.join(", ")))?;
        }
        None => out.line("nothing was written: --out FILE does that")?,
    }
    out.line(&format!("{left} {} not carried over", plural(left, "line")))?;
    for next in &migration.next {
        out.line(&format!("next: {}", visible(next)))?;
    }
    Ok(())
}

/// Why nothing is written.
pub(super) fn problems(migration: &Migration, out: &mut Output) -> io::Result<()> {
    for problem in &migration.problems {
        let line = visible(&problem.to_string());
        out.done(&line, &json!({ "problem": problem.why, "file": problem.place.file, "line": problem.place.line }))?;
    }
    Ok(())
}

fn part(
    title: &str,
    migration: &Migration,
    of: impl Fn(&Fate) -> Option<&String>,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut lines = migration.lines.iter().filter_map(|line| Some((line, of(&line.fate)?))).peekable();
    if lines.peek().is_some() {
        out.line(title)?;
    }
    for (Line { place, said, .. }, what) in lines {
        out.line(&visible(&format!("  {place}: {said}: {what}")))?;
    }
    Ok(())
}

fn as_json(line: &Line) -> Value {
    let (fate, what) = match &line.fate {
        Fate::Carried(to) => ("carried", to),
        Fate::Needless(why) => ("needless", why),
        Fate::Left(why) => ("left", why),
    };
    json!({ "file": line.place.file, "line": line.place.line, "said": line.said, "fate": fate, "what": what })
}

/// What another broker's files have in them is not to move the cursor.
fn visible(text: &str) -> String {
    text.replace(char::is_control, " ")
}

pub(super) fn plural(count: usize, word: &str) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}
