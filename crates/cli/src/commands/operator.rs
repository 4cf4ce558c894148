//! `rollcall admin operator`

use clap::Subcommand;
use serde_json::{Value, json};

use crate::columns::{Cell, Columns};
use crate::failure::Failure;
use crate::output::{Output, field, time};
use crate::prompt::PasswordFrom;
use crate::remote::{Remote, encoded};

/// What to do with operators.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum Verb {
    /// Add one; asks for the password, or reads a line
    Add {
        #[command(flatten)]
        named: Named,
        /// A viewer may look; an operator may kick, ban, publish and stop listeners too; an admin may do everything
        #[arg(long, value_parser = ["viewer", "operator", "admin"], default_value = "viewer")]
        role: String,
        /// What is said of them in the list
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        tags: String,
    },
    /// All operators, without their passwords
    List,
    /// Give one another role; their logins end
    Role {
        /// Their name
        name: String,
        /// What they may do from now on
        #[arg(value_parser = ["viewer", "operator", "admin"])]
        role: String,
    },
    /// Give one another password; asks for it, or reads a line; their logins end
    Passwd(Named),
    /// Take one out; their logins end
    Remove {
        /// Their name
        name: String,
    },
}

/// An operator, and where the password is.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct Named {
    /// Their name: 1 to 64 letters, digits, '-', '_' and '.'
    name: String,
    #[command(flatten)]
    password: PasswordFrom,
}

pub(crate) async fn run(verb: &Verb, remote: &Remote, out: &mut Output) -> Result<(), Failure> {
    match verb {
        Verb::Add { named, role, tags } => {
            let body = json!({"username": named.name, "password": named.password()?, "role": role, "tags": tags});
            let answer = remote.post("/users", Some(&body)).await?;
            Ok(out.done(&format!("{} is added as {role}", named.name), &answer)?)
        }
        Verb::List => {
            let answer = remote.get("/users").await?;
            let all = answer["data"].as_array().map(Vec::as_slice).unwrap_or_default();
            Ok(out.rows(&mut Columns::new(&["NAME", "ROLE", "ADDED", "TAGS"]), all, row)?)
        }
        Verb::Role { name, role } => {
            let answer = remote.put(&path(name), Some(&json!({ "role": role }))).await?;
            Ok(out.done(&format!("{name} has the role {role}"), &answer)?)
        }
        Verb::Passwd(named) => {
            let body = json!({"password": named.password()?});
            let answer = remote.put(&path(&named.name), Some(&body)).await?;
            Ok(out.done(&format!("{} has another password", named.name), &answer)?)
        }
        Verb::Remove { name } => {
            let answer = remote.delete(&path(name)).await?;
            Ok(out.done(&format!("{name} is removed"), &answer)?)
        }
    }
}

impl Named {
    fn password(&self) -> Result<String, Failure> {
        self.password.password(&self.name)
    }
}

fn path(name: &str) -> String {
    format!("/users/{}", encoded(name))
}

fn row(operator: &Value) -> Vec<Cell> {
    let said = |name| Cell::from(field(operator, name));
    let added = if operator["created_at"].is_null() { String::new() } else { time(operator, "created_at") };
    vec![said("username"), said("role"), Cell::from(added), said("tags")]
}
