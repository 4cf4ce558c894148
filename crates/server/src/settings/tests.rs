use super::*;

#[test]
fn who_uses_the_broker_alone_has_the_same_defaults() {
    let said = said::Config { data_dir: None, ..said::Config::default() };
    assert_eq!(broker(&said), Config::default());
}

#[test]
fn events_of_earlier_versions_go_to_one_module() {
    let folder = Some("d".into());
    let store = broker(&said::Config { data_dir: folder, ..said::Config::default() }).store;
    assert!(store.is_some_and(|store| store.events_for.is_some()));
    assert_eq!(mqtt_modules::shipped().iter().filter(|module| module.takes_over_events()).count(), 1);
}
