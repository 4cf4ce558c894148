//! What the modules that ship have in the configuration.

use std::sync::Arc;

use mqtt_config::ModuleSection;
use mqtt_hooks::Module;

/// The modules that ship, in the order in which they are to be registered.
pub(crate) fn modules(auth: &mqtt_auth::Config) -> impl Iterator<Item = Arc<dyn Module>> + use<> {
    mqtt_modules::shipped().into_iter().chain(mqtt_auth::modules(auth)).chain(mqtt_bridge::modules())
}

/// The sections of the modules that ship, for [`Layers::new`](mqtt_config::Layers::new).
pub fn module_sections() -> Vec<ModuleSection> {
    modules(&mqtt_auth::Config::default()).map(ModuleSection::new).collect()
}

#[cfg(test)]
mod tests;
