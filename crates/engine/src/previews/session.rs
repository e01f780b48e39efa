//! Sessions of browsers: what a browser that showed its right once shows from then on.
//!
//! A session is a text that says until when it is valid and whose it is, under a keyed hash that
//! also covers the preview's id. Nothing is stored: a session ends with its time, its preview, or the
//! key that began it.

use std::time::Duration;

use pinfold_model::{Code, Error, KeyId, PreviewId, Result, Time};

use super::OpenPreview;
use crate::Engine;
use crate::clock::{later, until};
use crate::keys::Pepper;

/// How long a session lasts, unless its preview ends before.
const LIFE: Duration = Duration::from_secs(12 * 3600);
/// Longer texts are no session of ours.
const TEXT_MAX_BYTES: usize = 256;
/// In the place of a key: begun with the preview's token, or by the process itself.
const NO_KEY: &str = "-";

/// A new session.
#[derive(Clone)]
pub struct PreviewSession {
    /// Digits, letters, `_`, `-` and `.`: fit for a cookie.
    pub text: String,
    pub lasts: Duration,
}

impl std::fmt::Debug for PreviewSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PreviewSession")
            .field("lasts", &self.lasts)
            .finish_non_exhaustive()
    }
}

/// Makes and reads the texts of sessions.
pub(crate) struct Sessions(Pepper);

impl Sessions {
    pub(crate) fn new(secret: &[u8; 32]) -> Self {
        Self(Pepper::new(secret))
    }

    fn text(&self, preview: &PreviewId, until: Time, key: Option<&KeyId>) -> String {
        let claim = format!(
            "{}.{}",
            until.as_second(),
            key.map_or(NO_KEY, KeyId::as_str)
        );
        let seal = hex::encode(self.0.hash(&sealed(preview, &claim)));
        format!("{claim}.{seal}")
    }

    /// Whose session it is, where it is a valid one of that preview.
    fn read(&self, preview: &PreviewId, now: Time, text: &str) -> Option<Option<KeyId>> {
        if text.len() > TEXT_MAX_BYTES {
            return None;
        }
        let (claim, seal) = text.rsplit_once('.')?;
        let seal = hex::decode(seal).ok()?;
        if !self.0.verify(&sealed(preview, claim), &seal) {
            return None;
        }
        let (until, key) = claim.split_once('.')?;
        if until.parse::<i64>().ok()? <= now.as_second() {
            return None;
        }
        match key {
            NO_KEY => Some(None),
            key => key.parse().ok().map(Some),
        }
    }
}

fn sealed(preview: &PreviewId, claim: &str) -> String {
    format!("{preview}.{claim}")
}

impl Engine {
    /// Begins a session for whoever showed what [`crate::Verdict::Opens`] said.
    #[must_use]
    pub fn begin_preview_session(&self, open: &OpenPreview, key: Option<&KeyId>) -> PreviewSession {
        let (preview, now) = (&open.facts, self.now());
        let end = later(now, LIFE);
        let end = preview.expires_at.map_or(end, |at| at.min(end));
        PreviewSession {
            text: self.inner.sessions.text(&preview.id, end, key),
            lasts: until(now, end),
        }
    }

    /// Whether a text is a session of that preview, and valid now.
    pub async fn preview_session_opens(&self, open: &OpenPreview, text: &str) -> Result<bool> {
        let preview = &open.facts.id;
        match self.inner.sessions.read(preview, self.now(), text) {
            None => Ok(false),
            Some(None) => Ok(true),
            Some(Some(key)) => self.key_opens(open, &key).await,
        }
    }

    /// Begins a session with the secret of a link, which is used up by that.
    ///
    /// # Errors
    /// `unauthenticated` for a link that is unknown, used, expired, or whose key has ended.
    pub async fn redeem_preview_link(
        &self,
        open: &OpenPreview,
        secret: &str,
    ) -> Result<PreviewSession> {
        self.measured("preview.redeem", async {
            let hash = self.inner.pepper.hash(secret);
            let previews = self.store().previews();
            let link = previews.take_link(hash, &open.facts.id).await?;
            let link = link.filter(|link| link.expires_at > self.now());
            let link = link.ok_or_else(used_up)?;
            if let Some(key) = &link.key
                && !self.key_opens(open, key).await?
            {
                return Err(used_up());
            }
            Ok(self.begin_preview_session(open, link.key.as_ref()))
        })
        .await
    }
}

fn used_up() -> Error {
    Error::new(
        Code::Unauthenticated,
        "the link was used already or has expired; ask for another one",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_holds_for_its_preview_and_time_only() {
        let sessions = Sessions::new(&[1; 32]);
        let (preview, key) = (PreviewId::generate(), KeyId::generate());
        let at = |s| Time::from_second(s).expect("a time");
        let text = sessions.text(&preview, at(100), Some(&key));
        assert_eq!(
            sessions.read(&preview, at(99), &text),
            Some(Some(key.clone()))
        );
        let anonymous = sessions.text(&preview, at(100), None);
        assert_eq!(sessions.read(&preview, at(99), &anonymous), Some(None));
        assert_eq!(sessions.read(&preview, at(100), &text), None);
        assert_eq!(sessions.read(&PreviewId::generate(), at(1), &text), None);
        assert_eq!(Sessions::new(&[2; 32]).read(&preview, at(1), &text), None);
    }

    #[test]
    fn a_changed_text_is_no_session() {
        let sessions = Sessions::new(&[1; 32]);
        let preview = PreviewId::generate();
        let at = |s| Time::from_second(s).expect("a time");
        let text = sessions.text(&preview, at(100), Some(&KeyId::generate()));
        let longer = text.replacen("100", "900", 1);
        let (_, rest) = text.split_once('.').expect("parts");
        let (_, seal) = rest.split_once('.').expect("parts");
        let anonymous = format!("100.-.{seal}");
        let cut = &text[..text.len() - 1];
        for changed in [
            "",
            ".",
            "..",
            "100.-.",
            cut,
            &longer,
            &anonymous,
            &"9".repeat(300),
        ] {
            assert_eq!(sessions.read(&preview, at(1), changed), None, "{changed}");
        }
    }
}
