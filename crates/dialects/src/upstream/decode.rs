//! UTF-8 out of pieces: a sequence that is cut between two pieces is joined, and what is none
//! becomes U+FFFD, as Python's `errors="replace"` has it.

/// Bytes of one stream on their way to text. Holds three bytes at most between two pieces.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    cut: Vec<u8>,
}

impl Decoder {
    /// The text up to the last whole sequence.
    pub(super) fn push(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.cut);
        all.extend_from_slice(bytes);
        let mut text = String::with_capacity(all.len());
        let mut rest = all.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    return text;
                }
                Err(error) => {
                    let (valid, broken) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    let Some(length) = error.error_len() else {
                        self.cut = broken.to_vec();
                        return text;
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = &broken[length..];
                }
            }
        }
    }

    /// Nothing follows.
    pub(super) fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.cut)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_any_size_decode_as_the_whole() {
        let bytes = b"a\xc3\xa4\xf0\x9f\x98\x80\xff\xe2\x82 \xf0\x9f\r\n\0\xc3";
        let whole = String::from_utf8_lossy(bytes);
        for size in 1..bytes.len() {
            let mut decoder = Decoder::default();
            let mut text: String = bytes.chunks(size).map(|part| decoder.push(part)).collect();
            text.push_str(&decoder.finish());
            assert_eq!(text, whole, "pieces of {size}");
        }
    }
}
