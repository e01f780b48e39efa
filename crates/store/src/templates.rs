//! Templates: named recipes with immutable, numbered versions.
//!
//! Deleting hides a template and all its versions by name; a version id still resolves, since
//! sandboxes carry it. Setting a deleted name begins a new template at version 1.

use pinfold_model::template::TemplateSpec;
use pinfold_model::{ProjectId, Template, TemplateId, TemplateVersionId, Time};

use crate::db::{Db, Row, Sql, statements, to_json};
use crate::error::{Result, StoreError, Thing};
use crate::page::{Page, PageRequest};
use crate::scope::{owner, parse_owner};

/// Repository of templates.
#[derive(Debug, Clone, Copy)]
pub struct Templates<'a> {
    db: &'a Db,
}

macro_rules! select {
    () => {
        "SELECT t.id, t.scope, t.name, t.created_at AS listed_at, v.id AS version_id, v.version, \
             v.spec, v.created_at \
         FROM templates t JOIN template_versions v ON v.template_id = t.id "
    };
}

statements! {
    // Also the lock that makes two setters of one name get different numbers.
    BUMP = Sql::both(
        "INSERT INTO templates (id, scope, name, latest, created_at) VALUES ($1, $2, $3, 1, $4) \
         ON CONFLICT (scope, name) WHERE deleted_at IS NULL \
         DO UPDATE SET latest = templates.latest + 1 \
         RETURNING id, latest",
    );
    INSERT_VERSION = Sql::both(
        "INSERT INTO template_versions (id, template_id, version, spec, created_at) \
         VALUES ($1, $2, $3, $4, $5)",
    );
    BY_NAME = Sql::both(concat!(
        select!(),
        "WHERE t.scope IN ($1, '') AND (t.name = $2 OR t.id = $2) AND t.deleted_at IS NULL \
         AND v.version = t.latest ORDER BY t.scope DESC LIMIT 1"
    ));
    NUMBERED = Sql::both(concat!(
        select!(),
        "WHERE t.scope IN ($1, '') AND (t.name = $2 OR t.id = $2) AND t.deleted_at IS NULL \
         ORDER BY t.scope DESC, CASE WHEN v.version = $3 THEN 0 ELSE 1 END LIMIT 1"
    ));
    // Newest first; the number stands where other lists have a time.
    VERSIONS = Sql::both(concat!(
        select!(),
        "WHERE t.id = $1 AND (v.version, v.id) < ($2, $3) \
         ORDER BY v.version DESC, v.id DESC LIMIT $4"
    ));
    PINNED = Sql::both(concat!(
        select!(), "WHERE v.id = $2 AND t.scope IN ($1, '') AND t.deleted_at IS NULL"
    ));
    BY_VERSION = Sql::both(concat!(select!(), "WHERE v.id = $1"));
    LIST = Sql::both(concat!(
        select!(),
        "WHERE t.scope IN ($1, '') AND t.deleted_at IS NULL AND v.version = t.latest \
         AND (t.created_at, t.id) < ($2, $3) ORDER BY t.created_at DESC, t.id DESC LIMIT $4"
    ));
    DELETE = Sql::both(
        "UPDATE templates SET deleted_at = $3 \
         WHERE scope = $1 AND name = $2 AND deleted_at IS NULL",
    );
}

impl<'a> Templates<'a> {
    pub(crate) const fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// Makes the next version of the name in its scope (`None`: shared by every project).
    pub async fn set(
        &self,
        project: Option<&ProjectId>,
        name: &str,
        spec: &TemplateSpec,
        at: Time,
    ) -> Result<Template> {
        let mut tx = self.db.begin().await?;
        let bump = BUMP
            .bind(TemplateId::generate().as_str())
            .bind(owner(project))
            .bind(name)
            .bind(at);
        let row = tx.row(bump).await?;
        let row = row.ok_or_else(|| StoreError::corrupt("latest", "an upsert made no row"))?;
        let template = Template {
            id: row.parse("id")?,
            project: project.cloned(),
            name: name.to_owned(),
            version: row.number("latest")?,
            version_id: TemplateVersionId::generate(),
            spec: spec.clone(),
            created_at: at,
        };
        let insert = INSERT_VERSION
            .bind(template.version_id.as_str())
            .bind(template.id.as_str())
            .bind(template.version)
            .bind(to_json(&template.spec))
            .bind(at);
        tx.execute(insert).await?;
        tx.commit().await?;
        Ok(template)
    }

    /// The latest version of the project's own template of that name or id, else of the shared one.
    pub async fn latest(&self, project: &ProjectId, name: &str) -> Result<Option<Template>> {
        let row = self
            .db
            .row(BY_NAME.bind(project.as_str()).bind(name))
            .await?;
        row.as_ref().map(to_template).transpose()
    }

    /// One version by its number, of the template that [`Templates::latest`] finds: a project's own
    /// template hides the shared one of its name also where it lacks that version.
    pub async fn numbered(
        &self,
        project: &ProjectId,
        name: &str,
        version: u32,
    ) -> Result<Option<Template>> {
        let numbered = NUMBERED.bind(project.as_str()).bind(name).bind(version);
        let row = self.db.row(numbered).await?;
        let found = row.as_ref().map(to_template).transpose()?;
        Ok(found.filter(|template| template.version == version))
    }

    /// One version, also of a deleted template.
    pub async fn get_version(&self, id: &TemplateVersionId) -> Result<Option<Template>> {
        let row = self.db.row(BY_VERSION.bind(id.as_str())).await?;
        row.as_ref().map(to_template).transpose()
    }

    /// One version that the project may make sandboxes of: `None` also where its template was
    /// deleted.
    pub async fn pinned(
        &self,
        project: &ProjectId,
        id: &TemplateVersionId,
    ) -> Result<Option<Template>> {
        let pinned = PINNED.bind(project.as_str()).bind(id.as_str());
        let row = self.db.row(pinned).await?;
        row.as_ref().map(to_template).transpose()
    }

    /// Every version of one template, newest first.
    pub async fn versions(&self, id: &TemplateId, page: &PageRequest) -> Result<Page<Template>> {
        let (number, version) = page.after();
        let versions = VERSIONS.bind(id.as_str()).bind(number).bind(version);
        let rows = self.db.rows(versions.bind(page.fetch())).await?;
        Page::from_rows(page, &rows, ("version", "version_id"), to_template)
    }

    /// The latest version of each of the project's own templates and the shared ones, those first
    /// that were first set last.
    pub async fn list(&self, project: &ProjectId, page: &PageRequest) -> Result<Page<Template>> {
        let (at, id) = page.after();
        let list = LIST.bind(project.as_str()).bind(at).bind(id);
        let rows = self.db.rows(list.bind(page.fetch())).await?;
        Page::from_rows(page, &rows, ("listed_at", "id"), to_template)
    }

    /// Hides the template of that name in exactly that scope.
    pub async fn delete(&self, project: Option<&ProjectId>, name: &str, at: Time) -> Result<()> {
        let delete = DELETE.bind(owner(project)).bind(name).bind(at);
        match self.db.execute(delete).await? {
            0 => Err(StoreError::not_found(Thing::Template, name)),
            _ => Ok(()),
        }
    }
}

fn to_template(row: &Row) -> Result<Template> {
    let scope = row.text("scope")?;
    Ok(Template {
        id: row.parse("id")?,
        project: parse_owner(&scope).map_err(|e| StoreError::corrupt("scope", e))?,
        name: row.text("name")?,
        version: row.number("version")?,
        version_id: row.parse("version_id")?,
        spec: row.json("spec")?,
        created_at: row.time("created_at")?,
    })
}
