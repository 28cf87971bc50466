//! The names of keys that belong to another key: its list of sub-keys and the history of its value. *Invariant:* they lie in the slot
//! of the key they belong to, so that both change in one log entry, and no two keys share one.

use bytes::Bytes;

use super::server::Server;
use super::{answer, words};
use crate::error::{CommandError, codes};

/// A set: the names of the keys below one.
pub fn sub_keys(key: &str) -> Result<Bytes, CommandError> {
    companion(key, "subkeys")
}

/// A list: when a value was replaced, and the value, the latest first.
pub fn history(key: &str) -> Result<Bytes, CommandError> {
    companion(key, "history")
}

fn companion(key: &str, what: &str) -> Result<Bytes, CommandError> {
    let name = match (tag(key), key.contains('}')) {
        (Some(_), _) => format!("{key}::{what}"),
        (None, false) => format!("{{{key}}}:{what}"),
        (None, true) => {
            let why = format!("\"{key}\" can have no {what}: it has a }} but no {{tag}}");
            return Err(CommandError::new(&codes::BAD_VALUE, why).now("nothing changed"));
        }
    };
    Ok(name.into())
}

/// Removes a key with its list of sub-keys and its earlier values, in one log entry; false if there was nothing.
pub async fn remove_key(server: &mut Server, key: &str) -> Result<bool, CommandError> {
    let line = [words(&["DEL"]), whole(key)].concat();
    Ok(answer(key, server.run(line).await?)? > 0)
}

/// A key and those that belong to it.
pub fn whole(key: &str) -> Vec<Bytes> {
    let companions = [sub_keys(key), history(key)];
    std::iter::once(Bytes::from(key.to_owned())).chain(companions.into_iter().flatten()).collect()
}

/// What stands between the first `{` and the first `}` behind it: it alone decides the slot.
fn tag(key: &str) -> Option<&str> {
    let (_, behind) = key.split_once('{')?;
    behind.split_once('}').map(|(tag, _)| tag).filter(|tag| !tag.is_empty())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use dkc_core::ids::Namespace;
    use dkc_core::ring::slot_of;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_companions() {
        let check = |key: &str, want: Option<&str>| {
            assert_eq!(sub_keys(key).ok().as_deref(), want.map(str::as_bytes), "{key}");
        };
        check("k", Some("{k}:subkeys"));
        check("a{b", Some("{a{b}:subkeys"));
        check("{t}k", Some("{t}k::subkeys"));
        check("{k}", Some("{k}::subkeys"));
        check("a}b", None);
        check("{}k", None);
    }

    proptest! {
        #[test]
        fn a_companion_is_in_the_slot_of_its_key_and_of_no_other(keys in prop::collection::hash_set("[{}a:]{1,6}", 1..50)) {
            let namespace = Namespace::default();
            let mut all = HashSet::new();
            for key in &keys {
                let Ok(name) = sub_keys(key) else { continue };
                prop_assert_eq!(slot_of(&namespace, &name), slot_of(&namespace, key.as_bytes()), "{}", key);
                prop_assert!(all.insert(name), "{} shares one", key);
            }
        }
    }
}
