//! What each rule of each source of policy does to access, alone and against the others.

use super::*;
use crate::access::testing::{catalog, column, condition, mask, policy, product, rule, user};
use crate::catalog::model::{Policy, User};
use Effect::{Deny, Permit};
use Test::{Excludes, IncludedIn, Includes};

fn access(user: &User, product: Product, policies: Vec<Policy>) -> Access {
    let (id, catalog) = (product.id.clone(), catalog(vec![product], policies));
    decide(&catalog, &Grants::default(), &Principal::from(user), &catalog.products[&id]).access
}

fn one(effect: Effect, conditions: Vec<Condition>) -> Vec<Policy> {
    vec![policy("p", vec![rule(effect, vec![conditions])])]
}

fn whole() -> Access {
    Access::Read(Box::default())
}

fn scope(access: Access) -> ReadScope {
    match access {
        Access::Read(scope) => *scope,
        other => panic!("{other:?}"),
    }
}

fn with(change: impl FnOnce(&mut Product)) -> Product {
    let mut changed = product("sales.orders");
    changed.columns = vec![column("id", None), column("email", Some("PERSONAL.EMAIL"))];
    changed.tags = vec!["gold".to_owned()];
    change(&mut changed);
    changed
}

fn restricted() -> Product {
    with(|p| p.governance.access_policy = AccessPolicy::Restricted)
}

#[test]
fn contract_and_membership() {
    let member = user("ann", &["sales"]);
    let stranger = user("bob", &["marketing"]);
    let mut admin = user("root", &[]);
    admin.roles = vec![Role::MeshAdmin];
    let mut auditor = user("audit", &[]);
    auditor.roles = vec![Role::Auditor];
    let mesh_internal = || with(|p| p.governance.access_policy = AccessPolicy::MeshInternal);
    let open = || with(|p| p.governance.discoverable = Discoverable::Mesh);
    let no_domain = with(|p| p.domain = DomainName("unknown".to_owned()));
    for (name, who, what, expected) in [
        ("member", &member, with(|_| ()), whole()),
        ("stranger", &stranger, with(|_| ()), Access::Hidden),
        ("member, restricted", &member, restricted(), Access::DiscoverOnly),
        ("stranger, restricted", &stranger, restricted(), Access::Hidden),
        ("stranger, mesh-internal", &stranger, mesh_internal(), whole()),
        ("stranger, discoverable", &stranger, open(), Access::DiscoverOnly),
        ("admin has no data rights", &admin, with(|_| ()), Access::DiscoverOnly),
        ("auditor has none at all", &auditor, with(|_| ()), Access::Hidden),
        ("a domain without domain.yaml has no members", &member, no_domain, Access::Hidden),
    ] {
        assert_eq!(access(who, what, Vec::new()), expected, "{name}");
    }
}

#[test]
fn each_condition_of_a_permit() {
    let mut who = user("ann", &["analysts", "eu"]);
    who.attributes.insert("region".to_owned(), "EU".to_owned());
    for (attribute, test, values, expected) in [
        ("resource.domain", Includes, &["sales"][..], true),
        ("resource.domain", Includes, &["Sales"], false),
        ("resource.domain", IncludedIn, &["marketing", "sal*"], true),
        ("resource.domain", Excludes, &["sales"], false),
        ("resource.domain", Excludes, &["marketing"], true),
        ("resource.product", Includes, &["orders"], true),
        ("resource.product", Includes, &["sales.orders"], true),
        ("resource.product", Includes, &["marketing.orders"], false),
        ("resource.product", Excludes, &["sales.*"], false),
        ("resource.classification", Includes, &["internal"], true),
        ("resource.classification", Includes, &["PERSONAL.*"], true),
        ("resource.classification", Excludes, &["PERSONAL.*", "SENSITIVE.*"], false),
        ("resource.classification", Excludes, &["SENSITIVE.*"], true),
        ("resource.tag", Includes, &["gold"], true),
        ("resource.tag", Includes, &["silver"], false),
        ("principal.name", Includes, &["ann"], true),
        ("principal.name", Excludes, &["ann"], false),
        ("principal.group", IncludedIn, &["eu", "us"], true),
        ("principal.group", Includes, &["us"], false),
        ("principal.group", Excludes, &["eu"], false),
        ("principal.attribute.region", Includes, &["E*"], true),
        ("principal.attribute.region", Includes, &["US"], false),
        ("principal.attribute.level", Includes, &["*"], false),
        ("principal.attribute.level", Excludes, &["1"], true),
        ("resource.domain", Includes, &[], false),
    ] {
        let policies = one(Permit, vec![condition(attribute, test, values)]);
        let readable = access(&who, with(|_| ()), policies).is_readable();
        assert_eq!(readable, expected, "{attribute} {test:?} {values:?}");
    }
    let bare = with(|p| {
        p.classification = None;
        p.columns.clear();
        p.tags.clear();
    });
    for (attribute, test, expected) in [
        ("resource.classification", Excludes, true),
        ("resource.classification", Includes, false),
        ("resource.tag", Excludes, true),
        ("resource.tag", Includes, false),
    ] {
        let policies = one(Permit, vec![condition(attribute, test, &["*"])]);
        assert_eq!(access(&who, bare.clone(), policies).is_readable(), expected, "{attribute} {test:?}, absent");
    }
}

#[test]
fn an_or_of_ands() {
    let who = user("ann", &["analysts"]);
    let yes = || condition("principal.group", Includes, &["analysts"]);
    let no = || condition("principal.group", Includes, &["nobody"]);
    for (dnf, expected) in
        [(vec![], false), (vec![vec![]], true), (vec![vec![yes(), no()]], false), (vec![vec![no()], vec![yes()]], true)]
    {
        let policies = vec![policy("p", vec![rule(Permit, dnf.clone())])];
        assert_eq!(access(&who, with(|_| ()), policies).is_readable(), expected, "{dnf:?}");
    }
}

#[test]
fn a_restricted_product_opens_to_a_permit_that_names_it_only() {
    let who = user("ann", &["analysts"]);
    for (conditions, expected) in [
        (vec![], Access::DiscoverOnly),
        (vec![condition("resource.domain", Includes, &["sales"])], Access::DiscoverOnly),
        (vec![condition("resource.product", Includes, &["*"])], Access::DiscoverOnly),
        (vec![condition("resource.product", Includes, &["**"])], Access::DiscoverOnly),
        (vec![condition("resource.product", Includes, &["sales.*"])], Access::DiscoverOnly),
        (vec![condition("resource.product", Excludes, &["other"])], Access::DiscoverOnly),
        (vec![condition("resource.product", IncludedIn, &["*", "other"])], Access::DiscoverOnly),
        (vec![condition("resource.product", Includes, &["orders"])], whole()),
        (vec![condition("resource.product", Includes, &["sales.ord*"])], whole()),
        (vec![condition("resource.product", Includes, &["ord*"])], whole()),
    ] {
        assert_eq!(access(&who, restricted(), one(Permit, conditions.clone())), expected, "{conditions:?}");
    }
    // The AND that names the product must be the one that holds.
    let dnf = vec![
        vec![condition("resource.domain", Includes, &["sales"])],
        vec![condition("resource.product", Includes, &["orders"]), condition("resource.tag", Includes, &["no"])],
    ];
    let policies = vec![policy("p", vec![rule(Permit, dnf)])];
    assert_eq!(access(&who, restricted(), policies), Access::DiscoverOnly);
}

#[test]
fn deny_wins_for_its_actions() {
    let member = user("ann", &["sales"]);
    let mut admin = user("root", &[]);
    admin.roles = vec![Role::MeshAdmin];
    let deny = |discover, read| {
        let mut deny = rule(Deny, vec![vec![condition("resource.domain", Includes, &["sales"])]]);
        (deny.discover, deny.read) = (discover, read);
        vec![policy("permit", vec![rule(Permit, vec![vec![]])]), policy("deny", vec![deny])]
    };
    assert_eq!(access(&member, with(|_| ()), deny(true, true)), Access::Hidden);
    assert_eq!(access(&member, with(|_| ()), deny(true, false)), Access::Hidden);
    assert_eq!(access(&member, with(|_| ()), deny(false, true)), Access::DiscoverOnly);
    assert_eq!(access(&member, with(|_| ()), deny(false, false)), whole());
    assert_eq!(access(&admin, with(|_| ()), deny(true, true)), Access::Hidden);
    // A row filter on a Deny denies all the same.
    let mut filtered = deny(true, true);
    filtered[1].rules.as_mut().unwrap()[0].row_filter = Some("false".to_owned());
    assert_eq!(access(&member, with(|_| ()), filtered), Access::Hidden);
}

#[test]
fn actions_of_a_permit() {
    let who = user("ann", &[]);
    let permit = |discover, read| {
        let mut permit = rule(Permit, vec![vec![]]);
        (permit.discover, permit.read) = (discover, read);
        vec![policy("p", vec![permit])]
    };
    assert_eq!(access(&who, with(|_| ()), permit(true, false)), Access::DiscoverOnly);
    assert_eq!(access(&who, with(|_| ()), permit(false, true)), whole(), "readable implies discoverable");
    assert_eq!(access(&who, restricted(), permit(false, true)), Access::Hidden);
    assert_eq!(access(&who, with(|_| ()), permit(false, false)), Access::Hidden);
}

#[test]
fn a_policy_that_cannot_be_understood_denies_its_scope() {
    let member = user("ann", &["sales"]);
    let broken = |scope| {
        let mut broken = policy("broken", Vec::new());
        (broken.rules, broken.scope) = (None, scope);
        vec![broken]
    };
    assert_eq!(access(&member, with(|_| ()), broken(PolicyScope::Mesh)), Access::Hidden);
    let domain = |name: &str| PolicyScope::Domain(DomainName(name.to_owned()));
    assert_eq!(access(&member, with(|_| ()), broken(domain("sales"))), Access::Hidden);
    assert_eq!(access(&member, with(|_| ()), broken(domain("marketing"))), whole());
}

#[test]
fn a_domain_speaks_about_its_own_products_only() {
    let who = user("ann", &[]);
    let scoped = |name: &str| {
        let mut scoped = one(Permit, vec![condition("resource.domain", Includes, &["sales"])]);
        scoped[0].scope = PolicyScope::Domain(DomainName(name.to_owned()));
        scoped
    };
    assert_eq!(access(&who, with(|_| ()), scoped("sales")), whole());
    assert_eq!(access(&who, with(|_| ()), scoped("marketing")), Access::Hidden);
}

#[test]
fn row_rules() {
    let filter = |text: &str| RowRule::Filter { text: text.to_owned() };
    let permit = |text: Option<&str>| {
        let mut permit = rule(Permit, vec![vec![]]);
        permit.row_filter = text.map(str::to_owned);
        permit
    };
    let governed = || {
        with(|p| {
            p.governance.row_domain_column = Some("owning_domain".to_owned());
            p.governance.row_filter = Some("id > 0".to_owned());
        })
    };
    let own = vec![RowRule::DomainColumn { column: "owning_domain".to_owned() }, filter("id > 0")];
    let rules_for = |who: &User, product, rules| scope(access(who, product, vec![policy("p", rules)])).row_rules;
    let (member, guest) = (user("ann", &["sales"]), user("bob", &[]));
    assert_eq!(rules_for(&member, governed(), vec![]), own, "the contract binds members");
    let both = vec![permit(Some("a")), permit(Some("b")), permit(Some("a"))];
    let any = RowRule::AnyOf(vec![filter("a"), filter("b")]);
    assert_eq!(rules_for(&guest, with(|_| ()), both.clone()), vec![any.clone()]);
    assert_eq!(rules_for(&guest, governed(), both.clone()), [own.clone(), vec![any]].concat());
    assert_eq!(rules_for(&guest, with(|_| ()), vec![permit(Some("a"))]), vec![filter("a")]);
    assert_eq!(rules_for(&guest, with(|_| ()), vec![permit(Some("a")), permit(None)]), vec![]);
    assert_eq!(rules_for(&member, with(|_| ()), both), vec![], "membership has no filter");
}

#[test]
fn masks_bind_unless_a_permit_shows_the_column() {
    let permit = |filter: Option<&str>, masks: Vec<Mask>| {
        let mut permit = rule(Permit, vec![vec![]]);
        (permit.row_filter, permit.masks) = (filter.map(str::to_owned), masks);
        permit
    };
    let masked = |who: &User, product, rules| {
        let masks = scope(access(who, product, vec![policy("p", rules)])).masks;
        masks.into_iter().map(|mask| mask.column).collect::<Vec<_>>()
    };
    let governed = || with(|p| p.governance.masks = vec![mask("email", &["pii-readers"])]);
    let (member, reader) = (user("ann", &["sales"]), user("eve", &["sales", "pii-readers"]));
    let guest = user("bob", &[]);
    assert_eq!(masked(&member, governed(), vec![]), ["email"]);
    assert_eq!(masked(&reader, governed(), vec![]), [""; 0]);
    assert_eq!(masked(&reader, governed(), vec![permit(None, vec![mask("email", &[])])]), [""; 0]);
    assert_eq!(masked(&guest, with(|_| ()), vec![permit(None, vec![mask("email", &[])])]), ["email"]);
    assert_eq!(masked(&guest, governed(), vec![permit(None, vec![])]), ["email"], "a permit lifts no mask");
    let rows_unmasked = vec![permit(None, vec![mask("email", &[])]), permit(Some("id = 1"), vec![])];
    assert_eq!(masked(&guest, with(|_| ()), rows_unmasked), ["email"], "shown for some rows only");
    let other = vec![permit(None, vec![mask("email", &[])]), permit(None, vec![mask("id", &[])])];
    assert_eq!(masked(&guest, with(|_| ()), other), [""; 0], "each column is shown by one of them");
    assert!(!scope(access(&member, governed(), vec![])).is_whole());
}

#[test]
fn masks_that_contradict_each_other_deny_reading() {
    let null = |column: &str| Mask { using: MaskMethod::Null, ..mask(column, &[]) };
    let governed = || with(|p| p.governance.masks = vec![mask("email", &["pii-readers"])]);
    let permit = |masks: Vec<Mask>| {
        let mut permit = rule(Permit, vec![vec![]]);
        permit.masks = masks;
        vec![policy("p", vec![permit])]
    };
    let guest = user("bob", &[]);
    assert_eq!(access(&guest, governed(), permit(vec![null("Email")])), Access::DiscoverOnly);
    assert!(access(&guest, governed(), permit(vec![mask("EMAIL", &[]), null("id")])).is_readable());
    assert!(access(&user("eve", &["pii-readers"]), governed(), permit(vec![null("email")])).is_readable());
    let catalog = catalog(vec![governed()], permit(vec![null("email")]));
    let reasons = decide(&catalog, &Grants::default(), &Principal::from(&guest), &governed()).reasons;
    let last = reasons.last().unwrap();
    assert_eq!((last.effect, last.cause.label()), (Deny, "mask-conflict:email".to_owned()));
}

#[test]
fn restrictive_rules_open_nothing_and_bind_whom_they_are_about() {
    let filter = |text: &str| RowRule::Filter { text: text.to_owned() };
    let restrict = |group: Option<&str>, text: Option<&str>, masks: Vec<Mask>| {
        let about = group.map(|group| condition("principal.group", Includes, &[group]));
        let mut rule = rule(Permit, vec![about.into_iter().collect()]);
        (rule.mode, rule.row_filter, rule.masks) = (Mode::Restrictive, text.map(str::to_owned), masks);
        rule
    };
    let of = |who: &User, product: Product, rules: Vec<DecisionRule>| access(who, product, vec![policy("p", rules)]);
    let (member, guest) = (user("ann", &["sales", "eu"]), user("bob", &["eu"]));
    assert_eq!(of(&guest, with(|_| ()), vec![restrict(None, Some("a"), vec![])]), Access::Hidden);
    let two = vec![restrict(Some("eu"), Some("a"), vec![mask("email", &[])]), restrict(None, Some("b"), vec![])];
    let bound = scope(of(&member, with(|_| ()), two.clone()));
    assert_eq!(bound.row_rules, [filter("a"), filter("b")], "both must admit a row");
    assert_eq!(bound.masks[0].column, "email");
    let other = scope(of(&user("cat", &["sales"]), with(|_| ()), two));
    assert_eq!((other.row_rules, other.masks.len()), (vec![filter("b")], 0));
    // A permit without a filter lifts no restriction.
    let open = vec![rule(Permit, vec![vec![]]), restrict(None, Some("a"), vec![mask("email", &[])])];
    let bound = scope(of(&guest, with(|_| ()), open));
    assert_eq!((bound.row_rules, bound.masks.len()), (vec![filter("a")], 1));
}

#[test]
fn reasons_and_fingerprints() {
    let policies = vec![policy("all", vec![rule(Permit, vec![]), rule(Permit, vec![vec![]])])];
    let product = with(|_| ());
    let catalog = catalog(vec![product.clone()], policies);
    let decision = decide(&catalog, &Grants::default(), &Principal::from(&user("ann", &["sales"])), &product);
    let labels: Vec<String> = decision.reasons.iter().map(|reason| reason.cause.label()).collect();
    assert_eq!(labels, ["group:sales", "policy:all"]);
    assert_eq!(decision.reasons[1].cause, Cause::Rule { policy: "all".to_owned(), rule: 1 });
    assert_eq!(decision.access.fingerprint(), whole().fingerprint());
    let filtered = ReadScope { row_rules: vec![RowRule::Filter { text: "a".to_owned() }], masks: Vec::new() };
    let masked = |method| ReadScope {
        row_rules: Vec::new(),
        masks: vec![ColumnMask { column: "email".to_owned(), method, must_exist: true }],
    };
    let partial = |first, last| masked(MaskMethod::Partial { first, last });
    let scopes = [
        filtered,
        masked(MaskMethod::Hash),
        masked(MaskMethod::Null),
        partial(1, 0),
        partial(0, 1),
        masked(MaskMethod::Expression("a".to_owned())),
        masked(MaskMethod::Expression("b".to_owned())),
    ];
    let readable = scopes.map(|scope| Access::Read(Box::new(scope)));
    let others = [Access::Hidden, Access::DiscoverOnly, whole()];
    let distinct: std::collections::BTreeSet<_> = readable.iter().chain(&others).map(Access::fingerprint).collect();
    assert_eq!(distinct.len(), 10);
}
