//! `rollcall admin`

use clap::Subcommand;
use serde_json::{Value, json};

use super::{operator, password};
use crate::columns::{Cell, Columns};
use crate::failure::Failure;
use crate::output::{Output, field, time};
use crate::remote::{Remote, encoded};

/// What to do about who may ask.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum Verb {
    /// Give the user admin another password, also while no broker runs; asks for it, or reads a line
    Passwd(password::Args),
    /// Operators: people who log in with a password of their own
    #[command(subcommand, arg_required_else_help = false)]
    Operator(operator::Verb),
    /// Keys for scripts
    #[command(subcommand, arg_required_else_help = false)]
    Key(Key),
}

/// What to do with keys.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum Key {
    /// Make a key and print NAME:SECRET, this once
    Add {
        /// 1 to 64 letters, digits, '-', '_' and '.'
        name: String,
        /// A viewer may look; an operator may kick, ban, publish and stop listeners too; an admin may do everything
        #[arg(long, value_parser = ["viewer", "operator", "admin"], default_value = "viewer")]
        role: String,
    },
    /// All keys, without their secrets
    List,
    /// Take a key back
    Remove {
        /// Its name
        name: String,
    },
}

pub(crate) async fn run(verb: &Key, remote: &Remote, out: &mut Output) -> Result<(), Failure> {
    match verb {
        Key::Add { name, role } => {
            let answer = remote.post("/admin/keys", Some(&json!({"name": name, "role": role}))).await?;
            let key = &answer["data"];
            Ok(out.done(&format!("{}:{}", field(key, "name"), field(key, "secret")), key)?)
        }
        Key::List => {
            let answer = remote.get("/admin/keys").await?;
            let keys = answer["data"].as_array().map(Vec::as_slice).unwrap_or_default();
            Ok(out.rows(&mut Columns::new(&["NAME", "ROLE", "MADE"]), keys, row)?)
        }
        Key::Remove { name } => {
            let answer = remote.delete(&format!("/admin/keys/{}", encoded(name))).await?;
            Ok(out.done(&format!("key {name} is removed"), &answer)?)
        }
    }
}

fn row(key: &Value) -> Vec<Cell> {
    vec![field(key, "name").into(), field(key, "role").into(), Cell::from(time(key, "created_at"))]
}
