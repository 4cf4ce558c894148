//! Three nodes, each a process, on three nats-servers: killed, stopped, and without their log.
//!
//! `cargo xtask ci --only cluster` installs a nats-server and runs this. `ROLLCALL_NATS_SERVER` names it; where that is not set, there is
//! nothing to run against, and this says so.

#![expect(clippy::unwrap_used, reason = "a test: what is not there fails it")]
#![expect(clippy::print_stdout, reason = "what was measured is of use to who runs it")]

mod rig;

use std::time::{Duration, Instant};

use rig::{Servers, Station, signal};

const CLIENTS: usize = 20;

/// Each client comes in at some node, and all nodes are told so.
fn bring_in(stations: &mut [Station], round: usize) {
    for number in 0..CLIENTS {
        let at = (number + round) % stations.len();
        stations[at].say(&format!("up client{number}"));
    }
    for number in 0..CLIENTS {
        let at = (number + round) % stations.len();
        stations[at].wait_for(Duration::from_secs(20), |line| line.starts_with(&format!("up client{number}: seated")));
    }
}

fn check_quiet(stations: &[Station], since: &[usize]) {
    for (station, since) in stations.iter().zip(since) {
        let gone: Vec<_> = station.lines()[*since..].iter().filter(|line| line.starts_with("gone")).cloned().collect();
        assert!(gone.is_empty(), "{} was told {gone:?}", station.name);
    }
}

fn told(stations: &[Station]) -> Vec<usize> {
    stations.iter().map(|station| station.lines().len()).collect()
}

#[test]
fn three_nodes_stay_one_cluster_whatever_happens_to_them_and_to_their_log() {
    let Some(program) = std::env::var_os("ROLLCALL_NATS_SERVER") else {
        println!("ROLLCALL_NATS_SERVER names no nats-server, so nothing was tried");
        return;
    };
    let mut servers = Servers::start(&program);
    // One after the other, so that each is told of all who come later.
    let start = |name: &&str| {
        let mut station = Station::start(name, &servers);
        station.wait_for(Duration::from_secs(30), |line| line == format!("joined {name}"));
        station
    };
    let mut stations: Vec<_> = ["a", "b", "c"].iter().map(start).collect();
    bring_in(&mut stations, 0);
    bring_in(&mut stations, 1);

    // A pause of two seconds is no death.
    let before = told(&stations);
    signal(stations[1].pid(), "STOP");
    std::thread::sleep(Duration::from_secs(2));
    signal(stations[1].pid(), "CONT");
    bring_in(&mut stations, 2);
    check_quiet(&stations, &before);

    // One of nine is: it is fenced, and comes back by itself. Another one is killed meanwhile, and started again.
    let online = stations[0].clients_at("b");
    assert!(!online.is_empty());
    signal(stations[1].pid(), "STOP");
    let stopped = Instant::now();
    stations[0].wait_for(Duration::from_secs(6), |line| line.starts_with("gone b Dead"));
    println!("found dead after {:?}", stopped.elapsed());
    assert!(stopped.elapsed() > Duration::from_secs(2));
    let online_c = stations[0].clients_at("c");
    stations[2].kill();
    let killed = Instant::now();
    stations[0].wait_for(Duration::from_secs(6), |line| line.starts_with("gone c Dead"));
    println!("found dead after {:?}", killed.elapsed());
    std::thread::sleep(Duration::from_secs(9).saturating_sub(stopped.elapsed()));
    signal(stations[1].pid(), "CONT");
    stations[1].wait_for(Duration::from_secs(10), |line| line == "joined b");
    for (name, clients) in [("b", online), ("c", online_c)] {
        assert_eq!(stations[0].downs_at(name), clients, "whoever was online at {name}, and nobody else");
    }
    stations[2] = Station::start("c", &servers);
    stations[2].wait_for(Duration::from_secs(15), |line| line == "joined c");
    bring_in(&mut stations, 0);

    // A server hangs, each in its turn: it takes connections and says nothing. Who is at it goes to another in time.
    let before = told(&stations);
    for number in 0..3 {
        signal(servers.pid(number), "STOP");
        std::thread::sleep(Duration::from_secs(4));
        signal(servers.pid(number), "CONT");
        servers.wait_until_ready();
        bring_in(&mut stations, number);
    }
    check_quiet(&stations, &before);

    // The log's leader is killed; nobody takes that for a death.
    let before = told(&stations);
    let leader = servers.leader();
    servers.kill(leader);
    let killed = Instant::now();
    bring_in(&mut stations, 1);
    println!("clients come in {:?} after the log's leader was killed", killed.elapsed());
    servers.restart(leader);
    servers.wait_until_ready();
    check_quiet(&stations, &before);

    // All servers are away.
    (0..3).for_each(|number| servers.kill(number));
    stations[0].say("up late");
    std::thread::sleep(Duration::from_secs(5));
    (0..3).for_each(|number| servers.restart(number));
    let back = Instant::now();
    stations[0].wait_for(Duration::from_secs(30), |line| line.starts_with("up late: seated"));
    println!("clients come in {:?} after all servers are started again", back.elapsed());
    bring_in(&mut stations, 2);
    std::thread::sleep(Duration::from_secs(1));
    check_quiet(&stations, &before);

    stations[0].check_alternation();
    let whole = stations[0].events();
    for station in &stations[1..] {
        // The one that was started later begins later.
        let events = station.events();
        assert!(whole.ends_with(&events), "{} was told something else\n{whole:#?}\n{events:#?}", station.name);
    }
    stations[1].say("leave");
    stations[1].wait_for(Duration::from_secs(5), |line| line == "left");
    stations[0].wait_for(Duration::from_secs(5), |line| line == "gone b Left");
}

#[test]
fn servers_that_may_lose_what_they_acknowledge_are_refused() {
    let Some(program) = std::env::var_os("ROLLCALL_NATS_SERVER") else { return };
    let servers = Servers::start_one(&program);
    let said = Station::said_by("a", &servers, &[]);
    assert!(said.contains("use three servers") || said.contains("run three nats-servers"), "{said}");
    let monitors = servers.monitors();
    let said = Station::said_by("a", &servers, &[("MONITORS", &monitors), ("REPLICAS", "1")]);
    assert!(said.contains("sync_interval: always"), "{said}");
    let mut station =
        Station::start_with("a", &servers, &[("UNSAFE", "1"), ("REPLICAS", "1"), ("MONITORS", &monitors)]);
    station.wait_for(Duration::from_secs(20), |line| line == "joined a");
}

#[test]
fn what_was_kept_of_the_log_is_enough_for_who_comes_when_its_beginning_is_gone() {
    let Some(program) = std::env::var_os("ROLLCALL_NATS_SERVER") else { return };
    let servers = Servers::start_one(&program);
    let environment = [("UNSAFE", "1"), ("REPLICAS", "1"), ("LOG_BYTES", "16384"), ("KEEP_EVERY", "4096")];
    let mut first = Station::start_with("a", &servers, &environment);
    first.wait_for(Duration::from_secs(20), |line| line == "joined a");
    // One by one, so that each is a batch of its own.
    for number in 0..400 {
        first.say(&format!("up client{}", number % 7));
        first.wait_for(Duration::from_secs(5), |line| line.starts_with(&format!("up client{}: seated", number % 7)));
    }
    assert!(servers.first_position() > 1, "the log has lost its beginning");
    let mut second = Station::start_with("b", &servers, &environment);
    second.wait_for(Duration::from_secs(20), |line| line == "joined b");
    // A client of the first one, whom the second knows by what was kept alone, is told off.
    second.say("up client0");
    second.wait_for(Duration::from_secs(5), |line| line.contains("-client0 a takeovered"));
    second.wait_for(Duration::from_secs(5), |line| line.starts_with("up client0: seated"));
    for station in [&mut first, &mut second] {
        station.wait_for(Duration::from_secs(5), |line| line.contains("+client0 b"));
    }
}
