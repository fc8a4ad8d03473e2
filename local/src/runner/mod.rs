//! Plays the parts of a cluster that turn Jobs into work: the Job controller and the kubelet.

pub mod job;
pub mod kubelet;
