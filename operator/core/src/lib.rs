//! What the primitives mean: pure decisions on what was observed, at a given time.
