//! Bytes inside JSON: text where they are UTF-8, so that a person can read them, else base64 (RFC 4648, standard
//! alphabet, padded). Written here because twenty lines are less than a dependency.

use super::Blob;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Text that is not base64.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not base64: {rule}")]
pub struct BadBase64 {
    rule: &'static str,
}

impl Blob {
    pub fn from_bytes(bytes: &[u8]) -> Blob {
        match std::str::from_utf8(bytes) {
            Ok(text) => Blob::Text(text.to_owned()),
            Err(_) => Blob::Base64(encode(bytes)),
        }
    }

    pub fn to_bytes(&self) -> Result<Vec<u8>, BadBase64> {
        match self {
            Blob::Text(text) => Ok(text.clone().into_bytes()),
            Blob::Base64(text) => decode(text),
        }
    }
}

fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |n: usize| u32::from(chunk.get(n).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for n in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * n) & 63) as usize];
            text.push(if n <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

fn decode(text: &str) -> Result<Vec<u8>, BadBase64> {
    if !text.len().is_multiple_of(4) {
        return Err(BadBase64 { rule: "the length is not a multiple of 4" });
    }
    let digits = text.strip_suffix("==").or(text.strip_suffix('=')).unwrap_or(text);
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for chunk in digits.as_bytes().chunks(4) {
        let mut bits = 0;
        for n in 0..4 {
            bits = bits << 6 | chunk.get(n).map_or(Ok(0), |digit| value_of(*digit))?;
        }
        let [_, three @ ..] = bits.to_be_bytes();
        let (used, unused) = three.split_at(chunk.len().saturating_sub(1).min(3));
        if unused.iter().any(|byte| *byte != 0) {
            return Err(BadBase64 { rule: "the last digit has bits that belong to nothing" });
        }
        bytes.extend_from_slice(used);
    }
    Ok(bytes)
}

fn value_of(digit: u8) -> Result<u32, BadBase64> {
    Ok(u32::from(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return Err(BadBase64 { rule: "a letter outside A–Z a–z 0–9 + /" }),
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let rfc = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
        ];
        for (plain, coded) in rfc {
            assert_eq!(encode(plain.as_bytes()), coded);
            assert_eq!(decode(coded).unwrap(), plain.as_bytes());
        }
    }

    #[test]
    fn what_is_not_base64_is_refused() {
        for bad in ["Z", "Zg", "Zg=", "Z===", "====", "Zh==", "Zm9=", "Zg==Zg==", "Zm 9", "Zm9é"] {
            assert!(Blob::Base64(bad.into()).to_bytes().is_err(), "{bad}");
        }
    }

    #[test]
    fn text_stays_readable_and_the_rest_does_not_get_lost() {
        assert_eq!(Blob::from_bytes("Grüße\n".as_bytes()), Blob::Text("Grüße\n".into()));
        assert_eq!(Blob::from_bytes(&[0xff, 0xfe]), Blob::Base64("//4=".into()));
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(Blob::from_bytes(&bytes).to_bytes().unwrap(), bytes.clone());
            prop_assert_eq!(decode(&encode(&bytes)).unwrap(), bytes);
        }

        #[test]
        fn any_text_is_decoded_or_refused(text in ".{0,40}") {
            if let Ok(bytes) = decode(&text) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }
    }
}
