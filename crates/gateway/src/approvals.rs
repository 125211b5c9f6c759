//! What an approver may do: look at the requests that wait, and decide on one. Over the owner's socket as
//! methods that no server hears of, over HTTP at `/approvals`.

use identity::Verified;
use mcp::{Json, quote};
use store::Approval;

use crate::{
    Gateway,
    approval::NoApproval,
    call::{Call, Reply},
    decide::view,
    refusal::Refusal,
};

const LIST: &str = "dev.bartizan/approvals/list";
const DECIDE: &str = "dev.bartizan/approvals/decide";

/// The newest requests that are shown.
const SHOWN: u32 = 200;

/// Whether a request is one of these.
pub(crate) fn is_about(call: &Call) -> bool {
    matches!(&*call.method_name, LIST | DECIDE)
}

impl Gateway {
    /// Answers an approver on the owner's socket.
    pub(crate) async fn about_approvals(
        &self,
        caller: &Verified,
        call: &Call,
    ) -> Result<Reply, Refusal> {
        let params = call.params.json();
        let text = match &*call.method_name {
            LIST => {
                let [wait] = params.pick(["after"]);
                self.list_approvals(caller, wait.and_then(Json::integer)).await
            }
            _ => {
                let [id, approve] = params.pick(["id", "approve"]);
                let id = id.and_then(Json::string).ok_or(Refusal::NameMissing("id"))?;
                let approve = approve.and_then(Json::boolean) == Some(true);
                self.decide_approval(caller, &id, approve).await.map(|approval| written(&approval))
            }
        };
        match text {
            Ok(text) => Ok(Reply::result(crate::made(text))),
            Err(fault) => {
                Err(self.refuse(Some(caller), Refusal::Approver(fault.to_string())).await)
            }
        }
    }

    /// One request, for an approver.
    pub(crate) async fn approval(
        &self,
        approver: &Verified,
        id: &str,
    ) -> Result<Approval, NoApproval> {
        let view = view(approver);
        let approvals = &self.current().config.approvals;
        if !approvals.approvers.iter().any(|member| member.covers(&view)) {
            return Err(NoApproval::NotAnApprover);
        }
        self.store.approval(id).await?.ok_or(NoApproval::Unknown)
    }

    /// What came of a request, for anybody who knows its id.
    pub(crate) async fn approval_state(&self, id: &str) -> Option<String> {
        let found = self.store.approval(id).await.ok()??;
        let open = matches!(found.state.as_str(), "pending" | "approved");
        let expired = open && found.expires <= crate::now();
        Some(if expired { "expired".to_owned() } else { found.state })
    }

    /// The newest requests, for an approver. `after`: waits until something else was decided or asked
    /// than at that count.
    pub(crate) async fn list_approvals(
        &self,
        approver: &Verified,
        after: Option<i64>,
    ) -> Result<String, NoApproval> {
        let view = view(approver);
        let approvals = &self.current().config.approvals;
        if !approvals.approvers.iter().any(|member| member.covers(&view)) {
            return Err(NoApproval::NotAnApprover);
        }
        let mut decided = self.decided.subscribe();
        if let Some(after) = after {
            const LONGEST: std::time::Duration = std::time::Duration::from_secs(30);
            let news = decided.wait_for(|count| i64::try_from(*count) != Ok(after));
            let _ = tokio::time::timeout(LONGEST, news).await;
        }
        let count = *decided.borrow_and_update();
        let found = self.store.approvals(SHOWN).await?;
        let found: Vec<String> = found.iter().map(written).collect();
        Ok(format!(
            "{{\"resultType\":\"complete\",\"count\":{count},\"approvals\":[{}]}}",
            found.join(",")
        ))
    }
}

/// A request as an approver sees it, with what came of it.
pub(crate) fn written(approval: &Approval) -> String {
    let now = crate::now();
    let state = match approval.state.as_str() {
        "pending" | "approved" if approval.expires <= now => "expired",
        state => state,
    };
    let deciders: Vec<String> =
        approval.deciders.split('\n').filter(|by| !by.is_empty()).map(quote).collect();
    format!(
        "{{\"id\":{},\"state\":{},\"by\":[{}],\"created\":{},\"expires\":{},\"request\":{}}}",
        quote(&approval.id),
        quote(state),
        deciders.join(","),
        approval.created,
        approval.expires,
        approval.request
    )
}
