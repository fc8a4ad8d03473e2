//! Pipelines made by programs: typed methods instead of text.
//!
//! What enters: names, values and references. What leaves: the syntax tree that [`crate::parse`]
//! makes of the same pipeline written by hand, without places; and, from [`File::build`], its text
//! as `koncli fmt` lays it out, with the tree whose places point into it. What must never happen
//! here: a value that is read as syntax, whatever is in it.
//!
//! Every name, number and text is taken as it is. What can't be one is reported by `build`, all of it at
//! once and at its place in the text, as for a file that a person has written. What names refer to,
//! and whether values have the right types, is the compiler's to say.
//!
//! ```
//! use std::time::Duration;
//!
//! use konductor_dsl::build::{Body, Compare, Dep, Index, Param, Pipeline, Ref, Semaphore, Stage, Type};
//! use konductor_dsl::text;
//!
//! let regions = Param::new("regions", Type::list(Type::string())).default(["eu", "us"]);
//! let region = Ref::to("region");
//! let rows = Ref::to("extract").item([Index::variable("region")]).field("rows");
//!
//! let sales = Pipeline::new("sales")
//!     .description("Extract and load the day's sales")
//!     .param(regions)
//!     .semaphore(Semaphore::new("warehouse").permits(2))
//!     .stage(
//!         Stage::new("extract")
//!             .for_each("region", Ref::to("regions"))
//!             .holding("warehouse")
//!             .image("ghcr.io/acme/etl:1.4")
//!             .run(text!["extract --region ", region.quoted()])
//!             .output(Param::new("rows", Type::int())),
//!     )
//!     .stage(
//!         Stage::new("load")
//!             .for_each("region", Ref::to("regions"))
//!             .after(Dep::on("extract").item([Index::variable("region")]))
//!             .when(rows.more_than(0))
//!             .image("ghcr.io/acme/etl:1.4")
//!             .exec([text!["load"], text!["--region=", region]])
//!             .timeout(Duration::from_secs(90)),
//!     );
//! let built = sales.build("sales.kon")?;
//! assert_eq!(
//!     &*built.source.text,
//!     r#"pipeline sales {
//!   description = "Extract and load the day's sales"
//!   param regions: list<string> = ["eu", "us"]
//!   semaphore warehouse { permits = 2 }
//!
//!   stage extract for region in regions holding warehouse {
//!     image = "ghcr.io/acme/etl:1.4"
//!     run   = "extract --region \"${region}\""
//!     output rows: int
//!   }
//!
//!   stage load for region in regions after extract[region] when extract[region].rows > 0 {
//!     image   = "ghcr.io/acme/etl:1.4"
//!     exec    = ["load", "--region=${region}"]
//!     timeout = 1m30s
//!   }
//! }
//! "#
//! );
//! # Ok::<(), konductor_dsl::build::Rejected>(())
//! ```

mod body;
mod condition;
mod dependency;
mod file;
mod number;
mod pipeline;
mod reference;
mod resource;
mod stage;
mod text;
mod ty;
mod value;

pub use body::Body;
pub use condition::{Compare, Condition};
pub use dependency::{Dep, External, Target};
pub use file::{Built, File, Rejected};
pub use number::{Bound, Number, Over, Range};
pub use pipeline::{Defaults, Overlap, Pipeline, Schedule, Template};
pub use reference::{Index, Ref};
pub use resource::{Access, Approval, Lease, Semaphore, Workspace};
pub use stage::Stage;
pub use text::Text;
pub use ty::{Param, Type};
pub use value::{Key, Map, Value};

use crate::{SourceId, Span, Spanned, ast};

/// What is built is written nowhere yet.
const NOWHERE: Span = Span {
    source: SourceId(0),
    start: 0,
    end: 0,
};

fn name(text: impl Into<String>) -> ast::Name {
    ast::Name {
        text: text.into(),
        span: NOWHERE,
    }
}

fn spanned<T>(value: T) -> Spanned<T> {
    Spanned {
        value,
        span: NOWHERE,
    }
}
