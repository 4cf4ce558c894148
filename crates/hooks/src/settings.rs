//! What can be set of a module, written once: from one struct come its form for people, its defaults and its check.

use std::ops::RangeInclusive;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{ListOf, Setting, StartError, read_config};

/// Settings that [`settings!`](crate::settings!) has made.
pub trait Settings: DeserializeOwned + Default {
    /// The form for people, for [`Info::settings`](crate::Info::settings).
    const FORM: &'static [Setting];

    /// Says what is wrong with a value that the type allows and the form does not.
    fn check(&self) -> Result<(), StartError>;
}

/// What a list among the settings may be of: texts, an enum of [`choice!`](crate::choice!), or what
/// [`settings!`](crate::settings!) has made, which is a table then.
pub trait Listed {
    /// What the list is of.
    const OF: ListOf;

    /// Says what is wrong with an entry that the type allows and the form does not.
    fn check_entry(&self) -> Result<(), StartError> {
        Ok(())
    }
}

impl Listed for String {
    const OF: ListOf = ListOf::Texts;
}

/// As [`Ctx::settings`](crate::Ctx::settings); for [`Module::check`](crate::Module::check).
pub fn read_settings<T: Settings>(config: &Value) -> Result<T, StartError> {
    let settings = read_config::<T>(config)?;
    settings.check()?;
    Ok(settings)
}

/// Makes the settings of a module: a struct with a [`Default`], read by serde, unknown keys refused, and [`Settings`].
///
/// The docs of a field are what people read: its title, an empty line, and what it changes. A field is a `bool`, a whole
/// number with the range that it may be in, an enum of [`choice!`](crate::choice!), a `String`, a [`Secret`](crate::Secret), a [`Span`](crate::Span), or a `Vec` of what is
/// [`Listed`] with the range of how many there may be; the default of the last four is written as JSON. The crate that uses this needs
/// serde.
///
/// ```
/// mqtt_hooks::choice! {
///     /// Where to stand.
///     pub enum Side {
///         /// Where the heart is.
///         Left = "left",
///         /// The other one.
///         Right = "right",
///     }
/// }
///
/// mqtt_hooks::settings! {
///     /// Settings of a greeter.
///     pub struct Settings {
///         /// Loudness
///         ///
///         /// Of the greeting, in decibels.
///         pub loudness: u8 = 60 in 0..=120,
///         /// Bow
///         ///
///         /// Bends the knee too.
///         pub bow: bool = false,
///         /// Side
///         ///
///         /// Where the greeter stands.
///         pub side: Side = Left,
///         /// Guests
///         ///
///         /// Who is greeted in another way.
///         pub guests: Vec<Guest> = [] in 0..=9,
///     }
/// }
///
/// mqtt_hooks::settings! {
///     /// Someone who is greeted in another way.
///     pub struct Guest {
///         /// Name
///         ///
///         /// Theirs.
///         pub name: String = "",
///         /// Words
///         ///
///         /// What they are greeted with, in order.
///         pub words: Vec<String> = ["hello"] in 1..=3,
///     }
/// }
///
/// use mqtt_hooks::{Settings as _, read_settings};
/// assert_eq!(Settings::FORM[0].title, "Loudness");
/// assert_eq!(Settings::FORM[2].default, "\"left\"");
/// let wrong = read_settings::<Settings>(&serde_json::json!({"loudness": 121})).unwrap_err();
/// assert_eq!(wrong.to_string(), "loudness: 121 is not from 0 to 120");
/// let wrong = read_settings::<Settings>(&serde_json::json!({"guests": [{"name": "a"}, {"words": []}]})).unwrap_err();
/// assert_eq!(wrong.to_string(), "guests, entry 2: words: 0 entries are not from 1 to 3");
/// ```
#[macro_export]
macro_rules! settings {
    (
        $(#[$about:meta])*
        $vis:vis struct $name:ident {
            $(
                #[doc = $title:literal] #[doc = $empty:literal] $(#[doc = $line:literal])+
                $field_vis:vis $field:ident: $kind:ident $(<$entry:ident>)? = $default:tt $(in $min:literal..=$max:literal)?
            ),+ $(,)?
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq, ::serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        $vis struct $name {
            $(
                #[doc = $title] #[doc = $empty] $(#[doc = $line])+
                $field_vis $field: $kind $(<$entry>)?,
            )+
        }

        impl ::core::default::Default for $name {
            fn default() -> Self {
                Self { $($field: $crate::settings!(@default [$kind $(<$entry>)?] $default $($min)?),)+ }
            }
        }

        impl $crate::Settings for $name {
            const FORM: &'static [$crate::Setting] = &[$($crate::Setting {
                name: $crate::plain_name(stringify!($field)),
                title: $title.trim_ascii(),
                description: concat!($($line),+).trim_ascii(),
                kind: $crate::settings!(@kind [$kind $(<$entry>)?] $($min $max)?),
                default: $crate::settings!(@json [$kind $(<$entry>)?] $default $($min)?),
            }),+];

            fn check(&self) -> ::core::result::Result<(), $crate::StartError> {
                $($crate::settings!(@check [$kind $(<$entry>)?] (self.$field) $field $($min $max)?);)+
                Ok(())
            }
        }

        impl $crate::Listed for $name {
            const OF: $crate::ListOf = $crate::ListOf::Tables(<Self as $crate::Settings>::FORM);

            fn check_entry(&self) -> ::core::result::Result<(), $crate::StartError> {
                $crate::Settings::check(self)
            }
        }
    };
    (@default [bool] $default:tt) => { $default };
    (@default [String] $default:tt) => { ::std::string::String::from($default) };
    (@default [Secret] $default:tt) => { $crate::Secret(::std::string::String::from($default)) };
    (@default [Span] $default:tt) => { $crate::Span::of($default) };
    (@default [Vec<$entry:ident>] $default:tt $min:literal) => { $crate::default_of(stringify!($default)) };
    (@default [$kind:ident] $default:tt $min:literal) => { $default };
    (@default [$kind:ident] $default:tt) => { $kind::$default };
    (@kind [bool]) => { $crate::SettingKind::Switch };
    (@kind [String]) => { $crate::SettingKind::Text };
    (@kind [Secret]) => { $crate::SettingKind::Secret };
    (@kind [Span]) => { $crate::SettingKind::Text };
    (@kind [Vec<$entry:ident>] $min:literal $max:literal) => {
        $crate::SettingKind::List { of: <$entry as $crate::Listed>::OF, max: $max }
    };
    (@kind [$kind:ident] $min:literal $max:literal) => { $crate::SettingKind::Number { min: $min, max: $max } };
    (@kind [$kind:ident]) => { $crate::SettingKind::Choice($kind::NAMES) };
    (@json [bool] $default:tt) => { stringify!($default) };
    (@json [String] $default:tt) => { stringify!($default) };
    (@json [Secret] $default:tt) => { stringify!($default) };
    (@json [Span] $default:tt) => { stringify!($default) };
    (@json [Vec<$entry:ident>] $default:tt $min:literal) => { stringify!($default) };
    (@json [$kind:ident] $default:tt $min:literal) => { $crate::json_number(stringify!($default)) };
    (@json [$kind:ident] $default:tt) => { $kind::$default.json() };
    (@check [Vec<$entry:ident>] ($value:expr) $field:ident $min:literal $max:literal) => {
        $crate::check_list($crate::plain_name(stringify!($field)), &$value, $min..=$max)?;
    };
    (@check [$kind:ident] ($value:expr) $field:ident $min:literal $max:literal) => {
        let (field, min, max) = ($crate::plain_name(stringify!($field)), $min, $max);
        if !(min..=max).contains(&$value) {
            let why = format!("{field}: {} is not from {min} to {max}", $value);
            return Err($crate::StartError::Config(why));
        }
    };
    (@check [$kind:ident] ($value:expr) $field:ident) => {};
}

/// Makes an enum of which each variant has a name, for a field of [`settings!`](crate::settings!) or a list there.
#[macro_export]
macro_rules! choice {
    (
        $(#[$about:meta])*
        $vis:vis enum $name:ident {
            $($(#[$of_variant:meta])* $variant:ident = $text:literal),+ $(,)?
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, ::serde::Deserialize)]
        $vis enum $name {
            $($(#[$of_variant])* #[serde(rename = $text)] $variant),+
        }

        impl $name {
            /// All names, in order.
            pub const NAMES: &'static [&'static str] = &[$($text),+];

            /// Its name as JSON.
            pub const fn json(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!("\"", $text, "\"")),+
                }
            }
        }

        impl $crate::Listed for $name {
            const OF: $crate::ListOf = $crate::ListOf::Choices(Self::NAMES);
        }
    };
}

/// The text of a number, if that is JSON's text too; for [`settings!`](crate::settings!).
#[doc(hidden)]
pub const fn json_number(text: &'static str) -> &'static str {
    let mut place = 0;
    while place < text.len() {
        assert!(text.as_bytes()[place].is_ascii_digit(), "the default of a setting is written in digits only");
        place += 1;
    }
    text
}

/// The name of a field as it is written where it is set, also if it is one of Rust's words; for [`settings!`](crate::settings!).
#[doc(hidden)]
pub const fn plain_name(field: &'static str) -> &'static str {
    match field.as_bytes() {
        [b'r', b'#', ..] => field.split_at(2).1,
        _ => field,
    }
}

/// What this JSON says; for [`settings!`](crate::settings!).
#[doc(hidden)]
pub fn default_of<T: DeserializeOwned>(json: &'static str) -> T {
    serde_json::from_str(json).expect("the default of a setting is written as JSON that its type reads")
}

/// Whether there are so many entries, and each is fit; for [`settings!`](crate::settings!).
#[doc(hidden)]
pub fn check_list<T: Listed>(name: &str, list: &[T], counts: RangeInclusive<usize>) -> Result<(), StartError> {
    if !counts.contains(&list.len()) {
        let (min, max) = counts.into_inner();
        return Err(StartError::Config(format!("{name}: {} entries are not from {min} to {max}", list.len())));
    }
    list.iter().enumerate().try_for_each(|(at, entry)| {
        entry.check_entry().map_err(|why| StartError::Config(format!("{name}, entry {}: {why}", at + 1)))
    })
}
