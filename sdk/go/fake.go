package konductor

import (
	"context"
	"math"
)

// ContextWithToken returns a context in which [Token] finds a fencing token, for tests of work that is given to
// [Client.WithLease].
func ContextWithToken(ctx context.Context, token int64) context.Context {
	return context.WithValue(ctx, tokenKey{}, token)
}

// FakeLease returns a guard for tests, without a cluster: it is held until it is released, or lost by a call of the
// function.
func FakeLease(token int64) (*LeaseGuard, func()) {
	held, lose := fakeHold(target{kind: "Lease", namespace: "test", name: "fake"})
	held.token = &token
	return &LeaseGuard{held}, lose
}

// FakePermit returns a permit for tests, as [FakeLease] does.
func FakePermit() (*Permit, func()) {
	held, lose := fakeHold(target{kind: "Semaphore", namespace: "test", name: "fake"})
	return &Permit{held}, lose
}

func fakeHold(on target) (*hold, func()) {
	held := &hold{on: on, name: "fake", lost: make(chan struct{}), silent: make(chan struct{})}
	held.ctx, held.end = context.WithCancelCause(context.Background())
	held.until.Store(math.MaxInt64)
	held.stop = func() {}
	close(held.silent)
	return held, func() {
		held.releasing.Lock()
		defer held.releasing.Unlock()
		if held.ctx.Err() == nil {
			held.end(held.gone("the test has taken it back"))
			close(held.lost)
		}
	}
}
