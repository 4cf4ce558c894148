use std::time::Duration;

use mqtt_config::{Config, Layers};
use mqtt_hooks::SettingKind;

use super::*;

#[test]
fn each_module_has_its_own_defaults() {
    let config = Layers::new(module_sections()).resolve().unwrap();
    for module in mqtt_modules::shipped() {
        let info = module.info();
        let settings = &config.modules[info.name].settings;
        assert_eq!(*settings, info.default_settings(), "{}", info.name);
        module.check(settings).unwrap();
    }
    assert_eq!(Config { modules: Config::default().modules, ..config }, Config::default());
}

#[test]
fn the_time_to_come_back_is_said_to_who_tells_who_fell() {
    let telling: Vec<_> = mqtt_modules::shipped().into_iter().filter(|module| module.tells_who_fell()).collect();
    assert!(!telling.is_empty());
    for module in telling {
        let mut layers = Layers::new(module_sections());
        layers.add_assignment(&format!("modules.{}.recovery_grace=1s", module.info().name)).unwrap();
        assert_eq!(layers.resolve().unwrap().recovery_grace, Duration::from_secs(1));
    }
}

#[test]
fn a_number_out_of_bounds_is_refused_with_its_key() {
    let mut layers = Layers::new(module_sections());
    for info in mqtt_modules::shipped().iter().map(|module| module.info()) {
        for setting in info.settings {
            let SettingKind::Number { min, max } = setting.kind else { continue };
            let (key, over) = (format!("modules.{}.{}", info.name, setting.name), max + 1);
            let wrong = layers.add_assignment(&format!("{key}={over}")).unwrap_err().to_string();
            let expected =
                format!("--set: {key}: invalid value: integer `{over}`, expected a whole number from {min} to {max}");
            assert_eq!(wrong, expected);
        }
    }
}

#[test]
fn what_is_printed_fits_a_screen() {
    let printed = Layers::new(module_sections()).print().unwrap();
    assert!(printed.lines().all(|line| line.len() <= 120), "{printed}");
}
