//! Answers of RESP's commands in the control socket's JSON. *Invariant:* every value comes back as it was; a fault is written in
//! Redis's words and read by them.

use serde::{Deserialize, Serialize};

use super::{BadBase64, Blob};
use crate::kv::value::FAULTS;
use crate::kv::{Score, Value};

/// One answer, as JSON spells it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum AnswerJson {
    Nil,
    NilArray,
    Word(Blob),
    Integer(i64),
    /// As text, because JSON has no infinity.
    Double(String),
    Text(Blob),
    Array(Vec<AnswerJson>),
    Set(Vec<AnswerJson>),
    Map(Vec<AnswerJson>),
    Pairs(Vec<AnswerJson>),
    Remaining {
        until_ms: u64,
        in_seconds: bool,
    },
    Fault(String),
}

/// Why JSON is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadAnswer {
    #[error(transparent)]
    Base64(#[from] BadBase64),
    #[error("not a number: {0}")]
    Number(String),
    #[error("unknown fault: {0}")]
    Fault(String),
}

impl From<&Value> for AnswerJson {
    fn from(value: &Value) -> AnswerJson {
        let each = |all: &[Value]| all.iter().map(AnswerJson::from).collect();
        match value {
            Value::Nil => AnswerJson::Nil,
            Value::NilArray => AnswerJson::NilArray,
            Value::Word(text) => AnswerJson::Word(Blob::from_bytes(text)),
            Value::Integer(number) => AnswerJson::Integer(*number),
            Value::Double(score) => AnswerJson::Double(score.0.to_string()),
            Value::Text(text) => AnswerJson::Text(Blob::from_bytes(text)),
            Value::Array(all) => AnswerJson::Array(each(all)),
            Value::Set(all) => AnswerJson::Set(each(all)),
            Value::Map(all) => AnswerJson::Map(each(all)),
            Value::Pairs(all) => AnswerJson::Pairs(each(all)),
            Value::Remaining { until_ms, in_seconds } => {
                AnswerJson::Remaining { until_ms: *until_ms, in_seconds: *in_seconds }
            }
            Value::Fault(fault) => AnswerJson::Fault(fault.to_string()),
        }
    }
}

impl TryFrom<AnswerJson> for Value {
    type Error = BadAnswer;

    fn try_from(answer: AnswerJson) -> Result<Value, BadAnswer> {
        let each = |all: Vec<AnswerJson>| all.into_iter().map(Value::try_from).collect::<Result<_, _>>();
        Ok(match answer {
            AnswerJson::Nil => Value::Nil,
            AnswerJson::NilArray => Value::NilArray,
            AnswerJson::Word(text) => Value::Word(text.to_bytes()?.into()),
            AnswerJson::Integer(number) => Value::Integer(number),
            AnswerJson::Double(text) => {
                Value::Double(Score(text.parse().map_err(|_| BadAnswer::Number(text))?))
            }
            AnswerJson::Text(text) => Value::Text(text.to_bytes()?.into()),
            AnswerJson::Array(all) => Value::Array(each(all)?),
            AnswerJson::Set(all) => Value::Set(each(all)?),
            AnswerJson::Map(all) => Value::Map(each(all)?),
            AnswerJson::Pairs(all) => Value::Pairs(each(all)?),
            AnswerJson::Remaining { until_ms, in_seconds } => Value::Remaining { until_ms, in_seconds },
            AnswerJson::Fault(text) => {
                let found = FAULTS.into_iter().find(|fault| fault.to_string() == text);
                Value::Fault(found.ok_or(BadAnswer::Fault(text))?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_comes_back_and_what_is_none_is_refused() {
        let scores = [f64::INFINITY, f64::NEG_INFINITY, 0.1, -0.0].map(|n| Value::Double(Score(n)));
        let all = Value::Array(vec![
            Value::Nil,
            Value::NilArray,
            Value::OKAY,
            Value::Integer(-7),
            Value::Text(vec![0xff, 0].into()),
            Value::Set(scores.to_vec()),
            Value::Map(vec![Value::Text("a".into()), Value::Pairs(vec![])]),
            Value::Remaining { until_ms: 5, in_seconds: true },
            Value::Array(FAULTS.map(Value::Fault).to_vec()),
        ]);
        let text = serde_json::to_string(&AnswerJson::from(&all)).unwrap();
        let read: AnswerJson = serde_json::from_str(&text).unwrap();
        assert_eq!(Value::try_from(read), Ok(all));
        for bad in [r#"{"fault":"ERR unheard of"}"#, r#"{"double":"x"}"#, r#"{"text":{"base64":"="}}"#] {
            assert!(Value::try_from(serde_json::from_str::<AnswerJson>(bad).unwrap()).is_err(), "{bad}");
        }
    }
}
