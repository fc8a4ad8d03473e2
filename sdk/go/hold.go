package konductor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	v1 "github.com/LogicIQ/konductor/sdk/go/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Permit holds permits of a Semaphore.
type Permit struct{ *hold }

// LeaseGuard holds a Lease.
type LeaseGuard struct{ *hold }

// Token is the fencing token: it rises with each new holder, also when the Lease is deleted and
// created again. Hand it to the storage you protect, and let the storage refuse lower ones.
func (g *LeaseGuard) Token() int64 {
	if g.token == nil {
		return 0
	}
	return *g.token
}

// hold is a granted Claim that is renewed in the background.
type hold struct {
	client *Client
	on     target
	name   string
	uid    types.UID
	token  *int64
	since  time.Duration // when it was granted, by the clock that counts TTLs
	until  atomic.Int64  // when it ends without a further renewal, by the clock that counts TTLs

	ctx    context.Context // ends when it is lost or released
	end    context.CancelCauseFunc
	lost   chan struct{}
	stop   context.CancelFunc
	silent chan struct{} // closed when nothing is renewed any more

	releasing sync.Mutex
	released  bool
}

// Claim is the name of the Claim behind it.
func (h *hold) Claim() string { return h.name }

// Lost is closed when the hold is lost: stop at once. The cause of its Context says why.
func (h *hold) Lost() <-chan struct{} { return h.lost }

// Context carries the values of the context that acquired the hold, but not its end: it ends when the
// hold is lost, with [ErrLost] as its cause, or released.
func (h *hold) Context() context.Context { return h.ctx }

// Check returns nil while the hold is valid, [ErrLost] if it was lost, or context.Canceled if it was
// released. It reads the clock, so a program that was stopped for longer than the TTL learns of the loss
// before it continues.
func (h *hold) Check() error {
	if h.ctx.Err() != nil {
		return context.Cause(h.ctx)
	}
	if now() >= time.Duration(h.until.Load()) {
		return h.gone("it was not renewed in time")
	}
	return nil
}

func (h *hold) gone(why string) *Error {
	return h.on.fail(ErrLost, "Lost", "what was held is lost: %s; stop what it protects", why)
}

// Release releases the hold. Calling it again does nothing. The context may have ended, such as in a
// defer. It takes 5 s at most; if it fails, the hold ends with its TTL.
func (h *hold) Release(ctx context.Context) error {
	h.releasing.Lock()
	defer h.releasing.Unlock()
	if h.released {
		return nil
	}
	h.stop()
	<-h.silent
	isHeld := h.Check() == nil
	h.end(h.on.fail(context.Canceled, ReasonReleased, "it was released"))
	if h.client == nil { // a fake
		h.released = true
		return nil
	}
	// Kubernetes gives a pod 30 s to end, and a TTL may be longer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyWithin)
	defer cancel()
	if err := h.client.deleteClaim(ctx, h.name, h.uid); err != nil {
		return h.on.explain(context.Background(), err)
	}
	h.released = true
	if isHeld {
		h.client.report(EventReleased, h.on, now()-h.since, "")
	}
	return nil
}

// during does work during the hold, and releases it even if the work panics.
func (h *hold) during(ctx context.Context, work func(context.Context) error) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(h.ctx, func() { cancel(context.Cause(h.ctx)) })
	defer func() {
		stop()
		cancel(nil)
		select {
		case <-h.lost:
			// The operator may be down as well: don't wait for what the TTL does anyway.
			go h.client.tidy(ctx, h.on, h.name, h.uid)
			err = lostWith(context.Cause(h.ctx), err)
		default:
			// The work is done; if the release fails, the TTL ends the hold, and that is logged.
			if failed := h.Release(ctx); failed != nil {
				h.client.log.WarnContext(ctx, "a hold could not be released; it ends with its TTL",
					"claim", h.name, "error", failed)
			}
		}
	}()
	return work(ctx)
}

// lostWith is the error of a loss together with what the work returned. An error that the work returns because
// its context ended is only mentioned: the loss must not be taken for the caller's own cancellation.
func lostWith(lost, err error) error {
	switch {
	case err == nil:
		return lost
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%w; the work returned: %v", lost, err) //nolint:errorlint // See above.
	}
	return errors.Join(lost, err)
}

// hold begins to renew a granted Claim. If it was requested long ago, a renewal shows how long the grant
// lasts at least.
func (c *Client) hold(
	ctx context.Context, on target, granted *v1.Claim, ttl time.Duration, asked time.Duration,
) (*hold, error) {
	held := &hold{
		client: c, on: on, name: granted.Name, uid: granted.UID, token: granted.Status.Token,
		since: now(), lost: make(chan struct{}), silent: make(chan struct{}),
	}
	kept := renewal{ttl: ttl, now: now, send: held.renew}
	var pauses backoff
	begun := now()
	for sent := begun; sent-asked > ttl/3; sent = now() {
		switch state, err := kept.attempt(ctx, max(ttl/6, attemptMin)); {
		case state == stillHeld:
			asked = sent
		case state == takenBack:
			return nil, on.fail(ErrLost, "Expired", "it ended before it could be used; ask again")
		case now()-begun >= ttl:
			// It was granted before this began, so it has ended.
			return nil, on.fail(ErrLost, "Expired",
				"it was granted, but no renewal of it was confirmed within its TTL of %s; ask again", ttl).
				because(err)
		case !pauses.pause(ctx):
			return nil, on.explain(ctx, err)
		}
	}
	held.until.Store(int64(kept.end(asked)))
	kept.held = func(until time.Duration) { held.until.Store(int64(until)) }
	held.ctx, held.end = context.WithCancelCause(context.WithoutCancel(ctx))
	var renewing context.Context
	renewing, held.stop = context.WithCancel(held.ctx)
	kept.failed = func(err error) {
		c.log.DebugContext(renewing, "a renewal failed", "claim", held.name, "error", err)
	}
	go func() {
		defer close(held.silent)
		if why := kept.run(renewing, asked); why != "" {
			held.end(held.gone(why))
			close(held.lost)
			c.report(EventLost, on, now()-held.since, why)
		}
	}()
	return held, nil
}

// renew returns whether the answer still says Granted, with the same token.
func (h *hold) renew(ctx context.Context) (renewed, error) {
	begun := now()
	state, err := h.renewOnce(ctx)
	switch {
	case state == stillHeld:
		h.client.report(EventRenewed, h.on, now()-begun, "")
	case !errors.Is(ctx.Err(), context.Canceled): // not because it was released
		h.client.report(EventRenewalFailed, h.on, now()-begun, "")
	}
	return state, err
}

func (h *hold) renewOnce(ctx context.Context) (renewed, error) {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": h.uid},
		"spec":     map[string]any{"renewTime": metav1.NowMicro()},
	})
	if err != nil {
		return notKnown, err
	}
	var found v1.Claim
	text, err := body(h.client.rest.Patch(types.MergePatchType).Namespace(h.on.namespace).
		Resource(v1.ClaimResource).Name(h.name).
		Param("fieldManager", fieldManager).Body(patch).Do(h.client.quietly(ctx)))
	if err == nil {
		err = decode(text, &found)
	}
	if apierrors.IsConflict(err) {
		// Another uid, or only many writes at once: the stored object shows which.
		if err := h.client.get(ctx, v1.ClaimResource, h.name, &found); err != nil {
			return notKnown, err
		}
		if h.grants(&found) {
			return notKnown, err
		}
		return takenBack, nil
	}
	switch {
	case apierrors.IsNotFound(err) && !notServed(err):
		return takenBack, nil
	case err != nil:
		return notKnown, err
	case !h.grants(&found):
		return takenBack, nil
	}
	return stillHeld, nil
}

func (h *hold) grants(found *v1.Claim) bool {
	same := (found.Status.Token == nil) == (h.token == nil) &&
		(h.token == nil || *found.Status.Token == *h.token)
	return found.Status.Phase == v1.ClaimPhaseGranted && same && found.UID == h.uid
}
