//! How many files may be open.

/// Has the process open as many files as it may: each connection is one, and the usual soft limit is far below the hard one.
pub fn raise_open_files() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => tracing::debug!(limit, "open files"),
        Err(error) => tracing::warn!(%error, "the limit of open files stays as it is"),
    }
}
