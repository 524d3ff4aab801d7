//! Grants and access requests as the state keeps them, and their changes. Who may make which change is decided before.
//!
//! An approved request *is* a grant: there is no second row that could be missing or left over when the server is killed
//! between two commits. What can no longer matter makes room at the next change.

use std::sync::Arc;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::Mesh;
use super::policy::Policy;
use crate::access::grants::{Grant, GrantObject, Grantee};
use crate::catalog::model::{DomainName, ProductId};
use crate::error::{Error, Result, SqlState};
use crate::state::{State, Table};

/// How many grants a mesh may hold, approved requests not counted.
const GRANTS_MAX: usize = 20_000;
/// How many requests a mesh keeps; those that ended first make room.
const REQUESTS_MAX: usize = 20_000;
/// How many undecided requests one principal may have.
pub const OPEN_REQUESTS_MAX: usize = 20;
/// How long a grant that ended by itself, and a request that is settled, are kept.
const ENDED_KEPT: TimeDelta = TimeDelta::days(90);
/// Ids are numbers of nine digits, so that people can type them.
const IDS: std::ops::Range<u32> = 100_000_000..1_000_000_000;

/// A row of [`Table::Grants`].
#[derive(Clone, Debug, Serialize, Deserialize)]
struct GrantRow {
    grant_id: u32,
    /// `public` where the kind is.
    grantee: String,
    grantee_kind: GranteeKind,
    privilege: String,
    object_kind: ObjectKind,
    object: String,
    granted_by: String,
    granted_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum GranteeKind {
    User,
    Group,
    Public,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ObjectKind {
    Product,
    Domain,
}

impl From<&Grant> for GrantRow {
    fn from(grant: &Grant) -> Self {
        Self {
            grant_id: grant.id,
            grantee: grant.grantee.name().unwrap_or("public").to_owned(),
            grantee_kind: match grant.grantee {
                Grantee::User(_) => GranteeKind::User,
                Grantee::Group(_) => GranteeKind::Group,
                Grantee::Public => GranteeKind::Public,
            },
            privilege: grant.object.privilege().as_str().to_owned(),
            object_kind: match grant.object {
                GrantObject::Product(_) => ObjectKind::Product,
                GrantObject::Domain(_) => ObjectKind::Domain,
            },
            object: grant.object.to_string(),
            granted_by: grant.granted_by.clone(),
            granted_at: grant.granted_at,
            expires_at: grant.expires_at,
        }
    }
}

impl From<GrantRow> for Grant {
    fn from(row: GrantRow) -> Self {
        Self {
            id: row.grant_id,
            grantee: match row.grantee_kind {
                GranteeKind::User => Grantee::User(row.grantee),
                GranteeKind::Group => Grantee::Group(row.grantee),
                GranteeKind::Public => Grantee::Public,
            },
            object: match row.object_kind {
                ObjectKind::Product => GrantObject::Product(ProductId(row.object)),
                ObjectKind::Domain => GrantObject::Domain(DomainName(row.object)),
            },
            granted_by: row.granted_by,
            granted_at: row.granted_at,
            expires_at: row.expires_at,
            requested: false,
        }
    }
}

/// A row of [`Table::AccessRequests`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub request_id: u32,
    pub product_id: String,
    pub requested_by: String,
    pub purpose: String,
    pub requested_at: DateTime<Utc>,
    pub status: RequestStatus,
    pub decided_by: Option<String>,
    pub decided_at: Option<DateTime<Utc>>,
    /// When the approved access ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// Why it was denied, where that was said.
    pub reason: Option<String>,
    pub revoked_by: Option<String>,
    pub revoked_at: Option<DateTime<Utc>>,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RequestStatus {
    Open,
    Approved,
    Denied,
    /// It was approved, and what it gave was revoked later.
    Revoked,
}

impl RequestStatus {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Revoked => "revoked",
        }
    }
}

/// How a request is decided.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Until then, or until it is revoked.
    Approve(Option<DateTime<Utc>>),
    /// Why, where that is said.
    Deny(Option<String>),
}

/// Which grants REVOKE takes away.
#[derive(Clone, Debug)]
pub enum Revoked {
    On(GrantObject),
    /// On each product of the domain, those that left the catalog included.
    ProductsOf(DomainName),
}

impl Revoked {
    fn matches(&self, object: &GrantObject) -> bool {
        match (self, object) {
            (Self::On(own), object) => own == object,
            (Self::ProductsOf(domain), GrantObject::Product(id)) => {
                id.0.strip_prefix(domain.as_str()).is_some_and(|rest| rest.starts_with('.'))
            }
            (Self::ProductsOf(_), GrantObject::Domain(_)) => false,
        }
    }
}

impl Request {
    #[must_use]
    pub fn product(&self) -> ProductId {
        ProductId(self.product_id.clone())
    }

    /// What an approved request gives.
    fn grant(&self) -> Option<Grant> {
        if self.status != RequestStatus::Approved {
            return None;
        }
        Some(Grant {
            id: self.request_id,
            grantee: Grantee::User(self.requested_by.clone()),
            object: GrantObject::Product(self.product()),
            granted_by: self.decided_by.clone()?,
            granted_at: self.decided_at?,
            expires_at: self.expires_at,
            requested: true,
        })
    }

    /// When nothing depended on it any more.
    fn ended_at(&self) -> Option<DateTime<Utc>> {
        match self.status {
            RequestStatus::Open => None,
            RequestStatus::Approved => self.expires_at,
            RequestStatus::Denied => self.decided_at,
            RequestStatus::Revoked => self.revoked_at,
        }
    }
}

/// Every grant that is stored, those that ended included.
///
/// # Errors
/// When what is stored cannot be understood.
pub(super) fn stored(state: &State) -> Result<Vec<Grant>> {
    let (_, rows) = state.rows::<GrantRow>(Table::Grants)?;
    let (_, requests) = state.rows::<Request>(Table::AccessRequests)?;
    let requested = requests.iter().filter_map(Request::grant);
    Ok(rows.into_iter().map(Grant::from).chain(requested).collect())
}

/// A number that nothing has yet, for something to be stored. It is drawn at random: counted, it would tell everyone who
/// sees one how many others there are.
fn new_id(taken: impl Fn(u32) -> bool) -> u32 {
    loop {
        let id = rand::random_range(IDS);
        if !taken(id) {
            return id;
        }
    }
}

/// The present, in the precision that is stored.
fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

impl Mesh {
    /// Policy as it is now. Never waits for more than another's joining of catalog and grants.
    pub fn policy(&self) -> Arc<Policy> {
        self.policies.current(&self.catalog, &self.state)
    }

    /// Draws the ids of grants to be given.
    ///
    /// # Errors
    /// When what is stored cannot be understood.
    pub fn new_grant_ids(&self, count: usize) -> Result<Vec<u32>> {
        let known = stored(&self.state)?;
        let mut drawn = Vec::with_capacity(count);
        for _ in 0..count {
            drawn.push(new_id(|id| drawn.contains(&id) || known.iter().any(|grant| grant.id == id)));
        }
        Ok(drawn)
    }

    /// Gives grants, durably. One takes the place of an earlier one to the same grantee on the same object, unless that
    /// came from a request.
    ///
    /// # Errors
    /// `54000` when there are too many, `53100` when nothing can be written.
    pub async fn give(&self, grants: &[Grant]) -> Result<()> {
        let given: Vec<GrantRow> = grants.iter().map(GrantRow::from).collect();
        let change = move |mut rows: Vec<GrantRow>| {
            let kept_since = now() - ENDED_KEPT;
            rows.retain(|row| row.expires_at.is_none_or(|end| end > kept_since));
            for row in &given {
                rows.retain(|old| !row.takes_the_place_of(old));
                rows.push(row.clone());
            }
            if rows.len() > GRANTS_MAX {
                let message = format!("a mesh may hold {GRANTS_MAX} grants");
                return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
                    .hint("Grant to groups, or revoke what is no longer needed."));
            }
            Ok((rows, ()))
        };
        self.state.update(Table::Grants, change).await
    }

    /// Takes grants away, durably, those of approved requests included. Returns what was taken.
    ///
    /// # Errors
    /// `53100` when nothing can be written; part of it may then be done.
    pub async fn revoke(&self, what: &[Revoked], from: &[Grantee], by: &str) -> Result<Vec<Grant>> {
        let is_meant =
            |grant: &Grant| from.contains(&grant.grantee) && what.iter().any(|revoked| revoked.matches(&grant.object));
        let direct = |rows: Vec<GrantRow>| {
            let (taken, kept): (Vec<Grant>, Vec<Grant>) = rows.into_iter().map(Grant::from).partition(is_meant);
            Ok((kept.iter().map(GrantRow::from).collect(), taken))
        };
        let mut taken = self.state.update(Table::Grants, direct).await?;
        let requested = |mut rows: Vec<Request>| {
            let mut taken = Vec::new();
            for row in &mut rows {
                if let Some(grant) = row.grant().filter(is_meant) {
                    row.status = RequestStatus::Revoked;
                    (row.revoked_by, row.revoked_at) = (Some(by.to_owned()), Some(now()));
                    taken.push(grant);
                }
            }
            Ok((rows, taken))
        };
        taken.extend(self.state.update(Table::AccessRequests, requested).await?);
        Ok(taken)
    }

    /// Whether anything was ever granted to this user or group: one that left `principals.yaml` may still hold grants.
    ///
    /// # Errors
    /// When what is stored cannot be understood.
    pub fn is_granted_to(&self, grantee: &Grantee) -> Result<bool> {
        Ok(stored(&self.state)?.iter().any(|grant| grant.grantee == *grantee))
    }

    /// Every request that is kept.
    ///
    /// # Errors
    /// When what is stored cannot be understood.
    pub fn requests(&self) -> Result<Vec<Request>> {
        Ok(self.state.rows(Table::AccessRequests)?.1)
    }

    /// The id for a request to be filed.
    ///
    /// # Errors
    /// When what is stored cannot be understood.
    pub fn new_request_id(&self) -> Result<u32> {
        Ok(self.new_grant_ids(1)?.pop().unwrap_or(IDS.start))
    }

    /// Files a request, durably.
    ///
    /// # Errors
    /// `23505` when the principal has an open one for the product, `53400` when it has too many, `53100` when nothing
    /// can be written.
    pub async fn request(&self, id: u32, product: &ProductId, by: &str, purpose: &str) -> Result<()> {
        let change = |mut rows: Vec<Request>| {
            let is_open = |row: &&Request| row.requested_by == by && row.status == RequestStatus::Open;
            if rows.iter().filter(is_open).any(|row| row.product_id == product.0) {
                let message = format!("an access request for {product} is open already");
                return Err(Error::new(SqlState::UNIQUE_VIOLATION, message)
                    .hint("SELECT * FROM data_catalog.access_requests shows what becomes of it."));
            }
            if rows.iter().filter(is_open).count() >= OPEN_REQUESTS_MAX {
                let message = format!("a principal may have {OPEN_REQUESTS_MAX} open access requests");
                return Err(Error::new(SqlState::CONFIGURATION_LIMIT_EXCEEDED, message)
                    .hint("Wait until some of them are decided."));
            }
            make_room(&mut rows)?;
            rows.push(Request {
                request_id: id,
                product_id: product.0.clone(),
                requested_by: by.to_owned(),
                purpose: purpose.to_owned(),
                requested_at: now(),
                status: RequestStatus::Open,
                decided_by: None,
                decided_at: None,
                expires_at: None,
                reason: None,
                revoked_by: None,
                revoked_at: None,
            });
            Ok((rows, ()))
        };
        self.state.update(Table::AccessRequests, change).await
    }

    /// Decides an open request, durably. Approving it and granting what it asks for are one commit.
    ///
    /// # Errors
    /// `55000` when it is decided already, `42704` when there is none, `53100` when nothing can be written.
    pub async fn decide_request(&self, id: u32, by: &str, verdict: &Verdict) -> Result<RequestStatus> {
        let change = |mut rows: Vec<Request>| {
            let row = rows.iter_mut().find(|row| row.request_id == id).ok_or_else(|| no_request(i64::from(id)))?;
            if row.status != RequestStatus::Open {
                return Err(decided(row));
            }
            (row.decided_by, row.decided_at) = (Some(by.to_owned()), Some(now()));
            row.status = match verdict {
                Verdict::Approve(until) => {
                    row.expires_at = *until;
                    RequestStatus::Approved
                }
                Verdict::Deny(reason) => {
                    row.reason.clone_from(reason);
                    RequestStatus::Denied
                }
            };
            let status = row.status;
            Ok((rows, status))
        };
        self.state.update(Table::AccessRequests, change).await
    }
}

impl GrantRow {
    fn takes_the_place_of(&self, old: &Self) -> bool {
        (&self.grantee, self.grantee_kind, &self.object, self.object_kind)
            == (&old.grantee, old.grantee_kind, &old.object, old.object_kind)
    }
}

/// Drops requests that ended long ago, and the one that ended first where there are still too many.
fn make_room(rows: &mut Vec<Request>) -> Result<()> {
    let now = now();
    rows.retain(|row| row.ended_at().is_none_or(|end| end > now - ENDED_KEPT));
    if rows.len() < REQUESTS_MAX {
        return Ok(());
    }
    let ended = rows.iter().enumerate().filter_map(|(at, row)| Some((row.ended_at().filter(|end| *end <= now)?, at)));
    match ended.min() {
        Some((_, at)) => drop(rows.remove(at)),
        None => {
            let message = format!("a mesh keeps {REQUESTS_MAX} access requests");
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
                .hint("Owners and mesh_admin make room by deciding open ones."));
        }
    }
    Ok(())
}

/// What is said of a request that is not there, or not for who asks.
#[must_use]
pub fn no_request(id: i64) -> Error {
    Error::new(SqlState::UNDEFINED_OBJECT, format!("access request {id} does not exist"))
}

/// What is said of a request that is not open any more.
#[must_use]
pub fn decided(request: &Request) -> Error {
    let message = format!("access request {} is {} already", request.request_id, request.status.as_str());
    Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
}
