//! Orgs and their projects, with the quotas that sandboxes are checked against.

use pinfold_model::{Org, OrgId, Project, ProjectId, Quota, Time};

use crate::db::{Db, Query, Row, Sql, statements};
use crate::error::{Result, StoreError, Thing};
use crate::page::{Page, PageRequest};
use crate::quota::{bind_quota, to_quota};

/// Repository of orgs and projects.
#[derive(Debug, Clone, Copy)]
pub struct Projects<'a> {
    db: &'a Db,
}

/// The org and project that a fresh installation begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    pub org: Org,
    pub project: Project,
}

/// The name of both.
const HOME: &str = "default";

macro_rules! columns {
    () => {
        "id, org_id, name, quota_live_sandboxes, quota_vcpu_millis, quota_memory_mib, \
         quota_object_bytes, created_at"
    };
}

statements! {
    INSERT_ORG = Sql::both("INSERT INTO orgs (id, name, created_at) VALUES ($1, $2, $3)");
    ENSURE_ORG = Sql::both(
        "INSERT INTO orgs (id, name, created_at) VALUES ($1, $2, $3) \
         ON CONFLICT (name) DO NOTHING",
    );
    GET_ORG = Sql::both("SELECT id, name, created_at FROM orgs WHERE id = $1");
    NAMED_ORG = Sql::both("SELECT id, name, created_at FROM orgs WHERE name = $1");
    INSERT = Sql::both(concat!(
        "INSERT INTO projects (", columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
    ));
    ENSURE = Sql::both(concat!(
        "INSERT INTO projects (", columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ",
        "ON CONFLICT (org_id, name) DO NOTHING"
    ));
    GET = Sql::both(concat!("SELECT ", columns!(), " FROM projects WHERE id = $1"));
    NAMED = Sql::both(concat!(
        "SELECT ", columns!(), " FROM projects WHERE org_id = $1 AND name = $2"
    ));
    LIST = Sql::both(concat!(
        "SELECT ", columns!(), " FROM projects \
         WHERE org_id = $1 AND (created_at, id) < ($2, $3) \
         ORDER BY created_at DESC, id DESC LIMIT $4"
    ));
    SET_QUOTA = Sql::both(concat!(
        "UPDATE projects SET quota_live_sandboxes = $2, quota_vcpu_millis = $3, \
         quota_memory_mib = $4, quota_object_bytes = $5 WHERE id = $1 RETURNING ", columns!()
    ));
}

impl<'a> Projects<'a> {
    pub(crate) const fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// Makes sure that the default org and its default project exist, and answers them. Safe to
    /// call at every start and from several servers at once.
    pub async fn bootstrap(&self, now: Time) -> Result<Home> {
        let mut tx = self.db.begin().await?;
        let ensure_org = ENSURE_ORG
            .bind(OrgId::generate().as_str())
            .bind(HOME)
            .bind(now);
        tx.execute(ensure_org).await?;
        let org = tx.row(NAMED_ORG.bind(HOME)).await?;
        let org = to_org(&org.ok_or_else(|| StoreError::not_found(Thing::Org, HOME))?)?;
        let fresh = Project {
            id: ProjectId::generate(),
            org: org.id.clone(),
            name: HOME.to_owned(),
            quota: Quota::default(),
            created_at: now,
        };
        tx.execute(bind_project(ENSURE, &fresh)).await?;
        let project = tx.row(NAMED.bind(org.id.as_str()).bind(HOME)).await?;
        let project = project.ok_or_else(|| StoreError::not_found(Thing::Project, HOME))?;
        let project = to_project(&project)?;
        tx.commit().await?;
        Ok(Home { org, project })
    }

    /// Fails with [`StoreError::AlreadyExists`] where the name is taken.
    pub async fn insert_org(&self, org: &Org) -> Result<()> {
        let insert = INSERT_ORG
            .bind(org.id.as_str())
            .bind(org.name.as_str())
            .bind(org.created_at);
        let done = self.db.execute(insert).await;
        done.map_err(|e| e.on_unique(Thing::Org, &org.name))?;
        Ok(())
    }

    pub async fn get_org(&self, id: &OrgId) -> Result<Option<Org>> {
        let row = self.db.row(GET_ORG.bind(id.as_str())).await?;
        row.as_ref().map(to_org).transpose()
    }

    /// Fails with [`StoreError::AlreadyExists`] where the org has a project of that name, and with
    /// [`StoreError::NotFound`] where there is no such org.
    pub async fn insert(&self, project: &Project) -> Result<()> {
        let done = self.db.execute(bind_project(INSERT, project)).await;
        done.map_err(|e| {
            e.on_unique(Thing::Project, &project.name)
                .on_missing(Thing::Org, project.org.as_str())
        })?;
        Ok(())
    }

    pub async fn get(&self, id: &ProjectId) -> Result<Option<Project>> {
        let row = self.db.row(GET.bind(id.as_str())).await?;
        row.as_ref().map(to_project).transpose()
    }

    pub async fn list(&self, org: &OrgId, page: &PageRequest) -> Result<Page<Project>> {
        let (at, id) = page.after();
        let list = LIST.bind(org.as_str()).bind(at).bind(id).bind(page.fetch());
        let rows = self.db.rows(list).await?;
        Page::from_rows(page, &rows, ("created_at", "id"), to_project)
    }

    /// Holds for sandboxes created from now on; those that live already are left alone.
    pub async fn set_quota(&self, id: &ProjectId, quota: Quota) -> Result<Project> {
        let set = bind_quota(SET_QUOTA.bind(id.as_str()), quota).bind(quota.object_bytes);
        match self.db.change(set).await? {
            Some(row) => to_project(&row),
            None => Err(StoreError::not_found(Thing::Project, id.as_str())),
        }
    }
}

fn bind_project(sql: Sql, project: &Project) -> Query {
    let query = sql
        .bind(project.id.as_str())
        .bind(project.org.as_str())
        .bind(project.name.as_str());
    bind_quota(query, project.quota)
        .bind(project.quota.object_bytes)
        .bind(project.created_at)
}

fn to_org(row: &Row) -> Result<Org> {
    Ok(Org {
        id: row.parse("id")?,
        name: row.text("name")?,
        created_at: row.time("created_at")?,
    })
}

fn to_project(row: &Row) -> Result<Project> {
    Ok(Project {
        id: row.parse("id")?,
        org: row.parse("org_id")?,
        name: row.text("name")?,
        quota: Quota {
            object_bytes: row.opt_number("quota_object_bytes")?,
            ..to_quota(row)?
        },
        created_at: row.time("created_at")?,
    })
}
