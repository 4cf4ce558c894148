//! What stands around each page.

use std::borrow::Cow;

use mqtt_hooks::page::Panel;
use mqtt_hooks::run::ModulePages;
use serde_json::json;

use crate::guard::Caller;
use crate::samples::counter;
use crate::time::time_zone;

/// A page: where it is, what it is called, which script it runs.
pub(super) struct Page {
    pub(super) path: &'static str,
    title: &'static str,
    /// Below `/assets/`.
    script: Cow<'static, str>,
    main: Cow<'static, str>,
    /// It is in the list of pages; others belong to one that is.
    listed: Listed,
}

#[derive(Clone, Copy, PartialEq)]
enum Listed {
    Yes,
    /// Below this path.
    Below(&'static str),
}

/// A page of the broker's own.
struct Own {
    path: &'static str,
    title: &'static str,
    script: &'static str,
    /// What modules add has places in some.
    main: &'static str,
    listed: Listed,
}

macro_rules! page {
    ($path:expr, $title:literal, $name:literal, $listed:expr) => {
        Own {
            path: $path,
            title: $title,
            script: concat!($name, ".js"),
            main: include_str!(concat!("html/", $name, ".html")),
            listed: $listed,
        }
    };
}

/// In the order in which they are listed.
const OWN: &[Own] = &[
    page!("/", "Overview", "overview", Listed::Yes),
    page!("/alarms", "Alarms", "alarms", Listed::Yes),
    page!("/clients", "Clients", "clients", Listed::Yes),
    page!("/client", "Client", "client", Listed::Below("/clients")),
    page!("/trace", "Trace", "trace", Listed::Below("/clients")),
    page!(MODULES, "Modules", "modules", Listed::Yes),
    page!("/subscriptions", "Subscriptions", "subscriptions", Listed::Yes),
    page!("/retained", "Retained", "retained", Listed::Yes),
    page!("/bans", "Bans", "bans", Listed::Yes),
    page!("/listeners", "Listeners", "listeners", Listed::Yes),
    page!("/nodes", "Nodes", "nodes", Listed::Yes),
    page!("/operators", "Operators", "operators", Listed::Yes),
    page!("/settings", "Settings", "settings", Listed::Yes),
    page!(CONSOLE, "Console", "console", Listed::Yes),
    page!("/api", "REST API", "rest", Listed::Yes),
];

/// Speaks MQTT over WebSocket, with whom the operator says.
pub(super) const CONSOLE: &str = "/console";

/// Pages of modules are listed before this one.
const MODULES: &str = "/modules";

/// All pages, those of modules among them.
pub(super) fn all(modules: &[ModulePages]) -> Vec<Page> {
    let of_client = panels(modules, |of_one| of_one.pages.panels);
    let (overviews, charts) = (panels(modules, |of_one| of_one.overview), charts(modules));
    let own = |own: &Own| Page {
        path: own.path,
        title: own.title,
        script: own.script.into(),
        main: fill(own.main, &[("panels", &of_client), ("charts", &charts), ("overviews", &overviews)]).into(),
        listed: own.listed,
    };
    let offered = modules.iter().flat_map(|ModulePages { module, pages, .. }| {
        pages.pages.iter().map(move |page| Page {
            path: page.path,
            title: page.title,
            script: format!("{module}/{}", page.script).into(),
            main: page.html.into(),
            listed: Listed::Yes,
        })
    });
    let mut all: Vec<_> = OWN.iter().map(own).collect();
    let place = all.iter().position(|page| page.path == MODULES).unwrap_or(all.len());
    all.splice(place..place, offered);
    all
}

/// What modules add to a page.
fn panels(modules: &[ModulePages], of: fn(&ModulePages) -> &'static [Panel]) -> String {
    let panels = modules.iter().flat_map(|pages| {
        of(pages).iter().map(move |panel| {
            let (name, title, script, module) = (panel.name, escape(panel.title), panel.script, pages.module);
            format!(
                "<section class=\"card\"><h2>{title}</h2><div id=\"{name}\" data-panel=\"/assets/{module}/{script}\"></div></section>\n"
            )
        })
    });
    panels.collect()
}

/// Charts that modules add to the overview.
fn charts(modules: &[ModulePages]) -> String {
    let charts = modules.iter().flat_map(|ModulePages { module, pages, .. }| {
        pages.charts.iter().map(move |chart| {
            let series = chart.series.iter().map(|series| [series.title.to_owned(), counter(module, series.counter)]);
            let (title, series) = (escape(chart.title), escape(&json!(series.collect::<Vec<_>>()).to_string()));
            format!(
                "<section class=\"card\"><h2>{title} <small>per second</small></h2><div data-chart=\"{series}\"></div></section>\n"
            )
        })
    });
    charts.collect()
}

impl Page {
    pub(super) fn render(&self, links: &str, node: &str, caller: &Caller) -> String {
        let csrf = caller.login.as_ref().map_or("", |login| &login.csrf);
        let values = [
            ("csrf", csrf),
            ("title", &escape(self.title)),
            ("script", &self.script),
            ("role", caller.role.name()),
            ("login", if caller.login.as_ref().is_some_and(|login| login.is_own) { "own" } else { "other" }),
            ("me", &escape(&caller.name)),
            ("node", &escape(node)),
            ("zone", &escape(&time_zone())),
            ("links", links),
            ("main", &self.main),
        ];
        fill(include_str!("html/layout.html"), &values)
    }

    /// The list of pages as it stands on this one.
    pub(super) fn links(&self, all: &[Self]) -> String {
        let listed = all.iter().filter(|page| page.listed == Listed::Yes);
        let here = if let Listed::Below(path) = self.listed { path } else { self.path };
        let link = |Self { path, title, .. }: &Self| {
            let (current, title) = (if *path == here { " aria-current=\"page\"" } else { "" }, escape(title));
            format!("<li><a href=\"{path}\"{current}>{title}</a></li>\n")
        };
        listed.map(link).collect()
    }
}

/// Puts values in the place of `{{name}}`; what is put in is not looked at again.
pub(super) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut parts = template.split("{{");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once("}}").expect("every place in a template is closed");
        let value = values.iter().find(|(known, _)| *known == name);
        out += value.expect("every place in a template has a value").1;
        out += rest;
    }
    out
}

/// Text as it can stand in an element or in a quoted attribute.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::of_echo;
    use super::*;
    use crate::role::Role;

    #[test]
    fn a_value_is_put_in_as_it_is_and_never_looked_at_again() {
        assert_eq!(fill("<{{a}}{{b}}>", &[("a", "{{b}}"), ("b", "x")]), "<{{b}}x>");
    }

    #[test]
    fn no_markup_survives_an_escape() {
        assert_eq!(escape("<a href=\"'&"), "&lt;a href=&quot;&#39;&amp;");
    }

    #[test]
    fn every_page_renders_and_points_at_itself() {
        let caller = Caller { name: "n".to_owned(), role: Role::Viewer, login: None };
        let all = all(&[of_echo()]);
        for page in &all {
            let text = page.render(&page.links(&all), "<n>", &caller);
            assert!(text.contains("data-role=\"viewer\"") && text.contains("&lt;n&gt;") && !text.contains("<n>"));
            assert_eq!(text.matches("aria-current").count(), 1, "{}", page.path);
            assert_eq!(text.matches("<h1").count(), 1, "{}", page.path);
        }
    }

    #[test]
    fn what_modules_show_stands_where_it_belongs() {
        let caller = Caller { name: "n".to_owned(), role: Role::Viewer, login: None };
        let all = all(&[of_echo()]);
        let text = |path| {
            let page = all.iter().find(|page| page.path == path).unwrap();
            page.render(&page.links(&all), "n", &caller)
        };
        let page = text("/echo");
        assert!(page.contains("src=\"/assets/echo/page.js\"") && page.contains("{{as it is}}"), "{page}");
        assert!(page.contains("<title>Echo &amp; so on") && page.contains(">Echo &amp; so on</a>"), "{page}");
        assert!(text("/client").contains("<div id=\"heard\" data-panel=\"/assets/echo/heard.js\">"));
        assert!(text("/").contains("<div id=\"heard\" data-panel=\"/assets/echo/heard.js\">"));
        let series = "data-chart=\"[[&quot;Said&quot;,&quot;echo.said&quot;]]\"";
        assert!(text("/").contains(series) && !text("/clients").contains(series));
        let listed: Vec<_> = all.iter().map(|page| page.path).collect();
        assert!(listed.windows(2).any(|two| two == ["/echo", MODULES]), "{listed:?}");
    }
}
