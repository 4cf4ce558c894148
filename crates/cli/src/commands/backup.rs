//! `rollcall backup` and `rollcall restore`: copies of what is kept in `data_dir`.

use std::path::{Path, PathBuf};

use mqtt_config::Config;
use mqtt_storage::{Contents, StoreError, copy_store};
use serde_json::json;

use crate::failure::Failure;
use crate::output::Output;

/// Where a backup goes.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct To {
    /// A folder that is not there yet, or is empty
    #[arg(value_name = "DIR")]
    to: PathBuf,
}

/// Which backup.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct From {
    /// Its folder; nothing in it is changed
    #[arg(value_name = "DIR")]
    from: PathBuf,
}

pub(crate) fn back_up(To { to }: &To, config: &Config, out: &mut Output) -> Result<(), Failure> {
    let folder = data_dir(config)?;
    let copied = copy(folder, to)?;
    tell(folder, to, copied, "backed up", out)
}

pub(crate) fn restore(From { from }: &From, config: &Config, out: &mut Output) -> Result<(), Failure> {
    let folder = data_dir(config)?;
    let copied = copy(from, folder)?;
    tell(from, folder, copied, "restored", out)
}

pub(super) fn data_dir(config: &Config) -> Result<&Path, Failure> {
    config.data_dir.as_deref().ok_or_else(|| Failure::Usage("data_dir is \"memory\": there are no files".to_owned()))
}

pub(super) fn copy(from: &Path, to: &Path) -> Result<Contents, Failure> {
    copy_store(from, to).map_err(|error| match error {
        StoreError::Io(error) => Failure::Refused(format!("nothing was copied: {error}")),
        StoreError::Foreign(why) => Failure::Refused(format!("nothing was copied: {}: {why}", from.display())),
        error => Failure::Refused(format!("nothing was copied: {error}")),
    })
}

fn tell(from: &Path, to: &Path, copied: Contents, done: &str, out: &mut Output) -> Result<(), Failure> {
    let (records, bytes) = (copied.records, copied.bytes);
    let line = format!("{done}: {records} records, {bytes} bytes, from {} to {}", from.display(), to.display());
    Ok(out.done(&line, &json!({ "from": from, "to": to, "records": records, "bytes": bytes }))?)
}
