//! The command line of konductor.

fn main() {}
