//! Who may not come in.

use serde::{Deserialize, Serialize};

/// Someone may not come in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// What `who` is.
    #[serde(rename = "as")]
    pub kind: BanKind,
    /// The id, name or address.
    pub who: String,
    /// Why.
    pub reason: String,
    /// By whom.
    pub by: String,
    /// Since when: seconds since the Unix epoch.
    pub at: u64,
    /// Until when.
    pub until: u64,
}

/// What of a client is compared with a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BanKind {
    /// Its id.
    ClientId,
    /// Its user name.
    Username,
    /// The IP address it comes from.
    PeerHost,
}
