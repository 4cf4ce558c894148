//! `rollcall admin passwd`: asks the broker that runs, or writes into the folder of one that does not.

use std::path::Path;

use mqtt_admin::{Accounts, Local, random_secret};
use mqtt_config::Config;
use mqtt_storage::{Disk, Durability, Loaded, Steps, Store, StoreError, Table};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::find::find;
use crate::output::Output;
use crate::prompt;
use crate::reach::Reach;

/// Bytes of randomness in a password that is made.
const GENERATED: usize = 15;

/// Which password.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct Args {
    /// Make one and print it
    #[arg(long)]
    generate: bool,
}

pub(crate) async fn run(args: &Args, reach: &Reach, config: &Config, out: &mut Output) -> Result<(), Failure> {
    let target = Target::find(reach, config)?;
    let password = if args.generate { random_secret(GENERATED) } else { prompt::password("admin")? };
    if !Accounts::is_password(&password) {
        return Err(Failure::Usage("a password has 8 to 1024 characters".to_owned()));
    }
    let answer = target.set(&password, reach, config).await?;
    let (line, answer) = match args.generate {
        true => (password.clone(), json!({"code": 0, "data": {"username": "admin", "password": password}})),
        false => ("the password of admin is changed".to_owned(), answer),
    };
    Ok(out.done(&line, &answer)?)
}

/// Whose password.
enum Target<'a> {
    Running,
    /// A broker's that does not run, as far as can be seen.
    Folder(&'a Path),
}

impl<'a> Target<'a> {
    fn find(reach: &Reach, config: &'a Config) -> Result<Self, Failure> {
        match &config.data_dir {
            Some(folder) if reach.url.is_none() && Local::read(folder).is_err() => {
                if config.admin.password.is_some() {
                    let why = "the configuration sets the password (admin.password): change it there";
                    return Err(Failure::Usage(why.to_owned()));
                }
                if !folder.is_dir() {
                    let why = format!("there is no folder {folder:?}: start the broker once, or name its --data-dir");
                    return Err(Failure::Usage(why));
                }
                Ok(Self::Folder(folder))
            }
            _ => Ok(Self::Running),
        }
    }

    async fn set(self, password: &str, reach: &Reach, config: &Config) -> Result<Value, Failure> {
        if let Self::Folder(folder) = self {
            return write(folder, password);
        }
        let body = json!({ "password": password });
        let answer = find(reach, config)?.put("/admin/password", Some(&body)).await;
        match (answer, &config.data_dir) {
            // A broker that was killed leaves its address behind.
            (Err(Failure::Unreachable(_)), Some(folder)) if reach.url.is_none() => write(folder, password),
            (answer, _) => answer,
        }
    }
}

fn write(folder: &Path, password: &str) -> Result<Value, Failure> {
    let failed = |error: StoreError| match error {
        StoreError::InUse => Failure::Unreachable(format!(
            "a broker runs on {folder:?} and does not answer on its admin port: stop it first, or give --url and --key"
        )),
        error => Failure::Usage(format!("cannot use {folder:?}: {error}")),
    };
    let store = Disk::open(folder, Durability::Power).map_err(failed)?;
    let kept = Loaded::read(&store).map_err(failed)?.notes.remove(Accounts::RECORD);
    let record = Accounts::record_with_password(kept.as_deref(), password);
    let record = record.map_err(|error| failed(error.into()))?;
    let mut steps = Steps::default();
    steps.put(Table::Notes, Accounts::RECORD.as_bytes(), &record);
    store.write(&steps).map_err(failed)?;
    Ok(json!({"code": 0}))
}
