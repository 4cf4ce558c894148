//! Where to ask, as whom, and how to show what is answered.

use std::path::PathBuf;

/// Where to ask, as whom, and how to show what is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "To ask a running broker")]
pub struct Reach {
    /// Its admin port, http://host:port or https://host:port; else that of the broker that runs on data_dir, else admin.bind
    #[arg(long, value_name = "URL", global = true)]
    pub url: Option<String>,
    /// An API key, or @FILE that holds it; else admin.password, else what data_dir allows who can read it
    #[arg(long, value_name = "NAME:SECRET", global = true)]
    pub key: Option<String>,
    /// For https and mqtts: who signed the broker's certificate, PEM; else who this system trusts, and on the broker's own machine what
    /// the broker has left in data_dir
    #[arg(long, value_name = "FILE", global = true)]
    pub cafile: Option<PathBuf>,
    /// For https and mqtts where the broker asks for a certificate (verify): ours, PEM
    #[arg(long, value_name = "FILE", global = true)]
    pub cert: Option<PathBuf>,
    /// Its private key, PEM; else it stands in the same file
    #[arg(long, value_name = "FILE", global = true, requires = "cert")]
    pub cert_key: Option<PathBuf>,
    /// Print JSON for scripts; lists and streams have one object a line
    #[arg(long, global = true)]
    pub json: bool,
    /// Colours are welcome where the output is a terminal.
    #[arg(skip)]
    pub colours: bool,
}
