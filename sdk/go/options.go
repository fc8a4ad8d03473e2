package konductor

import (
	"log/slog"
	"time"

	v1 "github.com/LogicIQ/konductor/sdk/go/api/v1"
)

// Option is an option of [New].
type Option interface{ client(*clientOptions) }

// WaitOption is an option of [Client.WaitBarrier] and [Client.WaitGate].
type WaitOption interface{ wait(*waitOptions) }

// ArriveOption is an option of [Client.ArriveBarrier].
type ArriveOption interface{ arrive(*arriveOptions) }

// AcquireOption is an option of whatever acquires.
type AcquireOption interface{ acquire(*acquireOptions) }

type clientOptions struct {
	namespace, holder string
	log               *slog.Logger
}

type waitOptions struct {
	timeout  time.Duration // negative: as long as the context
	failFast bool
}

type arriveOptions struct {
	holder  string
	outcome v1.ArrivalOutcome
}

type acquireOptions struct {
	holder   string
	permits  int32
	priority int32
	ttl      time.Duration // zero: chosen here
	wait     bool
	timeout  time.Duration // negative: as long as the context
	failFast bool
	pod      *v1.PodReference
}

type clientOption func(*clientOptions)

func (f clientOption) client(o *clientOptions) { f(o) }

type arriveOption func(*arriveOptions)

func (f arriveOption) arrive(o *arriveOptions) { f(o) }

type acquireOption func(*acquireOptions)

func (f acquireOption) acquire(o *acquireOptions) { f(o) }

// WithNamespace names the namespace of all objects; by default that of the kubeconfig's context, or
// in a pod the pod's.
func WithNamespace(name string) Option {
	return clientOption(func(o *clientOptions) { o.namespace = name })
}

// WithLogger tells where renewals that fail and warnings of the API server are logged;
// [slog.Default] by default.
func WithLogger(log *slog.Logger) Option {
	return clientOption(func(o *clientOptions) { o.log = log })
}

// HolderOption says who takes part. It is an option of [New], for all calls, and of one call.
type HolderOption string

// WithHolder says who takes part; by default $KONDUCTOR_HOLDER, $POD_NAME, $HOSTNAME or the host's
// name. One holder counts once at a Barrier.
func WithHolder(name string) HolderOption { return HolderOption(name) }

func (h HolderOption) client(o *clientOptions)   { o.holder = string(h) }
func (h HolderOption) arrive(o *arriveOptions)   { o.holder = string(h) }
func (h HolderOption) acquire(o *acquireOptions) { o.holder = string(h) }

// TimeoutOption says how long a call may take.
type TimeoutOption time.Duration

// WithTimeout ends a call with [ErrTimeout] after this long; by default it lasts as long as its
// context. Zero looks once: a wait reports what is so now, and an acquisition is answered at once,
// as with WithWait(false).
func WithTimeout(d time.Duration) TimeoutOption { return TimeoutOption(max(d, 0)) }

func (t TimeoutOption) wait(o *waitOptions) { o.timeout = time.Duration(t) }
func (t TimeoutOption) acquire(o *acquireOptions) {
	o.timeout = time.Duration(t)
	if t == 0 {
		o.wait = false
	}
}

// FailFastOption ends a call at once if it can't begin.
type FailFastOption struct{}

// WithFailFast ends a call at once with [ErrNotFound] if what it is about does not exist, or with
// [ErrUnreachable] if no API server answers. By default both are waited for.
func WithFailFast() FailFastOption { return FailFastOption{} }

func (FailFastOption) wait(o *waitOptions)       { o.failFast = true }
func (FailFastOption) acquire(o *acquireOptions) { o.failFast = true }

// WithOutcome says how it went for the party that arrives; Succeeded by default.
func WithOutcome(outcome v1.ArrivalOutcome) ArriveOption {
	return arriveOption(func(o *arriveOptions) { o.outcome = outcome })
}

// WithPermits says how many permits of a Semaphore; 1 by default.
func WithPermits(n int32) AcquireOption {
	return acquireOption(func(o *acquireOptions) { o.permits = n })
}

// WithPriority: the higher goes first, where the Semaphore's order is Priority; 0 by default.
func WithPriority(n int32) AcquireOption {
	return acquireOption(func(o *acquireOptions) { o.priority = n })
}

// WithTTL says how long the hold lasts without renewal; 30 s by default. A Lease's own TTL is the
// ceiling. Renewal is at a third of it.
func WithTTL(d time.Duration) AcquireOption {
	return acquireOption(func(o *acquireOptions) { o.ttl = d })
}

// WithWait(false) asks to be answered at once: with a hold, or with [ErrDenied].
func WithWait(wait bool) AcquireOption {
	return acquireOption(func(o *acquireOptions) { o.wait = wait })
}

// WithPod ties the hold to a pod: it ends when that pod has ended or is gone.
func WithPod(name, uid string) AcquireOption {
	return acquireOption(func(o *acquireOptions) {
		o.pod = &v1.PodReference{Name: name, UID: uid}
	})
}
