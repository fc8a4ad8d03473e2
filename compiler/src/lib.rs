//! A pipeline file becomes Kubernetes objects: names and types are resolved, rules checked, the DAG
//! planned, and typed objects made of it.
//!
//! What enters: text, and what the command line gives. What leaves: [`Compiled`], with diagnostics
//! in source order and, where none of them is an error, [`Manifests`]. What must never happen here:
//! a clock, a file, a cluster, or a result that depends on anything but the input.
//!
//! ```
//! use konductor_compiler::{Options, compile};
//! use konductor_dsl::Sources;
//!
//! let mut sources = Sources::default();
//! let text = r#"pipeline hello { stage greet { image = "busybox:1.36", run = "echo hello" } }"#;
//! sources.add("hello.kon", text);
//! let compiled = compile(sources, &Options::at("2026-01-31T02:00:00Z".parse()?));
//! assert_eq!(compiled.diagnostics, []);
//! let manifests = compiled.manifests.ok_or("it has no errors")?;
//! let objects: Vec<String> = manifests.objects().map(|object| object.to_string()).collect();
//! assert_eq!(objects, ["run/hello", "job/hello-greet"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(clippy::string_slice)]

mod compile;
mod cron;
mod eval;
mod fix;
mod foreign_template;
pub mod graph;
mod interpreter;
mod library;
mod limits;
mod lower;
mod manifest;
mod name;
mod object;
mod options;
mod pipeline;
pub mod placed;
mod plan;
mod resolve;
mod rules;
mod shell;
mod value;
mod yaml;
mod zone;

pub use compile::{Compiled, Merged, check, compile};
pub use fix::{Repair, Repaired, repair};
pub use graph::Graph;
pub use konductor_api::step::WORKSPACE_SCHEME;
pub use manifest::{Manifests, Schedule};
pub use object::Object;
pub use options::{KONCLI_IMAGE, LOCAL_STORE, Options};
pub use pipeline::ATTRIBUTES as BODY_ATTRIBUTES;
pub use pipeline::Overlap;
pub use resolve::passthrough::{KubeField, kube_fields};
pub use zone::slot as slot_time;

/// The guide to pipelines that programs make, run as a test.
#[cfg(doctest)]
#[doc = include_str!("../../docs/builder.md")]
struct BuilderGuide;
