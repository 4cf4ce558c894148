//! What presence shows on the dashboard: a page of who comes and goes, and when one client did.

use mqtt_hooks::page::{Chart, Page, Pages, Panel, Script, Series};

macro_rules! scripts {
    ($($name:literal)*) => { &[$(Script { name: $name, text: include_str!(concat!("pages/", $name)) },)*] };
}

pub(super) const PAGES: Pages = Pages {
    pages: &[
        Page { path: "/presence", title: "Presence", html: include_str!("pages/page.html"), script: "page.js" },
        Page { path: "/roster", title: "Roster", html: include_str!("pages/roster.html"), script: "roster.js" },
    ],
    panels: &[
        Panel { name: "timeline", title: "Came and went", script: "client.js" },
        Panel { name: "uptime", title: "Uptime", script: "uptime.js" },
    ],
    charts: &[Chart {
        title: "Presence events",
        series: &[
            Series { title: "Came", counter: "events.connected" },
            Series { title: "Went", counter: "events.disconnected" },
        ],
    }],
    scripts: scripts!("absent.js" "client.js" "feed.js" "overview.js" "page.js" "roster.js" "roster_file.js" "timeline.js" "uptime.js"),
};

pub(super) const OVERVIEW: &[Panel] = &[Panel { name: "comings", title: "Who comes and goes", script: "overview.js" }];
