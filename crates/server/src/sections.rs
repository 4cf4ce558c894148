//! What the modules that ship have in the configuration.

use mqtt_config::ModuleSection;
use mqtt_hooks::{Info, Setting};
use serde_json::Value;

/// The sections of the modules that ship, for [`Layers::new`](mqtt_config::Layers::new).
pub fn module_sections() -> Vec<ModuleSection> {
    let modules = mqtt_modules::shipped().into_iter();
    let section = modules.map(|module| {
        let info = module.info();
        ModuleSection {
            name: info.name,
            about: info.description,
            settings: info.settings,
            has_recovery_grace: module.tells_who_fell(),
            check: Box::new(move |settings| module.check(settings).map_err(|error| error.to_string())),
        }
    });
    section.collect()
}

/// Of a module that nothing was said about.
pub(crate) fn default_settings(info: &Info) -> Value {
    let setting = |setting: &Setting| Some((setting.name.to_owned(), serde_json::from_str(setting.default).ok()?));
    Value::Object(info.settings.iter().filter_map(setting).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mqtt_config::{Config, Layers};
    use mqtt_modules::presence;

    use super::*;

    #[test]
    fn presence_has_the_defaults_of_its_module() {
        let config = Layers::new(module_sections()).resolve().unwrap();
        let settings = config.modules["presence"].settings.clone();
        assert_eq!(serde_json::from_value::<presence::Settings>(settings).unwrap(), presence::Settings::default());
        let info = mqtt_modules::shipped()[0].info();
        assert_eq!(config.modules["presence"].settings, default_settings(&info));
        assert_eq!(Config { modules: Config::default().modules, ..config }, Config::default());
    }

    #[test]
    fn the_time_to_come_back_is_said_to_presence() {
        let mut layers = Layers::new(module_sections());
        layers.add_assignment("modules.presence.recovery_grace=1s").unwrap();
        assert_eq!(layers.resolve().unwrap().recovery_grace, Duration::from_secs(1));
        let wrong = layers.add_assignment("modules.presence.qos=3").unwrap_err().to_string();
        assert_eq!(
            wrong,
            "--set: modules.presence.qos: invalid value: integer `3`, expected a whole number from 0 to 2"
        );
    }

    #[test]
    fn what_is_printed_fits_a_screen() {
        let printed = Layers::new(module_sections()).print().unwrap();
        assert!(printed.lines().all(|line| line.len() <= 120), "{printed}");
    }
}
