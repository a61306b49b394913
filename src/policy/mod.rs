//! Policy documents, their compiled form, and the decision.
