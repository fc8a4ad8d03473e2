//! Watches the cluster, asks the core what to do, and does it.
