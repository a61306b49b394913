//! Looking at a share without a server: whether it was written down right, and what its label says.

use clap::{Args, Subcommand};

use super::super::{
    context::Cx,
    failure::{Failure, Outcome},
    table::key_value,
};
use crate::crypto::label::{Labelled, is_labelled};

/// Look at a share of the unseal key; no server is asked.
#[derive(Args, Debug)]
pub(super) struct Share {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Check(Check),
}

/// Check that a labelled share was written down right, and show its label. The share itself is not shown.
#[derive(Args, Debug)]
struct Check {
    /// The share, or - for standard input; asked for if absent.
    share: Option<String>,
}

impl Share {
    pub(super) fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let Command::Check(check) = self.command;
        check.run(cx)
    }
}

impl Check {
    fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let text = cx.secret("Share", self.share.as_deref())?;
        if !is_labelled(text.reveal()) {
            return Err(Failure::local(
                "Error: this share has no label. A plain share can only be tried: nothing in it tells a slip of the hand",
            ));
        }
        let share = Labelled::parse(&text).map_err(|error| Failure::local(format!("Error: {error}")))?;
        let row = |name: &str, value: String| vec![name.to_owned(), value];
        let place = format!("{} of {}", share.index, share.shares);
        if !cx.is_table() {
            return cx.value(&serde_json::json!({
                "store": share.store,
                "generation": share.generation,
                "index": share.index,
                "shares": share.shares,
                "checksum": "ok",
            }));
        }
        cx.table(&key_value(vec![
            row("Store", share.store.clone()),
            row("Generation", share.generation.to_string()),
            row("Share", place),
            row("Checksum", "ok".to_owned()),
        ]))
    }
}
