//! What exists only while unsealed, above all the stages of a request.
