//! Who is online, for modules that ask.

use crate::ConnectionInfo;

/// Which clients of those that are online.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lookup<'a> {
    /// Those whose ids come after this one.
    pub after: Option<&'a str>,
    /// Those whose ids begin so.
    pub prefix: &'a str,
    /// Those that came then or later: milliseconds since the Unix epoch.
    pub since: u64,
    /// So many at the most.
    pub limit: usize,
}

/// Clients that are online, in order of their ids.
#[derive(Clone, Debug, Default)]
pub struct Online {
    /// As they came in.
    pub clients: Vec<ConnectionInfo>,
    /// There are more after these.
    pub has_more: bool,
}
