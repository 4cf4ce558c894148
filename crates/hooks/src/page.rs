//! What a module shows on the dashboard, without knowing HTTP: the admin port puts it into the frame of its own pages, with
//! their navigation, their login and their policy of what a browser may load.
//!
//! A module says once, when the port opens, what it shows: [`Module::pages`](crate::Module::pages). It is shown while the
//! module is stopped, too, as its [routes](crate::route) answer then.
//!
//! All of it is built into the program. Scripts are ES modules that are served as `/assets/MODULE/NAME`: they import each
//! other by `./NAME` and what the dashboard has by `/assets/NAME`, such as `api.js` (asks the REST API), `dom.js` (makes
//! elements), `live.js` (follows a feed), `chart.js` and `text.js`. No other origin's, and none within HTML, are run.
//!
//! An element that changes something has the attribute `data-change="admin"`, and is not there for who has not that role: what a
//! module's routes change takes it.

/// All that a module shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    /// Pages of its own, in the order in which they are listed.
    pub pages: &'static [Page],
    /// What it adds to the page of a client.
    pub panels: &'static [Panel],
    /// What it adds to the overview.
    pub charts: &'static [Chart],
    /// What the others run.
    pub scripts: &'static [Script],
}

/// A page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Where, with no other page there: `/presence`. The module's name is best.
    pub path: &'static str,
    /// What it is called where pages are listed.
    pub title: &'static str,
    /// What it is made of, with one `<h1>`. It comes to the browser as it is.
    pub html: &'static str,
    /// The [`Script::name`] of what it runs.
    pub script: &'static str,
}

/// A part of the page of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panel {
    /// The `id` of its element, with no other of it on that page.
    pub name: &'static str,
    /// What stands above it.
    pub title: &'static str,
    /// The [`Script::name`] of what fills it. It exports `show(element, clientId)`, which is called when the page opens and
    /// every few seconds from then on.
    pub script: &'static str,
}

/// Counters of the module on the overview: how fast they grow, over the last minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chart {
    /// What stands above it.
    pub title: &'static str,
    /// One or two.
    pub series: &'static [Series],
}

/// A line of a [`Chart`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Series {
    /// What it is called there.
    pub title: &'static str,
    /// The [`Number::key`](crate::Number::key) of a counter.
    pub counter: &'static str,
}

/// An ES module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script {
    /// `page.js`
    pub name: &'static str,
    /// What stands in it.
    pub text: &'static str,
}
