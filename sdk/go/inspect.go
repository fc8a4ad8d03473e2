package konductor

import (
	"context"
	"time"

	v1 "github.com/LogicIQ/konductor/sdk/go/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// GetSemaphore returns a Semaphore as it is now, its holders in the status. While the API server is down, it
// retries until the context ends.
//
// It returns [ErrNotFound], [ErrTimeout], [ErrUnauthorized], [ErrForbidden] and [ErrInvalid].
func (c *Client) GetSemaphore(ctx context.Context, name string) (*v1.Semaphore, error) {
	return read[v1.Semaphore](ctx, c, c.target("Semaphore", v1.SemaphoreResource, name))
}

// GetLease returns a Lease as it is now, as [Client.GetSemaphore] does.
func (c *Client) GetLease(ctx context.Context, name string) (*v1.Lease, error) {
	return read[v1.Lease](ctx, c, c.target("Lease", v1.LeaseResource, name))
}

// GetBarrier returns a Barrier as it is now, as [Client.GetSemaphore] does.
func (c *Client) GetBarrier(ctx context.Context, name string) (*v1.Barrier, error) {
	return read[v1.Barrier](ctx, c, c.target("Barrier", v1.BarrierResource, name))
}

// GetGate returns a Gate as it is now, as [Client.GetSemaphore] does.
func (c *Client) GetGate(ctx context.Context, name string) (*v1.Gate, error) {
	return read[v1.Gate](ctx, c, c.target("Gate", v1.GateResource, name))
}

// EnsureSemaphore creates a Semaphore unless one of this name exists, which is not changed. Its errors are
// those of [Client.GetSemaphore], without [ErrNotFound], and what the API server refuses.
func (c *Client) EnsureSemaphore(ctx context.Context, name string, spec v1.SemaphoreSpec) error {
	made := &v1.Semaphore{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
	return ensure(ctx, c, c.target("Semaphore", v1.SemaphoreResource, name), made)
}

// EnsureLease creates a Lease with this TTL, as [Client.EnsureSemaphore] does.
func (c *Client) EnsureLease(ctx context.Context, name string, ttl time.Duration) error {
	spec := v1.LeaseSpec{TTL: v1.NewDuration(ttl)}
	made := &v1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
	return ensure(ctx, c, c.target("Lease", v1.LeaseResource, name), made)
}

// EnsureBarrier creates a Barrier, as [Client.EnsureSemaphore] does.
func (c *Client) EnsureBarrier(ctx context.Context, name string, spec v1.BarrierSpec) error {
	made := &v1.Barrier{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
	return ensure(ctx, c, c.target("Barrier", v1.BarrierResource, name), made)
}

// Leader returns the holder of a Lease, or "" if nobody holds it. Its errors are those of
// [Client.GetSemaphore].
func (c *Client) Leader(ctx context.Context, lease string) (string, error) {
	found, err := c.GetLease(ctx, lease)
	if err != nil {
		return "", err
	}
	return leader(found), nil
}

// WatchLeader calls back with the holder of a Lease, now and whenever it changes, until the context ends; ""
// is nobody. It waits for a Lease that does not exist yet and for an API server that is down. It returns
// [ErrNotFound] when the Lease is deleted, else as [Client.WaitBarrier] does.
func (c *Client) WatchLeader(ctx context.Context, lease string, changed func(leader string)) error {
	on := c.target("Lease", v1.LeaseResource, lease)
	known, last := false, ""
	_, err := await(ctx, c, on, -1, false, func(found *v1.Lease) (bool, error) {
		if now := leader(found); !known || now != last {
			known, last = true, now
			changed(now)
		}
		return false, nil
	})
	return err
}

func leader(lease *v1.Lease) string {
	if len(lease.Status.Holders) == 0 {
		return ""
	}
	return lease.Status.Holders[0].Holder
}

func read[T any](ctx context.Context, c *Client, on target) (*T, error) {
	on, err := on.checked()
	if err != nil {
		return nil, err
	}
	found := new(T)
	err = c.persist(ctx, on, func() error { return c.get(ctx, on.resource, on.name, found) })
	if err != nil {
		return nil, err
	}
	return found, nil
}

func ensure[T any](ctx context.Context, c *Client, on target, made *T) error {
	on, err := on.checked()
	if err != nil {
		return err
	}
	return c.persist(ctx, on, func() error {
		err := c.get(ctx, on.resource, on.name, new(T))
		if apierrors.IsNotFound(err) && !notServed(err) {
			return c.createOnce(ctx, on.resource, on.name, made, new(T))
		}
		return err
	})
}
