//! Where to ask, as whom, and how to show what is answered.

/// Where to ask, as whom, and how to show what is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "To ask a running broker")]
pub struct Reach {
    /// Its admin port, http://host:port; else that of the broker that runs on data_dir, else admin.bind
    #[arg(long, value_name = "URL", global = true)]
    pub url: Option<String>,
    /// An API key, or @FILE that holds it; else admin.password, else what data_dir allows who can read it
    #[arg(long, value_name = "NAME:SECRET", global = true)]
    pub key: Option<String>,
    /// Print JSON for scripts; lists and streams have one object a line
    #[arg(long, global = true)]
    pub json: bool,
    /// Colours are welcome where the output is a terminal.
    #[arg(skip)]
    pub colours: bool,
}
