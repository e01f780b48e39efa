//! Bytes of a stream as text, however they were cut on their way. Pure.
//!
//! A character that is cut by the end of one piece is given whole with the next. What is no UTF-8
//! becomes U+FFFD, as with `String::from_utf8_lossy` over all pieces together.

/// The longest beginning of a character that is not whole.
pub(super) const CUT_MAX_BYTES: u64 = 3;

/// Decodes one stream piece by piece. Holds three bytes at most between two of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TextDecoder {
    /// The beginning of a character whose end has not come: at most [`CUT_MAX_BYTES`].
    cut: Vec<u8>,
}

impl TextDecoder {
    /// Goes on behind bytes that were decoded before, of which `tail` are the last (the last
    /// [`CUT_MAX_BYTES`] at least, where there were as many).
    pub(super) fn behind(tail: &[u8]) -> Self {
        let from = (0..tail.len()).find(|from| is_cut(&tail[*from..]));
        Self {
            cut: from.map_or_else(Vec::new, |from| tail[from..].to_vec()),
        }
    }

    /// The text up to the last whole character; what was cut before comes with it.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.cut);
        all.extend_from_slice(bytes);
        let mut text = String::with_capacity(all.len());
        let mut chunks = all.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            if chunks.peek().is_none() && is_cut(chunk.invalid()) {
                self.cut = chunk.invalid().to_vec();
            } else if !chunk.invalid().is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        text
    }

    /// Bytes of a character whose end has not come.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.cut.len()
    }

    /// Nothing more comes: what to show for a character that stayed cut.
    pub fn finish(&mut self) -> Option<String> {
        let cut = std::mem::take(&mut self.cut);
        (!cut.is_empty()).then(|| char::REPLACEMENT_CHARACTER.to_string())
    }
}

/// Whether these bytes are the beginning of one character, and more could make it whole.
fn is_cut(bytes: &[u8]) -> bool {
    match std::str::from_utf8(bytes) {
        Ok(_) => false,
        Err(error) => error.valid_up_to() == 0 && error.error_len().is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            any::<char>().prop_map(|c| c.to_string().into_bytes()),
            any::<u8>().prop_map(|b| vec![b]),
            "[é€😀]".prop_map(String::into_bytes),
        ];
        prop::collection::vec(part, 0..20).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn pieces_read_like_the_whole(bytes in bytes(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.sort_unstable();
            cuts.push(bytes.len());
            let mut decoder = TextDecoder::default();
            let (mut text, mut at) = (String::new(), 0);
            for cut in cuts {
                text.push_str(&decoder.push(&bytes[at..cut]));
                at = cut;
                // A reader that comes back begins with no more than the last bytes.
                let tail = &bytes[at.saturating_sub(CUT_MAX_BYTES as usize)..at];
                prop_assert_eq!(&TextDecoder::behind(tail), &decoder);
            }
            text.push_str(&decoder.finish().unwrap_or_default());
            prop_assert_eq!(text, String::from_utf8_lossy(&bytes));
        }
    }
}
