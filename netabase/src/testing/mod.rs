//! Clusters in one process with faults on demand.

pub(crate) mod fabric;
