//! An in-memory Kubernetes API server and a runner for Jobs.

pub mod runner;
