//! A pipeline of any size, for benches.
//!
//! Included by its path, because the crates that use it have no crate in common.

use std::fmt::Write as _;

/// How many stages are beside each other.
pub(crate) const LAYER: usize = 100;

/// A pipeline in layers of a hundred stages, each after three of the layer before.
pub(crate) fn pipeline(stages: usize) -> String {
    let mut text = String::from(
        "pipeline generated {\n  defaults { image = \"busybox:1.36\", retries = 2, timeout = 30m }\n",
    );
    for stage in 0..stages {
        let (layer, place) = (stage / LAYER, stage % LAYER);
        let _ = write!(text, "  stage step-{layer}-{place}");
        for (index, skip) in [0, 1, 7].into_iter().enumerate().filter(|_| layer > 0) {
            let separator = if index == 0 { " after " } else { ", " };
            let before = (place + skip) % LAYER;
            let _ = write!(text, "{separator}step-{}-{before}", layer - 1);
        }
        let _ = writeln!(
            text,
            " {{\n    run = \"process --layer {layer} --part {place} --input /data/in --output /data/out\"\n  }}"
        );
    }
    text.push_str("}\n");
    text
}
