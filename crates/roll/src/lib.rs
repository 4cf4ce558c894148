//! Who is connected to which node of a cluster: the records of one ordered log, and the fold that every node makes of it.
//!
//! Every node appends what happens at it, every node reads all of it, and what the [`Fold`] tells is the same everywhere:
//! of each client [`Effect::Connected`] and [`Effect::Disconnected`] alternate, the old connection ends before the new one
//! begins, and a node that dies takes its clients with it, once. That holds by the log's order alone, without a lock and
//! without a clock.
//!
//! It opens no socket, reads no clock and awaits nothing, and it knows no MQTT but its rule of takeover. How batches get into
//! a log, and out of it, is for others.
//!
//! ```
//! use bytes::{Bytes, BytesMut};
//! use mqtt_roll::{Effect, Fold, Head, Join, Record, Up, READS};
//!
//! let mut records = BytesMut::new();
//! Record::Join(Join { nonce: 7, addr: "".into(), versions: READS }).encode(&mut records);
//! let up = Up { client: "anna".into(), conn: 1, is_clean: true, is_kept: false, at: 0, info: Bytes::new(), will: None };
//! Record::Up(up).encode(&mut records);
//! let head = Head { node: "attic".into(), epoch: 1, n: 0, beat: 0, at: 0 };
//!
//! let mut fold = Fold::new();
//! fold.handle_batch(1, head.encode(&records))?;
//! assert!(matches!(fold.poll_effect(), Some(Effect::Joined { .. })));
//! assert!(matches!(fold.poll_effect(), Some(Effect::Connected(anna)) if anna.event == 1));
//! assert_eq!(fold.poll_effect(), None);
//! assert_eq!(fold.client("anna").map(|anna| &*anna.node.name), Some("attic"));
//! # Ok::<_, mqtt_roll::Error>(())
//! ```

mod batch;
mod digest;
mod effect;
mod error;
mod fold;
mod liveness;
mod record;
mod wire;

pub use batch::{Batch, Head, MAX_BATCH, Records};
pub use digest::Digest;
pub use effect::{Connected, Disconnected, Effect, End, Reason};
pub use error::Error;
pub use fold::{
    CHECK_EVERY, Client, Fold, Handled, Life, MAX_CLIENTS, MAX_NODES, MAX_SETTINGS, MAX_TRAILS, Node, READS, Verdict,
};
pub use liveness::{BEATS, Liveness};
pub use record::{
    Dead, Down, Join, MAX_CLIENT, MAX_INFO, MAX_NAME, MAX_REASON, MAX_SETTING, MAX_WILL, Record, Up, Versions, Will,
};
