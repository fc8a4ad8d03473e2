//! What the tests across crates stand on: clusters, a node, a kubelet with a script, and the
//! scenarios that run on every cluster alike.

pub mod built;
pub mod cluster;
pub mod control_plane;
pub mod dev;
pub mod fault;
pub mod freezer;
pub mod front;
pub mod kubelet;
pub mod kueue;
pub mod model;
pub mod node;
pub mod observed;
pub mod operator;
pub mod s3;
pub mod scenario;
pub mod simulation;
pub mod transcript;
pub mod turnstile;
pub mod watching;
