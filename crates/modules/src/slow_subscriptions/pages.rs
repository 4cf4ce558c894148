//! What the module shows on the dashboard: the slowest deliveries.

use mqtt_hooks::page::{Page, Pages, Script};

pub(super) const PAGES: Pages = Pages {
    pages: &[Page {
        path: "/slow_subscriptions",
        title: "Slow subscriptions",
        html: include_str!("pages/page.html"),
        script: "page.js",
    }],
    panels: &[],
    charts: &[],
    scripts: &[Script { name: "page.js", text: include_str!("pages/page.js") }],
};
