use bytes::Bytes;

use super::*;
use crate::ids::{Namespace, SlaveId};
use crate::kv::{Command, Expiry, Fault, Key, Read, Record, StoreMode, Value, Write};
use crate::ring::{ActionProgress, InRing, MemberAction};

/// A value and its JSON, which never changes.
fn check<T>(value: T, want: &str)
where
    T: Serialize + for<'de> Deserialize<'de> + PartialEq + std::fmt::Debug,
{
    assert_eq!(serde_json::to_string(&value).unwrap(), want);
    assert_eq!(serde_json::from_str::<T>(want).unwrap(), value);
}

#[test]
fn the_json_of_requests_never_changes() {
    check(ControlRequest::Status, r#"{"do":"status"}"#);
    check(ControlRequest::PrepareStop, r#"{"do":"prepare_stop"}"#);
    check(ControlRequest::Reload, r#"{"do":"reload"}"#);
    check(ControlRequest::Word { line: "VERSION".into() }, r#"{"do":"word","line":"VERSION"}"#);
    let data = |command| ControlRequest::Data(DataRequest::Command(command));
    let key = || Key { namespace: Namespace::default(), bytes: Bytes::from_static(b"k") };
    check(
        data(Command::Read(Read::Get { key: key() })),
        r#"{"do":"data","namespace":"default","operation":{"get":{"key":{"text":"k"}}}}"#,
    );
    let store = |mode, expiry| {
        let value = Bytes::from_static(b"\xff\xfe");
        data(Command::Write(Write::Store { key: key(), mode, flags: 0, expiry, value }))
    };
    check(
        store(StoreMode::Cas(7), Expiry::Never),
        concat!(
            r#"{"do":"data","namespace":"default","operation":{"set":{"key":{"text":"k"},"#,
            r#""value":{"base64":"//4="},"flags":0,"expires_in_ms":null,"mode":{"cas":7}}}}"#
        ),
    );
    check(
        data(Command::Write(Write::Delete { key: key(), version: None })),
        r#"{"do":"data","namespace":"default","operation":{"remove":{"key":{"text":"k"}}}}"#,
    );
    check(
        data(Command::Write(Write::Touch { key: key(), expiry: Expiry::After(5) })),
        concat!(
            r#"{"do":"data","namespace":"default","#,
            r#""operation":{"touch":{"key":{"text":"k"},"expires_in_ms":5}}}"#
        ),
    );
    let (namespace, prefix) = (Namespace::default(), Bytes::new());
    check(
        ControlRequest::Data(DataRequest::Keys { namespace, prefix, cursor: None, limit: 10 }),
        concat!(
            r#"{"do":"data","namespace":"default","#,
            r#""operation":{"keys":{"prefix":null,"cursor":null,"limit":10}}}"#
        ),
    );
    check(
        ControlRequest::Data(DataRequest::Count { namespace: Namespace::default() }),
        r#"{"do":"data","namespace":"default","operation":"count"}"#,
    );
    let words = |line: &str| line.split(' ').map(|word| word.to_owned().into()).collect();
    let run = |watched| {
        let commands = vec![words("LLEN q"), words("LPOP q")];
        ControlRequest::Data(DataRequest::Run { namespace: Namespace::default(), commands, watched })
    };
    check(
        run(Some(vec![("q".into(), 7)])),
        concat!(
            r#"{"do":"data","namespace":"default","operation":{"run":{"commands":[[{"text":"LLEN"},{"text":"q"}],"#,
            r#"[{"text":"LPOP"},{"text":"q"}]],"watched":[[{"text":"q"},7]]}}}"#
        ),
    );
    check(
        run(None),
        concat!(
            r#"{"do":"data","namespace":"default","operation":{"run":{"commands":[[{"text":"LLEN"},{"text":"q"}],"#,
            r#"[{"text":"LPOP"},{"text":"q"}]],"watched":null}}}"#
        ),
    );
    for silent in [
        store(StoreMode::AppendIf(7), Expiry::Never),
        store(StoreMode::Set, Expiry::At(7)),
        data(Command::Write(Write::Delete { key: key(), version: Some(1) })),
        data(Command::Write(Write::Flush { namespace: Namespace::default(), after_ms: 0 })),
    ] {
        let error = serde_json::to_string(&silent).unwrap_err().to_string();
        assert!(error.starts_with("the control socket has no word for"), "{error}");
    }
    let bad = r#"{"do":"data","namespace":"default","operation":{"get":{"key":{"base64":"/"}}}}"#;
    assert!(serde_json::from_str::<ControlRequest>(bad).unwrap_err().to_string().contains("base64"));
}

#[test]
fn the_json_of_replies_never_changes() {
    check(ControlReply::Ok, r#""ok""#);
    check(
        ControlReply::Reloaded { changed: vec!["log_level".into()] },
        r#"{"reloaded":{"changed":["log_level"]}}"#,
    );
    check(ControlReply::Text("SUCCEED".into()), r#"{"text":"SUCCEED"}"#);
    check(ControlReply::Data(Reply::Stored { version: 3 }), r#"{"data":{"stored":{"version":3}}}"#);
    let answer = Value::Array(vec![Value::Integer(1), Value::Nil, Value::Fault(Fault::WrongType)]);
    check(
        ControlReply::Data(Reply::Value(answer)),
        concat!(
            r#"{"data":{"answer":{"array":[{"integer":1},"nil","#,
            r#"{"fault":"WRONGTYPE Operation against a key holding the wrong kind of value"}]}}}"#
        ),
    );
    check(ControlReply::Data(Reply::Deleted), r#"{"data":"removed"}"#);
    check(ControlReply::Data(Reply::Number { value: 9, version: 0 }), r#"{"data":{"number":{"value":9}}}"#);
    check(
        ControlReply::Data(Reply::Keys {
            keys: vec![Bytes::from_static(b"k")],
            next: Some(Bytes::from_static(b"3:6b")),
        }),
        r#"{"data":{"keys":{"keys":[{"text":"k"}],"next":"3:6b"}}}"#,
    );
    let record = Record {
        value: Bytes::from_static(b"v"),
        flags: 1,
        version: 2,
        expires_at_ms: None,
        modified_at_ms: 3,
    };
    check(
        ControlReply::Data(Reply::Record(record)),
        concat!(
            r#"{"data":{"value":{"value":{"text":"v"},"flags":1,"version":2,"#,
            r#""expires_at_ms":null,"modified_at_ms":3}}}"#
        ),
    );
    check(
        ControlReply::Error { message: "no".into(), is_outcome_unknown: false },
        r#"{"error":{"message":"no","is_outcome_unknown":false}}"#,
    );
}

#[test]
fn the_json_of_a_status_never_changes() {
    let node = Node {
        node_id: NodeId(1),
        uuid: "22222222-2222-4222-8222-222222222221".parse().unwrap(),
        number: MemberNo(1),
        address: "10.77.0.11:8020".parse().unwrap(),
        zone: None,
        in_ring: InRing::ServiceIn,
        action: MemberAction::None,
        operate: ActionProgress::Nothing,
    };
    check(
        MemberView { node, is_up: true, leaders: 4, replicas: 12 },
        concat!(
            r#"{"node":{"node_id":1,"uuid":"22222222-2222-4222-8222-222222222221","number":1,"#,
            r#""address":"10.77.0.11:8020","zone":null,"in_ring":"ServiceIn","action":"None","operate":"Nothing"},"#,
            r#""is_up":true,"leaders":4,"replicas":12}"#
        ),
    );
    let slave = SlaveStatus {
        id: SlaveId(0),
        listeners: vec!["127.0.0.1:11211 (memcache)".into()],
        servers: vec![],
        operations: 5,
        client_connections: 1,
        latency: Default::default(),
    };
    check(
        RoleStatus::Slave(slave),
        concat!(
            r#"{"slave":{"id":0,"listeners":["127.0.0.1:11211 (memcache)"],"servers":[],"#,
            r#""operations":5,"client_connections":1,"latency":{"counts":[],"sum_us":0}}}"#
        ),
    );
    // As the release before said it.
    let before = r#"{"id":0,"listeners":[],"servers":[],"operations":5,"client_connections":1}"#;
    assert_eq!(serde_json::from_str::<SlaveStatus>(before).unwrap().latency, Latency::default());
}

#[test]
fn a_request_that_is_none_is_refused_in_words() {
    let refused = |line: &str| serde_json::from_str::<ControlRequest>(line).unwrap_err().to_string();
    assert!(refused(r#"{"do":"dance"}"#).starts_with("unknown variant `dance`, expected one of `status`"));
    assert!(refused("{}").starts_with("missing field `do`"));
}
