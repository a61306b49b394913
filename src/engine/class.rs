//! Classes of engines, as types: whether an engine can answer with a login at all follows from its class, and is decided when it is compiled.

/// A class.
pub trait Class: 'static {}

/// What is enabled under `sys/mounts`: it makes no tokens.
pub enum Secrets {}
/// What is enabled under `sys/auth`.
pub enum Auth {}
/// What is always there.
pub enum Own {}

impl Class for Secrets {}
impl Class for Auth {}
impl Class for Own {}

/// Classes whose engines may answer with a login. There are no others: a secrets engine cannot write such an answer down.
pub trait MakesTokens: Class {}

impl MakesTokens for Auth {}
impl MakesTokens for Own {}
