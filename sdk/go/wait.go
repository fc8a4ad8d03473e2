package konductor

import (
	"context"
	"errors"
	"time"

	v1 "github.com/LogicIQ/konductor/sdk/go/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

const (
	// watchSeconds is how long the server is asked to serve a watch; it is begun anew then.
	watchSeconds = 290
	// watchGrace is how much longer it may last, before the connection is taken for dead.
	watchGrace = 30 * time.Second
	// patience is how long an API server that has answered once may deny rights and resources: one
	// that has just started does, until it has read its roles and CustomResourceDefinitions.
	patience = 10 * time.Second
)

// WaitBarrier waits until a Barrier is open.
//
// It returns [ErrFailed] as soon as the Barrier can't open any more, with the phase as the reason;
// [ErrNotFound] where there is none, or it is deleted meanwhile; [ErrTimeout], with the reason
// [ReasonNoAnswer] where no operator has looked at it; [ErrForbidden]; and [ErrUnreachable] where no
// API server answers the first request.
func (c *Client) WaitBarrier(ctx context.Context, name string, options ...WaitOption) error {
	on := c.target("Barrier", v1.BarrierResource, name)
	return waitOpen(ctx, c, on, options, func(found *v1.Barrier) seen {
		status := found.Status
		return seen{string(status.Phase), status.ObservedGeneration != nil, status.Conditions}
	})
}

// WaitGate waits until a Gate is open. Its errors are those of [Client.WaitBarrier].
func (c *Client) WaitGate(ctx context.Context, name string, options ...WaitOption) error {
	on := c.target("Gate", v1.GateResource, name)
	return waitOpen(ctx, c, on, options, func(found *v1.Gate) seen {
		status := found.Status
		return seen{string(status.Phase), status.ObservedGeneration != nil, status.Conditions}
	})
}

// seen is what the operator has written about a Barrier or Gate. The phase alone says nothing of it:
// that of a new object is a default.
type seen struct {
	phase      string
	answered   bool
	conditions []metav1.Condition
}

func waitOpen[T any, P object[T]](
	ctx context.Context, c *Client, on target, options []WaitOption,
	status func(P) seen,
) error {
	made := waitOptions{timeout: -1}
	for _, one := range options {
		one.wait(&made)
	}
	unanswered := false
	_, err := await(ctx, c, on, made.timeout, func(found P) (bool, error) {
		status := status(found)
		unanswered = !status.answered
		switch status.phase {
		case "Open":
			return true, nil
		case "Failed", "Skipped", "Unreached":
			return true, on.fail(ErrFailed, status.phase, "it is %s and will not open: %s",
				status.phase, because(status.conditions))
		}
		// Also a phase that this version does not know: it is not known to be final.
		return false, nil
	})
	if unanswered {
		err = on.unanswered(err)
	}
	return err
}

// because finds what the operator says about why it is not open.
func because(conditions []metav1.Condition) string {
	for _, one := range conditions {
		if one.Type == "Open" && one.Message != "" {
			return one.Message
		}
	}
	return "its conditions tell why"
}

// object is a pointer to a custom resource.
type object[T any] interface {
	*T
	runtime.Object
	metav1.Object
}

// await waits until decide has an answer about an object: a read, then a watch from that version
// on, or a list and a watch where the API server has forgotten that version. A negative timeout is
// none, zero looks once.
func await[T any, P object[T]](
	ctx context.Context, c *Client, on target, timeout time.Duration,
	decide func(P) (bool, error),
) (P, error) {
	waiting := waiting[T, P]{client: c, on: on, decide: decide}
	if timeout == 0 {
		found, _, done, err := waiting.look(ctx)
		if err == nil && !done {
			err = on.late(0)
		}
		return found, err
	}
	within := ctx
	if timeout > 0 {
		var cancel context.CancelFunc
		within, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	found, err := waiting.run(within)
	if err != nil && ctx.Err() == nil && within.Err() != nil && errors.Is(err, ErrTimeout) {
		err = on.late(timeout).because(within.Err())
	}
	return found, err
}

// awaitKnown waits as await does, for an object that is known to exist: the API server has answered
// already, so its absence is waited out from the beginning.
func awaitKnown[T any, P object[T]](
	ctx context.Context, c *Client, on target, uid types.UID, decide func(P) (bool, error),
) (P, error) {
	waiting := waiting[T, P]{client: c, on: on, decide: decide, uid: uid}
	return waiting.run(ctx)
}

type waiting[T any, P object[T]] struct {
	client *Client
	on     target
	decide func(P) (bool, error)
	// uid is that of the object which was seen first; empty before the first answer. From then on
	// the absence of the API server is waited out.
	uid types.UID
	// denied is since when the API server denies what it has granted before.
	denied time.Time
	// forgotten is whether the API server has forgotten the object's version: it has not changed for
	// long. A list tells a version that a watch can begin at.
	forgotten bool
}

func (w *waiting[T, P]) run(ctx context.Context) (P, error) {
	var pauses backoff
	for {
		found, version, done, err := w.look(ctx)
		if done || (err != nil && w.final(ctx, err)) {
			return found, err
		}
		if err == nil {
			begun := time.Now()
			found, done, err = w.watch(ctx, version)
			if done || (err != nil && w.final(ctx, err)) {
				return found, err
			}
			if time.Since(begun) > pauseMax {
				pauses = backoff{}
			}
		}
		if !pauses.pause(ctx) {
			return nil, w.on.ended(ctx, -1)
		}
	}
}

// final tells whether trying again could not change an error.
func (w *waiting[T, P]) final(ctx context.Context, err error) bool {
	var known *Error
	if ctx.Err() != nil || w.uid == "" || !errors.As(err, &known) {
		return true
	}
	denied := known.Reason == ReasonNotInstalled || errors.Is(err, ErrForbidden)
	if !denied {
		return errors.Is(err, ErrNotFound)
	}
	if w.denied.IsZero() {
		w.denied = time.Now()
	}
	return time.Since(w.denied) > patience
}

// look reads the object, and the version that a watch can begin at. Its error is one of this package.
func (w *waiting[T, P]) look(ctx context.Context) (P, string, bool, error) {
	found, version, err := w.read(ctx)
	if err != nil {
		explained := w.on.explain(ctx, err)
		if w.uid != "" && explained.Reason == "NotFound" {
			explained = w.deleted()
		}
		return nil, "", false, explained
	}
	w.denied = time.Time{}
	if found == nil {
		return nil, "", true, w.deleted()
	}
	if w.uid == "" {
		w.uid = found.GetUID()
	}
	done, err := w.judge(found)
	return found, version, done, err
}

// read reads the object by its name, or by a list, which has a version of its own; nil is not listed.
func (w *waiting[T, P]) read(ctx context.Context) (P, string, error) {
	if !w.forgotten {
		found := P(new(T))
		err := w.client.get(ctx, w.on.resource, w.on.name, found)
		return found, found.GetResourceVersion(), err
	}
	var list struct {
		metav1.ListMeta `json:"metadata"`
		Items           []P `json:"items"`
	}
	err := w.client.list(ctx, w.on.resource, w.only(), &list)
	if err != nil || len(list.Items) == 0 {
		return nil, "", err
	}
	return list.Items[0], list.ResourceVersion, nil
}

// only is the field selector of this one object.
func (w *waiting[T, P]) only() string { return "metadata.name=" + w.on.name }

func (w *waiting[T, P]) judge(found P) (bool, error) {
	if found.GetUID() != w.uid {
		return true, w.deleted()
	}
	return w.decide(found)
}

func (w *waiting[T, P]) deleted() *Error {
	return w.on.fail(ErrNotFound, ReasonDeleted,
		"it was deleted while it was waited for; create it and wait again")
}

func isForgotten(err error) bool {
	return apierrors.IsResourceExpired(err) || apierrors.IsGone(err)
}

// watch follows the object from a version on. Without an answer and an error the watch has ended.
func (w *waiting[T, P]) watch(ctx context.Context, version string) (P, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, watchSeconds*time.Second+watchGrace)
	defer cancel()
	seconds := int64(watchSeconds)
	options := metav1.ListOptions{
		Watch: true, AllowWatchBookmarks: true, TimeoutSeconds: &seconds,
		FieldSelector: w.only(), ResourceVersion: version,
	}
	events, err := w.client.rest.Get().Namespace(w.on.namespace).Resource(w.on.resource).
		VersionedParams(&options, w.client.codec).Watch(ctx)
	if err != nil {
		if explained := w.on.explain(ctx, err); errors.Is(explained, ErrForbidden) {
			return nil, false, explained
		}
		w.forgotten = w.forgotten || isForgotten(err)
		return nil, false, nil
	}
	defer events.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, false, nil
		case event, open := <-events.ResultChan():
			if !open || event.Type == watch.Error {
				w.client.log.DebugContext(ctx, "a watch has ended", "object", w.on.name)
				w.forgotten = w.forgotten || isForgotten(apierrors.FromObject(event.Object))
				return nil, false, nil
			}
			found, ok := event.Object.(P)
			if !ok || event.Type == watch.Bookmark {
				continue
			}
			if event.Type == watch.Deleted {
				return nil, true, w.deleted()
			}
			if done, err := w.judge(found); done {
				return found, true, err
			}
		}
	}
}
