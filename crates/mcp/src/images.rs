//! What sandboxes can boot from, as a tool.

use pinfold_sdk::{Client, ListImages, PageQuery, TakeSnapshot};
use rmcp::schemars::{self, JsonSchema};
use serde::Serialize;

use crate::answer::{Answer, Told};
use crate::arguments as args;

const LISTED_MAX: u32 = 100;
/// As many as one page of the API holds.
const TEMPLATES_MAX: u32 = 500;

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ImageList {
    images: Vec<ImageFacts>,
    /// Names for create_sandbox's template.
    templates: Vec<String>,
    /// Where there are more images: the cursor of the next page.
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ImageFacts {
    image_id: String,
    /// Names for create_sandbox's image.
    names: Vec<String>,
    size_bytes: u64,
}

/// A page of images, with the templates.
pub(crate) async fn list(client: &Client, wanted: args::List) -> Answer {
    let query = ListImages {
        limit: Some(LISTED_MAX),
        cursor: wanted.cursor,
    };
    let page = client.images().list(&query).await?;
    let all = PageQuery {
        limit: Some(TEMPLATES_MAX),
        ..PageQuery::default()
    };
    let listed = client.templates().list(&all).await?;
    let more_templates = listed.next_cursor.is_some();
    let templates: Vec<_> = listed.items.into_iter().map(|one| one.name).collect();
    let mut lines: Vec<String> = vec!["images:".to_owned()];
    lines.extend(page.items.iter().map(|image| match &image.names[..] {
        [] => format!("  {}", image.id),
        names => format!("  {}", names.join(", ")),
    }));
    if let Some(cursor) = &page.next_cursor {
        lines.push(format!("  [there are more: cursor {cursor:?}]"));
    }
    lines.push(format!("templates: {}", templates.join(", ")));
    if more_templates {
        lines.push(format!(
            "[only the first {TEMPLATES_MAX} templates are shown]"
        ));
    }
    let facts = ImageList {
        images: page.items.into_iter().map(ImageFacts::from).collect(),
        templates,
        next_cursor: page.next_cursor,
    };
    Ok(Told::new(lines.join("\n"), &facts))
}

/// Keeps what a sandbox has on its disk.
pub(crate) async fn snapshot(client: &Client, wanted: args::Snapshot) -> Answer {
    let request = TakeSnapshot {
        name: wanted.name,
        ..TakeSnapshot::default()
    };
    let image = client
        .sandboxes()
        .snapshot(&wanted.sandbox_id, &request)
        .await?;
    let name = image.names.first().unwrap_or(&image.id);
    let text = format!("kept; create_sandbox boots from it with image {name:?}");
    Ok(Told::new(text, &ImageFacts::from(image)))
}

impl From<pinfold_sdk::Image> for ImageFacts {
    fn from(image: pinfold_sdk::Image) -> Self {
        Self {
            image_id: image.id,
            names: image.names,
            size_bytes: image.size_bytes,
        }
    }
}
