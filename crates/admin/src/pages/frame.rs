//! What stands around each page.

use crate::accounts::Role;
use crate::guard::Caller;

/// A page: where it is, what it is called, which script it runs.
pub(super) struct Page {
    pub(super) path: &'static str,
    title: &'static str,
    /// Of `assets/NAME.js`.
    script: &'static str,
    main: &'static str,
    /// It is in the list of pages; others belong to one that is.
    listed: Listed,
}

#[derive(PartialEq)]
enum Listed {
    Yes,
    /// Below this path.
    Below(&'static str),
}

macro_rules! page {
    ($path:literal, $title:literal, $name:literal, $listed:expr) => {
        Page {
            path: $path,
            title: $title,
            script: $name,
            main: include_str!(concat!("html/", $name, ".html")),
            listed: $listed,
        }
    };
}

/// In the order in which they are listed.
pub(super) const PAGES: &[Page] = &[
    page!("/", "Overview", "overview", Listed::Yes),
    page!("/clients", "Clients", "clients", Listed::Yes),
    page!("/client", "Client", "client", Listed::Below("/clients")),
    page!("/trace", "Trace", "trace", Listed::Below("/clients")),
    Page {
        path: "/presence",
        title: "Presence",
        script: "presence",
        main: include_str!("../../../modules/src/presence/pages/page.html"),
        listed: Listed::Yes,
    },
    page!("/modules", "Modules", "modules", Listed::Yes),
    page!("/subscriptions", "Subscriptions", "subscriptions", Listed::Yes),
    page!("/retained", "Retained", "retained", Listed::Yes),
    page!("/listeners", "Listeners", "listeners", Listed::Yes),
    page!("/settings", "Settings", "settings", Listed::Yes),
    page!("/api", "REST API", "rest", Listed::Yes),
];

impl Page {
    pub(super) fn render(&self, node: &str, caller: &Caller) -> String {
        let csrf = caller.login.as_ref().map_or("", |login| &login.csrf);
        let role = if caller.role == Role::Admin { "admin" } else { "viewer" };
        let values = [
            ("csrf", csrf),
            ("title", self.title),
            ("script", self.script),
            ("role", role),
            ("node", &escape(node)),
            ("links", &self.links()),
            ("main", self.main),
        ];
        fill(include_str!("html/layout.html"), &values)
    }

    fn links(&self) -> String {
        let listed = PAGES.iter().filter(|page| page.listed == Listed::Yes);
        let here = if let Listed::Below(path) = self.listed { path } else { self.path };
        let link = |Self { path, title, .. }: &Self| {
            let current = if *path == here { " aria-current=\"page\"" } else { "" };
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
    use super::*;

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
        for page in PAGES {
            let text = page.render("<n>", &caller);
            assert!(text.contains("data-role=\"viewer\"") && text.contains("&lt;n&gt;") && !text.contains("<n>"));
            assert_eq!(text.matches("aria-current").count(), 1, "{}", page.path);
            assert_eq!(text.matches("<h1").count(), 1, "{}", page.path);
        }
    }
}
