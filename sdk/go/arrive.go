package konductor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	v1 "github.com/LogicIQ/konductor/sdk/go/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ArriveBarrier records that this holder has arrived at a Barrier. Arriving again with the same outcome
// changes nothing, so it may be repeated after any error. While the API server is down, it retries until
// the context ends.
//
// It returns [ErrNotFound] if there is no such Barrier, [ErrFailed] with the reason
// AlreadyArrived if this holder has arrived with another outcome, [ErrTimeout], [ErrInvalid], and what
// the API server refuses.
func (c *Client) ArriveBarrier(ctx context.Context, name string, options ...ArriveOption) error {
	made := arriveOptions{holder: c.holder, outcome: v1.ArrivalOutcomeSucceeded}
	for _, one := range options {
		one.arrive(&made)
	}
	on, err := c.target("Barrier", v1.BarrierResource, name).checked()
	if err == nil {
		err = on.checkedHolder(made.holder)
	}
	if err != nil {
		return err
	}
	var barrier v1.Barrier
	err = c.persist(ctx, on, func() error {
		return c.get(ctx, on.resource, on.name, &barrier)
	})
	if err != nil {
		return err
	}
	arrival := v1.Arrival{
		ObjectMeta: metav1.ObjectMeta{
			Name: arrivalName(name, string(barrier.UID), made.holder),
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: v1.GroupVersion.String(), Kind: "Barrier",
				Name: name, UID: barrier.UID,
			}},
		},
		Spec: v1.ArrivalSpec{Barrier: name, Holder: made.holder, Outcome: made.outcome},
	}
	var known v1.Arrival
	err = c.persist(ctx, on, func() error {
		return c.createOnce(ctx, v1.ArrivalResource, arrival.Name, &arrival, &known)
	})
	if err != nil {
		return err
	}
	if known.Spec.Outcome != made.outcome {
		return on.fail(ErrFailed, ReasonAlreadyArrived, "%s has arrived as %s already; "+
			"before it opens, delete arrival/%s to take that back",
			made.holder, known.Spec.Outcome, arrival.Name)
	}
	return nil
}

// arrivalName is the name of a party's Arrival: that of the Barrier, and a hash of its uid and the
// holder, so a party that arrives twice meets its own Arrival.
func arrivalName(barrier, uid, holder string) string {
	hash := sha256.Sum256([]byte(uid + "\x00" + holder))
	return prefix(barrier) + "-" + hex.EncodeToString(hash[:10])
}

// prefix leaves room for what makes a name of its own.
func prefix(name string) string { return name[:min(len(name), 200)] }

// persist repeats a request until the context ends, while no API server answers or it answers that it is
// overloaded. Its error is one of this package.
func (c *Client) persist(ctx context.Context, on target, ask func() error) error {
	var pauses backoff
	seen, away := unheard, false
	for {
		err := ask()
		if err == nil {
			return nil
		}
		// An API server that was down may not serve everything at first.
		if !uncertain(err) || (notServed(err) && !away) {
			return on.explain(ctx, err)
		}
		if ctx.Err() == nil {
			if !away {
				c.log.WarnContext(ctx, "the API server can't be reached; trying again",
					"object", on.kind+"/"+on.name, "error", err)
			}
			seen, away = unreachable(err), true
		}
		if !pauses.pause(ctx) {
			return on.ended(ctx, seen)
		}
	}
}

// createNamed creates an object whose name only its author knows. It retries until ctx ends; each
// request is sent under requests.
func (c *Client) createNamed(
	ctx, requests context.Context, resource, name string, object, into any,
) error {
	var pauses backoff
	for {
		err := c.createOnce(requests, resource, name, object, into)
		if err == nil || !uncertain(err) || !pauses.pause(ctx) {
			return err
		}
	}
}

// createOnce creates an object, and reads it if it already exists: then an earlier attempt was carried
// out although its answer was lost.
func (c *Client) createOnce(
	requests context.Context, resource, name string, object, into any,
) error {
	err := c.post(requests, resource, object, into)
	if apierrors.IsAlreadyExists(err) {
		// If it is not found, it was deleted in between: it is no longer wanted.
		err = c.get(requests, resource, name, into)
	}
	return err
}
