//! Real packets, a real broker, real sockets on port 0.
//!
//! Nothing here sleeps or measures time. What must come is waited for; what must not come is shown by a marker that comes
//! first (mostly a PINGRESP); where time itself must pass, [`clock`] waits for a delayed will. Only where the broker's own
//! sense of time is the matter (`stall`, `stall_deadlines`, `wall_clock`, `full_disk`) do tests look at a clock of theirs.

#![expect(
    clippy::unwrap_used,
    reason = "it is allowed in tests, and all of this is tests; clippy sees only the functions marked so"
)]

mod backup;
mod broker;
mod client;
mod clock;
mod events;
mod http;
mod import;
mod import_sessions;

mod accounts;
mod acl;
mod admin;
mod admin_isolation;
mod admin_rest;
mod admin_tls;
mod auth_http;
mod authentication;
mod availability;
mod bridge;
mod bridging;
mod bridging_crash;
mod budgets;
mod cli;
mod cluster;
mod cluster_bans;
mod cluster_messages;
mod cluster_moves;
mod cluster_rest;
mod commands;
mod commands_mqtt;
mod connect;
mod crash;
mod crash_presence;
mod delayed;
mod doors;
mod drain;
mod emqx_dashboard;
mod export;
mod full_disk;
mod groups;
mod half_packets;
mod history;
mod keep_alive;
mod late;
mod levels;
mod limits;
mod listeners;
mod log;
mod log_trace;
mod malformed;
mod malformed_connect;
mod memory;
mod module_hooks;
mod nats;
mod presence;
mod presence_absent;
mod presence_more;
mod presence_query;
mod presence_reasons;
mod presence_settled;
mod presence_state;
mod profiles;
mod proxy_subscription;
mod publish;
mod publish_v5;
mod reload;
mod replay;
mod retained;
mod retainer;
mod revoked;
mod roster;
mod rules;
mod scram;
mod session;
mod session_queue;
mod shared;
mod shared_leaving;
mod sinks;
mod sinks_nats;
mod slow;
mod slow_subscriptions;
mod stall;
mod stall_deadlines;
mod store;
mod storm;
mod subscribe;
mod sys;
mod tags;
mod takeover;
mod topic_metrics;
mod topic_rewrite;
mod trace;
mod turns;
mod unix;
mod uptime;
mod users;
mod wall_clock;
mod watch;
mod will;
