//! What a module author needs: [`Module`], hooks, facts and the [`Registry`] with its start and stop; and the modules
//! that ship, [`presence`] first.
//!
//! It knows neither the server nor sockets: a module sees the broker as its [`Host`].

mod fact;
mod hook;
mod host;
mod module;
pub mod presence;
mod registry;

pub use fact::{ConnectionInfo, Fact, Initiator, Reason};
pub use hook::{Access, Authenticate, Authorize, Hooks, Intercept, Observe, Verdict};
pub use host::Host;
pub use module::{Ctx, Info, Module, StartError};
pub use registry::{ChangeError, MemoryStates, Registry, States, Status};
