//! `sys/internal/inspect`: how paths lead to mounts and mounts to their part of the store. It answers only where the
//! configuration says so.

use super::Sys;
use crate::base::{Error, Json, Result};
use crate::engine::{Cx, Reply, Routes};
use crate::params;

/// Adds the endpoints.
pub fn routes(routes: Routes<Sys>) -> Routes<Sys> {
    routes.at("internal/inspect/router/{tag}", "The mounts, in the order of one of their marks.", |at| {
        at.read(router).sudo()
    })
}

params! {
    /// A mark of a mount.
    pub struct ByTag {
        /// `root`, which is the path, `uuid`, `accessor` or `storage`.
        tag: String,
    }
}

async fn router(cx: Cx<Sys>, p: ByTag) -> Result<Reply> {
    // Where it is off, it is not there.
    if !cx.engine().handles.facts.introspection {
        return Err(Error::UnsupportedPath);
    }
    let mark = match p.tag.as_str() {
        "root" => "mount_path",
        "uuid" => "uuid",
        "accessor" => "accessor",
        "storage" => "storage_prefix",
        _ => return Err(Error::invalid("field 'tag': expected root, uuid, accessor or storage")),
    };
    let table = cx.engine().handles.mounts.table();
    let mut records: Vec<(String, Json)> = Vec::new();
    for entry in table.iter() {
        let mount = &entry.mount;
        let prefix = format!("{}/", entry.view.prefix().as_str());
        let record = [
            ("mount_path", mount.path.as_str()),
            ("mount_type", mount.kind.as_str()),
            ("uuid", mount.uuid.as_str()),
            ("accessor", mount.accessor.as_str()),
            ("storage_prefix", prefix.as_str()),
            ("mount_namespace", ""),
        ];
        let key = record.iter().find(|(name, _)| *name == mark).map_or("", |(_, value)| value);
        // What is being taken down is in no table: no record is of a mount that is tainted.
        let tainted = ("tainted", Json::from(false));
        let shown = record.iter().map(|(name, value)| (*name, Json::from(*value))).chain([tainted]);
        records.push((key.to_owned(), Json::Object(shown.map(|(name, value)| (name.to_owned(), value)).collect())));
    }
    records.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(Reply::data([(p.tag, Json::Array(records.into_iter().map(|(_, record)| record).collect()))]))
}
