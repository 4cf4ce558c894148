//! Subscribes with filters from the command line, then tells for each topic on stdin whose filter matches.
//!
//! ```text
//! $ printf 'garden/pond/level\ngarden/gate\n' | cargo run -p mqtt-router --example who_wants_it -- 'garden/#' 'garden/+/level'
//! garden/pond/level: garden/#, garden/+/level
//! garden/gate: garden/#
//! ```

use std::io::{BufRead, Write};

use mqtt_codec::{Filter, Topic};
use mqtt_router::{Matches, Options, Router};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let router = Router::new();
    for text in std::env::args().skip(1) {
        // Anything that can be cloned, compared and hashed is a subscriber; here it is the filter itself.
        router.subscribe(&Filter::new(text.clone())?, text, Options::default());
    }

    let mut out = std::io::stdout().lock();
    let mut found = Matches::default();
    for line in std::io::stdin().lock().lines() {
        let topic = Topic::new(line?)?;
        router.matches(&topic, None, &mut found);
        let mut names: Vec<&str> = found.iter().map(|subscriber| subscriber.key.as_str()).collect();
        // Of a group one gets it: the first that the caller finds able to.
        let members: Vec<_> = found.groups().filter_map(|group| group.candidates().next()).collect();
        names.extend(members.iter().map(|member| member.key().as_str()));
        names.sort_unstable();
        writeln!(out, "{topic}: {}", if names.is_empty() { "nobody".to_owned() } else { names.join(", ") })?;
    }
    Ok(())
}
