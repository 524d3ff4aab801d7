//! Policies and principals: both forms, our additions, and what a broken file denies.

use super::*;

/// The policy of the founding documents, as `json.dumps` writes it.
pub(super) const PURVIEW: &str = r#"{
  "name": "sales-data-access",
  "description": "Access policy for sales domain data products",
  "decisionRules": [
    {"effect": "Permit", "dnfCondition": [[
      {"attributeName": "resource.domain", "attributeValueIncludes": "sales"},
      {"attributeName": "principal.group", "attributeValueIncludedIn": ["sales", "partners"]}
    ]]},
    {"effect": "Permit", "dnfCondition": [[
      {"attributeName": "resource.classification", "attributeValueExcludes": ["PERSONAL.*", "SENSITIVE.*"]}
    ]]}
  ]
}"#;

#[test]
fn the_founding_policy_loads_verbatim_from_json() {
    let folder = Folder::new();
    folder.write("principals.yaml", format!("{PRINCIPALS}groups: [{{name: sales}}, {{name: partners}}]\n"));
    folder.write("policies/sales.json", PURVIEW);
    let loaded = folder.load();
    assert_eq!(loaded.problems, []);
    let [policy] = loaded.catalog.policies.as_slice() else { panic!() };
    assert_eq!((policy.name.as_str(), &policy.scope), ("sales-data-access", &PolicyScope::Mesh));
    let rules = policy.rules.as_ref().unwrap();
    assert_eq!(rules.len(), 2);
    assert_eq!(
        rules[0].dnf,
        [vec![
            Condition { attribute: Attribute::ResourceDomain, test: Test::Includes, values: vec!["sales".into()] },
            Condition {
                attribute: Attribute::PrincipalGroup,
                test: Test::IncludedIn,
                values: vec!["sales".into(), "partners".into()]
            },
        ]]
    );
    assert_eq!(rules[1].dnf[0][0].test, Test::Excludes);
    assert!(rules.iter().all(|rule| rule.discover && rule.read && rule.row_filter.is_none() && rule.masks.is_empty()));
}

#[test]
fn policies_take_our_additions() {
    let folder = Folder::new();
    folder.write(
        "policies/p.yaml",
        "decisionRules:\n  - effect: Permit\n    actions: [discover]\n    rowFilter: region = 'EU'\n    masks: [{column: email, using: hash}]\n    \
         dnfCondition: [[{attributeName: principal.attribute.region, attributeValueIncludes: EU}]]\n  - {effect: Deny, actions: [read], dnfCondition: [[]]}\n",
    );
    let loaded = folder.load();
    assert_eq!(folder.problems(), ["catalog/policies/p.yaml:7:52: warning: this AND is empty, so it always holds"]);
    let policy = &loaded.catalog.policies[0];
    assert_eq!(policy.name, "p");
    let rules = policy.rules.as_ref().unwrap();
    assert_eq!(
        (rules[0].discover, rules[0].read, rules[0].row_filter.as_deref()),
        (true, false, Some("region = 'EU'"))
    );
    assert_eq!(rules[0].masks.len(), 1);
    assert_eq!(rules[0].dnf[0][0].attribute, Attribute::PrincipalAttribute("region".into()));
    assert_eq!((rules[1].effect, rules[1].discover, rules[1].read, rules[1].dnf.len()), (Effect::Deny, false, true, 1));
}

#[test]
fn restrictive_rules_and_every_kind_of_mask_are_read() {
    let folder = Folder::new();
    folder.write(
        "policies/p.yaml",
        "decisionRules:\n  - effect: Permit\n    mode: restrictive\n    dnfCondition: [[]]\n    masks:\n\
         \x20     - {column: a, using: redact}\n\
         \x20     - {column: b, using: partial}\n\
         \x20     - {column: c, using: partial, show_first: 0, show_last: 4}\n\
         \x20     - {column: d, expression: \"left(d, 2) || 'x'\", unlessGroups: [g]}\n\
         \x20 - {effect: Permit, mode: permissive, dnfCondition: []}\n",
    );
    let loaded = folder.load();
    let rules = loaded.catalog.policies[0].rules.as_ref().unwrap();
    assert_eq!([rules[0].mode, rules[1].mode], [Mode::Restrictive, Mode::Permissive]);
    assert_eq!((rules[0].place.line, rules[1].place.line), (2, 10));
    let methods: Vec<MaskMethod> = rules[0].masks.iter().map(|mask| mask.using.clone()).collect();
    assert_eq!(
        methods,
        [
            MaskMethod::Redact,
            MaskMethod::Partial { first: 1, last: 0 },
            MaskMethod::Partial { first: 0, last: 4 },
            MaskMethod::Expression("left(d, 2) || 'x'".to_owned()),
        ]
    );
    assert_eq!(rules[0].masks[3].unless_groups, ["g"]);
}

#[test]
fn a_policy_with_any_error_has_no_rules_and_denies() {
    let rule = |text: &str| format!("name: p\ndecisionRules:\n  - {{effect: Permit, dnfCondition: [[{text}]]}}\n");
    let masked = |mask: &str| format!("decisionRules: [{{effect: Permit, dnfCondition: [[]], masks: [{{{mask}}}]}}]");
    for (text, wanted) in [
        ("decisionRules: [".to_owned(), "this is not valid YAML"),
        (String::new(), "the file is empty"),
        ("name: p\n".to_owned(), "missing key `decisionRules`"),
        ("name: p\ndecisionRule: []\n".to_owned(), "unknown key `decisionRule`"),
        ("decisionRules: [{effect: Allow, dnfCondition: []}]".to_owned(), "`effect` cannot be `Allow`"),
        ("decisionRules: [{effect: Permit}]".to_owned(), "missing key `dnfCondition`"),
        (
            "decisionRules: [{effect: Permit, dnfCondition: [{attributeName: x}]}]".to_owned(),
            "must hold lists of conditions",
        ),
        ("decisionRules: [{effect: Permit, dnfCondition: [[]], actions: []}]".to_owned(), "`actions` names no action"),
        ("decisionRules: [{effect: Permit, dnfCondition: [[]], rowFilter: 'a ='}]".to_owned(), "no SQL expression"),
        (
            "decisionRules: [{effect: Deny, dnfCondition: [[]], rowFilter: 'a'}]".to_owned(),
            "a Deny rule takes no rowFilter",
        ),
        (
            "decisionRules: [{effect: Deny, dnfCondition: [[]], mode: restrictive}]".to_owned(),
            "a Deny rule has no mode",
        ),
        (
            "decisionRules: [{effect: Permit, dnfCondition: [[]], mode: restrictive}]".to_owned(),
            "needs a rowFilter or masks",
        ),
        (
            "decisionRules: [{effect: Permit, dnfCondition: [[]], mode: restrictive, rowFilter: 'a', actions: [read]}]"
                .to_owned(),
            "takes no actions",
        ),
        ("decisionRules: [{effect: Permit, dnfCondition: [[]], mode: strict}]".to_owned(), "`mode` cannot be `strict`"),
        (masked("column: a"), "missing key `using`"),
        (masked("column: a, using: sha1"), "`using` cannot be `sha1`"),
        (masked("column: a, using: hash, expression: b"), "either `using` or `expression`"),
        (masked("column: a, expression: 'b +'"), "no SQL expression"),
        (masked("column: a, using: hash, show_first: 1"), "only `using: partial` shows a part"),
        (masked("column: a, using: partial, show_last: 17"), "a number from 0 to 16"),
        (masked("column: a, using: partial, show_last: -1"), "a number from 0 to 16"),
        (rule("{attributeName: resource.domian, attributeValueIncludes: x}"), "unknown attribute `resource.domian`"),
        (rule("{attributeName: principal.attribute., attributeValueIncludes: x}"), "unknown attribute"),
        (rule("{attributeName: resource.domain}"), "a condition needs a test"),
        (
            rule("{attributeName: resource.domain, attributeValueIncludes: x, attributeValueExcludes: y}"),
            "exactly one test",
        ),
        (rule("{attributeName: resource.domain, attributeValueIncludes: {a: b}}"), "must be text"),
    ] {
        let folder = Folder::new();
        folder.write("policies/p.yaml", &text);
        let loaded = folder.load();
        assert!(loaded.has_errors(), "{text}");
        assert!(loaded.problems.iter().any(|p| p.message.contains(wanted)), "{text}: {:?}", loaded.problems);
        let [policy] = loaded.catalog.policies.as_slice() else { panic!("{text}") };
        assert_eq!((policy.name.as_str(), &policy.rules), ("p", &None), "{text}");
    }
}

#[test]
fn a_broken_policy_of_a_domain_denies_the_domain_and_leaves_it_in_place() {
    let folder = Folder::new();
    let text = "apiVersion: pgmesh/v1\nkind: Domain\nmetadata: {name: sales, owner: o}\nspec:\n  policies:\n    - {name: good, decisionRules: []}\n    - {name: bad}\n";
    folder.write("sales/domain.yaml", text);
    folder.write("sales/a/data_product.yaml", contract("a", ""));
    let loaded = folder.load();
    assert_eq!(loaded.catalog.products.len(), 1);
    let scope = PolicyScope::Domain(DomainName("sales".into()));
    let found: Vec<_> =
        loaded.catalog.policies.iter().map(|p| (p.name.as_str(), p.scope == scope, p.rules.is_some())).collect();
    assert_eq!(found, [("good", true, true), ("bad", true, false)]);
    assert_eq!(
        folder.problems(),
        [
            "catalog/sales/domain.yaml:7:7: error: missing key `decisionRules` in `policies`",
            "catalog/sales/domain.yaml:7:7: warning: until the policy `bad` is right, the domain `sales` is denied to everyone",
        ]
    );
}

#[test]
fn names_that_policies_invent_are_warnings() {
    let folder = Folder::new();
    folder.write("principals.yaml", format!("{PRINCIPALS}groups: [{{name: sales}}]\n"));
    folder.write("sales/a/data_product.yaml", contract("orders", ""));
    folder.write(
        "policies/p.yaml",
        "decisionRules:\n  - effect: Permit\n    dnfCondition:\n      - - {attributeName: resource.domain, attributeValueIncludes: slaes}\n        \
         - {attributeName: resource.product, attributeValueIncludedIn: [order, sal*, sales.orders]}\n        \
         - {attributeName: principal.group, attributeValueIncludes: sale}\n        - {attributeName: principal.name, attributeValueExcludes: bob}\n",
    );
    folder.write("policies/p.ymal", "lost");
    assert_eq!(
        folder.problems(),
        [
            "catalog/policies/p.yaml:4:68: warning: the domain `slaes` is unknown (did you mean `sales`?)",
            "catalog/policies/p.yaml:5:72: warning: the product `order` is unknown (did you mean `orders`?)",
            "catalog/policies/p.yaml:6:68: warning: the group `sale` is unknown (did you mean `sales`?)",
            "catalog/policies/p.yaml:7:67: warning: the user `bob` is unknown",
            "catalog/policies/p.ymal: warning: this is not read as a policy (name it *.yaml, or move it elsewhere)",
        ]
    );
}

#[test]
fn principals_are_read_and_refused_one_by_one() {
    let folder = Folder::new();
    folder.write(
        "principals.yaml",
        format!(
            "apiVersion: pgmesh/v1\nkind: Principals\ngroups: [{{name: sales, description: d}}]\nusers:\n\
             - {{name: ada, scram: \"{VERIFIER}\", groups: [sales], attributes: {{region: EU, level: 3}}, roles: [auditor]}}\n\
             - {{name: ada, scram: \"{VERIFIER}\"}}\n\
             - {{name: pg_read, scram: \"{VERIFIER}\"}}\n\
             - {{name: Public, scram: \"{VERIFIER}\"}}\n\
             - {{name: eve, scram: hunter2}}\n\
             - {{name: bob, groups: [sale]}}\n\
             - {{name: joe, scram: \"{VERIFIER}\", roles: [superuser], passwd: x}}\n"
        ),
    );
    let loaded = folder.load();
    assert_eq!(loaded.catalog.users.keys().collect::<Vec<_>>(), ["ada", "bob"]);
    let ada = &loaded.catalog.users["ada"];
    assert_eq!(ada.scram.as_ref().unwrap().to_string(), VERIFIER);
    assert_eq!((ada.groups.as_slice(), ada.roles.as_slice()), (&["sales".to_owned()][..], &[Role::Auditor][..]));
    assert_eq!(ada.attributes.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(), ["level=3", "region=EU"]);
    let problems: Vec<String> = folder.problems().iter().map(|p| p.replace("catalog/principals.yaml:", "")).collect();
    assert_eq!(
        problems,
        [
            "6:3: error: duplicate user `ada`",
            "7:10: error: no user can be called `pg_read`: names with pg_ are reserved",
            "8:10: error: no user can be called `Public`: SQL gives the word a meaning of its own",
            "9:22: error: `scram` is no verifier: it must have the form SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>",
            "10:10: warning: the user `bob` has no verifier and cannot log in (set a password with `pgmesh user passwd`)",
            "10:24: warning: the group `sale` is not declared under `groups` (did you mean `sales`?)",
            &format!(
                "11:{}: error: `roles` cannot be `superuser` (known: mesh_admin, auditor, break_glass)",
                34 + VERIFIER.len()
            ),
            &format!(
                "11:{}: error: unknown key `passwd` in `users` (known: name, description, scram, groups, attributes, roles)",
                46 + VERIFIER.len()
            ),
        ]
    );
    assert!(!folder.problems().concat().contains("hunter2"));
}
