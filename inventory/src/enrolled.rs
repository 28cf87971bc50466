//! Tokens of a cluster and the slaves that joined with them, from what its servers answered.

use std::collections::BTreeMap;

use dkc_core::control::TokensView;
use dkc_core::ids::ClusterName;
use dkc_core::meta::TokenView;
use dkc_core::token::TokenId;

use crate::model::Inventory;
use crate::observed::Observed;

/// What the servers that answered know together; `None` if none does.
pub fn tokens(inventory: &Inventory, observed: &Observed, cluster: &ClusterName) -> Option<TokensView> {
    let servers = inventory.servers_of(cluster);
    let views = servers.iter().filter_map(|node| observed.node(node)?.tokens.as_deref());
    views.cloned().reduce(merged)
}

/// A server may lag behind: of a token that two know, the one with more of its life behind it is newer.
fn merged(mut one: TokensView, other: TokensView) -> TokensView {
    let mut tokens: BTreeMap<TokenId, TokenView> =
        one.tokens.into_iter().map(|token| (token.id, token)).collect();
    for token in other.tokens {
        let known = tokens.entry(token.id).or_insert_with(|| token.clone());
        let age = |token: &TokenView| (token.end.is_some(), token.uses - token.uses_left.min(token.uses));
        if age(&token) > age(known) {
            *known = token;
        }
    }
    one.tokens = tokens.into_values().collect();
    one.enrolled.extend(other.enrolled);
    one.connected.extend(other.connected);
    one
}

#[cfg(test)]
mod tests {
    use dkc_core::ids::SlaveId;
    use dkc_core::meta::{EnrolledSlave, TokenEnd};

    use super::*;

    fn token(uses_left: u32, end: Option<TokenEnd>) -> TokenView {
        TokenView {
            id: TokenId("11111111-1111-4111-8111-111111111111".parse().unwrap()),
            namespaces: Vec::new(),
            uses: 3,
            uses_left,
            issued_at_ms: 0,
            expires_at_ms: 1,
            end,
            label: String::new(),
            by: "ann@admin1".into(),
        }
    }

    fn view(token: TokenView) -> TokensView {
        TokensView { tokens: vec![token], enrolled: BTreeMap::new(), connected: BTreeMap::new() }
    }

    #[test]
    fn of_two_servers_the_one_that_is_further_is_believed() {
        let check = |a: TokenView, b: TokenView, want: &TokenView| {
            assert_eq!(merged(view(a.clone()), view(b.clone())).tokens[0], *want);
            assert_eq!(merged(view(b), view(a)).tokens[0], *want);
        };
        let (fresh, used, dead) = (token(3, None), token(2, None), token(3, Some(TokenEnd::Expired)));
        check(fresh.clone(), used.clone(), &used);
        check(used, dead.clone(), &dead);
        check(fresh.clone(), fresh.clone(), &fresh);
    }

    #[test]
    fn slaves_of_all_servers_are_known() {
        let uuid =
            |digit: &str| "01111111-1111-4111-8111-111111111111".replacen('0', digit, 1).parse().unwrap();
        let slave =
            |id| EnrolledSlave { id: SlaveId(id), token: token(0, None).id, namespaces: vec![], at_ms: 5 };
        let mut one = view(token(3, None));
        one.enrolled.insert(uuid("1"), slave(1));
        one.connected.insert(uuid("1"), "10.0.0.1".into());
        let mut other = view(token(3, None));
        other.enrolled.insert(uuid("2"), slave(2));
        let both = merged(one, other);
        assert_eq!((both.enrolled.len(), both.connected.len()), (2, 1));
    }
}
