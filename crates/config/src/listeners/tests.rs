use std::path::Path;

use crate::{
    Address, Anonymous, Config, CrlStale, Listener, ListenerKind, Origins, Place, Verify,
    tests::{env, fails, reads, set_fails, toml, with_watch},
};

fn set(assignments: &[&str]) -> crate::Layers {
    let mut layers = with_watch();
    for assignment in assignments {
        layers.add_assignment(assignment).unwrap_or_else(|error| panic!("{error}"));
    }
    layers
}

/// What is said is right alone, and together it is refused with exactly this line.
#[track_caller]
fn all_fail(assignments: &[&str], line: &str) {
    assert_eq!(set(assignments).resolve().expect_err(line).to_string(), line);
}

fn names(config: &Config) -> Vec<&str> {
    config.listeners.iter().map(|listener| &*listener.name).collect()
}

#[test]
fn two_are_there_from_the_start() {
    let default = Config::default().listeners;
    assert_eq!(default[0], Listener::new("mqtt", ([127, 0, 0, 1], 1883).into()));
    assert_eq!((&*default[1].name, default[1].kind), ("ws", ListenerKind::Ws));
    assert_eq!(default[1].bind.to_string(), "127.0.0.1:8083");
    assert_eq!(default[1].web.as_ref().unwrap().path, "/mqtt");
    assert_eq!(default.len(), 2);
    let config = reads("[listeners.mqtt]\nbacklog = 7");
    assert_eq!(config.listeners[0].bind.to_string(), "127.0.0.1:1883");
    assert_eq!(config.listeners[0].backlog, 7);
}

#[test]
fn others_are_added_by_name_and_stand_in_its_order_after_the_first() {
    let text = "[listeners.second]\nkind = \"mqtt\"\nbind = \"127.0.0.1:1884\"\n\
                [listeners.a_1-b]\nkind = \"mqtt\"\nbind = \"[::1]:0\"\nbacklog = 9";
    let config = reads(text);
    assert_eq!(names(&config), ["mqtt", "ws", "a_1-b", "second"]);
    assert_eq!(config.listeners[3], Listener::new("second", ([127, 0, 0, 1], 1884).into()));
    assert_eq!(config.listeners[2].backlog, 9);

    let mut layers = set(&["listeners.second.kind=mqtt"]);
    env(&mut layers, "ROLLCALL_LISTENERS__SECOND__BIND", "127.0.0.1:1885").unwrap();
    assert_eq!(layers.resolve().unwrap().listeners[2].bind.port(), 1885);
}

#[test]
fn one_that_is_off_is_not_there() {
    assert_eq!(names(&reads("[listeners.mqtt]\nbind = \"off\"")), ["ws"]);
    assert_eq!(names(&reads("[ws]\nbind = \"off\"")), ["mqtt"]);
    let text = "[listeners.second]\nkind = \"mqtt\"\nbind = \"off\"";
    assert_eq!(names(&reads(text)), ["mqtt", "ws"]);
    let mut config = reads("[listeners.mqtt]\nbind = \"off\"");
    config.use_free_ports();
    assert_eq!(config.listeners[0].bind.to_string(), "127.0.0.1:0");
}

#[test]
fn a_name_is_a_short_word() {
    let rule = "the name of a listener wants 1 to 32 lower-case letters, digits, '-' and '_'";
    set_fails("listeners.Second.kind=mqtt", &format!("--set: listeners.Second: {rule}"));
    set_fails("listeners.a b.bind=off", &format!("--set: listeners.a b: {rule}"));
    set_fails("listeners..bind=off", &format!("--set: listeners.: {rule}"));
    fails("[listeners.\"a.b\"]\nbind = \"off\"", &format!("r.toml:2: listeners.a.b: {rule}"));
    fails("[listeners.\"a\\nb\"]\nbind = \"off\"", &format!("r.toml:1: listeners.a\\nb: {rule}"));
    fails("[listeners.\"ö\"]", &format!("r.toml:1: listeners.ö: {rule}"));
    let longest = "a".repeat(32);
    set_fails(&format!("listeners.{longest}a.bind=off"), &format!("--set: listeners.{longest}a: {rule}"));
    set(&[&format!("listeners.{longest}.kind=mqtt"), &format!("listeners.{longest}.bind=off")]).resolve().unwrap();
    for taken in ["admin", "memory", "node", "pid"] {
        let line = format!("--set: listeners.{taken}: something else is called so; wants another name");
        set_fails(&format!("listeners.{taken}.kind=mqtt"), &line);
    }
}

#[test]
fn a_kind_that_is_not_known_is_refused_with_what_there_is() {
    set_fails(
        "listeners.x.kind=mqqt",
        "--set: listeners.x.kind: invalid value: string \"mqqt\", expected \"mqtt\", \"mqtts\", \"ws\" or \"wss\"",
    );
}

#[test]
fn tls_wants_its_files() {
    let tls = ["listeners.tls.kind=mqtts", "listeners.tls.bind=127.0.0.1:8883"];
    fn all<'a>(tls: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
        [tls, more].concat()
    }
    all_fail(&tls, "--set: listeners.tls.cert: is missing; the listener tls wants the file of its certificate, in PEM");
    let (cert, key) = ("listeners.tls.cert=a.pem", "listeners.tls.key=a.key");
    let line = "listeners.tls.key: 0 keys for 1 certificates; wants as many, in the same order";
    all_fail(&all(&tls, &[cert]), &format!("--set: {line}"));
    let config = set(&all(&tls, &[cert, key])).resolve().unwrap();
    let listener = &config.listeners[2];
    assert_eq!((listener.kind, listener.web.is_none()), (ListenerKind::Mqtts, true));
    let found = listener.tls.as_ref().unwrap();
    assert_eq!((&*found.certs, &*found.keys), (&["a.pem".into()][..], &["a.key".into()][..]));

    let several = set(&all(&tls, &["listeners.tls.cert=a.pem, b.pem", "listeners.tls.key=[\"a.key\", \"b.key\"]"]));
    assert_eq!(several.resolve().unwrap().listeners[2].tls.as_ref().unwrap().keys.len(), 2);

    let (required, ca) = ("listeners.tls.verify=required", "listeners.tls.ca=ca.pem");
    let error = set(&all(&tls, &[cert, key, required])).resolve().unwrap_err().to_string();
    assert!(error.starts_with("--set: listeners.tls.ca: is missing; "), "{error}");
    let error = set(&all(&tls, &[cert, key, ca])).resolve().unwrap_err().to_string();
    assert!(error.starts_with("--set: listeners.tls.verify: is missing; "), "{error}");
    let found = set(&all(&tls, &[cert, key, ca, required])).resolve().unwrap();
    assert_eq!(found.listeners[2].tls.as_ref().unwrap().verify, Verify::Required);

    let stale = "listeners.tls.crl_stale=refuse";
    let why = "--set: listeners.tls.crl: is missing; crl_stale is about the file that it names";
    all_fail(&all(&tls, &[cert, key, ca, required, stale]), why);
    let found = set(&all(&tls, &[cert, key, ca, required, stale, "listeners.tls.crl=crl.pem"])).resolve().unwrap();
    assert_eq!(found.listeners[2].tls.as_ref().unwrap().crl_stale, CrlStale::Refuse);
}

#[test]
fn what_would_have_no_effect_is_refused() {
    let tls = "is for TLS; the listener wants kind = \"mqtts\" or \"wss\" then";
    all_fail(&["listeners.mqtt.cert=a.pem"], &format!("--set: listeners.mqtt.cert: {tls}"));
    all_fail(&["listeners.ws.verify=none"], &format!("--set: listeners.ws.verify: {tls}"));
    let web = "is for WebSocket; the listener wants kind = \"ws\" or \"wss\" then";
    all_fail(&["listeners.mqtt.path=/x"], &format!("--set: listeners.mqtt.path: {web}"));
    all_fail(
        &["listeners.mqtt.bind=off", "listeners.mqtt.origins=*"],
        &format!("--set: listeners.mqtt.origins: {web}"),
    );
}

#[test]
fn pages_of_elsewhere_may_not_speak_with_a_broker_for_this_machine() {
    let origins = |said: &[&str]| set(said).resolve().unwrap().listeners[1].web.clone().unwrap().origins;
    assert_eq!(origins(&[]), Origins::Local);
    assert_eq!(origins(&["listeners.ws.bind=[::1]:0"]), Origins::Local);
    assert_eq!(origins(&["listeners.ws.bind=0.0.0.0:8083", "auth.anonymous=true"]), Origins::Any);
    assert_eq!(origins(&["listeners.ws.origins=*"]), Origins::Any);
    let these = ["https://a.example", "http://b.example:3000"];
    assert_eq!(
        origins(&[&format!("listeners.ws.origins={}", these.join(","))]),
        Origins::These(these.map(Into::into).into())
    );
    set_fails(
        "listeners.ws.origins=a.example",
        "--set: listeners.ws.origins: invalid value: string \"a.example\", \
         expected an origin like \"https://app.example.com\", or \"*\"",
    );
    all_fail(&["listeners.ws.path=mqtt"], "--set: listeners.ws.path: \"mqtt\": wants a path like \"/mqtt\"");
}

#[test]
fn proxies_are_addresses_and_ranges() {
    let config = set(&["listeners.mqtt.proxy_from=10.0.0.0/8, 127.0.0.1,::1"]).resolve().unwrap();
    let shown: Vec<_> = config.listeners[0].proxy_from.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["10.0.0.0/8", "127.0.0.1/32", "::1/128"]);
    set_fails(
        "listeners.ws.forwarded_from=localhost",
        "--set: listeners.ws.forwarded_from: invalid value: string \"localhost\", \
         expected an address, or a range like \"10.0.0.0/8\"",
    );
}

#[test]
fn kind_and_bind_must_be_said() {
    let bind = "is missing; the listener x wants \"off\", an IP address and a port like \"127.0.0.1:1883\", \
                or \"unix:/run/rollcall/mqtt.sock\"";
    all_fail(&["listeners.x.kind=mqtt"], &format!("--set: listeners.x.bind: {bind}"));
    fails("\n[listeners.x]\nkind = \"mqtt\"", &format!("r.toml:2: listeners.x.bind: {bind}"));
    let kind = "is missing; the listener x wants \"mqtt\", \"mqtts\", \"ws\" or \"wss\"";
    all_fail(&["listeners.x.bind=127.0.0.1:1884"], &format!("--set: listeners.x.kind: {kind}"));
    fails("\n[listeners.x]", &format!("r.toml:2: listeners.x.kind: {kind}"));
    assert!(toml("[listeners.x]\nkind = \"mqtt\"").unwrap().print().is_err());
}

#[test]
fn a_socket_of_this_machine_is_for_mqtt_and_has_a_mode() {
    let (kind, bind) = ("listeners.x.kind=mqtt", "listeners.x.bind=unix:/run/x.sock");
    let found = |more: &[&str]| {
        let config = set(&[&[kind, bind], more].concat()).resolve().unwrap();
        (config.listeners[2].bind.clone(), config.auth.anonymous)
    };
    let at = |mode| Address::Unix { path: "/run/x.sock".into(), mode };
    // Only this machine reaches it.
    assert_eq!(found(&[]), (at(0o660), Anonymous::All));
    assert_eq!(found(&["listeners.x.mode=0600"]).0, at(0o600));
    assert_eq!(at(0).to_string(), "unix:/run/x.sock");
    let why = "is a socket of this machine; the listener wants kind = \"mqtt\" then";
    all_fail(&["listeners.x.kind=ws", bind], &format!("--set: listeners.x.bind: {why}"));
    let why = "is for a socket of this machine, bind = \"unix:/PATH\"";
    all_fail(&["listeners.mqtt.mode=\"0600\""], &format!("--set: listeners.mqtt.mode: {why}"));
    all_fail(
        &[kind, bind, "listeners.x.proxy_from=10.0.0.0/8"],
        "--set: listeners.x.proxy_from: is for listeners that have an IP address",
    );
    set_fails(
        "listeners.x.mode=0888",
        "--set: listeners.x.mode: invalid value: string \"0888\", expected octal digits in quotes, like \"0660\"",
    );
    for wrong in ["unix:relative", "unix:", "unix:/with space", &format!("unix:/{}", "x".repeat(107))] {
        assert!(set(&[kind]).add_assignment(&format!("listeners.x.bind={wrong}")).is_err(), "{wrong}");
    }
    let twice = [kind, bind, "listeners.y.kind=mqtt", "listeners.y.bind=unix:/run/x.sock"];
    let line = "\"unix:/run/x.sock\" is the address of listeners.x.bind too; wants its own";
    all_fail(&twice, &format!("--set: listeners.y.bind: {line}"));
}

#[test]
fn a_wrong_key_names_the_nearest() {
    set_fails("listeners.mqtt.bnid=1", "--set: unknown key listeners.mqtt.bnid; the nearest is listeners.mqtt.bind");
    set_fails("listeners.x.bcaklog=1", "--set: unknown key listeners.x.bcaklog; the nearest is listeners.x.backlog");
    set_fails("listners.mqtt.bind=1", "--set: unknown key listners.mqtt.bind; the nearest is listeners.mqtt.bind");
    set_fails("listeners.x=127.0.0.1:1884", "--set: listeners.x: is a section, wants keys of its own");
    fails("listeners = 1", "r.toml:1: listeners: is a section, wants keys of its own");
    fails("[listeners]\nx = 1", "r.toml:2: listeners.x: is a section, wants keys of its own");
}

#[test]
fn an_address_is_of_one() {
    let second = ["listeners.second.kind=mqtt", "listeners.second.bind=127.0.0.1:1883"];
    let line = "is the address of listeners.mqtt.bind too; wants its own";
    all_fail(&second, &format!("--set: listeners.second.bind: \"127.0.0.1:1883\" {line}"));
    let mapped = ["listeners.second.kind=mqtt", "listeners.second.bind=[::ffff:127.0.0.1]:1883"];
    all_fail(&mapped, &format!("--set: listeners.second.bind: \"[::ffff:127.0.0.1]:1883\" {line}"));
    let moved = [second[0], second[1], "listeners.mqtt.bind=127.0.0.1:1884"];
    assert_eq!(set(&moved).resolve().unwrap().listeners.len(), 3);
    let off = [second[0], second[1], "listeners.mqtt.bind=off"];
    assert_eq!(names(&set(&off).resolve().unwrap()), ["ws", "second"]);
    let free = ["listeners.second.kind=mqtt", "listeners.second.bind=127.0.0.1:0", "listeners.mqtt.bind=127.0.0.1:0"];
    assert_eq!(set(&free).resolve().unwrap().listeners.len(), 3);
}

#[test]
fn any_wide_address_needs_anonymous_said() {
    let second = ["listeners.second.kind=mqtt", "listeners.second.bind=0.0.0.0:1884"];
    let unguarded = |said| set(&[second[0], second[1], said]).resolve().unwrap().auth.unguarded;
    for said in ["sys.interval=60s", "auth.anonymous=false"] {
        let why = unguarded(said).expect("nobody asks");
        assert!(why.starts_with("--set: listeners.second.bind: \"0.0.0.0:1884\" can be reached"), "{why}");
    }
    assert_eq!(unguarded("auth.anonymous=true"), None);
}

#[test]
fn the_old_names_are_understood_and_named_as_they_were_said() {
    let config = reads("[mqtt]\nbind = \"[::1]:0\"\nbacklog = 3");
    assert_eq!((config.listeners[0].bind.to_string(), config.listeners[0].backlog), ("[::1]:0".to_owned(), 3));
    let mut layers = with_watch();
    env(&mut layers, "ROLLCALL_MQTT__BIND", "127.0.0.1:7").unwrap();
    assert_eq!(layers.resolve().unwrap().listeners[0].bind.port(), 7);

    fails(
        "[mqtt]\nbind = \"localhost\"",
        "r.toml:2: mqtt.bind: invalid value: string \"localhost\", \
         expected \"off\", an IP address and a port like \"127.0.0.1:1883\", or \"unix:/run/rollcall/mqtt.sock\"",
    );
    set_fails(
        "mqtt.backlog=many",
        "--set: mqtt.backlog: invalid type: string \"many\", expected a whole number from 1 to 2147483647",
    );
    let error = reads("[mqtt]\nbind = \"0.0.0.0:1\"").auth.unguarded.expect("nobody asks");
    assert!(error.starts_with("r.toml:2: mqtt.bind: \"0.0.0.0:1\" can be reached"), "{error}");
}

#[test]
fn of_an_old_name_and_todays_the_later_wins() {
    let port = |layers: crate::Layers| layers.resolve().unwrap().listeners[0].bind.port();
    assert_eq!(port(set(&["mqtt.bind=127.0.0.1:1", "listeners.mqtt.bind=127.0.0.1:2"])), 2);
    assert_eq!(port(set(&["listeners.mqtt.bind=127.0.0.1:2", "mqtt.bind=127.0.0.1:1"])), 1);
    let (old, new) = ("[mqtt]\nbind = \"127.0.0.1:1\"\n", "[listeners.mqtt]\nbind = \"127.0.0.1:2\"\n");
    assert_eq!(port(toml(&format!("{old}{new}")).unwrap()), 2);
    assert_eq!(port(toml(&format!("{new}{old}")).unwrap()), 1);
    let second = "[listeners.second]\nkind = \"mqtt\"\nbind = \"127.0.0.1:3\"\n";
    assert_eq!(port(toml(&format!("{second}{old}{new}")).unwrap()), 2);
}

#[test]
fn each_is_printed_and_shown_with_its_places() {
    let mut layers = toml("[listeners.second]\nkind = \"mqtt\"\nbind = \"127.0.0.1:1884\"").unwrap();
    layers.add_assignment("mqtt.backlog=5").unwrap();
    layers.add_assignment("listeners.a.kind=mqtt").unwrap();
    layers.add_assignment("listeners.a.bind=off").unwrap();
    let printed = layers.print().unwrap();
    let mut rest = &*printed;
    for line in [
        "\n# Where clients come in. ",
        "\n[listeners.mqtt]\n# What is spoken there: ",
        "\nkind = \"mqtt\"\n# IP address and port, or \"off\"; ",
        "\nbind = \"127.0.0.1:1883\"\n",
        "\nbacklog = 5 # --set\n",
        "\n[listeners.ws]\n",
        "\nkind = \"ws\"\n",
        "\nbind = \"127.0.0.1:8083\"\n",
        "\n\n[listeners.a]\n",
        "\nbind = \"off\" # --set\n",
        "\n\n[listeners.second]\n",
        "\nkind = \"mqtt\" # r.toml:2\n",
        "\nbind = \"127.0.0.1:1884\" # r.toml:3\n",
        "\nbacklog = 1024\n",
        "\n[mqtt]\n",
    ] {
        let at = rest.find(line).unwrap_or_else(|| panic!("{line} in\n{printed}"));
        // The end of one line begins the next.
        rest = &rest[at + line.len() - 1..];
    }
    let mut again = with_watch();
    again.add_toml(Path::new("p.toml"), &printed).unwrap();
    assert_eq!(again.resolve().unwrap(), layers.resolve().unwrap());

    let sources = layers.resolve().unwrap().sources;
    let bind = sources.iter().find(|said| said.key == "listeners.second.bind").unwrap();
    assert_eq!(bind.value.as_deref(), Some("\"127.0.0.1:1884\""));
    assert_eq!(bind.place, Some(Place::Line { file: "r.toml".into(), line: 3 }));
}
