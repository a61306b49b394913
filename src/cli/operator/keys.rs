//! The keyring's current term: which it is, and adding the next.

use clap::Args;
use serde_json::Map;

use super::super::{
    context::Cx,
    failure::{Doing, Outcome},
    table::go,
};
use crate::client::{Reply, Request};

/// Show the term of the encryption key in use.
#[derive(Args, Debug)]
pub(super) struct KeyStatus {}

/// Add a new encryption key; what is written from now on uses it.
#[derive(Args, Debug)]
pub(super) struct Rotate {}

impl KeyStatus {
    pub(super) async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let status = cx.send(Request::read("sys/key-status")).await.doing("Error reading key status")?;
        show(cx, &status)
    }
}

impl Rotate {
    pub(super) async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let request = Request::write("sys/rotate").json(&Map::new())?;
        cx.send(request).await.doing("Error rotating key")?;
        let status = cx.aside(Request::read("sys/key-status")).await.doing("Error reading key status")?;
        cx.success("Rotated key\n")?;
        show(cx, &status)
    }
}

fn show(cx: &mut Cx<'_, '_>, status: &Reply) -> Outcome {
    if let Some(field) = cx.globals.field.clone() {
        return cx.field(&field, status.field(&field).cloned());
    }
    if !cx.is_table() {
        return cx.value(&status.data);
    }
    let row = |title: &str, name: &str| vec![title.to_owned(), status.field(name).map(go).unwrap_or_default()];
    cx.columns(&[row("Key Term", "term"), row("Install Time", "install_time"), row("Encryption Count", "encryptions")])
}
