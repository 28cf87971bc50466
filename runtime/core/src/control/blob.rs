//! Bytes inside JSON: text where they are UTF-8, so that a person can read them, else base64 (RFC 4648, standard
//! alphabet, padded).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Blob;

/// Text that is not base64.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not base64: {0}")]
pub struct BadBase64(#[from] base64::DecodeError);

impl Blob {
    /// Text if the bytes are UTF-8.
    pub fn from_bytes(bytes: &[u8]) -> Blob {
        match std::str::from_utf8(bytes) {
            Ok(text) => Blob::Text(text.to_owned()),
            Err(_) => Blob::Base64(STANDARD.encode(bytes)),
        }
    }

    /// Fails only for a `Base64` that a person or another program wrote.
    pub fn to_bytes(&self) -> Result<Vec<u8>, BadBase64> {
        match self {
            Blob::Text(text) => Ok(text.clone().into_bytes()),
            Blob::Base64(text) => Ok(STANDARD.decode(text)?),
        }
    }
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
            assert_eq!(STANDARD.encode(plain), coded);
            assert_eq!(Blob::Base64(coded.into()).to_bytes().unwrap(), plain.as_bytes());
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
            prop_assert_eq!(Blob::Base64(STANDARD.encode(&bytes)).to_bytes().unwrap(), bytes);
        }

        #[test]
        fn any_text_is_decoded_or_refused(text in ".{0,40}") {
            if let Ok(bytes) = Blob::Base64(text.clone()).to_bytes() {
                prop_assert_eq!(STANDARD.encode(&bytes), text);
            }
        }
    }
}
