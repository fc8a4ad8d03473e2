//! Take part in konductor's primitives from a Rust program.
