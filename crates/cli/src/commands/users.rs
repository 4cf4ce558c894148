//! `rollcall users`

use clap::Subcommand;
use serde_json::{Value, json};

use crate::columns::{Cell, Columns};
use crate::failure::Failure;
use crate::output::{Output, field, time};
use crate::pages::Query;
use crate::prompt::PasswordFrom;
use crate::remote::{Remote, encoded};

/// What to do with users.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum Verb {
    /// Add a user; asks for the password, or reads a line
    Add(Named),
    /// All users, without their passwords
    List,
    /// Give a user another password; asks for it, or reads a line
    Passwd(Named),
    /// Remove a user; who is connected stays (see `clients kick`)
    Remove {
        /// The user's name
        name: String,
    },
}

/// A user, and where the password is.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct Named {
    /// The user's name
    name: String,
    #[command(flatten)]
    password: PasswordFrom,
}

pub(crate) async fn run(verb: &Verb, remote: &Remote, out: &mut Output) -> Result<(), Failure> {
    match verb {
        Verb::Add(named) => {
            let body = json!({"username": named.name, "password": named.password()?});
            let answer = remote.post("/auth/users", Some(&body)).await?;
            out.done(&format!("user {:?} is added", named.name), &answer)?;
            note(&answer, out)
        }
        Verb::List => {
            let table = &mut Columns::new(&["USER", "ADDED"]);
            Query::new("/auth/users").print(remote, "_after", None, out, table, row).await
        }
        Verb::Passwd(named) => {
            let body = json!({"password": named.password()?});
            let answer = remote.put(&path(&named.name), Some(&body)).await?;
            Ok(out.done(&format!("user {:?} has another password", named.name), &answer)?)
        }
        Verb::Remove { name } => {
            let answer = remote.delete(&path(name)).await?;
            out.done(&format!("user {name:?} is removed"), &answer)?;
            note(&answer, out)
        }
    }
}

impl Named {
    fn password(&self) -> Result<String, Failure> {
        self.password.password(&self.name)
    }
}

/// What a change means where it means more.
fn note(answer: &Value, out: &Output) -> Result<(), Failure> {
    let note = field(&answer["data"], "note");
    if note.is_empty() { Ok(()) } else { Ok(out.note(&format!("note: {note}"))?) }
}

fn row(user: &Value) -> Vec<Cell> {
    vec![field(user, "username").into(), Cell::from(time(user, "created_at"))]
}

fn path(name: &str) -> String {
    format!("/auth/users/{}", encoded(name))
}
