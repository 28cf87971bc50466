//! One short history for each way to go wrong, and those that look wrong and are not. The text is the format of
//! kept histories: KEY CLIENT BEGIN END CALL OUTCOME.

use dkc_history::{Kind, Report, check, is_linearizable, parse, write_line};

fn report(text: &str) -> Report {
    let text: Vec<&str> = text.lines().map(str::trim).collect();
    let text = text.join("\n");
    let history = parse(&text).unwrap();
    let mut written = String::new();
    history.iter().for_each(|operation| write_line(&mut written, operation));
    assert_eq!(parse(&written).unwrap(), history, "text and back");
    let operations: Vec<_> = history.iter().collect();
    let report = check(&history);
    assert_eq!(report.undecided, vec![], "{text}");
    assert_eq!(report.is_fine(), is_linearizable(&operations), "the judge disagrees: {report:?}\n{text}");
    report
}

/// The kinds of violations in the history, or "fine".
#[track_caller]
fn check_kind(text: &str, want: Option<Kind>) {
    let report = report(text);
    let found: Vec<Kind> = report.violations.iter().map(|violation| violation.kind).collect();
    assert_eq!(found, want.into_iter().collect::<Vec<_>>(), "{:?}\n{text}", report.violations);
}

#[track_caller]
fn fine(text: &str) {
    check_kind(text, None);
}

#[track_caller]
fn wrong(text: &str, want: Kind) {
    check_kind(text, Some(want));
}

#[test]
fn a_lost_write_is_found() {
    wrong("1 1 0 1 set 5 stored\n1 2 2 3 get not_found", Kind::Lost);
    wrong("1 1 0 1 set 5 stored\n1 1 2 3 set 6 stored\n1 2 4 5 get value 5", Kind::Lost);
    wrong("1 1 0 1 set 5 stored\n1 1 2 3 add 6 stored", Kind::Lost);
    wrong("1 1 0 1 set 5 stored\n1 1 2 3 delete not_found", Kind::Lost);
}

#[test]
fn a_stale_read_is_found() {
    wrong(
        "1 1 0 1 set 5 stored\n1 1 2 3 set 6 stored\n1 2 4 5 get value 6\n1 2 6 7 get value 5",
        Kind::Stale,
    );
    wrong("1 1 0 1 set 5 stored\n1 2 2 3 get not_found\n1 2 4 5 get value 5", Kind::Stale);
    // Two readers of an unknown write: once it was seen it stays.
    wrong(
        "1 1 0 1 set 5 stored\n1 1 2 3 set 6 unknown\n1 2 4 5 get value 6\n1 3 6 7 get value 5",
        Kind::NoOrder,
    );
}

#[test]
fn a_write_that_took_effect_twice_is_found() {
    wrong("1 1 0 1 set 5 stored\n1 2 2 3 get value 5 10\n1 2 4 5 get value 5 11", Kind::Double);
    wrong("1 1 0 1 set 5 stored\n1 1 2 3 delete deleted\n1 2 4 5 get value 5", Kind::Resurrected);
}

#[test]
fn what_was_deleted_and_comes_back_is_found() {
    wrong(
        "1 1 0 9 set 5 stored\n1 2 1 2 get value 5\n1 3 3 4 delete deleted\n1 2 10 11 get value 5",
        Kind::Resurrected,
    );
    fine("1 1 0 9 set 5 stored\n1 3 3 4 delete not_found\n1 2 10 11 get value 5");
}

#[test]
fn two_winners_of_a_version_are_found() {
    wrong(
        "1 1 0 1 set 5 stored\n1 1 2 3 get value 5 10\n1 1 4 6 cas 10 7 stored\n1 2 4 6 cas 10 8 stored",
        Kind::TwoWinners,
    );
    fine("1 1 0 1 set 5 stored\n1 1 2 3 get value 5 10\n1 1 4 6 cas 10 7 stored\n1 2 4 6 cas 10 8 exists");
    // The loser's version was good until somebody else changed it, and nobody did.
    wrong("1 1 0 1 set 5 stored\n1 1 2 3 get value 5 10\n1 2 4 6 cas 10 8 exists", Kind::NoOrder);
    // A cas on what had been replaced: the set is undone.
    wrong(
        "1 1 0 1 set 5 stored\n1 1 2 3 get value 5 10\n1 2 4 5 set 6 stored\n1 1 6 7 cas 10 8 stored",
        Kind::Lost,
    );
}

#[test]
fn a_value_from_nowhere_is_found() {
    wrong("1 1 0 1 set 5 stored\n1 2 2 3 get value 6", Kind::FromNowhere);
    wrong("1 2 2 3 get value 6\n1 1 4 5 set 6 stored", Kind::FromNowhere);
    wrong("1 2 2 3 get value 6\n1 1 4 5 set 6 unknown", Kind::FromNowhere);
}

#[test]
fn a_refused_write_that_happened_is_found() {
    wrong("1 1 0 1 set 5 refused\n1 2 2 3 get value 5", Kind::RefusedHappened);
    wrong("1 1 0 1 set 4 stored\n1 1 2 3 add 5 not_stored\n1 2 4 5 get value 5", Kind::RefusedHappened);
}

#[test]
fn unknown_writes_explain_what_they_can() {
    fine("1 1 0 1 set 5 unknown\n1 2 2 3 get not_found\n1 2 4 5 get value 5");
    // Never read, and still the reason for what others were told.
    fine("1 1 0 1 set 5 unknown\n1 2 2 3 delete deleted");
    fine("1 1 0 1 add 5 unknown\n1 2 2 3 add 6 not_stored");
    fine("1 1 0 1 set 5 stored\n1 2 2 3 delete unknown\n1 3 4 5 get not_found\n1 3 6 7 get not_found");
    fine(
        "1 1 0 1 set 5 stored\n1 1 2 3 get value 5 10\n1 2 4 5 cas 10 8 unknown\n1 3 6 7 cas 10 9 exists\n\
         1 3 8 9 delete deleted",
    );
    // One unknown delete deletes once.
    wrong(
        "1 1 0 1 set 5 stored\n1 2 2 3 delete unknown\n1 3 4 5 get not_found\n1 1 6 7 set 6 stored\n\
         1 3 8 9 get not_found",
        Kind::NoOrder,
    );
    fine(
        "1 1 0 1 set 5 stored\n1 2 2 3 delete unknown\n1 2 2 3 delete unknown\n1 3 4 5 get not_found\n\
         1 1 6 7 set 6 stored\n1 3 8 9 get not_found",
    );
    wrong("1 1 0 1 add 5 unknown\n1 2 2 3 delete deleted\n1 2 4 5 delete deleted", Kind::NoOrder);
}

#[test]
fn what_overlaps_may_be_seen_in_either_order() {
    fine("1 1 0 9 set 5 stored\n1 2 1 2 get not_found\n1 2 3 4 get value 5");
    fine("1 1 0 9 set 5 stored\n1 2 0 9 set 6 stored\n1 3 10 11 get value 5");
    fine("1 1 0 9 set 5 stored\n1 2 0 9 set 6 stored\n1 3 1 2 get value 6\n1 3 10 11 get value 5");
    wrong(
        "1 1 0 9 set 5 stored\n1 2 0 9 set 6 stored\n1 3 1 2 get value 6\n1 3 3 4 get value 5\n\
         1 3 10 11 get value 6",
        Kind::NoOrder,
    );
    // At one moment: not known to be in order.
    fine("1 1 0 5 set 5 stored\n1 2 5 6 get not_found");
}

#[test]
fn what_piled_up_during_an_outage_is_decided() {
    let pile_up = |others: &str| {
        let mut text = String::from("1 90 0 1 set 5 stored\n");
        for client in 0..40 {
            let (begin, end) = (10 + client, 1000 + client * 7 % 41);
            let call = if client % 4 == 3 {
                "delete deleted".into()
            } else {
                format!("set {} stored", 100 + client)
            };
            text.push_str(&format!("1 {client} {begin} {end} {call}\n"));
        }
        check(&parse(&(text + others)).unwrap())
    };
    let fine =
        ["", "1 91 2000 2001 get not_found", "1 91 2000 2001 get value 138", "1 91 500 2001 get value 5"];
    for others in fine {
        let report = pile_up(others);
        assert!(report.is_fine() && report.undecided.is_empty(), "{others}: {report:?}");
    }
    for others in ["1 91 2000 2001 get value 5", "1 91 2000 2001 get value 138\n1 92 2002 2003 get not_found"]
    {
        let report = pile_up(others);
        assert!(!report.is_fine() && report.undecided.is_empty(), "{others}: {report:?}");
    }
}

#[test]
fn counters_count_what_was_acknowledged_and_some_of_the_unknown() {
    let begin = "1 1 0 1 add 0 stored\n1 1 2 3 increment 1 number 1\n";
    fine(&format!("{begin}1 2 4 5 increment 1 number 2\n1 2 6 7 get value 2"));
    fine(&format!("{begin}1 2 4 5 increment 1 unknown\n1 2 6 7 get value 1\n1 2 8 9 get value 2"));
    wrong(&format!("{begin}1 2 4 5 increment 1 number 1"), Kind::Lost);
    wrong(&format!("{begin}1 2 4 5 get value 0"), Kind::Stale);
    wrong(&format!("{begin}1 2 4 5 get value 2"), Kind::Double);
    wrong(&format!("{begin}1 2 4 5 increment 1 number 3"), Kind::Double);
    wrong(&format!("{begin}1 2 4 5 increment 1 unknown\n1 2 6 7 get value 3"), Kind::Double);
    wrong(&format!("{begin}1 2 4 5 increment 3 unknown\n1 2 6 7 get value 3"), Kind::Double);
    wrong(&format!("{begin}1 2 4 5 get not_found"), Kind::Lost);
    wrong(&format!("{begin}1 2 4 5 get value 2\n1 2 6 7 increment 1 unknown"), Kind::Double);
    fine("1 1 0 9 add 0 stored\n1 2 1 2 increment 1 not_found\n1 2 3 4 increment 1 number 1");
}

#[test]
fn lists_hold_each_piece_once_in_the_order_of_time() {
    let begin = "1 1 0 1 add 5 stored\n1 1 2 3 append 6 stored\n";
    fine(&format!("{begin}1 2 4 5 get pieces 5 6"));
    fine(&format!("{begin}1 2 4 5 append 7 unknown\n1 2 6 7 get pieces 5 6\n1 2 8 9 get pieces 5 6 7"));
    wrong(&format!("{begin}1 2 4 5 get pieces 5"), Kind::Lost);
    wrong(&format!("{begin}1 2 4 5 get pieces 5 6 6"), Kind::Double);
    wrong(&format!("{begin}1 2 4 5 get pieces 5 6 9"), Kind::FromNowhere);
    wrong(&format!("{begin}1 2 4 5 get pieces 5 6\n1 2 6 7 get pieces 5"), Kind::Stale);
    wrong(&format!("{begin}1 1 4 5 append 7 refused\n1 2 6 7 get pieces 5 6 7"), Kind::RefusedHappened);
    wrong(&format!("{begin}1 1 4 5 append 7 stored\n1 2 6 7 get pieces 5 7 6"), Kind::Lost);
}

#[test]
fn a_bad_line_is_refused_with_its_number() {
    let check = |text: &str, want: &str| assert_eq!(parse(text).unwrap_err().to_string(), want);
    check("1 1 0 1 get", "line 1 of the history: no such outcome: 1 1 0 1 get");
    check(
        "# kept\n\n1 1 5 1 get refused",
        "line 3 of the history: it ends before it begins: 1 1 5 1 get refused",
    );
    check("1 1 0 1 fly refused", "line 1 of the history: no such call: 1 1 0 1 fly refused");
    check(
        "1 1 0 1 set 2 stored 1",
        "line 1 of the history: there is more than one operation: 1 1 0 1 set 2 stored 1",
    );
}
