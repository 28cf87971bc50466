//! Plans of `token issue` and `token revoke`: one step each, at whichever server answers. The secret of a token is in no plan.

use dkc_core::ids::ClusterName;
use dkc_core::meta::{NewToken, TokenEnd};
use dkc_core::token::TokenId;

use super::backup::{one_step, serving};
use super::{ClusterAction, Danger, Operation, Plan, Refusal, Refused};
use crate::edit::plural;
use crate::enrolled::tokens;
use crate::model::Inventory;
use crate::observed::Observed;

/// `token issue`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueTokenRequest {
    /// Its id and the command as typed.
    pub operation: Operation,
    /// Who will enrol with it.
    pub cluster: ClusterName,
    /// Without its secret.
    pub token: NewToken,
    /// The time to live in words.
    pub ttl: String,
}

/// `token revoke`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokeTokenRequest {
    /// Its id and the command as typed.
    pub operation: Operation,
    /// The cluster that issued it.
    pub cluster: ClusterName,
    /// Which token.
    pub id: TokenId,
    /// The operator: `ann@admin1`.
    pub holder: String,
}

/// Plans a token; refused where the cluster could not take it.
pub fn issue_token(
    inventory: &Inventory,
    observed: &Observed,
    request: &IssueTokenRequest,
) -> Result<Plan, Refused> {
    let (cluster, token) = (&request.cluster, &request.token);
    let facts = serving(inventory, observed, cluster)?;
    let mut plan = Plan::new(inventory, &request.operation, Danger::Reversible);
    plan.ring_version = Some(facts.view.ring.version);
    let namespaces: Vec<String> = token.namespaces.iter().map(ToString::to_string).collect();
    let (uses, names) = (token.uses as usize, namespaces.join(", "));
    plan.impact = vec![
        format!(
            "whoever has the token can add {uses} {} with access to {} {names}, for {}",
            plural(uses, "slave"),
            plural(namespaces.len(), "namespace"),
            request.ttl
        ),
        "the token is printed once, at the end; the cluster keeps only its SHA-256".into(),
    ];
    plan.undo = format!("token revoke -n {cluster} {}", token.id);
    one_step(&mut plan, inventory, observed, cluster, ClusterAction::IssueToken { token: token.clone() });
    Ok(plan)
}

/// Plans the end of a token; nothing to do if it was revoked before.
pub fn revoke_token(
    inventory: &Inventory,
    observed: &Observed,
    request: &RevokeTokenRequest,
) -> Result<Plan, Refused> {
    let (cluster, id) = (&request.cluster, request.id);
    let facts = serving(inventory, observed, cluster)?;
    let known = tokens(inventory, observed, cluster).map(|view| view.tokens).unwrap_or_default();
    let Some(token) = known.iter().find(|token| token.id == id) else {
        let known = known.iter().filter(|token| token.end.is_none()).map(|token| token.id.to_string());
        return Err(
            Refusal::UnknownName { what: "token", name: id.to_string(), known: known.collect() }.into()
        );
    };
    let mut plan = Plan::new(inventory, &request.operation, Danger::Reversible);
    plan.ring_version = Some(facts.view.ring.version);
    if matches!(token.end, Some(TokenEnd::Revoked(_))) {
        return Ok(plan);
    }
    let joined = (token.uses - token.uses_left.min(token.uses)) as usize;
    plan.impact = vec!["the token enrols nobody any more, permanently".into()];
    if joined > 0 {
        plan.impact.push(format!(
            "{joined} {} that joined with it {} connected: tls revoke -n {cluster} --slave ID disconnects one",
            plural(joined, "slave"),
            if joined == 1 { "stays" } else { "stay" },
        ));
    }
    plan.undo = format!("not possible; for another one: token issue -n {cluster}");
    let action = ClusterAction::RevokeToken { id, by: request.holder.clone() };
    one_step(&mut plan, inventory, observed, cluster, action);
    Ok(plan)
}
