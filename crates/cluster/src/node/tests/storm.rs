//! Everything at once, in time that passes when nobody has anything to do.

use std::collections::HashMap;

use mqtt_roll::{Connected, Disconnected};

use super::*;

/// `CLUSTER_STORMS=1000` tries as many.
fn how_many() -> u64 {
    std::env::var("CLUSTER_STORMS").map_or(6, |number| number.parse().expect("a number"))
}

/// Numbers that depend on a seed alone.
struct Dice(u64);

impl Dice {
    fn up_to(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % (most + 1)
    }
}

/// By turns for each client, and no number left out.
fn check_alternation(effects: &[Effect]) {
    let mut last: HashMap<&str, (u64, bool)> = HashMap::new();
    for effect in effects {
        let (client, seq, is_on) = match effect {
            Effect::Connected(Connected { client, seq, .. }) => (client, *seq, true),
            Effect::Disconnected(Disconnected { client, seq, .. }) => (client, *seq, false),
            _ => continue,
        };
        let (last_seq, was_on) = last.insert(client, (seq, is_on)).unwrap_or_default();
        assert_ne!(is_on, was_on, "{effect:?}");
        assert_eq!(seq, last_seq + 1, "{effect:?}");
    }
}

async fn storm(seed: u64) {
    let mut dice = Dice(seed);
    let memory = Memory::default();
    let from_start = |name: &str| start_with(&memory, Config { told: Some(0), ..Config::new(name) });
    let names = ["a", "b", "c"];
    let mut nodes: Vec<_> = names.iter().map(|name| from_start(name)).collect();
    // Reads all from the first batch on, and does nothing else.
    let mut witness = from_start("w");
    for conn in 0..400 {
        let which = dice.up_to(2) as usize;
        let told = &mut nodes[which];
        let client = format!("client {}", dice.up_to(5));
        match dice.up_to(30) {
            0 => told.line.set(Faults { is_cut: true, ..Faults::default() }),
            1 => told.line.set(Faults { lost_replies: 3, doubled: 2, ..Faults::default() }),
            2 => told.line.set(Faults { holds_back: true, ..Faults::default() }),
            3 => {
                // Killed, and a new process at once.
                let line = told.line.clone();
                *told = from_start(names[which]);
                line.release();
            }
            4..8 => {
                told.line.set(Faults::default());
                told.line.release();
            }
            8..20 => drop(told.node.up(up(&client, conn))),
            20..26 => told.node.down(down(&client, conn.saturating_sub(dice.up_to(20)))),
            _ => sleep(Duration::from_millis(dice.up_to(1500))).await,
        }
    }
    for told in &nodes {
        told.line.set(Faults::default());
        told.line.release();
    }
    for told in &nodes {
        told.node.joined().await.unwrap();
    }
    nodes.push(from_start("late"));
    sleep(Duration::from_secs(10)).await;
    let drain =
        |told: &mut Told| -> Vec<(u64, Effect)> { std::iter::from_fn(|| told.effects.try_recv().ok()).collect() };
    let whole = drain(&mut witness);
    check_alternation(&whole.iter().map(|(_, effect)| effect.clone()).collect::<Vec<_>>());
    assert!(whole.len() > 100);
    let status = witness.node.status();
    for told in &mut nodes {
        let theirs = drain(told);
        assert_eq!(theirs[..], whole[..theirs.len()], "{} was told something else", told.node.status().name);
        assert_eq!(told.node.status().online, status.online);
    }
    let ups = nodes.iter().map(|told| told.node.status().position);
    assert!(ups.max() >= Some(status.position), "all have read on");
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_all_are_told_the_same_and_by_turns() {
    for seed in 0..how_many() {
        // Shown only where it fails.
        eprintln!("seed {seed}");
        storm(seed).await;
    }
}
