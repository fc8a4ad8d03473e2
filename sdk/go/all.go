package konductor

import (
	"cmp"
	"context"
	"slices"

	v1 "github.com/LogicIQ/konductor/sdk/go/api/v1"
)

// Request is what [Client.WithAll] acquires.
type Request struct {
	kind, resource, name string
	options              []AcquireOption
}

// SemaphoreRequest asks for permits of a Semaphore.
func SemaphoreRequest(name string, options ...AcquireOption) Request {
	return Request{"Semaphore", v1.SemaphoreResource, name, options}
}

// LeaseRequest asks for a Lease.
func LeaseRequest(name string, options ...AcquireOption) Request {
	return Request{"Lease", v1.LeaseResource, name, options}
}

// WithAll acquires several Semaphores and Leases, does the work and releases them. It acquires one after another
// in an order that all programs have in common, so those that acquire some of the same never wait for each other
// in a circle. The context that the work is given ends when any of them is lost; [TokenOf] has the fencing token
// of each Lease. Otherwise it is as [Client.WithSemaphore].
//
// It returns [ErrInvalid] if one is asked for twice, which could never be granted.
func (c *Client) WithAll(
	ctx context.Context, requests []Request, work func(context.Context) error,
) error {
	ordered := slices.Clone(requests)
	slices.SortFunc(ordered, compare)
	for i := 1; i < len(ordered); i++ {
		if one := ordered[i]; compare(ordered[i-1], one) == 0 {
			return c.target(one.kind, one.resource, one.name).fail(ErrInvalid, "Invalid",
				"it is asked for twice; ask once, for more permits")
		}
	}
	return c.withRest(ctx, ordered, work)
}

func compare(a, b Request) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.name, b.name))
}

func (c *Client) withRest(
	ctx context.Context, requests []Request, work func(context.Context) error,
) error {
	if len(requests) == 0 {
		return work(ctx)
	}
	first, rest := requests[0], requests[1:]
	next := func(ctx context.Context) error { return c.withRest(ctx, rest, work) }
	if first.kind == "Lease" {
		return c.WithLease(ctx, first.name, next, first.options...)
	}
	return c.WithSemaphore(ctx, first.name, next, first.options...)
}

type tokenOf string

// TokenOf is the fencing token of a Lease that is held, in the context that [Client.WithAll] or
// [Client.WithLease] gives to its work.
func TokenOf(ctx context.Context, lease string) (int64, bool) {
	token, ok := ctx.Value(tokenOf(lease)).(int64)
	return token, ok
}
