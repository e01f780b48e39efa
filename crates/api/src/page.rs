//! Pages: the wire's limit and cursor, the store's request and result.

use pinfold_engine::{Cursor, Page, PageRequest};
use pinfold_http::Failure;
use pinfold_model::{Error, limits};
use pinfold_wire as wire;

pub(crate) fn request(limit: Option<u32>, cursor: Option<&str>) -> Result<PageRequest, Failure> {
    let limit = limit.unwrap_or(limits::PAGE_DEFAULT);
    if !(1..=limits::PAGE_MAX).contains(&limit) {
        return Err(Error::invalid(
            "limit",
            format!("limit must be from 1 to {}", limits::PAGE_MAX),
        )
        .into());
    }
    let after = cursor.map(str::parse::<Cursor>).transpose();
    Ok(PageRequest::new(limit, after.map_err(Error::from)?))
}

pub(crate) fn to_wire<T, W>(page: Page<T>, item: impl Fn(T) -> W) -> wire::Page<W> {
    wire::Page {
        items: page.items.into_iter().map(item).collect(),
        next_cursor: page.next.map(|cursor| cursor.to_string()),
    }
}
