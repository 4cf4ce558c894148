//! The attacks, by name.

use std::path::Path;

use anyhow::Result;

use super::doors::{proxy, tls, web};
use super::stage::Stage;
use super::{doors, edges, filters, floods, memory};

/// One of the attacks.
pub(super) struct Attack {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// How many of whatever it is made of; a row each.
    pub(super) counts: &'static [usize],
    /// In the short form.
    pub(super) quick: usize,
    pub(super) run: Run,
}

/// What an attack does on its stage, with so many of whatever it is made of.
type Script = fn(&mut Stage<'_>, usize) -> Result<()>;

/// What an attack needs around it.
#[derive(Clone, Copy)]
pub(super) enum Run {
    Plain(Script),
    /// A small `limits.memory`.
    Memory(Script),
    /// Few file descriptors, and the admin port. Newcomers may be refused.
    Files(Script),
    /// The admin port.
    Admin(Script),
    /// Listeners for TLS and for WebSocket, and a small `limits.memory`.
    Doors(Script),
    /// A small disk of its own. Whoever wants something stored may be refused, newcomers and QoS 1 too.
    Disk(fn(&mut Stage<'_>, usize, &Path) -> Result<()>),
}

const FLOODERS: &[usize] = &[2, 8, 20];

const fn flood(name: &'static str, about: &'static str, run: Script) -> Attack {
    Attack { name, about, counts: FLOODERS, quick: 8, run: Run::Plain(run) }
}

/// All of them, in the order of the table.
pub(super) const ATTACKS: &[Attack] = &[
    flood("pings", "PINGREQ without end", floods::pings),
    flood("subscriptions", "SUBSCRIBE and UNSUBSCRIBE without end", floods::subscriptions),
    flood("unsubscriptions", "UNSUBSCRIBE of filters nobody has", floods::unsubscriptions),
    flood("to-nobody", "QoS 0 to nobody", floods::to_nobody),
    flood("to-one", "QoS 0 to one subscriber", floods::to_one),
    flood("unacknowledged", "QoS 1, acknowledgements not waited for", floods::unacknowledged),
    flood("releases", "PUBREL of unknown ids", floods::releases),
    flood("acknowledgements", "PUBACK of unknown ids", floods::acknowledgements),
    flood("connects", "coming and going", floods::connects),
    flood("takeovers", "all with one client id", floods::takeovers),
    flood("deep-topics", "topics of 65,536 levels", filters::deep_topics),
    Attack {
        name: "many-over-retained",
        about: "one SUBSCRIBE of 1,000 filters over so many retained messages",
        counts: &[100_000],
        // It freezes a broker that replays all at once for longer than messages are waited for.
        quick: 100_000,
        run: Run::Plain(filters::many_over_retained),
    },
    Attack {
        name: "all-retained",
        about: "# over so many retained messages",
        counts: &[900_000],
        quick: 50_000,
        run: Run::Plain(filters::all_retained),
    },
    Attack {
        name: "absent-members",
        about: "a shared group of so many sessions that are away",
        counts: &[20_000],
        quick: 2_000,
        run: Run::Plain(filters::absent_members),
    },
    Attack {
        name: "absent-to-all",
        about: "so many sessions with # that are away, and for which QoS 1 is kept",
        counts: &[2_000],
        quick: 1_000,
        run: Run::Plain(filters::absent_to_all),
    },
    Attack {
        name: "wildcards",
        about: "so many filters of twelve levels that never match",
        counts: &[4_095],
        quick: 4_095,
        run: Run::Plain(filters::wildcards),
    },
    Attack {
        name: "deep-filters",
        about: "two filters of so many levels, then another client's",
        counts: &[32_768],
        quick: 32_768,
        run: Run::Plain(filters::deep_filters),
    },
    memory("half-connects", "CONNECTs of 1 MiB without their end", &[1_000, 6_000], 1_000, memory::half_connects),
    memory("half-publishes", "PUBLISHes of 1 MiB without their end", &[1_000, 4_000], 600, memory::half_publishes),
    memory("aliases", "32 topic aliases of 65 kB each", &[1_000], 400, memory::aliases),
    memory("pings-unread", "PINGREQ by clients that read nothing", &[100, 1_000], 400, memory::pings_unread),
    memory(
        "subscribes-unread",
        "SUBSCRIBE by clients that read nothing",
        &[100, 1_000],
        400,
        memory::subscribes_unread,
    ),
    memory("wills", "wills of 64 KiB to topics of 64 KiB", &[12_000], 4_000, memory::wills),
    memory("hogs", "the queues of so many absent sessions filled", &[1, 16], 8, memory::hogs),
    Attack {
        name: "files",
        about: "all files taken by so many sockets",
        counts: &[1_400],
        quick: 1_400,
        run: Run::Files(edges::files),
    },
    Attack {
        name: "log",
        about: "refusals with the longest names",
        counts: &[4],
        quick: 4,
        run: Run::Plain(edges::log),
    },
    Attack {
        name: "admin-sockets",
        about: "sockets that ask the admin port and read nothing",
        counts: &[256],
        quick: 256,
        run: Run::Admin(edges::admin_sockets),
    },
    Attack {
        name: "admin-guesses",
        about: "wrong passwords, then the right one",
        counts: &[10],
        quick: 10,
        run: Run::Admin(edges::admin_guesses),
    },
    Attack {
        name: "disk",
        about: "coming and going with a will while the disk is full",
        counts: &[8],
        quick: 8,
        run: Run::Disk(edges::disk),
    },
    door("half-hellos", "TLS sockets that send half a hello", &[2_000, 10_000], 2_000, doors::half_hellos),
    door("slow-hellos", "TLS hellos a byte at a time, in one record and in many", FLOODERS, 8, doors::slow_hellos),
    door("handshakes", "TLS handshakes of clients that leave", FLOODERS, 8, doors::handshakes),
    door("key-updates", "TLS clients that ask for new keys without end", FLOODERS, 8, tls::key_updates),
    door("half-closes", "TLS clients that say they send no more, and stay", &[2_000], 300, tls::half_closes),
    door("proxy-drip", "PROXY headers a byte at a time, in the end too long", FLOODERS, 8, proxy::drip),
    door("proxy-half", "half PROXY headers", &[2_000, 10_000], 2_000, proxy::half),
    door("proxy-flood", "PROXY headers of always other addresses, and wrong ones", FLOODERS, 8, proxy::flood),
    door("ws-requests", "requests for WebSocket a byte at a time, in the end too long", FLOODERS, 8, web::requests),
    door("ws-pings", "WebSocket pings without end", FLOODERS, 8, web::pings),
    door("ws-pings-unread", "WebSocket pings by clients that read nothing", &[100, 1_000], 400, web::pings_unread),
    door("ws-bytes", "PINGREQ without end in frames of one byte", FLOODERS, 8, web::bytes),
    door("ws-fragments", "one WebSocket message of empty frames without end", FLOODERS, 8, web::fragments),
    door("ws-announced", "frames that announce 2^62 bytes, and 2^63", &[2_000], 1_000, web::announced),
    door("ws-malformed", "frames that are wrong", FLOODERS, 8, web::malformed),
];

const fn door(name: &'static str, about: &'static str, counts: &'static [usize], quick: usize, run: Script) -> Attack {
    Attack { name, about, counts, quick, run: Run::Doors(run) }
}

const fn memory(
    name: &'static str,
    about: &'static str,
    counts: &'static [usize],
    quick: usize,
    run: Script,
) -> Attack {
    Attack { name, about, counts, quick, run: Run::Memory(run) }
}
