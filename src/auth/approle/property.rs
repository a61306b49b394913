//! `role/:name/…`: each property of a role on a path of its own, so that a policy can grant it alone.

use super::AppRole;
use super::role::{self, ByName, Role, show_networks, uses};
use crate::base::json::Map;
use crate::base::{Error, Json, Name, Result};
use crate::engine::params::Scalar;
use crate::engine::{Args, Cx, Field, Param, Params, Reply, Routes, policy_names};

/// Adds the endpoints.
pub fn routes(routes: Routes<AppRole>) -> Routes<AppRole> {
    routes
        .and(row::<0>)
        .and(row::<1>)
        .and(row::<2>)
        .and(row::<3>)
        .and(row::<4>)
        .and(row::<5>)
        .and(row::<6>)
        .and(row::<7>)
        .and(row::<8>)
        .and(row::<9>)
        .and(row::<10>)
        .at("role/{role_name!}/local-secret-ids", "Accepted and shown.", |at| at.read(read_local))
}

/// One property.
struct Property {
    path: &'static str,
    /// Its name in the API.
    field: &'static str,
    /// An older name that is accepted too.
    older: &'static str,
    doc: &'static str,
    kind: &'static str,
    /// Takes over what a request says.
    set: fn(&mut Role, Json) -> Result<(), String>,
    /// Makes it as it is in a new role.
    reset: fn(&mut Role),
    /// As the API shows it.
    show: fn(&Role) -> Json,
}

const PROPERTIES: [Property; 11] = [
    Property {
        path: "role/{role_name!}/policies",
        field: "token_policies",
        older: "policies",
        doc: "Policies of the tokens.",
        kind: "array",
        set: |role, value| {
            role.rules.token_policies = policy_names(Scalar::read(value)?).map_err(|e| e.to_string())?;
            Ok(())
        },
        reset: |role| role.rules.token_policies.clear(),
        show: |role| role.rules.token_policies.clone().into(),
    },
    Property {
        path: "role/{role_name!}/bound-cidr-list",
        field: "bound_cidr_list",
        older: "secret_id_bound_cidrs",
        doc: "Networks from which logins may come, by the older name.",
        kind: "array",
        set: |role, value| set(&mut role.secret_id_bound_cidrs, value),
        reset: |role| role.secret_id_bound_cidrs.clear(),
        show: |role| show_networks(&role.secret_id_bound_cidrs),
    },
    Property {
        path: "role/{role_name!}/secret-id-bound-cidrs",
        field: "secret_id_bound_cidrs",
        older: "bound_cidr_list",
        doc: "Networks from which logins may come.",
        kind: "array",
        set: |role, value| set(&mut role.secret_id_bound_cidrs, value),
        reset: |role| role.secret_id_bound_cidrs.clear(),
        show: |role| show_networks(&role.secret_id_bound_cidrs),
    },
    Property {
        path: "role/{role_name!}/token-bound-cidrs",
        field: "token_bound_cidrs",
        older: "bound_cidrs",
        doc: "Networks from which the tokens may be used.",
        kind: "array",
        set: |role, value| set(&mut role.rules.token_bound_cidrs, value),
        reset: |role| role.rules.token_bound_cidrs.clear(),
        show: |role| show_networks(&role.rules.token_bound_cidrs),
    },
    Property {
        path: "role/{role_name!}/bind-secret-id",
        field: "bind_secret_id",
        older: "",
        doc: "Whether a login needs a secret id.",
        kind: "boolean",
        set: |role, value| set(&mut role.bind_secret_id, value),
        reset: |role| role.bind_secret_id = true,
        show: |role| role.bind_secret_id.into(),
    },
    Property {
        path: "role/{role_name!}/secret-id-num-uses",
        field: "secret_id_num_uses",
        older: "",
        doc: "How often a secret id can be used; 0 for no count.",
        kind: "integer",
        set: |role, value| set_uses(&mut role.secret_id_num_uses, value),
        reset: |role| role.secret_id_num_uses = 0,
        show: |role| role.secret_id_num_uses.into(),
    },
    Property {
        path: "role/{role_name!}/secret-id-ttl",
        field: "secret_id_ttl",
        older: "",
        doc: "How long a secret id lives; 0 for ever.",
        kind: "duration",
        set: |role, value| set(&mut role.secret_id_ttl, value),
        reset: |role| role.secret_id_ttl = Default::default(),
        show: |role| role.secret_id_ttl.seconds().into(),
    },
    Property {
        path: "role/{role_name!}/period",
        field: "token_period",
        older: "period",
        doc: "Makes the tokens periodic: renewable for ever, so long each time.",
        kind: "duration",
        set: |role, value| set(&mut role.rules.token_period, value),
        reset: |role| role.rules.token_period = Default::default(),
        show: |role| role.rules.token_period.seconds().into(),
    },
    Property {
        path: "role/{role_name!}/token-num-uses",
        field: "token_num_uses",
        older: "",
        doc: "How often the tokens may be used; 0 for no count.",
        kind: "integer",
        set: |role, value| set_uses(&mut role.rules.token_num_uses, value),
        reset: |role| role.rules.token_num_uses = 0,
        show: |role| role.rules.token_num_uses.into(),
    },
    Property {
        path: "role/{role_name!}/token-ttl",
        field: "token_ttl",
        older: "",
        doc: "The first life of the tokens.",
        kind: "duration",
        set: |role, value| set(&mut role.rules.token_ttl, value),
        reset: |role| role.rules.token_ttl = Default::default(),
        show: |role| role.rules.token_ttl.seconds().into(),
    },
    Property {
        path: "role/{role_name!}/token-max-ttl",
        field: "token_max_ttl",
        older: "",
        doc: "The longest life of the tokens, with renewals.",
        kind: "duration",
        set: |role, value| set(&mut role.rules.token_max_ttl, value),
        reset: |role| role.rules.token_max_ttl = Default::default(),
        show: |role| role.rules.token_max_ttl.seconds().into(),
    },
];

fn set<T: Scalar>(kept: &mut T, value: Json) -> Result<(), String> {
    *kept = T::read(value)?;
    Ok(())
}

fn set_uses(kept: &mut u64, value: Json) -> Result<(), String> {
    *kept = uses("the number of uses", i64::read(value)?).map_err(|e| e.to_string())?;
    Ok(())
}

fn row<const I: usize>(routes: Routes<AppRole>) -> Routes<AppRole> {
    let property = &PROPERTIES[I];
    routes.at(property.path, property.doc, |at| at.read(read::<I>).update(write::<I>).delete(reset::<I>))
}

/// A role, and what a request says of one property.
struct Write<const I: usize> {
    role_name: Name,
    value: Json,
}

impl<const I: usize> Params for Write<I> {
    fn fields() -> Vec<Field> {
        let property = &PROPERTIES[I];
        let field = |name, doc, kind| Field { name, doc, kind, secret: false, required: true };
        vec![field("role_name", "The role's name.", "string"), field(property.field, property.doc, property.kind)]
    }

    fn parse(args: &mut Args) -> Result<Self> {
        let property = &PROPERTIES[I];
        let role_name = Param::take("role_name", args)?;
        let older = (!property.older.is_empty()).then(|| args.take(property.older)).flatten();
        let value = args.take(property.field).or(older);
        let value = value.ok_or_else(|| Error::invalid(format!("missing {}", property.field)))?;
        Ok(Self { role_name, value })
    }
}

async fn read<const I: usize>(cx: Cx<AppRole>, p: ByName) -> Result<Reply> {
    let property = &PROPERTIES[I];
    let role: Role = cx.get(&role::key(&p.role_name))?.ok_or_else(Error::not_found)?;
    Ok(Reply::data(Map::from([(property.field.to_owned(), (property.show)(&role))])))
}

async fn read_local(cx: Cx<AppRole>, p: ByName) -> Result<Reply> {
    let role: Role = cx.get(&role::key(&p.role_name))?.ok_or_else(Error::not_found)?;
    Ok(Reply::data([("local_secret_ids".to_owned(), Json::from(role.local_secret_ids))]))
}

async fn write<const I: usize>(cx: Cx<AppRole>, p: Write<I>) -> Result<Reply> {
    let property = &PROPERTIES[I];
    change(&cx, &p.role_name, |role| {
        (property.set)(role, p.value)
            .map_err(|what| Error::invalid(format!("error converting input for field '{}': {what}", property.field)))
    })?
    .ok_or_else(|| role::unknown(&p.role_name))
}

async fn reset<const I: usize>(cx: Cx<AppRole>, p: ByName) -> Result<Reply> {
    let changed = change(&cx, &p.role_name, |role| {
        (PROPERTIES[I].reset)(role);
        Ok(())
    })?;
    Ok(changed.unwrap_or_else(Reply::nothing))
}

/// Changes a role, if there is one of this name.
fn change(cx: &Cx<AppRole>, name: &Name, f: impl FnOnce(&mut Role) -> Result<()>) -> Result<Option<Reply>> {
    let mut txn = cx.txn();
    let Some(mut role) = txn.get::<Role>(&role::key(name))? else { return Ok(None) };
    f(&mut role)?;
    role.check()?;
    txn.put(&role::key(name), &role)?;
    Ok(Some(Reply::empty(txn)))
}
