use bytes::{BufMut, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::ids::Namespace;
use crate::kv::{Expiry, Key, Read, Record, StoreMode, Write};
use crate::ring::{RingMap, SlotId, TabletPlace};

fn key(text: &str) -> Key {
    Key { namespace: Namespace::default(), bytes: Bytes::copy_from_slice(text.as_bytes()) }
}

fn request(command: Command) -> Request {
    Request {
        ring_version: RingVersion(1),
        epoch: 2,
        session: 3,
        sequence: 4,
        answered_below: 5,
        is_retry: true,
        reply_is_bounded: false,
        timeout_ms: 6,
        command,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn encoded(encode: impl Fn(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    encode(&mut out);
    out.freeze()
}

/// Takes one frame that is there as a whole.
fn decode(bytes: &[u8], max: usize) -> Result<Option<Frame>, BadFrame> {
    FrameDecoder::new(max).decode(&mut BytesMut::from(bytes))
}

#[test]
fn these_bytes_of_a_frame_never_change() {
    let frame = Frame::new(Kind::Request, 0x0102_0304_0506_0708, GroupId(9), Bytes::from_static(b"ab"));
    let bytes = encoded(|out| frame.encode(out));
    assert_eq!(hex(&bytes), "0000000e010a010203040506070800096162");
    assert_eq!(decode(&bytes, 100), Ok(Some(frame.clone())));
    let written_in_place =
        encoded(|out| encode_with(frame.kind, frame.id, frame.group, out, |body| body.put_slice(b"ab")));
    assert_eq!(written_in_place, bytes);
}

#[test]
fn the_number_of_each_kind_never_changes() {
    let numbers: Vec<u8> = Kind::ALL.iter().map(|kind| *kind as u8).collect();
    assert_eq!(numbers, [1, 2, 3, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20, 21, 22, 23, 24, 25, 26, 30, 31]);
    assert!(Kind::ALL.iter().all(|kind| Kind::from_number(*kind as u8) == Some(*kind)));
}

#[test]
fn these_bytes_of_requests_never_change() {
    let head = "0000000000000001 00000002 0000000000000003 0000000000000004 0000000000000005 01 00000006";
    let check = |command: Command, want: &str| {
        let bytes = encoded(|out| request(command.clone()).encode(out));
        assert_eq!(hex(&bytes), format!("{head}{want}").replace(' ', ""));
        assert_eq!(Request::decode(bytes), Ok(request(command)));
    };
    check(Command::Read(Read::Get { key: key("k") }), "01 07 64656661756c74 00000001 6b");
    let store = Write::Store {
        key: key("k"),
        mode: StoreMode::Set,
        flags: 7,
        expiry: Expiry::Never,
        value: Bytes::from_static(b"v"),
    };
    check(Command::Write(store), "10 07 64656661756c74 00000001 6b 01 00000007 00 00000001 76");
    for (is_retry, reply_is_bounded, flags) in
        [(false, false, 0), (true, false, 1), (false, true, 2), (true, true, 3)]
    {
        let request =
            Request { is_retry, reply_is_bounded, ..request(Command::Read(Read::Get { key: key("k") })) };
        let bytes = encoded(|out| request.encode(out));
        assert_eq!(bytes[36], flags);
        assert_eq!(Request::decode(bytes), Ok(request));
    }
}

#[test]
fn these_bytes_of_answers_never_change() {
    let check = |answer: Answer, want: &str| {
        let bytes = encoded(|out| answer.encode(out));
        assert_eq!(hex(&bytes), want.replace(' ', ""));
        assert_eq!(Answer::decode(bytes), Ok(answer));
    };
    let record = Record {
        value: Bytes::from_static(b"v"),
        flags: 1,
        version: 2,
        expires_at_ms: Some(3),
        modified_at_ms: 4,
    };
    check(Answer::Reply(Reply::NotFound), "01 02");
    check(Answer::Reply(Reply::Stored { version: 9 }), "01 03 0000000000000009");
    check(
        Answer::Reply(Reply::Record(record)),
        "01 01 00000001 0000000000000002 01 0000000000000003 0000000000000004 00000001 76",
    );
    check(Answer::Refused("no".into()), "02 6e6f");
    let ring_version = RingVersion(5);
    check(
        Answer::NotLeader { leader: Some(NodeId(2)), ring_version },
        "03 0000000000000002 0000000000000005",
    );
    check(Answer::NotLeader { leader: None, ring_version }, "03 0000000000000000 0000000000000005");
    check(Answer::NotHere { ring_version }, "04 0000000000000005");
    check(Answer::Busy, "05");
    check(Answer::Unknown, "06");
    check(Answer::TooLarge { bytes: 0x1_0000 }, "07 0000000000010000");
}

#[test]
fn these_bytes_of_hello_and_refusal_never_change() {
    let hello = Hello {
        cluster: "11111111-1111-4111-8111-111111111111".parse().unwrap(),
        node: "22222222-2222-4222-8222-222222222222".parse().unwrap(),
        node_id: NodeId(3),
        ring_version: RingVersion(4),
        release: "0.1.0".into(),
    };
    let want =
        "01 10 11111111111141118111111111111111 10 22222222222242228222222222222222 03 04 05 302e312e30";
    assert_eq!(hex(&hello.encode()), want.replace(' ', ""));
    assert_eq!(Hello::decode(&hello.encode()), Ok(hello));
    let check = |refusal: Refusal, want: &str| {
        assert_eq!(hex(&refusal.encode()), want);
        assert_eq!(Refusal::decode(&refusal.encode()), Ok(refusal));
    };
    check(Refusal::ForeignCluster, "0100");
    check(Refusal::Removed, "0101");
    check(Refusal::UnknownNode, "0102");
    check(Refusal::WireVersion { ours: 1 }, "010301");
    check(Refusal::Full { connections_max: 5 }, "010405");
    check(Refusal::Other("no".into()), "0105026e6f");
    let check = |certified: Certified, want: &str| {
        assert_eq!(hex(&certified.encode()), want);
        assert_eq!(Certified::decode(&certified.encode()), Ok(certified));
    };
    check(Certified::Chain("x".into()), "01000178");
    check(Certified::Refused("no".into()), "0101026e6f");
}

fn ring(tablets: Vec<TabletPlace>) -> RingMap {
    let cluster = "11111111-1111-4111-8111-111111111111".parse().unwrap();
    RingMap { cluster, version: RingVersion(7), replicas: 1, nodes: Vec::new(), tablets }
}

fn tablet(id: u16, first: u16, last: u16) -> TabletPlace {
    TabletPlace {
        tablet: crate::ids::TabletId(id),
        first_slot: SlotId(first),
        last_slot: SlotId(last),
        epoch: 1,
        voters: vec![NodeId(1)],
        learners: Vec::new(),
        preferred_leader: NodeId(1),
    }
}

#[test]
fn these_bytes_of_the_ring_messages_never_change() {
    assert_eq!(hex(&encode_ring_watch(RingVersion(7))), "0000000000000007");
    assert_eq!(decode_ring_watch(encode_ring_watch(RingVersion(7))), Ok(RingVersion(7)));
    let map = ring(vec![tablet(0, 0, 16383)]);
    let want = "01 10 11111111111141118111111111111111 07 01 00 01  00 00 ff7f 01 01 01 00 01";
    assert_eq!(hex(&encode_ring(&map)), want.replace(' ', ""));
    assert_eq!(decode_ring(&encode_ring(&map)), Ok(map));
}

#[test]
fn a_ring_map_with_a_gap_is_refused() {
    let check = |tablets: Vec<TabletPlace>| {
        let error = decode_ring(&encode_ring(&ring(tablets))).unwrap_err().to_string();
        assert_eq!(error, "bad ring map: the tablets do not cover every slot once");
    };
    check(vec![]);
    check(vec![tablet(0, 0, 100)]);
    check(vec![tablet(0, 0, 100), tablet(1, 102, 16383)]);
    check(vec![tablet(0, 0, 100), tablet(1, 100, 16383)]);
    check(vec![tablet(0, 1, 16383)]);
    check(vec![tablet(0, 0, 16384)]);
}

#[test]
fn a_bad_frame_is_refused_before_it_has_come_whole() {
    let check = |bytes: &[u8], want: &str| {
        assert_eq!(decode(bytes, 4096).unwrap_err().to_string(), want);
    };
    check(&[0xff, 0xff, 0xff, 0xff], "a frame of 4294967299 bytes; at most 4096 are allowed here");
    check(&[0, 0, 0x0f, 0xfd], "a frame of 4097 bytes; at most 4096 are allowed here");
    check(&[0, 0, 0, 11], "a frame of 11 bytes is shorter than a frame's header");
    check(&[0, 0, 0, 12, 7], "wire version 7; this program speaks 1");
    check(&[0, 0, 0, 12, 1, 99], "frame kind 99 is unknown");
    check(b"GET / HTTP/1.1\r\n\r\n", "a frame of 1195725860 bytes; at most 4096 are allowed here");
}

#[test]
fn a_large_frame_is_given_room_only_in_steps() {
    let head = header(Kind::Request, 1, GroupId(1), 60 * 1024 * 1024);
    let mut input = BytesMut::from(&head[..]);
    assert_eq!(FrameDecoder::new(FRAME_MAX_BYTES).decode(&mut input), Ok(None));
    assert!(input.capacity() < 4 * 1024 * 1024, "{}", input.capacity());
}

#[test]
fn values_stay_slices_of_the_frame_they_came_in() {
    let command = Command::Write(Write::Store {
        key: key("key"),
        mode: StoreMode::Set,
        flags: 0,
        expiry: Expiry::Never,
        value: Bytes::from(vec![7; 100_000]),
    });
    let mut wire = BytesMut::new();
    encode_with(Kind::Request, 1, GroupId(1), &mut wire, |body| request(command).encode(body));
    let inside = wire.as_ptr_range();
    let frame = FrameDecoder::new(FRAME_MAX_BYTES).decode(&mut wire).unwrap().unwrap();
    let Command::Write(Write::Store { value, .. }) = Request::decode(frame.body).unwrap().command else {
        panic!("another command")
    };
    assert!(inside.contains(&value.as_ptr()));
}

proptest! {
    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..10),
        cut in 1..50_usize,
    ) {
        let frame = |(n, body): (usize, &Vec<u8>)| {
            let kind = Kind::ALL[n % Kind::ALL.len()];
            Frame::new(kind, n as u64, GroupId(n as u16), Bytes::copy_from_slice(body))
        };
        let frames: Vec<Frame> = bodies.iter().enumerate().map(frame).collect();
        let wire = encoded(|out| frames.iter().for_each(|frame| frame.encode(out)));
        let (decoder, mut input, mut got) = (FrameDecoder::new(4096), BytesMut::new(), Vec::new());
        for piece in wire.chunks(cut) {
            input.put_slice(piece);
            while let Some(frame) = decoder.decode(&mut input).unwrap() {
                got.push(frame);
            }
        }
        prop_assert_eq!(got, frames);
        prop_assert!(input.is_empty());
    }

    #[test]
    fn garbage_never_panics_anywhere(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes, 4096);
        let whole = Bytes::from(bytes);
        let _ = (Request::decode(whole.clone()), Answer::decode(whole.clone()), decode_ring_watch(whole.clone()));
        let _ = (Hello::decode(&whole), Refusal::decode(&whole), decode_ring(&whole), Certified::decode(&whole));
        let with_version = [&[1][..], &whole].concat();
        let _ = (Hello::decode(&with_version), Refusal::decode(&with_version), decode_ring(&with_version));
    }

    #[test]
    fn a_damaged_request_is_refused_or_another_request(at in 0..60_usize, byte in any::<u8>(), cut in 0..60_usize) {
        let whole = encoded(|out| request(Command::Read(Read::Get { key: key("some-key") })).encode(out));
        let mut damaged = whole.to_vec();
        damaged[at % whole.len()] = byte;
        let _ = Request::decode(damaged.into());
        let cut = cut % whole.len();
        prop_assert!(Request::decode(whole.slice(..cut)).is_err());
    }
}

#[test]
fn a_request_to_enrol_and_its_answers_are_read_as_they_were_written() {
    use crate::token::{Secret, TokenId};
    let cluster = "11111111-1111-4111-8111-111111111111".parse().unwrap();
    let enrol =
        Enrol { cluster, token: TokenId(uuid::Uuid::nil()), secret: Secret([1; 32]), request: vec![7] };
    assert_eq!(Enrol::decode(&enrol.encode()), Ok(enrol.clone()));
    assert!(Enrol::decode(&enrol.encode()[..20]).is_err());
    let enrolment = Enrolment {
        cluster: "c0".parse().unwrap(),
        node: NodeUuid(uuid::Uuid::nil()),
        slave: SlaveId(1_000_000),
        namespaces: vec!["sessions".parse().unwrap()],
        chain: "PEM".into(),
        servers: vec![],
        parameters: "heartbeat_ms: 75\n".into(),
    };
    let answer = EnrolAnswer::Enrolled(Box::new(enrolment));
    assert_eq!(EnrolAnswer::decode(&answer.encode()), Ok(answer));
    let refused = EnrolAnswer::Refused("used up".into());
    assert_eq!(EnrolAnswer::decode(&refused.encode()), Ok(refused));
    let not_now = EnrolAnswer::NotNow("no leader".into());
    assert_eq!(EnrolAnswer::decode(&not_now.encode()), Ok(not_now));
}
