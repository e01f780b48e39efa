//! Walking all pages of a list.

use futures::Stream;
use pinfold_wire::Page;

use crate::error::Result;

/// Every item of a list, page after page, as `fetch` gives them by cursor.
pub(crate) fn all<T, F, Fut>(fetch: F) -> impl Stream<Item = Result<T>>
where
    F: FnMut(Option<String>) -> Fut,
    Fut: Future<Output = Result<Page<T>>>,
{
    struct Walk<T, F> {
        fetch: F,
        items: std::vec::IntoIter<T>,
        /// `None` behind the last page; otherwise the cursor of the next one.
        next: Option<Option<String>>,
    }
    let start = Walk {
        fetch,
        items: Vec::new().into_iter(),
        next: Some(None),
    };
    futures::stream::try_unfold(start, |mut walk| async move {
        loop {
            if let Some(item) = walk.items.next() {
                return Ok(Some((item, walk)));
            }
            let Some(cursor) = walk.next.take() else {
                return Ok(None);
            };
            let page = (walk.fetch)(cursor).await?;
            walk.items = page.items.into_iter();
            walk.next = page.next_cursor.map(Some);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::TryStreamExt;

    #[tokio::test]
    async fn every_page_is_walked_once_also_empty_ones() {
        let pages = |cursor: Option<String>| async move {
            Ok(match cursor.as_deref() {
                None => Page {
                    items: vec![1, 2],
                    next_cursor: Some("b".into()),
                },
                Some("b") => Page {
                    items: vec![],
                    next_cursor: Some("c".into()),
                },
                _ => Page {
                    items: vec![3],
                    next_cursor: None,
                },
            })
        };
        let all: Vec<i32> = all(pages).try_collect().await.expect("no page fails");
        assert_eq!(all, [1, 2, 3]);
    }
}
