use super::tests::{founded, words};
use super::*;
use crate::ids::Namespace;
use crate::token::{SecretHash, TokenId};

const ISSUED_MS: u64 = 1_800_000_000_000;
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

fn id(n: u64) -> TokenId {
    TokenId(uuid::Uuid::from_u128(u128::from(n)))
}

fn hash(n: u64) -> SecretHash {
    SecretHash([n as u8; 32])
}

fn slave(n: u64) -> NodeUuid {
    NodeUuid(uuid::Uuid::from_u128(u128::from(n) << 64))
}

fn token(n: u64) -> NewToken {
    NewToken {
        id: id(n),
        hash: hash(n),
        namespaces: vec!["sessions".parse::<Namespace>().unwrap()],
        uses: 1,
        ttl_ms: HOUR_MS,
        label: "web".into(),
        by: "ann@admin1".into(),
    }
}

fn issue(state: &mut MetaState, token: NewToken) -> String {
    words(&state.apply(&MetaCommand::IssueToken { token, now_ms: ISSUED_MS }))
}

fn redeem(state: &mut MetaState, n: u64, of: u64, now_ms: u64) -> String {
    let command = MetaCommand::RedeemToken { id: id(n), hash: hash(n), slave: slave(of), now_ms };
    words(&state.apply(&command))
}

fn issued(token: NewToken) -> MetaState {
    let mut state = founded(3);
    assert_eq!(issue(&mut state, token), "done");
    state
}

fn end_of(state: &MetaState) -> Option<TokenEnd> {
    state.tokens()[0].end.clone()
}

#[test]
fn a_thousand_racers_on_a_token_of_one_use_and_one_is_enrolled() {
    let mut state = issued(token(1));
    let won: Vec<u64> =
        (0..1000).filter(|racer| redeem(&mut state, 1, *racer, ISSUED_MS) == "slave 1000000").collect();
    assert_eq!((won, state.enrolled().len()), (vec![0], 1));
    assert_eq!(end_of(&state), Some(TokenEnd::UsedUp));
    assert!(redeem(&mut state, 1, 5, ISSUED_MS).contains("is used up"));
}

#[test]
fn a_retry_of_the_same_slave_takes_no_second_use_and_gets_the_same_answer() {
    let mut state = issued(NewToken { uses: 2, ..token(1) });
    assert_eq!(redeem(&mut state, 1, 5, ISSUED_MS), "slave 1000000");
    assert_eq!(redeem(&mut state, 1, 5, ISSUED_MS + 1), "slave 1000000");
    assert_eq!(state.tokens()[0].uses_left, 1);
    assert_eq!(redeem(&mut state, 1, 6, ISSUED_MS), "slave 1000001");
    assert_eq!(redeem(&mut state, 1, 5, ISSUED_MS + DAY_MS), "slave 1000000", "its reply may have been lost");
    assert_eq!(issue(&mut state, NewToken { uses: 2, ..token(1) }), "done");
    assert_eq!(state.tokens()[0].uses_left, 0, "issued again by a retry only");
}

#[test]
fn an_expired_token_stays_expired_whatever_the_next_clock_says() {
    let mut state = issued(token(1));
    assert!(redeem(&mut state, 1, 5, ISSUED_MS + HOUR_MS).contains("has expired"));
    assert!(redeem(&mut state, 1, 5, ISSUED_MS).contains("has expired"));
    let mut state = issued(token(1));
    assert_eq!(state.apply(&MetaCommand::ExpireTokens { now_ms: ISSUED_MS + HOUR_MS - 1 }), MetaReply::Done);
    assert_eq!(end_of(&state), None);
    assert_eq!(state.apply(&MetaCommand::ExpireTokens { now_ms: ISSUED_MS + HOUR_MS }), MetaReply::Done);
    assert_eq!(end_of(&state), Some(TokenEnd::Expired));
    assert!(state.enrolled().is_empty());
}

#[test]
fn a_server_whose_clock_is_a_day_late_enrols_nobody_and_one_a_day_early_spoils_no_later_token() {
    let mut state = issued(token(1));
    assert!(redeem(&mut state, 1, 5, ISSUED_MS - DAY_MS).contains("clock is late"));
    assert_eq!(redeem(&mut state, 1, 5, ISSUED_MS - HOUR_MS), "slave 1000000", "as far as is tolerated");
    state = issued(token(1));
    assert!(redeem(&mut state, 1, 5, ISSUED_MS + DAY_MS).contains("has expired"));
    assert_eq!(issue(&mut state, token(2)), "done");
    assert_eq!(redeem(&mut state, 2, 5, ISSUED_MS), "slave 1000000");
}

#[test]
fn a_revoked_token_enrols_nobody_not_even_whom_it_had_enrolled() {
    let mut state = issued(NewToken { uses: 2, ..token(1) });
    assert_eq!(redeem(&mut state, 1, 5, ISSUED_MS), "slave 1000000");
    let revoke = |n, by: &str| MetaCommand::RevokeToken { id: id(n), by: by.into() };
    assert_eq!(state.apply(&revoke(1, "ann@admin1")), MetaReply::Done);
    assert_eq!(state.apply(&revoke(1, "bob@admin1")), MetaReply::Done);
    assert_eq!(end_of(&state), Some(TokenEnd::Revoked("ann@admin1".into())));
    assert!(redeem(&mut state, 1, 6, ISSUED_MS).contains("was revoked by ann@admin1"));
    assert!(redeem(&mut state, 1, 5, ISSUED_MS).contains("was revoked by ann@admin1"));
    assert!(words(&state.apply(&revoke(2, "ann@admin1"))).contains("no such token"));
    assert_eq!(state.enrolled().len(), 1);
}

#[test]
fn an_unknown_token_and_a_wrong_secret_are_answered_alike() {
    let mut state = issued(token(1));
    let unknown = redeem(&mut state, 2, 5, ISSUED_MS);
    let wrong = MetaCommand::RedeemToken { id: id(1), hash: hash(2), slave: slave(5), now_ms: ISSUED_MS };
    assert_eq!(words(&state.apply(&wrong)), unknown);
    assert_eq!((state.tokens()[0].uses_left, state.enrolled().len()), (1, 0));
}

#[test]
fn an_identity_that_is_taken_enrols_never() {
    let mut state = issued(NewToken { uses: 3, ..token(1) });
    let server = state.ring().unwrap().nodes[0].uuid;
    let as_server = MetaCommand::RedeemToken { id: id(1), hash: hash(1), slave: server, now_ms: ISSUED_MS };
    assert!(words(&state.apply(&as_server)).contains("belongs to a server"));
    let revoked = MetaCommand::RevokeSlave { uuid: slave(5), id: SlaveId(7), by: "ann@admin1".into() };
    assert_eq!(state.apply(&revoked), MetaReply::Done);
    assert!(redeem(&mut state, 1, 5, ISSUED_MS).contains("make a new key"));
    assert_eq!(redeem(&mut state, 1, 6, ISSUED_MS), "slave 1000000");
    assert_eq!(issue(&mut state, token(2)), "done");
    assert!(redeem(&mut state, 2, 6, ISSUED_MS).contains("another token enrolled this key"));
}

#[test]
fn no_token_is_without_an_end_and_every_limit_is_kept() {
    let check = |change: fn(&mut NewToken), want: &str| {
        let mut bad = token(1);
        change(&mut bad);
        let mut state = founded(1);
        let said = issue(&mut state, bad);
        assert!(said.contains(want), "{said}");
        assert!(state.tokens().is_empty());
    };
    check(|token| token.ttl_ms = 0, "7 days");
    check(|token| token.ttl_ms = TOKEN_TTL_MAX_MS + 1, "7 days");
    check(|token| token.uses = 0, "uses are 1 to");
    check(|token| token.uses = TOKEN_USES_MAX + 1, "uses are 1 to");
    check(|token| token.label = "x".repeat(TOKEN_LABEL_MAX_BYTES + 1), "label");
    check(|token| token.namespaces.clear(), "no namespace");
    check(|token| token.namespaces = vec![token.namespaces[0].clone(); TOKEN_NAMESPACES_MAX + 1], "too many");
    let mut state = issued(token(1));
    let other = NewToken { hash: hash(9), ..token(1) };
    assert!(issue(&mut state, other).contains("another token has its id"));
    assert!(issue(&mut MetaState::default(), token(1)).contains("not founded"));
}

#[test]
fn the_oldest_dead_token_makes_room_and_living_ones_never_do() {
    let mut state = founded(1);
    for n in 0..TOKENS_MAX as u64 {
        assert_eq!(issue(&mut state, token(n)), "done");
    }
    let one_more = TOKENS_MAX as u64;
    assert!(issue(&mut state, token(one_more)).contains("revoke some"));
    state.apply(&MetaCommand::RevokeToken { id: id(7), by: String::new() });
    assert_eq!(issue(&mut state, token(one_more)), "done");
    assert_eq!(state.tokens().len(), TOKENS_MAX);
    assert!(redeem(&mut state, 7, 5, ISSUED_MS).contains("no such token"));
}

#[test]
fn a_state_with_tokens_is_read_back_whole_or_not_at_all_and_shows_no_hash() {
    let mut state = issued(token(1));
    redeem(&mut state, 1, 5, ISSUED_MS);
    let bytes = state.encode();
    assert_eq!((bytes[0], MetaState::decode(&bytes)), (4, Ok(state.clone())));
    for cut in 1..bytes.len() {
        assert!(MetaState::decode(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    assert!(MetaState::decode(&[&bytes[..], &[0]].concat()).is_err());
    let shown = serde_json::to_string(&(state.tokens(), MetaView::of(&state))).unwrap();
    assert!(!shown.contains("hash") && shown.contains("used_up"), "{shown}");
}
