//! Annotations: how a plain `batch/v1` Job takes part without a client in its container.

/// The Gate that must be Open before the Job starts.
pub const GATE: &str = "konductor.io/gate";
/// What the Job holds while it runs, such as `semaphore/batch=2, lease/schema`; see
/// [`crate::parse_holds`].
pub const HOLD: &str = "konductor.io/hold";
/// The Barrier at which the Job arrives when it has ended.
pub const ARRIVE: &str = "konductor.io/arrive";
/// What the Job's termination message must and may set, such as `rows: int in 0..9, mode?: full|delta`;
/// see [`crate::parse_declared_outputs`].
pub const OUTPUTS_DECLARED: &str = "konductor.io/outputs-declared";
/// What a later stage's Job reads, as JSON: `{"in-0": "<job>/<output>", "in-1": "<stage>[*]/<output>"}`; see
/// [`crate::Gathered`].
pub const INPUTS: &str = "konductor.io/inputs";
/// On an Indexed Job whose items are known only at run time: which list they are, as JSON; see [`crate::Items`]. On its pod
/// template, written by the operator when it gives the Job its size: the list itself, as JSON, of which the wrapper of
/// the step picks the element of its index; see [`crate::ItemSpec`].
pub const ITEMS: &str = "konductor.io/items";
/// Prefix of the pod template's annotations that carry inputs: `konductor.io/in-0`.
pub const INPUT_PREFIX: &str = "konductor.io/";
/// Prefix of the pod template's annotations that carry a Lease's fencing token:
/// `token.konductor.io/<lease>`.
pub const TOKEN_PREFIX: &str = "token.konductor.io/";
/// The exact value of a fan-out item, where the label has only a slug.
pub const ITEM: &str = "konductor.io/item";
/// Hash of a compiled Job's content: the same name with another hash is another Job.
pub const CONTENT_HASH: &str = "konductor.io/content-hash";
/// On a Run and on the objects that were compiled with it: the same text. `kubectl apply` can't know
/// the Run's uid, so this is what makes the Run adopt them; a label alone gives it no control.
pub const NONCE: &str = "konductor.io/nonce";
/// On a Job that a retry has recreated: the attempt that it belongs to.
pub const ATTEMPT: &str = "konductor.io/attempt";
/// On a Run: the time of the schedule's slot that it is for, such as `2026-03-29T03:00:00+02:00`.
pub const SLOT: &str = "konductor.io/slot";
/// On a Gate: its `when` as the pipeline file has it, such as `measure.free < 100`, because its CEL names Jobs.
pub const WHEN: &str = "konductor.io/when";
/// Names that another namespace's Gates may wait for this object from: `ns-a, ns-b`.
pub const ALLOW_FROM: &str = "konductor.io/allow-from";

/// Written by `koncli apply` on a Semaphore or Lease: the spec that the pipeline file had, as JSON. A
/// value that another writer has set stays until the file changes.
pub const LAST_APPLIED: &str = "konductor.io/last-applied";

/// Written by the operator: see [`crate::JobPhase`].
pub const PHASE: &str = "konductor.io/phase";
/// Written by the operator: why the phase is what it is, in words.
pub const REASON: &str = "konductor.io/reason";
/// Written by the operator: the Job's outputs, a JSON object of strings. Of a Job with [`ITEMS`], each string is a JSON
/// list with an element for each index; `null` stands for what was not written.
pub const OUTPUTS: &str = "konductor.io/outputs";
/// Written by the operator on a Job with [`ITEMS`] that runs: the outputs of the indexes that have succeeded so far,
/// because their pods may be gone before the Job ends: the indexes, a blank, and the words of [`OUTPUTS`]. A retry
/// leaves it to the Job in which only the other indexes run. Once the Job has ended: the indexes that [`OUTPUTS`] is of, a
/// blank and `{}`, if these are not all that succeeded.
pub const OUTPUTS_KEPT: &str = "konductor.io/outputs-kept";
/// Written by the operator with a start: the defaults of the pod template that it put inputs in place
/// of, a JSON object of strings. A retry puts them back.
pub const PRESETS: &str = "konductor.io/presets";
/// Written by the operator with a start, on the Job and on its pod template: what the Job holds, in the
/// words of [`HOLD`]. Unlike [`HOLD`], it is not edited while the Job runs, and it outlives the Job on its
/// pods.
pub const HELD: &str = "konductor.io/held";
/// Written by the operator on a Job that waits: the ledgers that still list permits which the Job does not
/// ask for any more, in the words of [`HOLD`]. Such a Job is not started until they have let go of it.
pub const RELEASES: &str = "konductor.io/releases";
/// Written by the operator on a Job that another writer suspended while it ran: how often it was started
/// again, and when last: `2 2026-01-31T03:00:00Z`.
pub const RESUMED: &str = "konductor.io/resumed";
/// Written by the operator with a start, a suspension or an end: when that was, and when what came before, as far as
/// Kubernetes forgets it; see [`crate::Times`]. People look at it; nothing is decided by it.
pub const TIMES: &str = "konductor.io/times";
/// Written by a retry on an Indexed Job: the indexes that succeeded in the attempt before, in the words of the
/// Job's `status.completedIndexes`. The operator writes them into the status before the start, so that only the
/// others run.
pub const COMPLETED_INDEXES: &str = "konductor.io/completed-indexes";
/// The Job's place among those created within the same second: a decimal number, lower goes first.
pub const ORDINAL: &str = "konductor.io/ordinal";
/// How long the Job's pods may stay unable to start, such as `10m`.
pub const PENDING_TIMEOUT: &str = "konductor.io/pending-timeout";
/// On a pod template: [`GUARD_WAITING`] until the start, which writes [`GUARD_STARTED`]. The pod template of
/// a running Job can't be changed, so the API server refuses to apply the file over it, instead of
/// suspending it.
pub const GUARD: &str = "konductor.io/guard";
/// [`GUARD`] before the start.
pub const GUARD_WAITING: &str = "waiting";
/// [`GUARD`] after the start.
pub const GUARD_STARTED: &str = "started";
/// On the pod template: the place of the Job in the trace of its Run, as W3C Trace Context writes it, which becomes
/// `TRACEPARENT` in its container. The operator writes it with the start, if it exports traces.
pub const TRACEPARENT: &str = "konductor.io/traceparent";
/// Written by `koncli` on a Run while it recreates a retry's objects: which attempt, and where what it
/// makes is kept, as JSON. If it stays, that was interrupted, and the same command finishes it.
pub const RETRY: &str = "konductor.io/retry";

/// Kueue's list of those that must agree before it may start the Job.
pub const KUEUE_GATED_BY: &str = "kueue.x-k8s.io/admission-gated-by";
/// Our word in that list.
pub const KUEUE_GATE: &str = "konductor.io/gate";
