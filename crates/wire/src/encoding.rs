//! Bytes inside JSON: text where they are UTF-8, base64 (RFC 4648 section 4, padded) otherwise.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::word::words;

words! {
    /// How a string holds bytes.
    Encoding {
        /// The string is the bytes.
        Utf8 = "utf8",
        /// The string is base64 of the bytes.
        Base64 = "base64",
    }
}

/// The text is not base64, or the encoding is one this version does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the data is not valid {encoding}")]
pub struct BadBase64 {
    pub encoding: Encoding,
}

impl Encoding {
    /// The shortest faithful form of `bytes`.
    #[must_use]
    pub fn encode(bytes: Vec<u8>) -> (Self, String) {
        match String::from_utf8(bytes) {
            Ok(text) => (Self::Utf8, text),
            Err(error) => (Self::Base64, STANDARD.encode(error.as_bytes())),
        }
    }

    /// The bytes that `text` stands for.
    pub fn decode(self, text: String) -> Result<Vec<u8>, BadBase64> {
        match self {
            Self::Utf8 => Ok(text.into_bytes()),
            Self::Base64 => STANDARD
                .decode(text)
                .map_err(|_| BadBase64 { encoding: self }),
            Self::Unknown => Err(BadBase64 { encoding: self }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_string_survives_its_encoding() {
        for bytes in [b"".to_vec(), "grün".into(), vec![0, 255, 254], vec![0xc3]] {
            let (encoding, text) = Encoding::encode(bytes.clone());
            assert_eq!(encoding.decode(text).expect("own encoding"), bytes);
        }
        assert_eq!(Encoding::encode(b"plain".to_vec()).0, Encoding::Utf8);
        assert!(Encoding::Base64.decode("not base64!".into()).is_err());
    }
}
