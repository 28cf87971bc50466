use super::*;
use crate::ids::SlaveId;
use crate::ring::{ActionProgress, InRing, MemberAction};

/// A value and the JSON that it is, for ever.
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
    check(ControlRequest::Word { line: "VERSION".into() }, r#"{"do":"word","line":"VERSION"}"#);
    let data = |operation| ControlRequest::Data { namespace: Namespace::default(), operation };
    let text = |text: &str| Blob::Text(text.into());
    check(
        data(DataOperation::Get { key: text("k") }),
        r#"{"do":"data","namespace":"default","operation":{"get":{"key":{"text":"k"}}}}"#,
    );
    check(
        data(DataOperation::Set {
            key: text("k"),
            value: Blob::Base64("//4=".into()),
            flags: 0,
            expires_in_ms: None,
            mode: DataMode::Cas(7),
        }),
        concat!(
            r#"{"do":"data","namespace":"default","operation":{"set":{"key":{"text":"k"},"#,
            r#""value":{"base64":"//4="},"flags":0,"expires_in_ms":null,"mode":{"cas":7}}}}"#
        ),
    );
    check(
        data(DataOperation::Keys { prefix: None, cursor: None, limit: 10 }),
        concat!(
            r#"{"do":"data","namespace":"default","#,
            r#""operation":{"keys":{"prefix":null,"cursor":null,"limit":10}}}"#
        ),
    );
}

#[test]
fn the_json_of_replies_never_changes() {
    check(ControlReply::Ok, r#""ok""#);
    check(ControlReply::Text("SUCCEED".into()), r#"{"text":"SUCCEED"}"#);
    check(ControlReply::Data(DataReply::Stored { version: 3 }), r#"{"data":{"stored":{"version":3}}}"#);
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
    };
    check(
        RoleStatus::Slave(slave),
        concat!(
            r#"{"slave":{"id":0,"listeners":["127.0.0.1:11211 (memcache)"],"servers":[],"#,
            r#""operations":5,"client_connections":1}}"#
        ),
    );
}

#[test]
fn a_request_that_is_none_is_refused_in_words() {
    let refused = |line: &str| serde_json::from_str::<ControlRequest>(line).unwrap_err().to_string();
    assert!(refused(r#"{"do":"dance"}"#).starts_with("unknown variant `dance`, expected one of `status`"));
    assert!(refused("{}").starts_with("missing field `do`"));
}
