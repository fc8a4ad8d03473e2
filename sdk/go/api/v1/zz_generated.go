// Code generated from the CustomResourceDefinitions by internal/generate; DO NOT EDIT.

package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Group is the API group of all kinds.
const Group = "konductor.io"

// Version is the API version of all kinds.
const Version = "v1"

// The resources, as paths of the API name them.
const (
	ArrivalResource   = "arrivals"
	BarrierResource   = "barriers"
	ClaimResource     = "claims"
	GateResource      = "gates"
	LeaseResource     = "leases"
	RunResource       = "runs"
	SemaphoreResource = "semaphores"
)

func kinds() []runtime.Object {
	return []runtime.Object{
		&Arrival{}, &ArrivalList{},
		&Barrier{}, &BarrierList{},
		&Claim{}, &ClaimList{},
		&Gate{}, &GateList{},
		&Lease{}, &LeaseList{},
		&Run{}, &RunList{},
		&Semaphore{}, &SemaphoreList{},
	}
}

// Arrival: One party's arrival at a Barrier.
type Arrival struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitzero"`

	Spec ArrivalSpec `json:"spec"`
}

// ArrivalList is a list of Arrival objects.
type ArrivalList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []Arrival `json:"items"`
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *Arrival) DeepCopyInto(out *Arrival) {
	out.TypeMeta = in.TypeMeta
	in.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	in.Spec.DeepCopyInto(&out.Spec)
}

// DeepCopy returns a copy that shares nothing with in.
func (in *Arrival) DeepCopy() *Arrival {
	if in == nil {
		return nil
	}
	out := new(Arrival)
	in.DeepCopyInto(out)
	return out
}

// DeepCopyObject implements [runtime.Object].
func (in *Arrival) DeepCopyObject() runtime.Object {
	if in == nil {
		return nil
	}
	return in.DeepCopy()
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *ArrivalList) DeepCopyInto(out *ArrivalList) {
	out.TypeMeta = in.TypeMeta
	in.ListMeta.DeepCopyInto(&out.ListMeta)
	if in.Items != nil {
		out.Items = make([]Arrival, len(in.Items))
		for i := range in.Items {
			in.Items[i].DeepCopyInto(&out.Items[i])
		}
	}
}

// DeepCopy returns a copy that shares nothing with in.
func (in *ArrivalList) DeepCopy() *ArrivalList {
	if in == nil {
		return nil
	}
	out := new(ArrivalList)
	in.DeepCopyInto(out)
	return out
}

// DeepCopyObject implements [runtime.Object].
func (in *ArrivalList) DeepCopyObject() runtime.Object {
	if in == nil {
		return nil
	}
	return in.DeepCopy()
}

// Barrier: Opens when enough parties have arrived.
type Barrier struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitzero"`

	Spec   BarrierSpec   `json:"spec"`
	Status BarrierStatus `json:"status,omitzero"`
}

// BarrierList is a list of Barrier objects.
type BarrierList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []Barrier `json:"items"`
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *Barrier) DeepCopyInto(out *Barrier) {
	out.TypeMeta = in.TypeMeta
	in.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	in.Spec.DeepCopyInto(&out.Spec)
	in.Status.DeepCopyInto(&out.Status)
}

// DeepCopy returns a copy that shares nothing with in.
func (in *Barrier) DeepCopy() *Barrier {
	if in == nil {
		return nil
	}
	out := new(Barrier)
	in.DeepCopyInto(out)
	return out
}

// DeepCopyObject implements [runtime.Object].
func (in *Barrier) DeepCopyObject() runtime.Object {
	if in == nil {
		return nil
	}
	return in.DeepCopy()
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *BarrierList) DeepCopyInto(out *BarrierList) {
	out.TypeMeta = in.TypeMeta
	in.ListMeta.DeepCopyInto(&out.ListMeta)
	if in.Items != nil {
		out.Items = make([]Barrier, len(in.Items))
		for i := range in.Items {
			in.Items[i].DeepCopyInto(&out.Items[i])
		}
	}
}

// DeepCopy returns a copy that shares nothing with in.
func (in *BarrierList) DeepCopy() *BarrierList {
	if in == nil {
		return nil
	}
	out := new(BarrierList)
	in.DeepCopyInto(out)
	return out
}

// DeepCopyObject implements [runtime.Object].
func (in *BarrierList) DeepCopyObject() runtime.Object {
	if in == nil {
		return nil
	}
	return in.DeepCopy()
}

// Claim: Asks for permits of a Semaphore, or for a Lease.
type Claim struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitzero"`

	Spec   ClaimSpec   `json:"spec"`
	Status ClaimStatus `json:"status,omitzero"`
}

// ClaimList is a list of Claim objects.
type ClaimList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []Claim `json:"items"`
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *Claim) DeepCopyInto(out *Claim) {
	out.TypeMeta = in.TypeMeta
	in.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	in.Spec.DeepCopyInto(&out.Spec)
	in.Status.DeepCopyInto(&out.Status)
}

// DeepCopy returns a copy that shares nothing with in.
func (in *Claim) DeepCopy() *Claim {
	if in == nil {
		return nil
	}
	out := new(Claim)
	in.DeepCopyInto(out)
	return out
}

// DeepCopyObject implements [runtime.Object].
func (in *Claim) DeepCopyObject() runtime.Object {
	if in == nil {
		return nil
	}
	return in.DeepCopy()
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *ClaimList) DeepCopyInto(out *ClaimList) {
	out.TypeMeta = in.TypeMeta
	in.ListMeta.DeepCopyInto(&out.ListMeta)
	if in.Items != nil {
		out.Items = make([]Claim, len(in.Items))
		for i := range in.Items {
			in.Items[i].DeepCopyInto(&out.Items[i])
		}
	}
}

// DeepCopy returns a copy that shares nothing with in.
func (in *ClaimList) DeepCopy() *ClaimList {
	if in == nil {
		return nil
	}
	out := new(ClaimList)
	in.DeepCopyInto(out)
	return out
}

// DeepCopyObject implements [runtime.Object].
func (in *ClaimList) DeepCopyObject() runtime.Object {
	if in == nil {
		return nil
	}
	return in.DeepCopy()
}

// Gate: Opens when its conditions are met.
type Gate struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitzero"`

	Spec   GateSpec   `json:"spec"`
	Status GateStatus `json:"status,omitzero"`
}

// GateList is a list of Gate objects.
type GateList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []Gate `json:"items"`
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *Gate) DeepCopyInto(out *Gate) {
	out.TypeMeta = in.TypeMeta
	in.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	in.Spec.DeepCopyInto(&out.Spec)
	in.Status.DeepCopyInto(&out.Status)
}

// DeepCopy returns a copy that shares nothing with in.
func (in *Gate) DeepCopy() *Gate {
	if in == nil {
		return nil
	}
	out := new(Gate)
	in.DeepCopyInto(out)
	return out
}

// DeepCopyObject implements [runtime.Object].
func (in *Gate) DeepCopyObject() runtime.Object {
	if in == nil {
		return nil
	}
	return in.DeepCopy()
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *GateList) DeepCopyInto(out *GateList) {
	out.TypeMeta = in.TypeMeta
	in.ListMeta.DeepCopyInto(&out.ListMeta)
	if in.Items != nil {
		out.Items = make([]Gate, len(in.Items))
		for i := range in.Items {
			in.Items[i].DeepCopyInto(&out.Items[i])
		}
	}
}

// DeepCopy returns a copy that shares nothing with in.
func (in *GateList) DeepCopy() *GateList {
	if in == nil {
		return nil
	}
	out := new(GateList)
	in.DeepCopyInto(out)
	return out
}

// DeepCopyObject implements [runtime.Object].
func (in *GateList) DeepCopyObject() runtime.Object {
	if in == nil {
		return nil
	}
	return in.DeepCopy()
}

// Lease: Gives one holder at a time the right to act.
type Lease struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitzero"`

	Spec   LeaseSpec   `json:"spec"`
	Status LeaseStatus `json:"status,omitzero"`
}

// LeaseList is a list of Lease objects.
type LeaseList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []Lease `json:"items"`
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *Lease) DeepCopyInto(out *Lease) {
	out.TypeMeta = in.TypeMeta
	in.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	in.Spec.DeepCopyInto(&out.Spec)
	in.Status.DeepCopyInto(&out.Status)
}

// DeepCopy returns a copy that shares nothing with in.
func (in *Lease) DeepCopy() *Lease {
	if in == nil {
		return nil
	}
	out := new(Lease)
	in.DeepCopyInto(out)
	return out
}

// DeepCopyObject implements [runtime.Object].
func (in *Lease) DeepCopyObject() runtime.Object {
	if in == nil {
		return nil
	}
	return in.DeepCopy()
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *LeaseList) DeepCopyInto(out *LeaseList) {
	out.TypeMeta = in.TypeMeta
	in.ListMeta.DeepCopyInto(&out.ListMeta)
	if in.Items != nil {
		out.Items = make([]Lease, len(in.Items))
		for i := range in.Items {
			in.Items[i].DeepCopyInto(&out.Items[i])
		}
	}
}

// DeepCopy returns a copy that shares nothing with in.
func (in *LeaseList) DeepCopy() *LeaseList {
	if in == nil {
		return nil
	}
	out := new(LeaseList)
	in.DeepCopyInto(out)
	return out
}

// DeepCopyObject implements [runtime.Object].
func (in *LeaseList) DeepCopyObject() runtime.Object {
	if in == nil {
		return nil
	}
	return in.DeepCopy()
}

// Run: One execution of a pipeline.
type Run struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitzero"`

	Spec   RunSpec   `json:"spec"`
	Status RunStatus `json:"status,omitzero"`
}

// RunList is a list of Run objects.
type RunList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []Run `json:"items"`
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *Run) DeepCopyInto(out *Run) {
	out.TypeMeta = in.TypeMeta
	in.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	in.Spec.DeepCopyInto(&out.Spec)
	in.Status.DeepCopyInto(&out.Status)
}

// DeepCopy returns a copy that shares nothing with in.
func (in *Run) DeepCopy() *Run {
	if in == nil {
		return nil
	}
	out := new(Run)
	in.DeepCopyInto(out)
	return out
}

// DeepCopyObject implements [runtime.Object].
func (in *Run) DeepCopyObject() runtime.Object {
	if in == nil {
		return nil
	}
	return in.DeepCopy()
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *RunList) DeepCopyInto(out *RunList) {
	out.TypeMeta = in.TypeMeta
	in.ListMeta.DeepCopyInto(&out.ListMeta)
	if in.Items != nil {
		out.Items = make([]Run, len(in.Items))
		for i := range in.Items {
			in.Items[i].DeepCopyInto(&out.Items[i])
		}
	}
}

// DeepCopy returns a copy that shares nothing with in.
func (in *RunList) DeepCopy() *RunList {
	if in == nil {
		return nil
	}
	out := new(RunList)
	in.DeepCopyInto(out)
	return out
}

// DeepCopyObject implements [runtime.Object].
func (in *RunList) DeepCopyObject() runtime.Object {
	if in == nil {
		return nil
	}
	return in.DeepCopy()
}

// Semaphore: Limits how many run at once.
type Semaphore struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitzero"`

	Spec   SemaphoreSpec   `json:"spec"`
	Status SemaphoreStatus `json:"status,omitzero"`
}

// SemaphoreList is a list of Semaphore objects.
type SemaphoreList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []Semaphore `json:"items"`
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *Semaphore) DeepCopyInto(out *Semaphore) {
	out.TypeMeta = in.TypeMeta
	in.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	in.Spec.DeepCopyInto(&out.Spec)
	in.Status.DeepCopyInto(&out.Status)
}

// DeepCopy returns a copy that shares nothing with in.
func (in *Semaphore) DeepCopy() *Semaphore {
	if in == nil {
		return nil
	}
	out := new(Semaphore)
	in.DeepCopyInto(out)
	return out
}

// DeepCopyObject implements [runtime.Object].
func (in *Semaphore) DeepCopyObject() runtime.Object {
	if in == nil {
		return nil
	}
	return in.DeepCopy()
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *SemaphoreList) DeepCopyInto(out *SemaphoreList) {
	out.TypeMeta = in.TypeMeta
	in.ListMeta.DeepCopyInto(&out.ListMeta)
	if in.Items != nil {
		out.Items = make([]Semaphore, len(in.Items))
		for i := range in.Items {
			in.Items[i].DeepCopyInto(&out.Items[i])
		}
	}
}

// DeepCopy returns a copy that shares nothing with in.
func (in *SemaphoreList) DeepCopy() *SemaphoreList {
	if in == nil {
		return nil
	}
	out := new(SemaphoreList)
	in.DeepCopyInto(out)
	return out
}

// DeepCopyObject implements [runtime.Object].
func (in *SemaphoreList) DeepCopyObject() runtime.Object {
	if in == nil {
		return nil
	}
	return in.DeepCopy()
}

// ArrivalSpec: One party's arrival at a Barrier. Deleting it before the Barrier opens takes it
// back.
type ArrivalSpec struct {
	// The Barrier's name, in the same namespace.
	Barrier string `json:"barrier"`
	// The party's name. A party counts once, and of two outcomes Failed wins.
	Holder string `json:"holder"`
	// How the party ended.
	Outcome ArrivalOutcome `json:"outcome,omitempty"`
	// `holder` is the author's user name, which an admission policy checks: an approval.
	Verified bool `json:"verified,omitempty"`
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *ArrivalSpec) DeepCopyInto(out *ArrivalSpec) {
	*out = *in
}

// DeepCopy returns a copy that shares nothing with in.
func (in *ArrivalSpec) DeepCopy() *ArrivalSpec {
	if in == nil {
		return nil
	}
	out := new(ArrivalSpec)
	in.DeepCopyInto(out)
	return out
}

// BarrierSpec: A point that `expected` parties must reach before its waiters continue.
//
// # Guarantees
//
// A phase other than Waiting never changes again, and one party counts once.
type BarrierSpec struct {
	// Whose arrivals count.
	Arrivals BarrierArrivals `json:"arrivals,omitempty"`
	// How many parties there are.
	Expected int32 `json:"expected"`
	// Until this Gate opens, the Barrier waits and its timeout does not run. An Arrival that was
	// created earlier counts from then on.
	Gate string `json:"gate,omitempty"`
	// The parties are the Jobs with these labels. They need no Arrivals.
	Jobs *JobSelector `json:"jobs,omitempty"`
	// How many of them must succeed; by default all.
	Quorum int32 `json:"quorum,omitempty"`
	// It fails if it has not opened this long after its creation, or with `gate` after the Gate's
	// opening.
	Timeout Duration `json:"timeout,omitempty"`
	// It is deleted this long after its end.
	TTLAfterFinished Duration `json:"ttlAfterFinished,omitempty"`
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *BarrierSpec) DeepCopyInto(out *BarrierSpec) {
	*out = *in
	out.Jobs = in.Jobs.DeepCopy()
}

// DeepCopy returns a copy that shares nothing with in.
func (in *BarrierSpec) DeepCopy() *BarrierSpec {
	if in == nil {
		return nil
	}
	out := new(BarrierSpec)
	in.DeepCopyInto(out)
	return out
}

// JobSelector: The parties are the Jobs with these labels. They need no Arrivals.
type JobSelector struct {
	// Label names and values.
	MatchLabels map[string]string `json:"matchLabels"`
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *JobSelector) DeepCopyInto(out *JobSelector) {
	*out = *in
	if in.MatchLabels != nil {
		out.MatchLabels = make(map[string]string, len(in.MatchLabels))
		for key, value := range in.MatchLabels {
			out.MatchLabels[key] = value
		}
	}
}

// DeepCopy returns a copy that shares nothing with in.
func (in *JobSelector) DeepCopy() *JobSelector {
	if in == nil {
		return nil
	}
	out := new(JobSelector)
	in.DeepCopyInto(out)
	return out
}

// BarrierStatus: Where a Barrier stands.
type BarrierStatus struct {
	// Parties that arrived and succeeded.
	Arrived int32 `json:"arrived,omitempty"`
	// `Open`, and `Failed`.
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Parties that failed, were cancelled or were unreached.
	Failed int32 `json:"failed,omitempty"`
	// When it ended, opened or not.
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`
	// The generation of the spec that this status is about.
	ObservedGeneration *int64 `json:"observedGeneration,omitempty"`
	// When it opened.
	OpenedAt *metav1.Time `json:"openedAt,omitempty"`
	// Waiting, or how it ended.
	Phase BarrierPhase `json:"phase,omitempty"`
	// Parties that arrived as skipped.
	Skipped int32 `json:"skipped,omitempty"`
	// When its Gate opened, if it has one.
	StartedAt *metav1.Time `json:"startedAt,omitempty"`
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *BarrierStatus) DeepCopyInto(out *BarrierStatus) {
	*out = *in
	if in.Conditions != nil {
		out.Conditions = make([]metav1.Condition, len(in.Conditions))
		for i := range in.Conditions {
			in.Conditions[i].DeepCopyInto(&out.Conditions[i])
		}
	}
	out.FinishedAt = in.FinishedAt.DeepCopy()
	if in.ObservedGeneration != nil {
		out.ObservedGeneration = new(*in.ObservedGeneration)
	}
	out.OpenedAt = in.OpenedAt.DeepCopy()
	out.StartedAt = in.StartedAt.DeepCopy()
}

// DeepCopy returns a copy that shares nothing with in.
func (in *BarrierStatus) DeepCopy() *BarrierStatus {
	if in == nil {
		return nil
	}
	out := new(BarrierStatus)
	in.DeepCopyInto(out)
	return out
}

// ClaimSpec: One acquisition. Deleting it releases what it holds, or leaves the queue.
//
// # Guarantees
//
// Granted is written only after the ledger of its target names this Claim's uid. Denied and
// Expired are final.
type ClaimSpec struct {
	// The holder's name. `koncli … release` and the SDKs release every grant of this name.
	Holder string `json:"holder"`
	// How many permits.
	Permits int32 `json:"permits,omitempty"`
	// The pod that asks: when it has ended or is gone, so has the Claim.
	Pod *PodReference `json:"pod,omitempty"`
	// The highest goes first, if the Semaphore's `order` is `Priority`. Every Job has priority 0.
	Priority int32 `json:"priority,omitempty"`
	// The holder changes it to renew. The operator counts the TTL from when it saw the change.
	RenewTime *metav1.Time `json:"renewTime,omitempty"`
	// What is asked for.
	Target ClaimTarget `json:"target"`
	// How long the grant lasts without renewal, at most the Lease's own `ttl`. By default the
	// Lease's `ttl`, or for a Semaphore one hour.
	TTL Duration `json:"ttl,omitempty"`
	// `false`: answered at once, Granted or Denied.
	Wait *bool `json:"wait,omitempty"`
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *ClaimSpec) DeepCopyInto(out *ClaimSpec) {
	*out = *in
	out.Pod = in.Pod.DeepCopy()
	out.RenewTime = in.RenewTime.DeepCopy()
	in.Target.DeepCopyInto(&out.Target)
	if in.Wait != nil {
		out.Wait = new(*in.Wait)
	}
}

// DeepCopy returns a copy that shares nothing with in.
func (in *ClaimSpec) DeepCopy() *ClaimSpec {
	if in == nil {
		return nil
	}
	out := new(ClaimSpec)
	in.DeepCopyInto(out)
	return out
}

// PodReference: The pod that asks: when it has ended or is gone, so has the Claim.
type PodReference struct {
	// Its name.
	Name string `json:"name"`
	// Its uid.
	UID string `json:"uid"`
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *PodReference) DeepCopyInto(out *PodReference) {
	*out = *in
}

// DeepCopy returns a copy that shares nothing with in.
func (in *PodReference) DeepCopy() *PodReference {
	if in == nil {
		return nil
	}
	out := new(PodReference)
	in.DeepCopyInto(out)
	return out
}

// ClaimTarget: What is asked for.
type ClaimTarget struct {
	// Semaphore or Lease.
	Kind LedgerKind `json:"kind"`
	// Its name.
	Name string `json:"name"`
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *ClaimTarget) DeepCopyInto(out *ClaimTarget) {
	*out = *in
}

// DeepCopy returns a copy that shares nothing with in.
func (in *ClaimTarget) DeepCopy() *ClaimTarget {
	if in == nil {
		return nil
	}
	out := new(ClaimTarget)
	in.DeepCopyInto(out)
	return out
}

// ClaimStatus: Where a Claim stands.
type ClaimStatus struct {
	// `Granted`.
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// When it was granted.
	GrantedAt *metav1.Time `json:"grantedAt,omitempty"`
	// For people.
	Message string `json:"message,omitempty"`
	// Queued, or the answer.
	Phase ClaimPhase `json:"phase,omitempty"`
	// The fencing token of a Lease's grant.
	Token *int64 `json:"token,omitempty"`
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *ClaimStatus) DeepCopyInto(out *ClaimStatus) {
	*out = *in
	if in.Conditions != nil {
		out.Conditions = make([]metav1.Condition, len(in.Conditions))
		for i := range in.Conditions {
			in.Conditions[i].DeepCopyInto(&out.Conditions[i])
		}
	}
	out.GrantedAt = in.GrantedAt.DeepCopy()
	if in.Token != nil {
		out.Token = new(*in.Token)
	}
}

// DeepCopy returns a copy that shares nothing with in.
func (in *ClaimStatus) DeepCopy() *ClaimStatus {
	if in == nil {
		return nil
	}
	out := new(ClaimStatus)
	in.DeepCopyInto(out)
	return out
}

// GateSpec: Waits until its conditions are met. One with no conditions is manual: a person
// decides.
//
// # Guarantees
//
// A phase other than Waiting never changes again; a condition that was met once stays met.
type GateSpec struct {
	// What must be true. A Gate without conditions is opened by a person, by `decision`.
	Conditions []GateCondition `json:"conditions,omitempty"`
	// What a person decided.
	Decision GateDecision `json:"decision,omitempty"`
	// Whether all of them must be met, or any one.
	Mode GateMode `json:"mode,omitempty"`
	// It fails if it has not opened this long after its creation.
	Timeout Duration `json:"timeout,omitempty"`
	// It is deleted this long after its end.
	TTLAfterFinished Duration `json:"ttlAfterFinished,omitempty"`
	// A CEL expression, evaluated once the conditions are met. It reads outputs of Jobs of the
	// conditions, as `outputs['JOB'].NAME` (strings), and if a condition names a Run,
	// `run.outcome`.
	When string `json:"when,omitempty"`
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *GateSpec) DeepCopyInto(out *GateSpec) {
	*out = *in
	if in.Conditions != nil {
		out.Conditions = make([]GateCondition, len(in.Conditions))
		for i := range in.Conditions {
			in.Conditions[i].DeepCopyInto(&out.Conditions[i])
		}
	}
}

// DeepCopy returns a copy that shares nothing with in.
func (in *GateSpec) DeepCopy() *GateSpec {
	if in == nil {
		return nil
	}
	out := new(GateSpec)
	in.DeepCopyInto(out)
	return out
}

// GateCondition: One thing that a Gate waits for.
type GateCondition struct {
	// How many Jobs match the selector, exactly.
	Count int32 `json:"count,omitempty"`
	// Its name.
	Name string `json:"name,omitempty"`
	// Its namespace, if it is another one; the target must permit it with the annotation
	// `konductor.io/allow-from`.
	Namespace string `json:"namespace,omitempty"`
	// Some run of this pipeline.
	Pipeline string `json:"pipeline,omitempty"`
	// All Jobs with these labels.
	Selector *JobSelector `json:"selector,omitempty"`
	// The state to wait for.
	State ConditionState `json:"state"`
	// The kind of object.
	Type ConditionKind `json:"type"`
	// Of a Barrier: it meets the condition only with `arrivals: Verified`, as an approval has it.
	// One that was deleted and created with `arrivals: Anyone` doesn't.
	Verified *bool `json:"verified,omitempty"`
	// How long ago that run may have ended, at most.
	Within Duration `json:"within,omitempty"`
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *GateCondition) DeepCopyInto(out *GateCondition) {
	*out = *in
	out.Selector = in.Selector.DeepCopy()
	if in.Verified != nil {
		out.Verified = new(*in.Verified)
	}
}

// DeepCopy returns a copy that shares nothing with in.
func (in *GateCondition) DeepCopy() *GateCondition {
	if in == nil {
		return nil
	}
	out := new(GateCondition)
	in.DeepCopyInto(out)
	return out
}

// GateStatus: Where a Gate stands.
type GateStatus struct {
	// One for each condition of the spec, in its order.
	ConditionStatuses []GateConditionStatus `json:"conditionStatuses,omitempty"`
	// `Open`, and `Failed`.
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// When it ended, opened or not.
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`
	// How many conditions are met.
	Met int32 `json:"met,omitempty"`
	// The generation of the spec that this status is about.
	ObservedGeneration *int64 `json:"observedGeneration,omitempty"`
	// When it opened.
	OpenedAt *metav1.Time `json:"openedAt,omitempty"`
	// Waiting, or how it ended.
	Phase GatePhase `json:"phase,omitempty"`
	// How many there are.
	Total int32 `json:"total,omitempty"`
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *GateStatus) DeepCopyInto(out *GateStatus) {
	*out = *in
	if in.ConditionStatuses != nil {
		out.ConditionStatuses = make([]GateConditionStatus, len(in.ConditionStatuses))
		for i := range in.ConditionStatuses {
			in.ConditionStatuses[i].DeepCopyInto(&out.ConditionStatuses[i])
		}
	}
	if in.Conditions != nil {
		out.Conditions = make([]metav1.Condition, len(in.Conditions))
		for i := range in.Conditions {
			in.Conditions[i].DeepCopyInto(&out.Conditions[i])
		}
	}
	out.FinishedAt = in.FinishedAt.DeepCopy()
	if in.ObservedGeneration != nil {
		out.ObservedGeneration = new(*in.ObservedGeneration)
	}
	out.OpenedAt = in.OpenedAt.DeepCopy()
}

// DeepCopy returns a copy that shares nothing with in.
func (in *GateStatus) DeepCopy() *GateStatus {
	if in == nil {
		return nil
	}
	out := new(GateStatus)
	in.DeepCopyInto(out)
	return out
}

// GateConditionStatus: What became of one condition of a Gate.
type GateConditionStatus struct {
	// What it waits for, or why it is out.
	Message string `json:"message,omitempty"`
	// What it is about, such as `job/extract` or `run of pipeline rates`.
	Target string `json:"target"`
	// What became of it.
	Verdict Verdict `json:"verdict,omitempty"`
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *GateConditionStatus) DeepCopyInto(out *GateConditionStatus) {
	*out = *in
}

// DeepCopy returns a copy that shares nothing with in.
func (in *GateConditionStatus) DeepCopy() *GateConditionStatus {
	if in == nil {
		return nil
	}
	out := new(GateConditionStatus)
	in.DeepCopyInto(out)
	return out
}

// LeaseSpec: Gives one holder at a time the right to act, and a token that only rises.
//
// # Guarantees
//
// At most one holder in every stored version; the token rises with each grant, also across
// deletion and re-creation. A holder cut off from the API server may still act after its TTL:
// hand the token to the storage you protect, and let the storage refuse lower ones.
type LeaseSpec struct {
	// How long a grant lasts without renewal: the default for its Claims, and their ceiling.
	TTL Duration `json:"ttl"`
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *LeaseSpec) DeepCopyInto(out *LeaseSpec) {
	*out = *in
}

// DeepCopy returns a copy that shares nothing with in.
func (in *LeaseSpec) DeepCopy() *LeaseSpec {
	if in == nil {
		return nil
	}
	out := new(LeaseSpec)
	in.DeepCopyInto(out)
	return out
}

// LeaseStatus: Where a Lease stands.
type LeaseStatus struct {
	// When the present holder got it.
	AcquiredAt *metav1.Time `json:"acquiredAt,omitempty"`
	// What is left: 1 or 0.
	Available int32 `json:"available,omitempty"`
	// `Available`.
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// **The ledger**: at most one entry. Writing it is the moment of granting.
	Holders []LedgerEntry `json:"holders,omitempty"`
	// The sum of the holders' permits: 0 or 1.
	InUse int32 `json:"inUse,omitempty"`
	// The generation of the spec that this status is about.
	ObservedGeneration *int64 `json:"observedGeneration,omitempty"`
	// Whether it is held.
	Phase LeasePhase `json:"phase,omitempty"`
	// The fencing token of the last grant.
	Token *int64 `json:"token,omitempty"`
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *LeaseStatus) DeepCopyInto(out *LeaseStatus) {
	*out = *in
	out.AcquiredAt = in.AcquiredAt.DeepCopy()
	if in.Conditions != nil {
		out.Conditions = make([]metav1.Condition, len(in.Conditions))
		for i := range in.Conditions {
			in.Conditions[i].DeepCopyInto(&out.Conditions[i])
		}
	}
	if in.Holders != nil {
		out.Holders = make([]LedgerEntry, len(in.Holders))
		for i := range in.Holders {
			in.Holders[i].DeepCopyInto(&out.Holders[i])
		}
	}
	if in.ObservedGeneration != nil {
		out.ObservedGeneration = new(*in.ObservedGeneration)
	}
	if in.Token != nil {
		out.Token = new(*in.Token)
	}
}

// DeepCopy returns a copy that shares nothing with in.
func (in *LeaseStatus) DeepCopy() *LeaseStatus {
	if in == nil {
		return nil
	}
	out := new(LeaseStatus)
	in.DeepCopyInto(out)
	return out
}

// LedgerEntry: One entry of a ledger.
type LedgerEntry struct {
	// Who that is, for people: the Claim's `holder`, or the Job's name.
	Holder string `json:"holder,omitempty"`
	// Whether a Job or a Claim holds.
	Kind HolderKind `json:"kind"`
	// The object's name.
	Name string `json:"name"`
	// How many permits.
	Permits int32 `json:"permits"`
	// Since when.
	Since *metav1.Time `json:"since,omitempty"`
	// The object's uid: a re-created one of the same name is another holder.
	UID string `json:"uid"`
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *LedgerEntry) DeepCopyInto(out *LedgerEntry) {
	*out = *in
	out.Since = in.Since.DeepCopy()
}

// DeepCopy returns a copy that shares nothing with in.
func (in *LedgerEntry) DeepCopy() *LedgerEntry {
	if in == nil {
		return nil
	}
	out := new(LedgerEntry)
	in.DeepCopyInto(out)
	return out
}

// RunSpec: The record of one execution of a pipeline, and the owner of its objects.
//
// # Guarantees
//
// A final phase is written only when exactly the declared number of Jobs exist and all have
// ended with no pod left; it is taken back only by a retry, which raises `attempt`.
type RunSpec struct {
	// Raised by a retry.
	Attempt int32 `json:"attempt,omitempty"`
	// `true` ends it: what has not started is cancelled, what runs is stopped, finally stages run.
	Cancel bool `json:"cancel,omitempty"`
	// `true` ends its finally stages too: those that have not started are cancelled, those that run
	// are stopped. It counts once the main Jobs have ended.
	CancelFinally *bool `json:"cancelFinally,omitempty"`
	// The first failure of a stage without `may-fail` cancels the rest, but no finally stage.
	FailFast bool `json:"failFast,omitempty"`
	// How many Jobs of finally stages there are, exactly.
	FinallyJobs int32 `json:"finallyJobs,omitempty"`
	// How many main Jobs there are, exactly.
	Jobs int32 `json:"jobs"`
	// `koncli retry` writes it: the part of `status.record` about Jobs that no longer exist and
	// that the retry does not run again. Don't change it.
	Kept string `json:"kept,omitempty"`
	// With `pause`: what runs may finish, and only what has not started waits.
	LetRunningFinish *bool `json:"letRunningFinish,omitempty"`
	// `true` pauses it: nothing more starts, and what runs is suspended: its pods are deleted, and
	// start from the beginning when the Run resumes. A Run that is cancelled is not paused.
	Pause bool `json:"pause,omitempty"`
	// The pipeline's name.
	Pipeline string `json:"pipeline"`
	// Stages that succeed with fewer than all of their items.
	Quorums map[string]int32 `json:"quorums,omitempty"`
	// It is cancelled as timed out after this long.
	Timeout Duration `json:"timeout,omitempty"`
	// It is deleted, with all it owns, this long after its end.
	TTLAfterFinished Duration `json:"ttlAfterFinished,omitempty"`
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *RunSpec) DeepCopyInto(out *RunSpec) {
	*out = *in
	if in.CancelFinally != nil {
		out.CancelFinally = new(*in.CancelFinally)
	}
	if in.LetRunningFinish != nil {
		out.LetRunningFinish = new(*in.LetRunningFinish)
	}
	if in.Quorums != nil {
		out.Quorums = make(map[string]int32, len(in.Quorums))
		for key, value := range in.Quorums {
			out.Quorums[key] = value
		}
	}
}

// DeepCopy returns a copy that shares nothing with in.
func (in *RunSpec) DeepCopy() *RunSpec {
	if in == nil {
		return nil
	}
	out := new(RunSpec)
	in.DeepCopyInto(out)
	return out
}

// RunStatus: Where a Run stands.
type RunStatus struct {
	// The attempt that this status is about.
	Attempt int32 `json:"attempt,omitempty"`
	// Jobs that were cancelled.
	Cancelled int32 `json:"cancelled,omitempty"`
	// Whether all declared Jobs have existed. A Job that is missing from then on was deleted.
	Complete *bool `json:"complete,omitempty"`
	// `Succeeded`, and `Failing`.
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Jobs that were deleted before they had ended; they count as cancelled.
	Deleted *int32 `json:"deleted,omitempty"`
	// Jobs that failed.
	Failed int32 `json:"failed,omitempty"`
	// When it ended.
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`
	// The generation of the spec that this status is about.
	ObservedGeneration *int64 `json:"observedGeneration,omitempty"`
	// How the main Jobs of a Run ended.
	Outcome RunOutcome `json:"outcome,omitempty"`
	// Since when it is paused.
	PausedAt *metav1.Time `json:"pausedAt,omitempty"`
	// How long it was paused before that. The timeout does not count this time.
	PausedFor Duration `json:"pausedFor,omitempty"`
	// Running, or how it ended.
	Phase RunPhase `json:"phase,omitempty"`
	// Every Job that the attempt has had, and how each ended, so that a Job which is deleted still
	// counts: 18 characters each.
	Record string `json:"record,omitempty"`
	// Jobs that run.
	Running int32 `json:"running,omitempty"`
	// Jobs that were skipped.
	Skipped int32 `json:"skipped,omitempty"`
	// The names of the stages of which it has had Jobs, so that a stage whose Job is deleted keeps
	// its name.
	Stages []string `json:"stages,omitempty"`
	// When the operator first saw it.
	StartedAt *metav1.Time `json:"startedAt,omitempty"`
	// Jobs that completed.
	Succeeded int32 `json:"succeeded,omitempty"`
	// The ID of the OpenTelemetry trace as which the attempt was exported after its end; absent if
	// it was not exported.
	TraceId string `json:"traceId,omitempty"`
	// Jobs that can't run, because something before them ended badly.
	Unreached int32 `json:"unreached,omitempty"`
	// Jobs that wait for something.
	Waiting int32 `json:"waiting,omitempty"`
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *RunStatus) DeepCopyInto(out *RunStatus) {
	*out = *in
	if in.Complete != nil {
		out.Complete = new(*in.Complete)
	}
	if in.Conditions != nil {
		out.Conditions = make([]metav1.Condition, len(in.Conditions))
		for i := range in.Conditions {
			in.Conditions[i].DeepCopyInto(&out.Conditions[i])
		}
	}
	if in.Deleted != nil {
		out.Deleted = new(*in.Deleted)
	}
	out.FinishedAt = in.FinishedAt.DeepCopy()
	if in.ObservedGeneration != nil {
		out.ObservedGeneration = new(*in.ObservedGeneration)
	}
	out.PausedAt = in.PausedAt.DeepCopy()
	if in.Stages != nil {
		out.Stages = make([]string, len(in.Stages))
		copy(out.Stages, in.Stages)
	}
	out.StartedAt = in.StartedAt.DeepCopy()
}

// DeepCopy returns a copy that shares nothing with in.
func (in *RunStatus) DeepCopy() *RunStatus {
	if in == nil {
		return nil
	}
	out := new(RunStatus)
	in.DeepCopyInto(out)
	return out
}

// SemaphoreSpec: Gives out `permits`, first come first served.
//
// # Guarantees
//
// No stored version raises the sum of held permits above `permits`: the API server itself
// refuses such a write. The one exception is the first write of a re-created Semaphore, which
// enters those that hold already.
type SemaphoreSpec struct {
	// Who is next. `Priority` orders Claims by their priority; every Job has priority 0.
	Order SemaphoreOrder `json:"order,omitempty"`
	// How many permits there are. 0 grants nothing; lowering it revokes no permit that is held.
	Permits int32 `json:"permits"`
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *SemaphoreSpec) DeepCopyInto(out *SemaphoreSpec) {
	*out = *in
}

// DeepCopy returns a copy that shares nothing with in.
func (in *SemaphoreSpec) DeepCopy() *SemaphoreSpec {
	if in == nil {
		return nil
	}
	out := new(SemaphoreSpec)
	in.DeepCopyInto(out)
	return out
}

// SemaphoreStatus: Where a Semaphore stands.
type SemaphoreStatus struct {
	// What is left of `permits`.
	Available int32 `json:"available,omitempty"`
	// `Available`.
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// **The ledger**: the holders and what they hold. A grant takes effect when it is written.
	Holders []LedgerEntry `json:"holders,omitempty"`
	// The sum of the holders' permits.
	InUse int32 `json:"inUse,omitempty"`
	// The generation of the spec that this status is about.
	ObservedGeneration *int64 `json:"observedGeneration,omitempty"`
	// Whether something is free.
	Phase SemaphorePhase `json:"phase,omitempty"`
}

// DeepCopyInto copies in to out, which shares nothing with it afterwards.
func (in *SemaphoreStatus) DeepCopyInto(out *SemaphoreStatus) {
	*out = *in
	if in.Conditions != nil {
		out.Conditions = make([]metav1.Condition, len(in.Conditions))
		for i := range in.Conditions {
			in.Conditions[i].DeepCopyInto(&out.Conditions[i])
		}
	}
	if in.Holders != nil {
		out.Holders = make([]LedgerEntry, len(in.Holders))
		for i := range in.Holders {
			in.Holders[i].DeepCopyInto(&out.Holders[i])
		}
	}
	if in.ObservedGeneration != nil {
		out.ObservedGeneration = new(*in.ObservedGeneration)
	}
}

// DeepCopy returns a copy that shares nothing with in.
func (in *SemaphoreStatus) DeepCopy() *SemaphoreStatus {
	if in == nil {
		return nil
	}
	out := new(SemaphoreStatus)
	in.DeepCopyInto(out)
	return out
}

// ArrivalOutcome: How the party ended.
type ArrivalOutcome string

// The values of ArrivalOutcome.
const (
	ArrivalOutcomeSucceeded ArrivalOutcome = "Succeeded"
	ArrivalOutcomeSkipped   ArrivalOutcome = "Skipped"
	ArrivalOutcomeCancelled ArrivalOutcome = "Cancelled"
	ArrivalOutcomeFailed    ArrivalOutcome = "Failed"
)

// BarrierArrivals: Whose arrivals count.
type BarrierArrivals string

// The values of BarrierArrivals.
const (
	BarrierArrivalsAnyone   BarrierArrivals = "Anyone"
	BarrierArrivalsVerified BarrierArrivals = "Verified"
)

// BarrierPhase: Waiting, or how it ended.
type BarrierPhase string

// The values of BarrierPhase.
const (
	BarrierPhaseWaiting   BarrierPhase = "Waiting"
	BarrierPhaseOpen      BarrierPhase = "Open"
	BarrierPhaseSkipped   BarrierPhase = "Skipped"
	BarrierPhaseUnreached BarrierPhase = "Unreached"
	BarrierPhaseFailed    BarrierPhase = "Failed"
)

// LedgerKind: Semaphore or Lease.
type LedgerKind string

// The values of LedgerKind.
const (
	LedgerKindLease     LedgerKind = "Lease"
	LedgerKindSemaphore LedgerKind = "Semaphore"
)

// ClaimPhase: Queued, or the answer.
type ClaimPhase string

// The values of ClaimPhase.
const (
	ClaimPhaseQueued  ClaimPhase = "Queued"
	ClaimPhaseGranted ClaimPhase = "Granted"
	ClaimPhaseDenied  ClaimPhase = "Denied"
	ClaimPhaseExpired ClaimPhase = "Expired"
)

// ConditionState: The state to wait for.
type ConditionState string

// The values of ConditionState.
const (
	ConditionStateComplete  ConditionState = "Complete"
	ConditionStateOpen      ConditionState = "Open"
	ConditionStateSucceeded ConditionState = "Succeeded"
	ConditionStateFailed    ConditionState = "Failed"
	ConditionStateSkipped   ConditionState = "Skipped"
	ConditionStateSettled   ConditionState = "Settled"
	ConditionStateFinished  ConditionState = "Finished"
)

// ConditionKind: The kind of object.
type ConditionKind string

// The values of ConditionKind.
const (
	ConditionKindJob     ConditionKind = "Job"
	ConditionKindBarrier ConditionKind = "Barrier"
	ConditionKindGate    ConditionKind = "Gate"
	ConditionKindRun     ConditionKind = "Run"
)

// GateDecision: What a person decided.
type GateDecision string

// The values of GateDecision.
const (
	GateDecisionOpen   GateDecision = "Open"
	GateDecisionFailed GateDecision = "Failed"
)

// GateMode: Whether all of them must be met, or any one.
type GateMode string

// The values of GateMode.
const (
	GateModeAll GateMode = "All"
	GateModeAny GateMode = "Any"
)

// Verdict: What became of it.
type Verdict string

// The values of Verdict.
const (
	VerdictPending Verdict = "Pending"
	VerdictMet     Verdict = "Met"
	VerdictSkipped Verdict = "Skipped"
	VerdictFailed  Verdict = "Failed"
)

// GatePhase: Waiting, or how it ended.
type GatePhase string

// The values of GatePhase.
const (
	GatePhaseWaiting   GatePhase = "Waiting"
	GatePhaseOpen      GatePhase = "Open"
	GatePhaseSkipped   GatePhase = "Skipped"
	GatePhaseUnreached GatePhase = "Unreached"
	GatePhaseFailed    GatePhase = "Failed"
)

// HolderKind: Whether a Job or a Claim holds.
type HolderKind string

// The values of HolderKind.
const (
	HolderKindJob   HolderKind = "Job"
	HolderKindClaim HolderKind = "Claim"
)

// LeasePhase: Whether it is held.
type LeasePhase string

// The values of LeasePhase.
const (
	LeasePhaseAvailable LeasePhase = "Available"
	LeasePhaseHeld      LeasePhase = "Held"
)

// RunOutcome: How the main Jobs of a Run ended.
type RunOutcome string

// The values of RunOutcome.
const (
	RunOutcomeSucceeded RunOutcome = "Succeeded"
	RunOutcomeFailed    RunOutcome = "Failed"
	RunOutcomeCancelled RunOutcome = "Cancelled"
	RunOutcomeTimedOut  RunOutcome = "TimedOut"
)

// RunPhase: Running, or how it ended.
type RunPhase string

// The values of RunPhase.
const (
	RunPhaseRunning    RunPhase = "Running"
	RunPhasePaused     RunPhase = "Paused"
	RunPhaseFinalizing RunPhase = "Finalizing"
	RunPhaseSucceeded  RunPhase = "Succeeded"
	RunPhaseFailed     RunPhase = "Failed"
	RunPhaseCancelled  RunPhase = "Cancelled"
)

// SemaphoreOrder: Who is next. `Priority` orders Claims by their priority; every Job has
// priority 0.
type SemaphoreOrder string

// The values of SemaphoreOrder.
const (
	SemaphoreOrderFifo     SemaphoreOrder = "Fifo"
	SemaphoreOrderPriority SemaphoreOrder = "Priority"
)

// SemaphorePhase: Whether something is free.
type SemaphorePhase string

// The values of SemaphorePhase.
const (
	SemaphorePhaseReady SemaphorePhase = "Ready"
	SemaphorePhaseFull  SemaphorePhase = "Full"
)
