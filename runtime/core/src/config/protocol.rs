//! The protocols that applications speak with a slave, in one table. *Invariant:* nothing else lists protocols, except for the line
//! in the daemon's `slave/endpoints.rs` that names each one's implementation.

use serde::{Deserialize, Serialize};

/// Writes each row as a variant, and its columns as functions.
macro_rules! protocols {
    ($($variant:ident = $name:literal, $alias:literal, $listen:literal, $explanation:literal;)+) => {
        /// A protocol of applications.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Protocol {
            $(
                #[doc = $explanation]
                #[serde(rename = $name, alias = $alias)]
                $variant,
            )+
        }

        impl Protocol {
            /// Every protocol.
            pub const ALL: &[Protocol] = &[$(Protocol::$variant),+];

            /// Its name, in files and on the command line.
            pub const fn name(self) -> &'static str {
                match self { $(Protocol::$variant => $name),+ }
            }

            /// Another name that is accepted.
            pub const fn alias(self) -> &'static str {
                match self { $(Protocol::$variant => $alias),+ }
            }

            /// Where its clients look for a server by default.
            pub const fn default_listen(self) -> &'static str {
                match self { $(Protocol::$variant => $listen),+ }
            }

            /// What it is, for help.
            pub const fn explanation(self) -> &'static str {
                match self { $(Protocol::$variant => $explanation),+ }
            }
        }
    };
}

// Name, alias, default listen address, explanation.
protocols! {
    Memcache = "memcache", "memcached", "127.0.0.1:11211", "The memcached text protocol";
    Redis = "redis", "resp", "127.0.0.1:6379", "RESP2 and RESP3, as Redis clients speak them";
}

impl Protocol {
    /// The protocol with this name or alias.
    pub fn named(word: &str) -> Option<Protocol> {
        Protocol::ALL.iter().copied().find(|protocol| protocol.name() == word || protocol.alias() == word)
    }
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_an_alias_mean_the_same_in_files_and_on_the_command_line() {
        for protocol in Protocol::ALL.iter().copied() {
            for word in [protocol.name(), protocol.alias()] {
                assert_eq!(Protocol::named(word), Some(protocol));
                assert_eq!(serde_yaml::from_str::<Protocol>(word).expect("a protocol"), protocol);
            }
            assert_eq!(serde_yaml::to_string(&protocol).expect("text").trim(), protocol.name());
        }
        assert_eq!(Protocol::named("binary"), None);
        assert!(serde_yaml::from_str::<Protocol>("binary").is_err());
    }
}
