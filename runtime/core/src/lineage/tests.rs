use super::*;

fn node(n: u32) -> NodeUuid {
    format!("22222222-2222-4222-8222-{n:012}").parse().unwrap()
}

/// A server with its directory and the end of its log.
#[derive(Clone, Default)]
struct Server {
    lineage: Lineage,
    end: u64,
}

impl Server {
    fn start(&mut self, id: u64) {
        self.lineage.begin(id, LogEnd(self.end));
    }

    /// Tells another one, and is told what that remembered before.
    fn tell(&self, other: &mut Server) -> Result<(), WentBack> {
        let remembered = other.lineage.remembered(node(1));
        other.lineage.hear(node(1), &self.lineage.tell(LogEnd(self.end)));
        remembered.map_or(Ok(()), |mark| self.lineage.check(&mark, LogEnd(self.end)))
    }
}

fn started() -> (Server, Server) {
    let (mut one, mut other) = (Server { end: 100, ..Server::default() }, Server::default());
    one.start(7);
    one.tell(&mut other).unwrap();
    (one, other)
}

#[test]
fn a_server_that_goes_on_is_never_refused() {
    let (mut one, mut other) = started();
    for id in 0..3 * RUNS_MAX as u64 {
        one.end += id % 3;
        if id % 5 > 0 {
            one.tell(&mut other).unwrap();
        }
        one.start(1000 + id);
    }
    one.tell(&mut other).unwrap();
    // One that heard of it long ago only, and one that never did.
    let (_, mut absent) = started();
    one.tell(&mut absent).unwrap();
    one.tell(&mut Server::default()).unwrap();
}

#[test]
fn a_copy_of_an_earlier_run_is_refused_by_its_run_or_by_its_log() {
    let (mut one, mut other) = started();
    let copy = one.clone();
    one.end = 130;
    one.tell(&mut other).unwrap();
    let mut back = copy.clone();
    back.start(8);
    assert_eq!(back.tell(&mut other), Err(WentBack::Shorter { number: 1, end: 130, here: 100 }));
    // Also when it has written more than it ever had before it is told.
    back.end = 500;
    assert_eq!(back.tell(&mut other), Err(WentBack::Shorter { number: 1, end: 130, here: 100 }));
    back.start(9);
    assert_eq!(back.tell(&mut other), Err(WentBack::Shorter { number: 1, end: 130, here: 100 }));

    one.start(10);
    one.tell(&mut other).unwrap();
    let mut back = copy;
    back.end = 500;
    back.start(11);
    assert_eq!(back.tell(&mut other), Err(WentBack::Unknown(2)));
    // The one that was there first is still welcome.
    one.tell(&mut other).unwrap();
}

#[test]
fn a_virtual_machine_that_goes_back_while_it_runs_is_refused() {
    let (mut one, mut other) = started();
    let mut snapshot = one.clone();
    one.end = 130;
    one.tell(&mut other).unwrap();
    assert_eq!(snapshot.tell(&mut other), Err(WentBack::Shorter { number: 1, end: 130, here: 100 }));
    snapshot.end = 130;
    snapshot.tell(&mut other).unwrap();
}

#[test]
fn a_directory_without_a_history_is_refused_where_one_is_remembered() {
    let (_, mut other) = started();
    let mut wiped = Server::default();
    assert_eq!(wiped.tell(&mut other), Err(WentBack::Unknown(1)));
    wiped.start(8);
    assert_eq!(wiped.tell(&mut other), Err(WentBack::Unknown(1)));
}

#[test]
fn a_cluster_that_was_put_back_to_one_moment_goes_on() {
    let (mut one, mut other) = started();
    let copies = (one.clone(), other.clone());
    one.end = 130;
    one.start(8);
    one.tell(&mut other).unwrap();
    let (mut one, mut other) = copies;
    one.start(9);
    one.tell(&mut other).unwrap();
}

#[test]
fn what_is_older_or_foreign_changes_nothing() {
    let (mut one, mut other) = started();
    let late = one.lineage.tell(LogEnd(99));
    one.end = 130;
    assert_eq!(other.lineage.hear(node(1), &one.lineage.tell(LogEnd(130))), Heard::Further);
    assert_eq!(other.lineage.hear(node(1), &one.lineage.tell(LogEnd(130))), Heard::Nothing);
    assert_eq!(other.lineage.hear(node(1), &late), Heard::Nothing);
    one.start(8);
    assert_eq!(other.lineage.hear(node(1), &one.lineage.tell(LogEnd(130))), Heard::NewRun);
    assert_eq!(other.lineage.hear(node(1), &late), Heard::Nothing);
    assert_eq!(other.lineage.hear(node(1), &Tell { runs: Vec::new(), end: LogEnd(900) }), Heard::Nothing);
    assert_eq!(other.lineage.remembered(node(1)), Some(Mark { number: 2, id: 8, end: LogEnd(130) }));
    other.lineage.retain(|one| one != node(1));
    assert_eq!(other.lineage.remembered(node(1)), None);
}

#[test]
fn the_file_reads_back_as_written_and_nothing_else_is_read() {
    let (mut one, other) = started();
    one.start(0xffff_0000_1234_5678);
    for lineage in [Lineage::default(), one.lineage, other.lineage] {
        let text = lineage.render();
        assert_eq!(Lineage::parse(&text), Ok(lineage));
        for cut in 0..text.len() {
            assert!(Lineage::parse(&text[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let flipped = String::from_utf8(bytes).unwrap();
            assert!(Lineage::parse(&flipped).is_err(), "flipped at {at}");
        }
    }
    let later = Lineage::parse("dkcd lineage 2\n");
    assert_eq!(later, Err(BadLineage::Version { found: "2".into() }));
}

#[test]
fn messages_read_back_as_written_and_nothing_shorter_does() {
    let (one, other) = started();
    let bytes = one.lineage.tell(LogEnd(130)).encode();
    assert_eq!(Tell::decode(&bytes).unwrap(), one.lineage.tell(LogEnd(130)));
    for cut in 0..bytes.len() {
        assert!(Tell::decode(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    for mark in [None, other.lineage.remembered(node(1))] {
        let bytes = Mark::encode_answer(mark);
        assert_eq!(Mark::decode_answer(&bytes).unwrap(), mark);
        assert!(Mark::decode_answer(&bytes[..bytes.len() - 1]).is_err());
    }
}
