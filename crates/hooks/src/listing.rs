//! How EMQ X's catalogue of modules shows one.

/// Where a module stands in a catalogue as EMQ X's enterprise edition has it, and what it is called there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Under which heading.
    pub group: Group,
    /// Its title in Chinese, which that dashboard speaks too; empty: the other one.
    pub title_zh: &'static str,
    /// Its description in Chinese; empty: the other one.
    pub description_zh: &'static str,
    /// The plugin of EMQ X's open-source edition that does it there, if one does: `emqx_auth_http`.
    pub plugin: Option<&'static str>,
}

/// A heading of the catalogue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Group {
    /// Who may come in.
    Authentication,
    /// Other protocols than MQTT.
    Protocol,
    /// Where messages come from or go to.
    Message,
    /// By other programs.
    Extension,
    /// For who watches.
    Monitoring,
    /// All else.
    #[default]
    Local,
}

impl Group {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 6] =
        [Self::Authentication, Self::Protocol, Self::Message, Self::Extension, Self::Monitoring, Self::Local];

    /// As EMQ X's dashboard asks for it.
    pub const fn emqx_name(self) -> &'static str {
        match self {
            Self::Authentication => "auth",
            Self::Protocol => "protocol",
            Self::Message => "message",
            Self::Extension => "extension",
            Self::Monitoring => "devops",
            Self::Local => "module",
        }
    }
}
