use std::{ffi::OsString, num::NonZeroUsize, path::Path, time::Duration};

use mqtt_hooks::{Setting, SettingKind};

use super::*;

const SETTINGS: [Setting; 3] = [
    Setting {
        name: "qos",
        title: "Quality",
        description: "Of what it says.",
        kind: SettingKind::Number { min: 0, max: 2 },
        default: "1",
    },
    Setting {
        name: "missing",
        title: "Missing names",
        description: "What stands for a name.",
        kind: SettingKind::Choice(&["undefined", "null"]),
        default: "\"undefined\"",
    },
    Setting { name: "loud", title: "Loud", description: "Says more.", kind: SettingKind::Switch, default: "false" },
];

/// With a module called watch, which is not to be loud at quality 0.
pub(crate) fn with_watch() -> Layers {
    let check = |settings: &serde_json::Value| match settings["loud"] == true && settings["qos"] == 0 {
        true => Err("loud wants a qos".to_owned()),
        false => Ok(()),
    };
    let about = "Tells who leaves.";
    let watch =
        ModuleSection { name: "watch", about, settings: &SETTINGS, check: Box::new(check), has_recovery_grace: true };
    Layers::new(vec![watch])
}

pub(crate) fn toml(text: &str) -> Result<Layers, Error> {
    let mut layers = with_watch();
    layers.add_toml(Path::new("r.toml"), text)?;
    Ok(layers)
}

pub(crate) fn env(layers: &mut Layers, name: &str, value: &str) -> Result<(), Error> {
    layers.add_env([(OsString::from(name), OsString::from(value))])
}

#[track_caller]
pub(crate) fn reads(text: &str) -> Config {
    toml(text).and_then(|layers| layers.resolve()).unwrap_or_else(|error| panic!("{error}"))
}

/// The text is refused with exactly this line.
#[track_caller]
pub(crate) fn fails(text: &str, line: &str) {
    let error = toml(text).and_then(|layers| layers.resolve()).expect_err(text);
    assert_eq!(error.to_string(), line);
}

#[track_caller]
pub(crate) fn set_fails(assignment: &str, line: &str) {
    assert_eq!(with_watch().add_assignment(assignment).expect_err(assignment).to_string(), line);
}

#[test]
fn the_defaults_are_those_of_an_empty_file() {
    assert_eq!(Layers::new(Vec::new()).resolve().unwrap(), Config::default());
    assert_eq!(reads(""), with_watch().resolve().unwrap());
}

#[test]
fn the_contract_names_the_defaults() {
    let config = Config::default();
    assert_eq!(config.listeners[0].bind.to_string(), "127.0.0.1:1883");
    assert_eq!(config.node.name, "rollcall@127.0.0.1");
    assert_eq!(config.mqtt.session_expiry, Duration::from_secs(7200));
    assert_eq!(config.mqtt.max_session_expiry, u32::MAX);
    assert_eq!(config.mqtt.server_keep_alive, None);
    assert_eq!(config.limits.max_packet_size, 16 << 20);
    assert_eq!(config.session.max_queued, 1_000_000);
    assert_eq!(config.recovery_grace, Duration::from_secs(5));
    assert_eq!(config.auth.anonymous, Anonymous::All);
}

#[test]
fn values_are_read_in_every_form() {
    let config = reads(
        r#"
        [listeners.mqtt]
        bind = "[::1]:0"
        [mqtt]
        max_session_expiry = "90s"
        server_keep_alive = 60
        [limits]
        max_packet_size = "2 MiB"
        outbox = 4096
        memory = "3gib"
        [sys]
        subscribe = "all"
        [log]
        format = "json"
        level = "INFO,mqtt_session=debug"
        [modules.watch]
        enabled = false
        missing = "null"
        [runtime]
        workers = 3
        "#,
    );
    assert_eq!(config.listeners[0].bind.to_string(), "[::1]:0");
    assert_eq!(config.mqtt.max_session_expiry, 90);
    assert_eq!(config.mqtt.server_keep_alive, Some(60));
    assert_eq!(config.limits.max_packet_size, 2 << 20);
    assert_eq!(config.limits.outbox, 4096);
    assert_eq!(config.limits.memory, Some(3 << 30));
    assert_eq!(config.sys.subscribe, SysSubscribe::All);
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.modules["watch"].enabled, Some(false));
    assert_eq!(config.modules["watch"].settings["missing"], "null");
    assert_eq!(config.modules["watch"].settings.get("enabled"), None);
    assert_eq!(config.runtime.workers.map(NonZeroUsize::get), Some(3));
}

#[test]
fn a_module_has_the_settings_it_describes() {
    let config = reads("");
    let settings = serde_json::json!({"qos": 1, "missing": "undefined", "loud": false});
    assert_eq!(config.modules["watch"], ModuleConfig { enabled: None, settings });
    fails(
        "[modules.watch]\nloud = 1",
        "r.toml:2: modules.watch.loud: invalid value: integer `1`, expected true or false",
    );
    fails(
        "[modules.watch]\nmissing = \"none\"",
        "r.toml:2: modules.watch.missing: invalid value: string \"none\", expected \"undefined\" or \"null\"",
    );
    fails(
        "[modules.watch]\nenabled = 1",
        "r.toml:2: modules.watch.enabled: invalid type: integer `1`, expected a boolean",
    );
    fails("[modules.watch]\nqos = 0\nloud = true", "default: modules.watch: loud wants a qos");
    let mut layers = with_watch();
    env(&mut layers, "ROLLCALL_MODULES__WATCH__MISSING", "null").unwrap();
    assert_eq!(layers.resolve().unwrap().modules["watch"].settings["missing"], "null");
}

#[test]
fn the_time_to_come_back_stands_where_the_module_tells_who_is_gone() {
    let config = reads("[modules.watch]\nrecovery_grace = \"1m\"");
    assert_eq!(config.recovery_grace, Duration::from_secs(60));
    assert_eq!(config.modules["watch"].settings.get("recovery_grace"), None);
}

#[test]
fn later_layers_win_key_by_key() {
    let mut layers = toml("[limits]\nmax_inflight = 1\nreceive_maximum = 2\ntopic_alias_maximum = 3").unwrap();
    env(&mut layers, "ROLLCALL_LIMITS__RECEIVE_MAXIMUM", "20").unwrap();
    env(&mut layers, "ROLLCALL_LIMITS__TOPIC_ALIAS_MAXIMUM", "30").unwrap();
    layers.add_assignment("limits.topic_alias_maximum=300").unwrap();
    let limits = layers.resolve().unwrap().limits;
    assert_eq!((limits.max_inflight, limits.receive_maximum, limits.topic_alias_maximum), (1, 20, 300));
}

#[test]
fn text_is_taken_as_toml_or_as_it_is() {
    for (assignment, name) in [("a@b", "a@b"), ("\"a@b\"", "a@b"), ("7", "7"), ("true", "true"), ("x=y", "x=y")] {
        let mut layers = with_watch();
        layers.add_assignment(&format!("node.name={assignment}")).unwrap();
        assert_eq!(layers.resolve().unwrap().node.name, name);
    }
    let mut layers = with_watch();
    env(&mut layers, "ROLLCALL_LIMITS__MAX_PACKET_SIZE", "64KiB").unwrap();
    env(&mut layers, "ROLLCALL_AUTH__ANONYMOUS", "false").unwrap();
    env(&mut layers, "ROLLCALL_DATA_DIR", "memory").unwrap();
    let config = layers.resolve().unwrap();
    assert_eq!(config.limits.max_packet_size, 65_536);
    assert_eq!(config.auth.anonymous, Anonymous::None);
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_nearest() {
    fails("\n[mqtt]\nbnid = 1", "r.toml:3: unknown key mqtt.bnid; the nearest is mqtt.bind");
    fails("[mqt]\nbind = 1", "r.toml:2: unknown key mqt.bind; the nearest is mqtt.bind");
    fails("[mqt]", "r.toml:1: unknown key mqt; the nearest is mqtt");
    fails("max_packet_size = 9", "r.toml:1: unknown key max_packet_size; the nearest is limits.max_packet_size");
    fails("[modules.wach]\nqos = 1", "r.toml:2: unknown key modules.wach.qos; the nearest is modules.watch.qos");
    fails("[modules.watch]\nqso = 1", "r.toml:2: unknown key modules.watch.qso; the nearest is modules.watch.qos");
    fails("[mqtt]\n\"bi\\nd\" = 1", "r.toml:2: unknown key mqtt.bi\\nd; the nearest is mqtt.bind");
    set_fails("mqtt.bnid=1", "--set: unknown key mqtt.bnid; the nearest is mqtt.bind");
    let error = env(&mut with_watch(), "ROLLCALL_LIMITS__OUTBOXES", "1").unwrap_err();
    assert_eq!(
        error.to_string(),
        "ROLLCALL_LIMITS__OUTBOXES: unknown key limits.outboxes; the nearest is limits.outbox"
    );
}

/// What is said of these variables, with no setting among them.
#[track_caller]
fn ignored(names: &[&str]) -> String {
    let mut layers = with_watch();
    for name in names {
        env(&mut layers, name, "tcp://10.0.0.1:1883").unwrap_or_else(|error| panic!("{error}"));
    }
    assert_eq!(layers.resolve().unwrap(), reads(""));
    layers.ignored().to_string()
}

#[test]
fn variables_that_kubernetes_sets_beside_a_service_are_ignored_and_listed() {
    assert_eq!(
        ignored(&[
            "ROLLCALL_PORT",
            "ROLLCALL_SERVICE_HOST",
            "ROLLCALL_PORT_1883_TCP_ADDR",
            "ROLLCALL_MQTT",
            "ROLLCALL_",
            "ROLLCALLED",
        ]),
        "ROLLCALL_PORT, ROLLCALL_SERVICE_HOST, ROLLCALL_PORT_1883_TCP_ADDR, ROLLCALL_MQTT, ROLLCALL_"
    );
    assert_eq!(ignored(&["PATH"]), "");
    assert_eq!(ignored(&["ROLLCALL_A\nB"]), "ROLLCALL_A\\nB");
}

#[test]
fn an_ignored_variable_that_is_nearly_a_setting_is_named_first_and_with_it() {
    assert_eq!(
        ignored(&["ROLLCALL_PORT", "ROLLCALL_DATADIR", "ROLLCALL_MQTT_BIND"]),
        "ROLLCALL_DATADIR (nearly ROLLCALL_DATA_DIR), ROLLCALL_MQTT_BIND (nearly ROLLCALL_MQTT__BIND), ROLLCALL_PORT"
    );
    assert_eq!(ignored(&["ROLLCALL_MQTT_PORT", "ROLLCALL_NAME"]), "ROLLCALL_MQTT_PORT, ROLLCALL_NAME");
}

#[test]
fn a_variable_that_is_ignored_may_be_no_text() {
    use std::os::unix::ffi::OsStringExt;

    let add = |name: &str| with_watch().add_env([(OsString::from(name), OsString::from_vec(vec![0xff]))]);
    add("ROLLCALL_PORT").unwrap();
    assert_eq!(add("ROLLCALL_DATA_DIR").unwrap_err().to_string(), "ROLLCALL_DATA_DIR: not UTF-8");
}

#[test]
fn a_variable_with_a_section_is_meant_as_a_setting() {
    let fails = |name, line| assert_eq!(env(&mut with_watch(), name, "1").unwrap_err().to_string(), line);
    fails("ROLLCALL_MQTT__BND", "ROLLCALL_MQTT__BND: unknown key mqtt.bnd; the nearest is mqtt.bind");
    fails("ROLLCALL_MODULES__WATCH", "ROLLCALL_MODULES__WATCH: modules.watch: is a section, wants keys of its own");
}

#[test]
fn a_wrong_value_says_what_is_wanted() {
    fails(
        "[limits]\n\nreceive_maximum = 0",
        "r.toml:3: limits.receive_maximum: invalid value: integer `0`, expected a whole number from 1 to 65535",
    );
    fails(
        "[limits]\nmax_packet_size = \"1 MB\"",
        "r.toml:2: limits.max_packet_size: invalid value: string \"1 MB\", \
         expected a size from 128B to 268435455B, as bytes or like \"64KiB\" or \"1MiB\"",
    );
    fails(
        "[mqtt]\nconnect_timeout = 10",
        "r.toml:2: mqtt.connect_timeout: invalid type: integer `10`, \
         expected a time like \"500ms\", \"30s\" or \"2h\", at least 1ms and at most 136 years",
    );
    fails(
        "[admin]\nbind = \"localhost\"",
        "r.toml:2: admin.bind: invalid value: string \"localhost\", \
         expected \"off\" or an IP address and a port like \"127.0.0.1:1883\"",
    );
    fails(
        "[sys]\nsubscribe = \"some\"",
        "r.toml:2: sys.subscribe: unknown variant `some`, expected one of `loopback`, `all`, `none`",
    );
    set_fails(
        "modules.watch.qos=3",
        "--set: modules.watch.qos: invalid value: integer `3`, expected a whole number from 0 to 2",
    );
    set_fails(
        "limits.max_inflight=many",
        "--set: limits.max_inflight: invalid type: string \"many\", expected a whole number from 1 to 65535",
    );
    fails("mqtt = 5", "r.toml:1: mqtt: is a section, wants keys of its own");
    fails("[modules]\nwatch = true", "r.toml:2: modules.watch: is a section, wants keys of its own");
    fails("[node.name]", "r.toml:1: node.name: invalid type: map, expected a string");
    for name in ["", "a/b", "a+", "#", "a b", "a\\n"] {
        let error = reads_error(&format!("[node]\nname = \"{name}\""));
        assert!(error.starts_with("r.toml:2: node.name: \""), "{error}");
        assert!(error.ends_with(": wants 1 to 255 bytes without '/', '+', '#' and spaces"), "{error}");
    }
}

#[track_caller]
pub(crate) fn reads_error(text: &str) -> String {
    toml(text).and_then(|layers| layers.resolve()).expect_err(text).to_string()
}

#[test]
fn a_level_that_is_none_is_no_target() {
    let error = reads_error("[log]\nlevel = \"inof\"");
    assert!(error.starts_with("r.toml:2: log.level: \"inof\" is no level; wants"), "{error}");
    assert!(reads_error("[log]\nlevel = \"a=b=c\"").starts_with("r.toml:2: log.level: \"a=b=c\": "));
}

#[test]
fn broken_toml_names_its_line() {
    let error = reads_error("[mqtt]\nbind = \n");
    assert!(error.starts_with("r.toml:2: ") && !error.contains('\n'), "{error}");
    let error = reads_error("[limits]\nmax_inflight = 99999999999999999999");
    assert!(error.starts_with("r.toml:2: ") && !error.contains('\n'), "{error}");
}

#[test]
fn an_unreadable_file_is_named() {
    let error = with_watch().add_file(Path::new("no/such.toml")).unwrap_err().to_string();
    assert!(error.starts_with("no/such.toml: "), "{error}");
}

#[test]
fn what_is_off_is_fine() {
    reads("data_dir = \"memory\"\n[ws]\nbind = \"off\"\n[admin]\nbind = \"off\"");
}

#[test]
fn a_password_is_read_and_never_shown() {
    let mut layers = with_watch();
    layers.add_toml(Path::new("r.toml"), "[admin]\npassword = \"open sesame\"").unwrap();
    let config = layers.resolve().unwrap();
    assert_eq!(config.admin.password.as_deref(), Some("open sesame"));
    for shown in [layers.print().unwrap(), format!("{config:?}")] {
        assert!(!shown.contains("sesame"), "{shown}");
    }
    assert!(layers.print().unwrap().contains("# password is a secret and not shown: r.toml:2"));
    assert!(reads_error("[admin]\npassword = \"\"").contains("not empty"));
}

#[test]
fn a_password_that_is_guessed_at_once_is_refused_wherever_it_is_said() {
    for short in ["letmein", "public", "1234567", "ééééééé"] {
        let why = reads_error(&format!("[admin]\npassword = \"{short}\""));
        assert!(why.starts_with("r.toml:2: admin.password: wants 8 to 1024 characters"), "{why}");
        assert!(!why.contains(short), "{why}");
        let mut layers = with_watch();
        layers.add_env([("ROLLCALL_ADMIN__PASSWORD".into(), short.into())]).unwrap();
        let why = layers.resolve().unwrap_err().to_string();
        assert!(why.contains("ROLLCALL_ADMIN__PASSWORD") && why.contains("8 to 1024"), "{why}");
    }
    assert_eq!(reads("[admin]\npassword = \"12345678\"").admin.password.as_deref(), Some("12345678"));
    assert!(reads_error(&format!("[admin]\npassword = \"{}\"", "x".repeat(1025))).contains("8 to 1024"));
}

#[test]
fn a_proxy_is_believed_where_it_is_said_who_and_in_which_header() {
    let admin = reads("[admin]\ntrusted_proxies = [\"10.0.0.0/8\"]\nuser_header = \"X-Forwarded-User\"").admin;
    assert_eq!((admin.trusted_proxies.len(), admin.user_header.as_deref()), (1, Some("X-Forwarded-User")));
    for (said, why) in [
        ("trusted_proxies = [\"10.0.0.1\"]", "admin.user_header: is missing"),
        ("user_header = \"X-User\"", "admin.trusted_proxies: is missing"),
        ("trusted_proxies = \"10.0.0.1\"\nuser_header = \"Cookie\"", "a header of its own"),
        ("trusted_proxies = \"10.0.0.1\"\nuser_header = \"a b\"", "a header of its own"),
        ("trusted_proxies = \"all\"\nuser_header = \"X-User\"", "admin.trusted_proxies"),
    ] {
        let found = reads_error(&format!("[admin]\n{said}"));
        assert!(found.contains(why), "{said}: {found}");
    }
}

#[test]
fn a_node_of_a_cluster_has_a_name_of_its_own_and_says_secrets_where_they_are_kept() {
    let nats = "[cluster]\nnats = [\"nats://10.0.0.1:4222\"]\n";
    fails(
        nats,
        "default: node.name: \"rollcall@127.0.0.1\" is what each has: wants another name for each node of a cluster",
    );
    let cluster = reads(&format!("[node]\nname = \"a@1\"\n{nats}user = \"u\"\npassword = \"secret\"")).cluster;
    let cluster = cluster.expect("it says where the servers are");
    assert_eq!((&*cluster.name, &cluster.nats[..]), ("rollcall", &["nats://10.0.0.1:4222".to_owned()][..]));
    assert!(!format!("{cluster:?}").contains("secret"));
    assert_eq!(reads("[cluster]\nname = \"x\"").cluster, None);
    let why = toml("[cluster]\nnats = [\"nats://u:secret@10.0.0.1:4222\"]").unwrap_err().to_string();
    assert!(why.contains("wants an address like") || why.contains("expected an address like"), "{why}");
    fails("[cluster]\nkey = \"a.key\"", "default: cluster.cert: wants the certificate of cluster.key");
}

#[test]
fn tls_at_the_admin_port_wants_all_its_files() {
    assert_eq!(reads("").admin.tls, None);
    let tls = reads("[admin]\ncert = \"a.pem\"\nkey = \"a.key\"\nca = \"ca.pem\"\nverify = \"required\"").admin.tls;
    let tls = tls.expect("it is on");
    assert_eq!((tls.certs, tls.keys, tls.ca), (vec!["a.pem".into()], vec!["a.key".into()], Some("ca.pem".into())));
    for (said, why) in [
        ("key = \"a.key\"", "admin.cert: is missing"),
        ("cert = \"a.pem\"", "admin.key: 0 keys for 1 certificates"),
        ("ca = \"ca.pem\"", "admin.cert: is missing"),
        ("cert = \"a.pem\"\nkey = \"a.key\"\nca = \"ca.pem\"", "admin.verify: is missing"),
        ("cert = \"a.pem\"\nkey = \"a.key\"\nverify = \"required\"", "admin.ca: is missing; admin.verify wants"),
    ] {
        let found = reads_error(&format!("[admin]\n{said}"));
        assert!(found.contains(why), "{said}: {found}");
    }
}

#[test]
fn a_wide_address_needs_anonymous_said_or_somebody_who_asks() {
    let auth = |bind: &str, auth: &str| {
        let auth = reads(&format!("[listeners.mqtt]\nbind = \"{bind}\"\n{auth}")).auth;
        (auth.anonymous, auth.unguarded)
    };
    for bind in ["0.0.0.0:1883", "[::]:1883", "192.0.2.1:1883"] {
        for (said, anonymous) in [("", Anonymous::Loopback), ("[auth]\nanonymous = false", Anonymous::None)] {
            let (found, unguarded) = auth(bind, said);
            assert_eq!(found, anonymous);
            let why = unguarded.expect("nobody asks");
            assert!(
                why.starts_with("r.toml:2: listeners.mqtt.bind: ") && why.contains("auth.anonymous = true"),
                "{why}"
            );
        }
        assert_eq!(auth(bind, "[auth]\nanonymous = true"), (Anonymous::All, None));
    }
    for bind in ["127.0.0.2:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert_eq!(auth(bind, ""), (Anonymous::All, None));
        assert_eq!(auth(bind, "[auth]\nanonymous = false"), (Anonymous::None, None));
    }
}

#[test]
fn what_is_printed_reads_the_same() {
    for text in [
        "",
        "[listeners.mqtt]\nbind = \"0.0.0.0:7\"\n[mqtt]\nconnect_timeout = \"1500ms\"\nmax_session_expiry = \"1day 1s\"\n\
         [auth]\nanonymous = true\n[limits]\nmemory = \"1025KiB\"\nmax_packet_size = 12345\n\
         [node]\nname = \"\\\"'\"\n[modules.watch]\nenabled = true\nqos = 2",
    ] {
        let first = toml(text).unwrap();
        let printed = first.print().unwrap();
        let second = toml(&printed).unwrap_or_else(|error| panic!("{error}\n{printed}"));
        assert_eq!(first.resolve().unwrap(), second.resolve().unwrap(), "{printed}");
    }
}

#[test]
fn a_file_name_stays_in_its_comment() {
    let mut layers = with_watch();
    layers.add_toml(Path::new("a\nb"), "data_dir = \"memory\"").unwrap();
    assert!(layers.print().unwrap().contains("data_dir = \"memory\" # a b:1\n"));
}

#[test]
fn printing_tells_what_keys_mean_and_who_set_them() {
    let mut layers = toml("[log]\n\nlevel = \"warn\"").unwrap();
    layers.add_flag("--bind", "listeners.mqtt.bind", "127.0.0.1:0").unwrap();
    let printed = layers.print().unwrap();
    for line in [
        "# What holds for all clients.\n[mqtt]\n# Time from accept ",
        "\nbind = \"127.0.0.1:0\" # --bind\n",
        "\nlevel = \"warn\" # r.toml:3\n",
        "\n# anonymous is not set\n",
        "\nmax_packet_size = \"16MiB\"\n",
        "\ndata_dir = \"data\"\n",
        "\n# Tells who leaves.\n[modules.watch]\n",
        "\n# Quality. Of what it says. Takes a whole number from 0 to 2.\nqos = 1\n",
        "\n# Missing names. What stands for a name. Takes \"undefined\" or \"null\".\nmissing = \"undefined\"\n",
        "\n# Loud. Says more.\nloud = false\n",
    ] {
        assert!(format!("\n{printed}").contains(line), "{line} in\n{printed}");
    }
    assert!(printed.lines().all(|line| line.len() <= 130), "{printed}");
}
