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
    #[serde(with = "id_in_text")]
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
    #[serde(with = "id_in_text")]
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

/// Ids are texts in the tables.
mod id_in_text {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    pub fn serialize<S: Serializer>(id: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
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
    let Some((_, oldest)) = ended.min() else {
        let message = format!("a mesh keeps {REQUESTS_MAX} access requests");
        return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
            .hint("Owners and mesh_admin make room by deciding open ones."));
    };
    rows.remove(oldest);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::tests::sample;

    fn grant(id: u32, grantee: &str, product: &str) -> Grant {
        Grant {
            id,
            grantee: Grantee::User(grantee.to_owned()),
            object: GrantObject::Product(ProductId(product.to_owned())),
            granted_by: "sales_owner".to_owned(),
            granted_at: now(),
            expires_at: None,
            requested: false,
        }
    }

    fn orders() -> ProductId {
        ProductId("sales.orders".to_owned())
    }

    async fn reads_orders(mesh: &Mesh) -> bool {
        let view = mesh.view("marketing_analyst", None).await.unwrap();
        view.visible.get(&orders()).unwrap().access.is_readable()
    }

    #[test]
    fn rows_keep_what_a_grant_says() {
        let public = Grant { grantee: Grantee::Public, expires_at: Some(now()), ..grant(1, "", "a.b") };
        let group = Grant {
            grantee: Grantee::Group("analysts".to_owned()),
            object: GrantObject::Domain(DomainName("sales".to_owned())),
            ..grant(2, "", "a.b")
        };
        for grant in [public, group, grant(3, "public", "a.b")] {
            let row = serde_json::to_value(GrantRow::from(&grant)).unwrap();
            let columns = Table::Grants.schema();
            assert!(row.as_object().unwrap().keys().all(|key| columns.field_with_name(key).is_ok()), "{row}");
            let back: GrantRow = serde_json::from_value(row).unwrap();
            assert_eq!(Grant::from(back), grant);
        }
    }

    #[tokio::test]
    async fn policy_moves_with_grants_and_not_with_what_changes_none() {
        let mesh = sample();
        let generation = || mesh.policy().generation;
        assert_eq!(generation(), 1);
        assert!(!reads_orders(&mesh).await);
        mesh.give(&[grant(1, "marketing_analyst", "sales.orders")]).await.unwrap();
        assert_eq!(generation(), 2);
        assert!(reads_orders(&mesh).await);
        mesh.request(7, &ProductId("product.usage".to_owned()), "marketing_analyst", "x").await.unwrap();
        assert_eq!(generation(), 2, "a request changes nothing yet");
        mesh.decide_request(7, "mesh_admin", &Verdict::Deny(None)).await.unwrap();
        assert_eq!(generation(), 2);
        mesh.revoke(&[Revoked::On(GrantObject::Product(orders()))], &[Grantee::Public], "x").await.unwrap();
        assert_eq!(generation(), 2, "nothing was revoked");
        mesh.catalog.reload();
        assert_eq!(generation(), 2, "the folder has not changed");
        let from = [Grantee::User("marketing_analyst".to_owned())];
        let taken = mesh.revoke(&[Revoked::ProductsOf(DomainName("sales".to_owned()))], &from, "x").await.unwrap();
        assert_eq!(taken.iter().map(|grant| grant.id).collect::<Vec<_>>(), [1]);
        assert_eq!(generation(), 3);
        assert!(!reads_orders(&mesh).await);
    }

    #[tokio::test]
    async fn policy_moves_at_the_instant_at_which_a_grant_ends() {
        let mesh = sample();
        let ending = |millis| Grant {
            expires_at: Some(now() + TimeDelta::milliseconds(millis)),
            ..grant(1, "marketing_analyst", "sales.orders")
        };
        mesh.give(&[ending(60_000)]).await.unwrap();
        assert!(reads_orders(&mesh).await);
        assert_eq!(mesh.policy().generation, 2);
        mesh.give(&[ending(30)]).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(40)).await;
        assert!(!reads_orders(&mesh).await, "nobody else had to say so");
        let ended = mesh.policy().generation;
        assert!(ended > 2);
        assert_eq!(mesh.policy().generation, ended);
    }

    /// INVARIANT: approving a request and granting what it asks for are one change.
    #[tokio::test]
    async fn an_approved_request_is_the_grant() {
        let mesh = sample();
        mesh.request(7, &orders(), "marketing_analyst", "x").await.unwrap();
        let twice = mesh.request(8, &orders(), "marketing_analyst", "y").await.unwrap_err();
        assert_eq!(twice.sqlstate(), SqlState::UNIQUE_VIOLATION);
        assert!(!reads_orders(&mesh).await);
        let until = Some(now() + TimeDelta::days(1));
        let approved = mesh.decide_request(7, "sales_owner", &Verdict::Approve(until)).await.unwrap();
        assert_eq!(approved, RequestStatus::Approved);
        assert!(reads_orders(&mesh).await);
        let grants = Arc::clone(&mesh.policy().grants);
        let [given] = grants.active() else { panic!("{grants:?}") };
        assert_eq!((given.id, given.requested, given.expires_at), (7, true, until));
        for verdict in [Verdict::Approve(None), Verdict::Deny(None)] {
            let again = mesh.decide_request(7, "sales_owner", &verdict).await.unwrap_err();
            assert_eq!(again.sqlstate(), SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
        }
        let from = [Grantee::User("marketing_analyst".to_owned())];
        let taken = mesh.revoke(&[Revoked::On(GrantObject::Product(orders()))], &from, "sales_owner").await.unwrap();
        assert_eq!(taken.len(), 1);
        assert!(!reads_orders(&mesh).await);
        assert_eq!(mesh.requests().unwrap()[0].status, RequestStatus::Revoked);
        mesh.request(8, &orders(), "marketing_analyst", "again").await.unwrap();
        let unknown = mesh.decide_request(9, "sales_owner", &Verdict::Deny(None)).await.unwrap_err();
        assert_eq!(unknown.sqlstate(), SqlState::UNDEFINED_OBJECT);
    }

    #[tokio::test]
    async fn a_principal_asks_for_so_much_at_a_time() {
        let mesh = sample();
        let product = |number| ProductId(format!("sales.p{number}"));
        for number in 0..OPEN_REQUESTS_MAX {
            mesh.request(number as u32, &product(number), "ann", "x").await.unwrap();
        }
        let refused = mesh.request(99, &product(99), "ann", "x").await.unwrap_err();
        assert_eq!(refused.sqlstate(), SqlState::CONFIGURATION_LIMIT_EXCEEDED);
        mesh.request(99, &product(99), "bob", "x").await.unwrap();
        mesh.decide_request(0, "olga", &Verdict::Deny(None)).await.unwrap();
        mesh.request(100, &product(100), "ann", "x").await.unwrap();
    }

    #[tokio::test]
    async fn a_grant_takes_the_place_of_an_earlier_one_and_there_are_never_too_many() {
        let mesh = sample();
        mesh.give(&[grant(1, "ann", "sales.orders"), grant(2, "bob", "sales.orders")]).await.unwrap();
        mesh.give(&[grant(3, "ann", "sales.orders")]).await.unwrap();
        let ids = |mesh: &Mesh| mesh.policy().grants.active().iter().map(|grant| grant.id).collect::<Vec<_>>();
        assert_eq!(ids(&mesh), [2, 3]);
        let many: Vec<Grant> = (0..=GRANTS_MAX as u32).map(|id| grant(id, &format!("user{id}"), "a.b")).collect();
        let refused = mesh.give(&many).await.unwrap_err();
        assert_eq!(refused.sqlstate(), SqlState::PROGRAM_LIMIT_EXCEEDED);
        assert_eq!(ids(&mesh), [2, 3], "and then nothing is changed");
        let drawn = mesh.new_grant_ids(50).unwrap();
        let distinct: std::collections::BTreeSet<_> = drawn.iter().collect();
        assert!(distinct.len() == 50 && drawn.iter().all(|id| IDS.contains(id)));
    }

    #[test]
    fn what_ended_long_ago_makes_room() {
        let request = |id: u32, status, days_ago| Request {
            request_id: id,
            product_id: "a.b".to_owned(),
            requested_by: format!("user{id}"),
            purpose: String::new(),
            requested_at: now(),
            status,
            decided_by: Some("olga".to_owned()),
            decided_at: Some(now() - TimeDelta::days(days_ago)),
            expires_at: None,
            reason: None,
            revoked_by: None,
            revoked_at: None,
        };
        let ids = |rows: &[Request]| rows.iter().map(|row| row.request_id).collect::<Vec<_>>();
        let mut rows = vec![
            request(1, RequestStatus::Open, 100),
            request(2, RequestStatus::Denied, 100),
            request(3, RequestStatus::Approved, 100),
            request(4, RequestStatus::Denied, 80),
        ];
        make_room(&mut rows).unwrap();
        assert_eq!(ids(&rows), [1, 3, 4]);
        let open = |id| request(id, RequestStatus::Open, 0);
        let mut full: Vec<Request> = (0..REQUESTS_MAX as u32 - 2).map(open).collect();
        full.push(request(900_001, RequestStatus::Denied, 1));
        full.push(request(900_002, RequestStatus::Denied, 2));
        make_room(&mut full).unwrap();
        assert_eq!(full.len(), REQUESTS_MAX - 1);
        assert!(full.iter().all(|row| row.request_id != 900_002), "the one that ended first");
        let mut only_open: Vec<Request> = (0..REQUESTS_MAX as u32).map(open).collect();
        assert_eq!(make_room(&mut only_open).unwrap_err().sqlstate(), SqlState::PROGRAM_LIMIT_EXCEEDED);
    }
}
