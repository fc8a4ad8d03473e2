package konductor

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"time"

	v1 "github.com/LogicIQ/konductor/sdk/go/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// guardTTL is the TTL of a guard that renews: if it crashes, others wait that long.
	guardTTL = 30 * time.Second
	// ttlMin is the shortest TTL that the operator accepts.
	ttlMin = 100 * time.Millisecond
	// answerWithin is how long an answer that needs no waiting may take.
	answerWithin = 10 * time.Second
	// lastWords is how long a request may outlive the context of its call: a Claim that may have
	// been created must be found again to be deleted.
	lastWords = 2 * time.Second
	// tidyWithin bounds the deletion of a Claim that is no longer wanted.
	tidyWithin = 5 * time.Second
)

// AcquireSemaphore waits for permits of a Semaphore, and renews them until they are released or
// lost. Release them when the work is done.
//
// Within the timeout and the context's deadline it waits for a Semaphore that does not exist yet and for
// an API server that is down, and logs that once.
//
// It returns [ErrDenied] with WithWait(false), [ErrTimeout] with a reason as [Client.WaitBarrier] does,
// [ErrRefused] at once with the reason [ReasonTooManyPermits] if there are fewer permits than it asks
// for, [ErrInvalid], and what the API server refuses; with WithWait(false) or [WithFailFast] also
// [ErrNotFound] and [ErrUnreachable]. After an error, also that of a cancelled context, nothing is left
// in the queue.
func (c *Client) AcquireSemaphore(
	ctx context.Context, name string, options ...AcquireOption,
) (*Permit, error) {
	on := c.target("Semaphore", v1.SemaphoreResource, name)
	made, err := c.acquire(ctx, on, v1.LedgerKindSemaphore, options)
	if err != nil {
		return nil, err
	}
	return &Permit{made}, nil
}

// AcquireLease waits for a Lease, and renews it until it is released or lost. Release it when the
// work is done. Its errors are those of [Client.AcquireSemaphore].
func (c *Client) AcquireLease(
	ctx context.Context, name string, options ...AcquireOption,
) (*LeaseGuard, error) {
	on := c.target("Lease", v1.LeaseResource, name)
	made, err := c.acquire(ctx, on, v1.LedgerKindLease, options)
	if err != nil {
		return nil, err
	}
	return &LeaseGuard{made}, nil
}

// WithSemaphore acquires permits, does the work and releases them. The context that the work is
// given ends when they are lost; the work must end with it, and the result is then [ErrLost]
// together with what the work returned.
func (c *Client) WithSemaphore(
	ctx context.Context, name string, work func(context.Context) error, options ...AcquireOption,
) error {
	held, err := c.AcquireSemaphore(ctx, name, options...)
	if err != nil {
		return err
	}
	return held.during(ctx, work)
}

// WithLease acquires a Lease, does the work and releases it, as [Client.WithSemaphore] does. The
// work finds its fencing token with [Token].
func (c *Client) WithLease(
	ctx context.Context, name string, work func(context.Context) error, options ...AcquireOption,
) error {
	held, err := c.AcquireLease(ctx, name, options...)
	if err != nil {
		return err
	}
	ctx = context.WithValue(ctx, tokenOf(name), held.Token())
	return held.during(ContextWithToken(ctx, held.Token()), work)
}

type tokenKey struct{}

// Token is the fencing token of the Lease that is held, in the context that [Client.WithLease]
// gives to its work.
func Token(ctx context.Context) (int64, bool) {
	token, ok := ctx.Value(tokenKey{}).(int64)
	return token, ok
}

func (c *Client) acquire(
	ctx context.Context, on target, kind v1.LedgerKind, options []AcquireOption,
) (*hold, error) {
	made := acquireOptions{holder: c.holder, permits: 1, wait: true, timeout: -1, ttl: guardTTL}
	for _, one := range options {
		one.acquire(&made)
	}
	if err := made.check(on); err != nil {
		return nil, err
	}
	begun := time.Now()
	within, timeout := ctx, made.timeout
	if !made.wait && timeout <= 0 {
		// The operator answers at once, if one runs.
		timeout = answerWithin
	}
	if timeout >= 0 {
		var cancel context.CancelFunc
		within, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	answered, err := c.ledger(within, on, kind, &made)
	if err != nil {
		return nil, on.retimed(ctx, within, timeout, err)
	}
	made.ttl = made.ttl.Truncate(time.Millisecond)
	claim := v1.Claim{
		ObjectMeta: metav1.ObjectMeta{Name: prefix(on.name) + "-" + random()},
		Spec: v1.ClaimSpec{
			Target:  v1.ClaimTarget{Kind: kind, Name: on.name},
			Holder:  made.holder,
			Permits: made.permits, Priority: made.priority,
			TTL: v1.NewDuration(made.ttl), Wait: &made.wait, Pod: made.pod,
		},
	}
	held, err := c.claim(within, on, &claim, made.ttl)
	if err == nil {
		c.report(EventAcquired, on, time.Since(begun), "")
		return held, nil
	}
	if errors.Is(err, ErrTimeout) && (!made.wait || (!answered && c.unanswered(ctx, on, kind))) {
		err = on.unanswered(err)
	}
	return nil, on.retimed(ctx, within, timeout, err)
}

// check returns an error if the request can never be granted.
func (o *acquireOptions) check(on target) error {
	switch {
	case o.permits < 1:
		return on.fail(ErrInvalid, "Invalid", "%d permits can't be held; ask for at least 1", o.permits)
	case o.ttl < ttlMin:
		return on.fail(ErrInvalid, "Invalid",
			"a TTL of %s can't be kept; use at least %s", o.ttl, ttlMin)
	}
	return on.checkedHolder(o.holder)
}

// ledger waits until the requested object exists, and lowers a TTL to the Lease's own. It returns whether
// an operator has ever looked at it; a queued Claim does not show that.
func (c *Client) ledger(
	ctx context.Context, on target, kind v1.LedgerKind, asked *acquireOptions,
) (bool, error) {
	timeout := time.Duration(-1)
	if !asked.wait {
		timeout = 0
	}
	if kind == v1.LedgerKindSemaphore {
		semaphore, err := await(ctx, c, on, timeout, asked.failFast,
			func(*v1.Semaphore) (bool, error) { return true, nil })
		if err != nil {
			return false, err
		}
		// Zero is a pause, which will end.
		if there := semaphore.Spec.Permits; there > 0 && asked.permits > there {
			return false, on.fail(ErrRefused, ReasonTooManyPermits, "%d permits can't be held: "+
				"there are only %d; ask for fewer, or raise spec.permits", asked.permits, there)
		}
		return semaphore.Status.Phase != "", nil
	}
	lease, err := await(ctx, c, on, timeout, asked.failFast,
		func(*v1.Lease) (bool, error) { return true, nil })
	if err != nil {
		return false, err
	}
	if own, err := lease.Spec.TTL.Parse(); err == nil {
		asked.ttl = max(min(asked.ttl, own), ttlMin)
	}
	return lease.Status.Phase != "", nil
}

// unanswered returns, after a timeout, whether it is known that no operator has looked at a ledger.
func (c *Client) unanswered(ctx context.Context, on target, kind v1.LedgerKind) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	answered, err := c.ledger(ctx, on, kind, &acquireOptions{})
	return err == nil && !answered
}

// claim creates a Claim, waits until it is granted, and begins to renew it. After an error there is
// no Claim.
func (c *Client) claim(
	ctx context.Context, on target, claim *v1.Claim, ttl time.Duration,
) (held *hold, err error) {
	asked := now()
	requests, done := grace(ctx, lastWords)
	defer done()
	var created v1.Claim
	err = c.createNamed(ctx, requests, v1.ClaimResource, claim.Name, claim, &created)
	if err != nil {
		if uncertain(err) {
			c.tidy(ctx, on, claim.Name, "")
		}
		return nil, on.explain(ctx, err)
	}
	defer func() {
		if err != nil {
			c.tidy(ctx, on, claim.Name, created.UID)
		}
	}()
	queued := target{"Claim", v1.ClaimResource, on.namespace, claim.Name}
	said := progress{client: c, on: on}
	granted, err := awaitKnown(ctx, c, queued, &created, func(found *v1.Claim) (bool, error) {
		switch found.Status.Phase {
		case v1.ClaimPhaseGranted:
			return true, nil
		case v1.ClaimPhaseDenied:
			return true, on.fail(ErrDenied, "Denied",
				"nothing is free; wait for it, or try again later")
		case v1.ClaimPhaseExpired:
			return true, on.fail(ErrLost, "Expired",
				"claim/%s ended before it was used: %s", claim.Name, found.Status.Message)
		}
		said.report(found.Status.Message)
		return false, nil
	})
	if err != nil {
		return nil, about(on, err)
	}
	return c.hold(ctx, on, granted, ttl, asked)
}

// about makes an error about a Claim name the requested object.
func about(on target, err error) error {
	var known *Error
	if !errors.As(err, &known) || known.Kind != "Claim" {
		return err
	}
	if errors.Is(err, ErrTimeout) {
		return on.late(-1, known.seen).because(known.cause)
	}
	detailed := *known
	detailed.Kind, detailed.Name = on.kind, on.name
	if known.Reason == ReasonDeleted {
		detailed.Message = "its claim/" + known.Name + " was deleted while it stood in the queue; " +
			"ask again"
	}
	return &detailed
}

// tidy deletes a Claim that is no longer wanted, even if the context has ended.
func (c *Client) tidy(ctx context.Context, on target, name string, uid types.UID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyWithin)
	defer cancel()
	if err := c.deleteClaim(ctx, name, uid); err != nil {
		c.log.WarnContext(ctx, "a claim could not be deleted; it ends with its TTL",
			"claim", name, "namespace", c.namespace, "target", on.kind+"/"+on.name, "error", err)
	}
}

// deleteClaim deletes a Claim, retrying until the context ends. A Claim that is gone, or another Claim of
// the same name, counts as success.
func (c *Client) deleteClaim(ctx context.Context, name string, uid types.UID) error {
	options := metav1.DeleteOptions{}
	if uid != "" {
		options.Preconditions = metav1.NewUIDPreconditions(string(uid))
	}
	var pauses backoff
	for {
		err := c.deleteOnce(ctx, name, &options)
		if err == nil || apierrors.IsConflict(err) ||
			(apierrors.IsNotFound(err) && !notServed(err)) {
			return nil
		}
		if !uncertain(err) || !pauses.pause(ctx) {
			return err
		}
	}
}

func (c *Client) deleteOnce(ctx context.Context, name string, options *metav1.DeleteOptions) error {
	ctx, cancel := context.WithTimeout(c.quietly(ctx), requestTimeout)
	defer cancel()
	return c.rest.Delete().Namespace(c.namespace).Resource(v1.ClaimResource).Name(name).
		Body(options).Do(ctx).Error()
}

// random returns the part of a Claim's name that only its author knows.
func random() string {
	var bytes [6]byte
	_, _ = rand.Read(bytes[:]) // It never fails.
	return hex.EncodeToString(bytes[:])
}
