//! What operators and keys may do, said here and nowhere else: the guard asks [`needed`], the description of the API shows it,
//! and pages hide what it refuses.
//!
//! | role | may |
//! | --- | --- |
//! | `viewer` | look at everything, follow what happens, trace clients, change the own password |
//! | `operator` | and do what a shift has to: kick and ban clients, publish, subscribe for clients, delete retained messages, clear alarms, start and stop listeners, send clients elsewhere before a restart |
//! | `admin` | and change what the broker is: modules and their settings, users and rules, operators and keys, the configuration read anew |
//!
//! Modules are an admin's, for some of them say who may come in.

use axum::http::Method;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a caller may do. The later may all that the earlier may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look.
    Viewer,
    /// Look, and do what is done every day: to clients, messages, bans, alarms and listeners, and before a restart.
    Operator,
    /// Change everything.
    Admin,
}

impl Role {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// Paths below `/api/v4` under which an operator may change something, with `/nodes/{node}` before them too. What is not here is
/// an admin's, so a route that is added is nobody else's until it is written here.
const OPERATORS: &[&str] = &["alarms", "banned", "clients", "drain", "listeners", "mqtt", "retained"];

/// Under which everybody may. Handlers see to it that it is their own password.
const EVERYBODYS: &[&str] = &["change_pwd"];

/// What it takes to ask for this. `path` as it was sent: what is percent-encoded is not one of ours, and is an admin's.
pub(crate) fn needed(method: &Method, path: &str) -> Role {
    if matches!(*method, Method::GET | Method::HEAD) || path == "/logout" {
        return Role::Viewer;
    }
    let Some(path) = path.strip_prefix("/api/v4/") else { return Role::Admin };
    let mut parts = path.split('/');
    let first = match parts.next() {
        Some("nodes") => parts.nth(1),
        first => first,
    };
    match first {
        Some(first) if EVERYBODYS.contains(&first) => Role::Viewer,
        Some(first) if OPERATORS.contains(&first) => Role::Operator,
        _ => Role::Admin,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, role: Role) {
        let (method, path) = line.split_once(' ').unwrap();
        assert_eq!(needed(&method.parse().unwrap(), path), role, "{line}");
    }

    #[test]
    fn who_looks_changes_nothing() {
        for path in ["/", "/api/v4/clients", "/api/v4/users", "/api/v4/modules/presence"] {
            check(&format!("GET {path}"), Role::Viewer);
            check(&format!("HEAD {path}"), Role::Viewer);
        }
        check("POST /logout", Role::Viewer);
        check("PUT /api/v4/change_pwd/jo", Role::Viewer);
    }

    #[test]
    fn what_a_shift_does_is_an_operators() {
        for line in [
            "DELETE /api/v4/clients/a",
            "DELETE /api/v4/nodes/n/clients/a",
            "POST /api/v4/banned",
            "DELETE /api/v4/banned/clientid/a",
            "POST /api/v4/mqtt/publish",
            "DELETE /api/v4/retained/message",
            "PUT /api/v4/listeners/mqtt/stop",
            "PUT /api/v4/nodes/n/listeners/mqtt/restart",
            "POST /api/v4/drain",
            "DELETE /api/v4/drain",
            "POST /api/v4/alarms/deactivated",
            "DELETE /api/v4/nodes/n/alarms/deactivated",
        ] {
            check(line, Role::Operator);
        }
    }

    #[test]
    fn all_else_is_an_admins() {
        for line in [
            "PUT /api/v4/modules/presence/unload",
            "PUT /api/v4/nodes/clients/modules/presence/unload",
            "POST /api/v4/users",
            "POST /api/v4/auth/users",
            "PUT /api/v4/auth/rules",
            "POST /api/v4/admin/keys",
            "PUT /api/v4/admin/password",
            "POST /api/v4/reload",
            "DELETE /api/v4/cluster/a",
            "POST /api/v4/not/known",
            "POST /api/v4//clients",
            "POST /api/v4/%63lients/a",
            "POST /api/v4/nodes/clients",
            "POST /clients",
            "PATCH /",
        ] {
            check(line, Role::Admin);
        }
    }
}
