//! What the module shows on the dashboard: the rules, and who may do what by them.

use mqtt_hooks::page::{Page, Pages, Script};

pub(super) const PAGES: Pages = Pages {
    pages: &[Page { path: "/rules", title: "Rules", html: include_str!("pages/page.html"), script: "page.js" }],
    panels: &[],
    charts: &[],
    scripts: &[Script { name: "page.js", text: include_str!("pages/page.js") }],
};
