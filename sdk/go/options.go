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

// AcquireOption is an option of every call that acquires.
type AcquireOption interface{ acquire(*acquireOptions) }

type clientOptions struct {
	namespace, holder string
	log               *slog.Logger
	observe           func(Event)
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

// WithLogger sets the logger for failed renewals and warnings of the API server;
// [slog.Default] by default.
func WithLogger(log *slog.Logger) Option {
	return clientOption(func(o *clientOptions) { o.log = log })
}

// HolderOption sets the holder's name. It is an option of [New], for all calls, and of one call.
type HolderOption string

// WithHolder sets the holder's name; by default $KONDUCTOR_HOLDER, $POD_NAME, $HOSTNAME or the host's
// name; in an Indexed Job the Job and the completion index. One holder counts once at a Barrier.
func WithHolder(name string) HolderOption { return HolderOption(name) }

func (h HolderOption) client(o *clientOptions)   { o.holder = string(h) }
func (h HolderOption) arrive(o *arriveOptions)   { o.holder = string(h) }
func (h HolderOption) acquire(o *acquireOptions) { o.holder = string(h) }

// TimeoutOption bounds a call.
type TimeoutOption time.Duration

// WithTimeout ends a call with [ErrTimeout] after this long; by default it lasts as long as its
// context. Zero checks once: a wait reports the present state, and an acquisition is answered at once,
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

// WithFailFast ends a call at once with [ErrNotFound] if the object does not exist, or with
// [ErrUnreachable] if no API server answers. By default a call waits for both.
func WithFailFast() FailFastOption { return FailFastOption{} }

func (FailFastOption) wait(o *waitOptions)       { o.failFast = true }
func (FailFastOption) acquire(o *acquireOptions) { o.failFast = true }

// WithOutcome sets the outcome of the party that arrives; Succeeded by default.
func WithOutcome(outcome v1.ArrivalOutcome) ArriveOption {
	return arriveOption(func(o *arriveOptions) { o.outcome = outcome })
}

// WithPermits sets the number of permits of a Semaphore; 1 by default.
func WithPermits(n int32) AcquireOption {
	return acquireOption(func(o *acquireOptions) { o.permits = n })
}

// WithPriority sets the priority, if the Semaphore's order is Priority: the highest goes first; 0 by default.
func WithPriority(n int32) AcquireOption {
	return acquireOption(func(o *acquireOptions) { o.priority = n })
}

// WithTTL sets how long the hold lasts without renewal; 30 s by default. A Lease's own TTL is the
// ceiling. Renewal is at a third of it.
func WithTTL(d time.Duration) AcquireOption {
	return acquireOption(func(o *acquireOptions) { o.ttl = d })
}

// WithWait(false) asks for an answer at once: with a hold, or with [ErrDenied].
func WithWait(wait bool) AcquireOption {
	return acquireOption(func(o *acquireOptions) { o.wait = wait })
}

// WithPod ties the hold to a pod: it ends when that pod has ended or is gone.
func WithPod(name, uid string) AcquireOption {
	return acquireOption(func(o *acquireOptions) {
		o.pod = &v1.PodReference{Name: name, UID: uid}
	})
}
