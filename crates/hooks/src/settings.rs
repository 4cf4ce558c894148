//! What can be set of a module, written once: from one struct come its form for people, its defaults and its check.

use serde::de::DeserializeOwned;

use serde_json::Value;

use crate::{Setting, StartError, read_config};

/// Settings that [`settings!`](crate::settings!) has made.
pub trait Settings: DeserializeOwned + Default {
    /// The form for people, for [`Info::settings`](crate::Info::settings).
    const FORM: &'static [Setting];

    /// Says what is wrong with a value that the type allows and the form does not.
    fn check(&self) -> Result<(), StartError>;
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
/// number with the range that it may be in, or an enum of [`choice!`](crate::choice!). The
/// crate that uses this needs serde.
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
///     }
/// }
///
/// use mqtt_hooks::{Settings as _, read_settings};
/// assert_eq!(Settings::FORM[0].title, "Loudness");
/// assert_eq!(Settings::FORM[2].default, "\"left\"");
/// let wrong = read_settings::<Settings>(&serde_json::json!({"loudness": 121})).unwrap_err();
/// assert_eq!(wrong.to_string(), "loudness: 121 is not from 0 to 120");
/// ```
#[macro_export]
macro_rules! settings {
    (
        $(#[$about:meta])*
        $vis:vis struct $name:ident {
            $(
                #[doc = $title:literal] #[doc = $empty:literal] $(#[doc = $line:literal])+
                $field_vis:vis $field:ident: $kind:ident = $default:tt $(in $min:literal..=$max:literal)?
            ),+ $(,)?
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq, ::serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        $vis struct $name {
            $(
                #[doc = $title] #[doc = $empty] $(#[doc = $line])+
                $field_vis $field: $kind,
            )+
        }

        impl ::core::default::Default for $name {
            fn default() -> Self {
                Self { $($field: $crate::settings!(@default $kind $default $($min)?),)+ }
            }
        }

        impl $crate::Settings for $name {
            const FORM: &'static [$crate::Setting] = &[$($crate::Setting {
                name: stringify!($field),
                title: $title.trim_ascii(),
                description: concat!($($line),+).trim_ascii(),
                kind: $crate::settings!(@kind $kind $($min $max)?),
                default: $crate::settings!(@json $kind $default $($min)?),
            }),+];

            fn check(&self) -> ::core::result::Result<(), $crate::StartError> {
                $($(
                    let (field, min, max) = (stringify!($field), $min, $max);
                    if !(min..=max).contains(&self.$field) {
                        let why = format!("{field}: {} is not from {min} to {max}", self.$field);
                        return Err($crate::StartError::Config(why));
                    }
                )?)+
                Ok(())
            }
        }
    };
    (@default bool $default:tt) => { $default };
    (@default $kind:ident $default:tt $min:literal) => { $default };
    (@default $kind:ident $default:tt) => { $kind::$default };
    (@kind bool) => { $crate::SettingKind::Switch };
    (@kind $kind:ident $min:literal $max:literal) => { $crate::SettingKind::Number { min: $min, max: $max } };
    (@kind $kind:ident) => { $crate::SettingKind::Choice($kind::NAMES) };
    (@json bool $default:tt) => { stringify!($default) };
    (@json $kind:ident $default:tt $min:literal) => { $crate::json_number(stringify!($default)) };
    (@json $kind:ident $default:tt) => { $kind::$default.json() };
}

/// Makes an enum of which each variant has a name, for a field of [`settings!`](crate::settings!).
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
