package konductor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	v1 "github.com/LogicIQ/konductor/sdk/go/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// ArriveBarrier tells a Barrier that this holder is there. Arriving again with the same outcome
// changes nothing, so it may be called again after any error.
//
// It returns [ErrNotFound] where there is no such Barrier, [ErrFailed] with the reason
// AlreadyArrived where this holder has arrived with another outcome, and what the API server
// refuses.
func (c *Client) ArriveBarrier(ctx context.Context, name string, options ...ArriveOption) error {
	made := arriveOptions{holder: c.holder, outcome: v1.ArrivalOutcomeSucceeded}
	for _, one := range options {
		one.arrive(&made)
	}
	on := c.target("Barrier", v1.BarrierResource, name)
	var barrier v1.Barrier
	if err := c.find(ctx, on, &barrier); err != nil {
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
	if err := c.createNamed(ctx, ctx, v1.ArrivalResource, arrival.Name, &arrival, &known); err != nil {
		return on.explain(ctx, err)
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

// createNamed creates an object whose name only its author knows, and reads it where it is there
// already: then an earlier attempt was carried out although its answer was lost. It goes on while
// ctx lasts; each request is sent under requests.
func (c *Client) createNamed(
	ctx, requests context.Context, resource, name string, object, into runtime.Object,
) error {
	var pauses backoff
	for {
		err := c.post(requests, resource, object, into)
		if apierrors.IsAlreadyExists(err) {
			err = c.get(requests, resource, name, into)
			if apierrors.IsNotFound(err) {
				// Deleted in between: by whom it is not wanted any more.
				return err
			}
		}
		if err == nil || !uncertain(err) || !pauses.pause(ctx) {
			return err
		}
	}
}
