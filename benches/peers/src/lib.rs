//! Nothing but benches here.
