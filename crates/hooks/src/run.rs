//! For who runs modules, as the registry of `mqtt-modules` does: hand each start a [`Ctx::new`](crate::Ctx::new), and
//! what it has registered to [`Hooks::enter`](crate::Hooks::enter). Who shows and changes them asks for [`Modules`].

pub use crate::chains::Entered;
pub use crate::modules::{ChangeError, ModulePages, Modules, Numbers, Offer, Status};
pub use crate::names::{emqx_name, enterprise_name, house_name};
pub use crate::panics::caught_async;
