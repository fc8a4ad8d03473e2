package konductor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"time"

	v1 "github.com/LogicIQ/konductor/sdk/go/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// watchSeconds is how long the server is asked to serve a watch; then a new one starts.
	watchSeconds = 290
	// watchGrace is how much longer it may last, before the connection is taken for dead.
	watchGrace = 30 * time.Second
	// patience is how long an API server that has answered once, or was away, may deny rights and
	// resources: one that has just started does, until it has read its roles and
	// CustomResourceDefinitions.
	patience = 10 * time.Second
	// operatorWithin is after how long without a word of an operator that is logged.
	operatorWithin = 5 * time.Second
)

// WaitBarrier waits until a Barrier is open.
//
// A Barrier that does not exist yet, and an API server that is away or restarts, are waited out within
// the timeout and the context's deadline, and that is logged once.
//
// It returns [ErrFailed] as soon as the Barrier can't open any more, with the phase as the reason;
// [ErrNotFound] if it is deleted meanwhile; [ErrTimeout], with the reason [ReasonNoAnswer],
// [ReasonNotFound] or [ReasonUnreachable] if no operator has looked at it, it did not exist, or no API
// server answered; [ErrUnauthorized]; [ErrForbidden]; and [ErrInvalid]. With [WithFailFast], or a
// timeout of zero, also [ErrNotFound] and [ErrUnreachable].
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
	var unanswered atomic.Bool
	said := progress{client: c, on: on}
	silence := time.AfterFunc(operatorWithin, func() {
		if unanswered.Load() && ctx.Err() == nil {
			c.log.WarnContext(ctx, "no operator has looked at it; still waiting",
				"object", on.kind+"/"+on.name)
		}
	})
	defer silence.Stop()
	_, err := await(ctx, c, on, made.timeout, made.failFast, func(found P) (bool, error) {
		status := status(found)
		unanswered.Store(!status.answered)
		switch status.phase {
		case "Open":
			return true, nil
		case "Failed", "Skipped", "Unreached":
			return true, on.fail(ErrFailed, status.phase, "it is %s and will not open: %s",
				status.phase, because(status.conditions))
		}
		// Also a phase that this version does not know: it is not known to be final.
		said.report(message(status.conditions))
		return false, nil
	})
	if unanswered.Load() {
		err = on.unanswered(err)
	}
	return err
}

// because is what the operator says about why it is not open.
func because(conditions []metav1.Condition) string {
	return cmp.Or(message(conditions), "see its conditions")
}

func message(conditions []metav1.Condition) string {
	for _, one := range conditions {
		if one.Type == "Open" {
			return one.Message
		}
	}
	return ""
}

// object is a pointer to a custom resource.
type object[T any] interface {
	*T
	runtime.Object
	metav1.Object
}

// await waits until decide has an answer about an object: a read, then a watch from that version
// on, or a list and a watch if the object does not exist or the API server has forgotten that version.
// A negative timeout is none, zero looks once.
func await[T any, P object[T]](
	ctx context.Context, c *Client, on target, timeout time.Duration, failFast bool,
	decide func(P) (bool, error),
) (P, error) {
	on, err := on.checked()
	if err != nil {
		return nil, err
	}
	waiting := waiting[T, P]{
		client: c, on: on, decide: decide, failFast: failFast, seen: unheard,
	}
	if timeout == 0 {
		waiting.failFast = true
		found, _, done, err := waiting.look(ctx)
		if err == nil && !done {
			err = on.late(0, waiting.seen)
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
	return found, on.retimed(ctx, within, timeout, err)
}

// awaitKnown waits as await does, for an object that was created a moment ago: it is not read again.
func awaitKnown[T any, P object[T]](
	ctx context.Context, c *Client, on target, known P, decide func(P) (bool, error),
) (P, error) {
	if done, err := decide(known); done {
		return known, err
	}
	waiting := waiting[T, P]{
		client: c, on: on, decide: decide, uid: known.GetUID(), from: known.GetResourceVersion(),
	}
	return waiting.run(ctx)
}

type waiting[T any, P object[T]] struct {
	client *Client
	on     target
	decide func(P) (bool, error)
	// failFast ends it if its object does not exist, or no API server answers at first.
	failFast bool
	// from is the version that was known before the first look; empty after.
	from string
	// uid is that of the object which was seen first; empty before.
	uid types.UID
	// away is whether the API server was away since this began.
	away bool
	// denied is since when the API server denies what it has granted before.
	denied time.Time
	// byList is whether a read has no version to watch from: the object does not exist, or has not
	// changed for so long that the API server has forgotten its version. A list has one.
	byList bool
	// seen is what was known about it last.
	seen seenLast
	// missed, unread and complained are whether its absence, that it can't be read, and that no API
	// server answers was logged.
	missed, unread, complained bool
}

func (w *waiting[T, P]) run(ctx context.Context) (P, error) {
	var pauses backoff
	for {
		byList := w.byList
		found, version, done, err := w.begin(ctx)
		if done || (err != nil && w.final(ctx, err)) {
			return found, w.over(ctx, err)
		}
		if err == nil && w.byList && !byList {
			// It does not exist: the next look is a list, whose version a watch can begin at.
			continue
		}
		if err != nil {
			w.note(ctx, err)
		} else {
			begun := time.Now()
			found, done, err = w.watch(ctx, version)
			if done || (err != nil && w.final(ctx, err)) {
				return found, w.over(ctx, err)
			}
			if time.Since(begun) > pauseMax {
				pauses = backoff{}
			}
		}
		if !pauses.pause(ctx) {
			return nil, w.on.ended(ctx, w.seen)
		}
	}
}

// begin looks at the object, unless its version is known.
func (w *waiting[T, P]) begin(ctx context.Context) (P, string, bool, error) {
	if from := w.from; from != "" {
		w.from = ""
		return nil, from, false, nil
	}
	return w.look(ctx)
}

// over is the error of a wait that ends. A deadline reports the last known state.
func (w *waiting[T, P]) over(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && errors.Is(err, ErrTimeout) {
		return w.on.ended(ctx, w.seen)
	}
	return err
}

// note keeps in mind why there is no answer about the object, and logs it once.
func (w *waiting[T, P]) note(ctx context.Context, err error) {
	var known *Error
	if ctx.Err() != nil || !errors.As(err, &known) {
		return
	}
	if known.Reason == ReasonNotInstalled {
		w.seen = seenLast{ReasonNotFound, known.Message}
		return
	}
	if w.uid == "" && !w.complained {
		w.complained = true
		w.client.log.WarnContext(ctx, "the API server can't be reached; trying again",
			"object", w.on.kind+"/"+w.on.name, "error", known.cause)
	}
	w.away = w.away || errors.Is(err, ErrUnreachable)
	w.seen = unreachable(known.cause)
}

// final returns whether trying again could not change an error.
func (w *waiting[T, P]) final(ctx context.Context, err error) bool {
	var known *Error
	if ctx.Err() != nil || !errors.As(err, &known) {
		return true
	}
	isKnown := w.uid != "" || w.away
	switch {
	case errors.Is(err, ErrUnreachable):
		return w.failFast && w.uid == ""
	case known.Reason == ReasonNotInstalled && !isKnown:
		// konductor may be about to be installed.
		return w.failFast
	case known.Reason == ReasonNotInstalled,
		errors.Is(err, ErrUnauthorized), errors.Is(err, ErrForbidden):
		if !isKnown {
			return true
		}
		if w.denied.IsZero() {
			w.denied = time.Now()
		}
		return time.Since(w.denied) > patience
	case errors.Is(err, ErrRefused):
		return !isKnown && !uncertain(known.cause)
	}
	return true
}

// look reads the object, and the version that a watch can begin at. Its error is one of this package.
func (w *waiting[T, P]) look(ctx context.Context) (P, string, bool, error) {
	text, version, err := w.read(ctx)
	if err != nil {
		explained := w.on.explain(ctx, err)
		if explained.Reason != ReasonNotFound || !errors.Is(explained, ErrNotFound) {
			return nil, "", false, explained
		}
		text, w.byList = nil, true
	}
	w.denied = time.Time{}
	if text == nil {
		return w.missing(ctx, version)
	}
	found, done, err := w.judge(ctx, text)
	return found, version, done, err
}

// missing returns whether it is over for an object that does not exist.
func (w *waiting[T, P]) missing(ctx context.Context, version string) (P, string, bool, error) {
	if w.uid != "" {
		return nil, "", true, w.deleted()
	}
	w.seen = seenLast{ReasonNotFound, "it does not exist; create it, or use another namespace"}
	if w.failFast {
		return nil, "", true, w.on.fail(ErrNotFound, ReasonNotFound, "%s", w.seen.detail)
	}
	if !w.missed {
		w.missed = true
		w.client.log.WarnContext(ctx, "it does not exist; waiting until it is created",
			"object", w.on.kind+"/"+w.on.name, "namespace", w.on.namespace)
	}
	return nil, version, false, nil
}

// read reads the object by its name, or by a list, which has a version of its own; nil is not listed.
func (w *waiting[T, P]) read(ctx context.Context) ([]byte, string, error) {
	if !w.byList {
		text, err := w.client.read(ctx, w.on.resource, w.on.name)
		if err != nil {
			return nil, "", err
		}
		var found outline
		err = json.Unmarshal(text, &found)
		return text, found.Metadata.ResourceVersion, err
	}
	all, err := w.client.list(ctx, w.on.resource, w.only())
	if err != nil || len(all.Items) == 0 {
		return nil, all.Metadata.ResourceVersion, err
	}
	return all.Items[0], all.Metadata.ResourceVersion, nil
}

// only is the field selector of this one object.
func (w *waiting[T, P]) only() string { return "metadata.name=" + w.on.name }

// judge decides about the object as it is now. One that can't be read, such as that of a newer version,
// is undecided.
func (w *waiting[T, P]) judge(ctx context.Context, text []byte) (P, bool, error) {
	var known outline
	found := P(new(T))
	err := json.Unmarshal(text, &known)
	if err == nil {
		err = decode(text, found)
	}
	if w.uid == "" {
		w.uid = known.Metadata.UID
	}
	w.seen = seenLast{}
	if known.Metadata.UID != w.uid {
		return nil, true, w.deleted()
	}
	if err != nil {
		if !w.unread {
			w.unread = true
			w.client.log.WarnContext(ctx, "it can't be read as it is now; still waiting",
				"object", w.on.kind+"/"+w.on.name, "namespace", w.on.namespace)
		}
		return nil, false, nil
	}
	done, err := w.decide(found)
	return found, done, err
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
	ctx, cancel := context.WithTimeout(w.client.quietly(ctx), watchSeconds*time.Second+watchGrace)
	defer cancel()
	seconds := int64(watchSeconds)
	options := metav1.ListOptions{
		Watch: true, AllowWatchBookmarks: true, TimeoutSeconds: &seconds,
		FieldSelector: w.only(), ResourceVersion: version,
	}
	events, err := w.client.rest.Get().Namespace(w.on.namespace).Resource(w.on.resource).
		VersionedParams(&options, w.client.codec).Stream(ctx)
	if err != nil {
		explained := w.on.explain(ctx, err)
		if errors.Is(explained, ErrForbidden) || errors.Is(explained, ErrUnauthorized) {
			return nil, false, explained
		}
		w.byList = w.byList || isForgotten(err)
		return nil, false, nil
	}
	defer func() { _ = events.Close() }()
	for reader := json.NewDecoder(events); ; {
		var change event
		if err := reader.Decode(&change); err != nil {
			w.client.log.DebugContext(ctx, "a watch has ended", "object", w.on.name, "cause", err)
			return nil, false, nil
		}
		switch change.Type {
		case "ADDED", "MODIFIED":
			if found, done, err := w.judge(ctx, change.Object); done {
				return found, true, err
			}
		case "DELETED":
			if w.uid != "" {
				return nil, true, w.deleted()
			}
		case "ERROR":
			var status metav1.Status
			_ = json.Unmarshal(change.Object, &status)
			w.byList = w.byList || isForgotten(apierrors.FromObject(&status))
			return nil, false, nil
		}
	}
}
