//! Access requests: whoever may discover a product and not read it asks, and an owner or mesh_admin decides.
//!
//! Two people are always needed: nobody approves a request of their own, mesh_admin included.

use super::objects::{self, Recording};
use crate::access::grants::may_grant_on_product;
use crate::access::principal::Principal;
use crate::catalog::model::{Product, ProductId, Role};
use crate::error::{Error, Result, SqlState};
use crate::mesh::channels::{ACCESS_REQUESTS, Notification};
use crate::mesh::grants::{Request, RequestStatus, Verdict, decided, no_request};
use crate::settings::moment;
use crate::statement::context::Context;

/// Characters of a purpose, and of the reason of a denial.
const TEXT_CHARS_MAX: usize = 1_000;

/// Files a request for reading a product. Returns its id and its status.
///
/// # Errors
/// `42P01` when there is no such product for the principal, `55000` when it may read it already, `22023` without a
/// purpose, `23505` when one is open, `53400` when too many are, `53100` when it cannot be made durable.
pub async fn file(product: Option<&str>, purpose: Option<&str>, context: &Context) -> Result<(i64, &'static str)> {
    let Some(name) = product else { return Err(invalid("product must not be null")) };
    let (visible, product) = objects::product_in_text(name, context).map_err(|error| {
        // the text names a table, so a missing schema is a missing table
        if error.sqlstate() == SqlState::INVALID_SCHEMA_NAME { objects::undefined_table(name) } else { error }
    })?;
    if visible.access.is_readable() {
        let message = format!("{} may read {} already", context.principal.name, product.id);
        return Err(Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
            .hint("Row filters and masks of the product bind everyone; no request lifts them."));
    }
    let purpose = purpose.map(str::trim).filter(|purpose| !purpose.is_empty());
    let Some(purpose) = purpose else {
        return Err(invalid("a request needs a purpose").hint("Say what the data is needed for."));
    };
    check_length("purpose", purpose)?;
    let id = context.mesh.new_request_id()?;
    let recording = Recording {
        kind: "request",
        outcome: "allowed",
        object: product.id.0.clone(),
        grant: None,
        detail: Some(format!("request {id}: {purpose}")),
    };
    let (changing, purpose) = ((context.clone(), product.id.clone()), purpose.to_owned());
    let change = async move {
        let (context, product) = changing;
        objects::record(vec![recording], &context).await?;
        context.mesh.request(id, &product, &context.principal.name, &purpose).await
    };
    objects::to_its_end(change).await?;
    tell_deciders(id, product, context).await;
    Ok((i64::from(id), RequestStatus::Open.as_str()))
}

/// Approves or denies a request. Returns its id and its status.
///
/// # Errors
/// `42704` when there is no such request for the principal, `42501` when it is not the principal's to decide, `55000` when
/// it is decided already or its product left the catalog, `53100` when it cannot be made durable.
pub async fn decide(id: i64, verdict: Verdict, context: &Context) -> Result<(i64, &'static str)> {
    let kind = match verdict {
        Verdict::Approve(_) => "approve",
        Verdict::Deny(_) => "deny",
    };
    if let Verdict::Deny(Some(reason)) = &verdict {
        check_length("reason", reason)?;
    }
    let requests = context.mesh.requests()?;
    let found = requests.iter().find(|request| i64::from(request.request_id) == id && may_see(request, context));
    let Some(request) = found else { return Err(no_request(id)) };
    if let Err(error) = check_decision(request, &verdict, context) {
        if error.sqlstate() == SqlState::INSUFFICIENT_PRIVILEGE {
            objects::record_denied(kind, &request.product_id, Some(format!("request {id}")), context).await?;
        }
        return Err(error);
    }
    let (grant, detail) = match &verdict {
        Verdict::Approve(until) => {
            let until = until.map(|end| format!(" until {}", moment::show(end)));
            (Some(request.request_id), format!("read to user {}{}", request.requested_by, until.unwrap_or_default()))
        }
        Verdict::Deny(reason) => {
            let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            (None, format!("request {id} of user {}{reason}", request.requested_by))
        }
    };
    let object = request.product_id.clone();
    let recording = Recording { kind, outcome: "allowed", object, grant, detail: Some(detail) };
    let (number, changing) = (request.request_id, context.clone());
    let change = async move {
        objects::record(vec![recording], &changing).await?;
        changing.mesh.decide_request(number, &changing.principal.name, &verdict).await
    };
    let status = objects::to_its_end(change).await?;
    tell(&request.requested_by, &news(number, &request.product(), status), &request.product(), context).await;
    Ok((id, status.as_str()))
}

/// Whether the request exists for the principal: for who made it and who may decide it, as long as they may discover the
/// product, and for those who govern.
pub fn may_see(request: &Request, context: &Context) -> bool {
    let principal = &context.principal;
    if principal.has_role(Role::MeshAdmin) || principal.has_role(Role::Auditor) {
        return true;
    }
    let discovered = context.visible.get(&request.product()).and_then(|visible| visible.of(&context.snapshot.catalog));
    discovered.is_some_and(|product| request.requested_by == principal.name || may_decide(product, context))
}

fn may_decide(product: &Product, context: &Context) -> bool {
    may_grant_on_product(&context.snapshot.catalog, &context.principal, product)
}

/// Tells those who may decide on a request and listen.
async fn tell_deciders(id: u32, product: &Product, context: &Context) {
    let news = news(id, &product.id, RequestStatus::Open);
    for user in context.mesh.channels.listening_on(ACCESS_REQUESTS) {
        let found = context.snapshot.user(&user).map(Principal::from);
        if found.is_some_and(|found| may_grant_on_product(&context.snapshot.catalog, &found, product)) {
            tell(&user, &news, &product.id, context).await;
        }
    }
}

/// A user hears of a request as long as it sees it in `data_catalog.access_requests`: while it may discover the product, or
/// governs.
async fn tell(user: &str, news: &Notification, product: &ProductId, context: &Context) {
    let Ok(view) = context.mesh.view(user, None).await else { return };
    if view.principal.has_role(Role::MeshAdmin) || view.visible.get(product).is_some() {
        context.mesh.channels.notify(user, news);
    }
}

/// Its number, its product and its status: the rest stands in `data_catalog.access_requests`.
fn news(id: u32, product: &ProductId, status: RequestStatus) -> Notification {
    let payload = serde_json::json!({"request_id": id, "product": product.0, "status": status.as_str()});
    Notification { pid: 0, channel: ACCESS_REQUESTS.to_owned(), payload: payload.to_string() }
}

fn check_decision(request: &Request, verdict: &Verdict, context: &Context) -> Result<()> {
    let (catalog, principal) = (&context.snapshot.catalog, &context.principal);
    let product = catalog.products.get(&request.product());
    let may = product.map_or(principal.has_role(Role::MeshAdmin), |product| may_decide(product, context));
    let denied = || {
        let message = format!("permission denied for access request {}", request.request_id);
        Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message)
    };
    if !may {
        return Err(denied().hint("The product's owner, the owner of its domain and mesh_admin decide on it."));
    }
    if request.status != RequestStatus::Open {
        return Err(decided(request));
    }
    if matches!(verdict, Verdict::Deny(_)) {
        return Ok(());
    }
    if request.requested_by == principal.name {
        return Err(denied().hint("Nobody approves a request of their own: ask another owner or mesh_admin."));
    }
    if product.is_none() {
        let message = format!("{} is no longer in the catalog", request.product_id);
        return Err(Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message));
    }
    if !catalog.users.contains_key(&request.requested_by) {
        return Err(objects::undefined_role(&request.requested_by));
    }
    Ok(())
}

fn check_length(what: &str, text: &str) -> Result<()> {
    let length = text.chars().count();
    if length <= TEXT_CHARS_MAX {
        return Ok(());
    }
    Err(invalid(format!("a {what} may have {TEXT_CHARS_MAX} characters, and this one has {length}")))
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}
