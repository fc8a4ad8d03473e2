package konductor

import (
	"context"
	"errors"
	"reflect"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// An answer is what the API server makes of one renewal, and after how long.
type answer struct {
	state renewed
	after time.Duration
}

func TestARenewalIsSentAtAThirdAndLostAtFourFifths(t *testing.T) {
	held := answer{state: stillHeld}
	silence := answer{state: notKnown, after: time.Hour}
	refused := answer{state: notKnown}
	tests := []struct {
		claim   string
		answers []answer // the last one is repeated
		until   time.Duration
		sent    []time.Duration
		lostAt  time.Duration // 0: it is not
		why     string
	}{
		{
			claim: "renewals that are confirmed keep it", answers: []answer{held},
			until: 45 * time.Second,
			sent:  []time.Duration{10 * time.Second, 20 * time.Second, 30 * time.Second, 40 * time.Second},
		},
		{
			claim: "one that hangs is given up, and tried again", until: 26 * time.Second,
			answers: []answer{silence, held},
			sent:    []time.Duration{10 * time.Second, 16 * time.Second, 26 * time.Second},
		},
		{
			claim: "without an answer it is lost at 4/5", answers: []answer{silence},
			until:  time.Minute,
			sent:   []time.Duration{10 * time.Second, 16 * time.Second, 22 * time.Second},
			lostAt: 24 * time.Second, why: "it was not renewed in time",
		},
		{
			claim:   "the TTL counts from before the renewal was sent, not from its answer",
			answers: []answer{{stillHeld, 4 * time.Second}, silence},
			until:   time.Minute,
			sent: []time.Duration{10 * time.Second, 20 * time.Second, 26 * time.Second,
				32 * time.Second},
			lostAt: 34 * time.Second, why: "it was not renewed in time",
		},
		{
			claim: "taken back is lost at once", answers: []answer{held, {state: takenBack}},
			until: time.Minute, sent: []time.Duration{10 * time.Second, 20 * time.Second},
			lostAt: 20 * time.Second,
			why:    "the operator took it back, or its claim was deleted",
		},
		{
			claim: "refusals are tried again at a thirtieth", answers: []answer{refused},
			until: 14 * time.Second,
			sent: []time.Duration{10 * time.Second, 11 * time.Second, 12 * time.Second,
				13 * time.Second, 14 * time.Second},
		},
	}
	for _, one := range tests {
		t.Run(one.claim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				clock := func() time.Duration { return time.Since(begun) }
				var sent []time.Duration
				kept := renewal{
					ttl: 30 * time.Second, now: clock, failed: func(error) {},
					held: func(time.Duration) {},
					send: func(ctx context.Context) (renewed, error) {
						answer := one.answers[min(len(sent), len(one.answers)-1)]
						sent = append(sent, clock())
						if !sleep(ctx, answer.after) {
							return notKnown, ctx.Err()
						}
						if answer.state == notKnown {
							return notKnown, errors.New("503")
						}
						return answer.state, nil
					},
				}
				ctx, cancel := context.WithTimeout(t.Context(), one.until+time.Millisecond)
				defer cancel()
				why := kept.run(ctx, 0)
				if why != one.why {
					t.Errorf("lost because %q, want %q", why, one.why)
				}
				if one.why != "" && clock() != one.lostAt {
					t.Errorf("lost at %s, want %s", clock(), one.lostAt)
				}
				if !reflect.DeepEqual(sent, one.sent) {
					t.Errorf("sent at %s, want %s", sent, one.sent)
				}
			})
		})
	}
}

func TestALossIsNoticedWithinASecondOfWaking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		var asleep atomic.Int64
		clock := func() time.Duration { return time.Since(begun) + time.Duration(asleep.Load()) }
		kept := renewal{ttl: time.Hour, now: clock}
		time.AfterFunc(5*time.Minute+time.Millisecond, func() { asleep.Store(int64(time.Hour)) })
		if why := kept.run(t.Context(), 0); why != "it was not renewed in time" {
			t.Fatalf("got %q", why)
		}
		if awake := time.Since(begun); awake > 5*time.Minute+time.Second {
			t.Fatalf("noticed after %s", awake)
		}
	})
}

// A process that was stopped does not run what would renew or notice.
func TestAHoldThatWasNotRenewedIsLostByTheClockAlone(t *testing.T) {
	held := &hold{on: target{kind: "Lease", namespace: "default", name: "report"}}
	held.ctx, held.end = context.WithCancelCause(t.Context())
	held.until.Store(int64(now() + time.Hour))
	if err := held.Check(); err != nil {
		t.Errorf("got %v, want that it is held", err)
	}
	held.until.Store(int64(now()))
	if err := held.Check(); !errors.Is(err, ErrLost) {
		t.Errorf("got %v, want that it is lost", err)
	}
	held.end(held.on.fail(context.Canceled, ReasonReleased, "it was released"))
	if err := held.Check(); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it is released", err)
	}
}
