//! `rollcall store`: looks at the folder of a broker that does not run, and repairs it.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use clap::Subcommand;
use jiff::Zoned;
use mqtt_config::Config;
use mqtt_storage::{StoreError, Survey};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::Output;

/// Records that are told one by one.
const MOST: usize = 20;

/// What to do about the files in `data_dir`.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum Verb {
    /// Say what is whole and what isn't; changes nothing
    Check,
    /// Keep all that is whole, and put what isn't into a folder beside it
    Repair {
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) fn run(verb: &Verb, config: &Config, out: &mut Output) -> Result<(), Failure> {
    let Some(folder) = &config.data_dir else {
        return Err(Failure::Usage("data_dir is \"memory\": there are no files".to_owned()));
    };
    let survey = Survey::of(folder).map_err(|error| failed(folder, &error))?;
    tell(&survey, out)?;
    match verb {
        Verb::Check if survey.is_whole() => Ok(()),
        Verb::Check => {
            let hint = "`rollcall store repair` keeps all that is whole";
            Err(Failure::Refused(format!("the store in {folder:?} is not whole: {hint}")))
        }
        Verb::Repair { .. } if survey.is_whole() => Ok(()),
        Verb::Repair { yes } => {
            let name = Zoned::now().strftime("damaged-%Y%m%d-%H%M%S").to_string();
            if !yes {
                ask(folder, &name, out)?;
            }
            let repaired = survey.repair(&name).map_err(|error| failed(folder, &error))?;
            let (beside, records) = (repaired.beside.display().to_string(), repaired.records);
            let line = format!("it is whole now, with {records} records; what was left out is in {beside}");
            let answer = json!({ "repaired": true, "records": records, "beside": beside });
            Ok(out.done(&line, &answer)?)
        }
    }
}

/// Returns if the answer is yes.
fn ask(folder: &Path, name: &str, out: &mut Output) -> Result<(), Failure> {
    let not_done = |why: &str| Err(Failure::Refused(format!("nothing was changed: {why}")));
    out.note(&format!(
        "a repair keeps all that is whole; what isn't, and the files as they are now, go into {:?}",
        folder.join(name)
    ))?;
    if !io::stdin().is_terminal() {
        return not_done("there is no terminal to ask on; give --yes");
    }
    out.flush()?;
    write!(io::stderr(), "repair it? [y/N] ")?;
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    if matches!(line.trim(), "y" | "Y" | "yes") { Ok(()) } else { not_done("you did not say yes") }
}

fn tell(survey: &Survey, out: &mut Output) -> io::Result<()> {
    let unreadable = survey.unreadable();
    if out.is_json {
        let findings: Vec<Value> = survey
            .findings()
            .iter()
            .map(|found| {
                json!({ "file": found.file, "offset": found.offset, "bytes": found.bytes, "what": found.what.to_string() })
            })
            .collect();
        let records = unreadable.iter().map(ToString::to_string).collect::<Vec<_>>();
        return out.json(&json!({
            "whole": survey.is_whole(), "segments": survey.segments(), "bytes": survey.bytes(),
            "records": survey.records(), "findings": findings, "unreadable": records,
        }));
    }
    for finding in survey.findings() {
        out.line(&finding.to_string())?;
    }
    for record in unreadable.iter().take(MOST) {
        out.line(&format!("unreadable: {record}"))?;
    }
    if unreadable.len() > MOST {
        out.line(&format!("unreadable: {} more", unreadable.len() - MOST))?;
    }
    let (segments, bytes) = (survey.segments(), survey.bytes());
    out.line(&match survey.findings() {
        [] => {
            let records = survey.records();
            let state = if unreadable.is_empty() { "all is whole" } else { "the files are whole" };
            format!("{state}: {segments} segments, {bytes} bytes, {records} records")
        }
        _ => format!("whole: {bytes} bytes in {segments} segments"),
    })
}

fn failed(folder: &Path, error: &StoreError) -> Failure {
    match error {
        StoreError::InUse => Failure::Usage(format!("a broker runs on {folder:?}: stop it first")),
        error => Failure::Usage(format!("cannot use {folder:?}: {error}")),
    }
}
