//! The kubelet: runs pods as processes of this machine.
mod downward;
mod environment;
mod expansion;
mod logs;
mod mounts;
mod orphans;
mod process;
mod quantity;
mod references;
mod status;
mod volumes;
