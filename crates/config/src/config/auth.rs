//! Who may come in.

use std::{fmt, path::PathBuf};

pub use mqtt_operate::{Anonymous, DenyAction};
use serde::{Deserialize, Serialize};

/// Who may come in.
#[derive(Clone, PartialEq)]
pub struct Auth {
    /// Who may come in and proves nothing.
    pub anonymous: Anonymous,
    /// Users with their passwords' hashes.
    pub password_file: Option<PathBuf>,
    /// Tokens are signed with it.
    pub jwt_secret: Option<String>,
    /// Or with one of the keys in this file.
    pub jwt_keys: Option<PathBuf>,
    /// A service to ask by HTTP.
    pub http: HttpAuth,
    /// What clients may do, each a table.
    pub rules: Vec<serde_json::Value>,
    /// More of them.
    pub acl_file: Option<PathBuf>,
    /// What holds where none is about it.
    pub default: AuthDefault,
    /// What becomes of a client that does what it may not.
    pub deny_action: DenyAction,
    /// A listener that others reach, and nothing here says who comes in: what to say and not to start, unless some module
    /// asks clients who they are.
    pub unguarded: Option<String>,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = self.jwt_secret.as_ref().map(|_| "..");
        let mut shown = f.debug_struct("Auth");
        shown.field("anonymous", &self.anonymous).field("unguarded", &self.unguarded).field("jwt_secret", &secret);
        shown.field("files", &[&self.password_file, &self.jwt_keys, &self.acl_file]).field("rules", &self.rules);
        shown
            .field("http_url", &self.http.url)
            .field("default", &self.default)
            .field("deny_action", &self.deny_action)
            .finish()
    }
}

/// A service to ask by HTTP, as it is said.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HttpAuth {
    /// Its address.
    pub url: Option<String>,
    /// Asked who may do everything.
    pub super_url: Option<String>,
    /// How it is asked.
    pub method: Option<String>,
    /// Headers, one a line.
    pub headers: Option<String>,
    /// What it is told.
    pub params: Option<String>,
    /// Who signs certificates.
    pub ca: Option<PathBuf>,
}

/// What holds where no rule is about what a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthDefault {
    /// It may.
    Allow,
    /// It may not.
    Deny,
}
