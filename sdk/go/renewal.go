package konductor

import (
	"context"
	"time"
)

// renewed is the result of an attempt to renew.
type renewed int

const (
	notKnown renewed = iota
	stillHeld
	takenBack
)

const (
	// lookEvery bounds a pause: timers stand still while the machine sleeps, the clock does not.
	lookEvery = time.Second
	// attemptMin is the shortest timeout of an attempt, if that much time is left.
	attemptMin = time.Second
)

// renewal keeps a grant: it is renewed at a third of its TTL, and lost at 4/5 of it.
type renewal struct {
	ttl    time.Duration
	now    func() time.Duration
	send   func(context.Context) (renewed, error)
	failed func(error)
	// held is called with the time until which the grant lasts at least.
	held func(until time.Duration)
}

// run renews until the context ends, or returns why the grant is lost. confirmed is when the last answered
// renewal was sent: the operator counts from some moment after.
func (r renewal) run(ctx context.Context, confirmed time.Duration) string {
	due := confirmed + r.ttl/3
	for {
		sent := r.now()
		left := r.end(confirmed) - sent
		if left <= 0 {
			return "it was not renewed in time"
		}
		if sent < due {
			if !sleep(ctx, min(due-sent, left, lookEvery)) {
				return ""
			}
			continue
		}
		state, err := r.attempt(ctx, min(left, max(r.ttl/6, attemptMin)))
		if ctx.Err() != nil {
			return ""
		}
		switch state {
		case stillHeld:
			confirmed, due = sent, sent+r.ttl/3
			r.held(r.end(confirmed))
		case takenBack:
			return "the operator took it back, or its claim was deleted"
		case notKnown:
			r.failed(err)
			due = r.now() + r.ttl/30
		}
	}
}

// end returns when a grant ends, given when its last confirmed renewal was sent.
func (r renewal) end(confirmed time.Duration) time.Duration { return confirmed + r.ttl*4/5 }

func (r renewal) attempt(ctx context.Context, length time.Duration) (renewed, error) {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	return r.send(ctx)
}
