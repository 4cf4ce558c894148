//! What the module shows on the dashboard: the traces.

use mqtt_hooks::page::{Page, Pages, Script};

pub(super) const PAGES: Pages = Pages {
    pages: &[Page {
        path: "/log_traces",
        title: "Log traces",
        html: include_str!("pages/page.html"),
        script: "page.js",
    }],
    panels: &[],
    charts: &[],
    scripts: &[Script { name: "page.js", text: include_str!("pages/page.js") }],
};
