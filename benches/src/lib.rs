//! The load driver's parts: one process, one thread, prebuilt frames out, counted frames in.
//!
//! It shares the machine with the broker it measures, so it must cost well below the broker per message: it decodes
//! no message it receives, only skims the frames for what it has to count and to acknowledge.

pub mod case;
pub mod churn;
pub mod clients;
pub mod door;
pub mod flow;
pub mod layers;
pub mod outcome;
pub mod peer;
pub mod process;
pub mod queue;
pub mod slow;
pub mod state;
pub mod wire;
