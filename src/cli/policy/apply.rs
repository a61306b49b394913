//! `policy apply`: makes the server's policies those of a directory, all or none of them.

use clap::Args;
use serde_json::{Map, Value, json};

use super::{directory, plan::Desired, remote};
use crate::{
    cli::{
        context::Cx,
        failure::{Doing, Outcome},
    },
    client::Request,
};

/// Make the server's policies those of DIR: all of them or none. What earlier directories had and this one has not is
/// deleted; refused are changes that would leave nobody who can write policies.
#[derive(Args, Debug)]
pub struct Apply {
    #[command(flatten)]
    desired: Desired,
    /// The id of the commit that DIR is of, to be kept with it; else a digest of its policies.
    #[arg(long, value_name = "ID")]
    commit: Option<String>,
    /// Apply only if the server's policies are still in this state, which `policy plan` has shown.
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
}

impl Apply {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let planned = self.desired.planned(cx).await?;
        // What cannot be read is told with its file, before anything is sent.
        directory::parsed(&planned.directory)?;
        let commit = self.commit.unwrap_or_else(|| remote::commit_of(&planned.directory));
        let policies: Map<String, Value> =
            planned.directory.iter().map(|(name, source)| (name.clone(), source.text.as_str().into())).collect();
        let state = self.state.unwrap_or(planned.remote.state);
        let body = json!({"policies": policies, "delete": planned.deleted, "state": state});
        let request = Request::write(&format!("sys/policies/apply/{commit}")).json(&body)?;
        let reply = cx.send(request).await.doing("Error applying the policies")?;
        cx.warnings(&reply)?;
        if !cx.is_table() {
            return cx.value(&reply.data);
        }
        for (field, word) in [("changed", "wrote"), ("deleted", "deleted")] {
            for name in reply.data[field].as_array().into_iter().flatten().filter_map(Value::as_str) {
                cx.say(&format!("{word} {name}"))?;
            }
        }
        cx.success(&format!("Applied {commit}"))
    }
}
