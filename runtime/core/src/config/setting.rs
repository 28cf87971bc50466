//! The value of a parameter as people type it and files hold it, and the types it becomes. *Invariant:* a setting that
//! became a typed value and was turned back is the same setting.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

/// A longer value is cut in errors.
const SHOWN_CHARS_MAX: usize = 60;

/// A number or a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// A whole number.
    Number(u64),
    /// Anything else.
    Text(String),
}

/// A value that is a whole number is one; everything else is text.
impl FromStr for Setting {
    type Err = Infallible;
    fn from_str(word: &str) -> Result<Setting, Infallible> {
        Ok(word.parse().map_or_else(|_| Setting::Text(word.to_owned()), Setting::Number))
    }
}

impl From<u64> for Setting {
    fn from(number: u64) -> Setting {
        Setting::Number(number)
    }
}

/// As a person wrote it, on one line, cut short.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Setting::Number(number) => write!(f, "{number}"),
            Setting::Text(text) if text.is_empty() => f.write_str("''"),
            Setting::Text(text) => {
                for character in text.chars().take(SHOWN_CHARS_MAX) {
                    match character.is_control() {
                        true => write!(f, "{}", character.escape_default())?,
                        false => write!(f, "{character}")?,
                    }
                }
                f.write_str(if text.chars().count() > SHOWN_CHARS_MAX { "…" } else { "" })
            }
        }
    }
}

impl Serialize for Setting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Setting::Number(number) => serializer.serialize_u64(*number),
            Setting::Text(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Setting, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Setting;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a word")
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Setting, E> {
                Ok(Setting::Number(number))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Setting, E> {
                Ok(Setting::Text(text.to_owned()))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// What the type of a parameter can do.
pub(super) trait ValueKind: Sized {
    /// `None` if it is none of this type.
    fn from_setting(setting: &Setting) -> Option<Self>;
    fn to_setting(&self) -> Setting;
}

impl ValueKind for u64 {
    fn from_setting(setting: &Setting) -> Option<u64> {
        match setting {
            Setting::Number(number) => Some(*number),
            Setting::Text(_) => None,
        }
    }
    fn to_setting(&self) -> Setting {
        Setting::Number(*self)
    }
}

impl ValueKind for u32 {
    fn from_setting(setting: &Setting) -> Option<u32> {
        u64::from_setting(setting)?.try_into().ok()
    }
    fn to_setting(&self) -> Setting {
        Setting::Number((*self).into())
    }
}

impl ValueKind for u16 {
    fn from_setting(setting: &Setting) -> Option<u16> {
        u64::from_setting(setting)?.try_into().ok()
    }
    fn to_setting(&self) -> Setting {
        Setting::Number((*self).into())
    }
}

impl ValueKind for String {
    fn from_setting(setting: &Setting) -> Option<String> {
        match setting {
            Setting::Number(_) => None,
            Setting::Text(text) => Some(text.clone()),
        }
    }
    fn to_setting(&self) -> Setting {
        Setting::Text(self.clone())
    }
}

/// An enum of which each variant is a word.
macro_rules! choice {
    ($(#[$about:meta])* $name:ident { $($(#[$what:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$what])* #[serde(rename = $word)] $variant,)+ }

        impl $name {
            /// The words there are.
            pub const WORDS: &'static [&'static str] = &[$($word),+];
        }

        impl $crate::config::setting::ValueKind for $name {
            fn from_setting(setting: &$crate::config::Setting) -> Option<$name> {
                let $crate::config::Setting::Text(text) = setting else { return None };
                match text.as_str() { $($word => Some($name::$variant),)+ _ => None }
            }
            fn to_setting(&self) -> $crate::config::Setting {
                let word = match self { $($name::$variant => $word,)+ };
                $crate::config::Setting::Text(word.to_owned())
            }
        }
    };
}
pub(super) use choice;
