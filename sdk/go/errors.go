package konductor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The kinds of errors, for errors.Is.
var (
	// ErrNotFound: the object does not exist, or was deleted during the wait.
	ErrNotFound = errors.New("not found")
	// ErrUnauthorized: the API server does not accept the credentials.
	ErrUnauthorized = errors.New("unauthorized")
	// ErrForbidden: the API server does not allow it.
	ErrForbidden = errors.New("forbidden")
	// ErrTimeout: the timeout or the context's deadline passed.
	ErrTimeout = errors.New("timed out")
	// ErrFailed: the awaited state can no longer be reached; [Error.Reason] is the phase in which the object ended.
	ErrFailed = errors.New("failed")
	// ErrDenied: nothing was free, and the call asked not to wait.
	ErrDenied = errors.New("denied")
	// ErrLost: the hold was lost.
	ErrLost = errors.New("lost")
	// ErrUnreachable: no API server answers.
	ErrUnreachable = errors.New("unreachable")
	// ErrRefused: the API server refuses the request as it is, or it can never be granted.
	ErrRefused = errors.New("refused")
	// ErrInvalid: an argument can't be right; nothing was sent.
	ErrInvalid = errors.New("invalid")
)

// Reasons that are not a phase of an object.
const (
	// ReasonDeleted: the object existed and was deleted.
	ReasonDeleted = "Deleted"
	// ReasonNotInstalled: the API server does not serve konductor.io/v1.
	ReasonNotInstalled = "NotInstalled"
	// ReasonAlreadyArrived: this holder has arrived with another outcome.
	ReasonAlreadyArrived = "AlreadyArrived"
	// ReasonTimeout: the object existed, and had not reached the state.
	ReasonTimeout = "Timeout"
	// ReasonNoAnswer: no operator has looked at the object.
	ReasonNoAnswer = "NoAnswer"
	// ReasonNotFound: the object did not exist when the timeout passed.
	ReasonNotFound = "NotFound"
	// ReasonUnreachable: no API server answered until the timeout passed.
	ReasonUnreachable = "Unreachable"
	// ReasonTooManyPermits: more permits were asked for than there are.
	ReasonTooManyPermits = "TooManyPermits"
	// ReasonReleased is the cause of a guard's context after its release.
	ReasonReleased = "Released"
)

// Error says what happened, on which object, and what to do.
type Error struct {
	// Kind, Namespace and Name are the object that was asked for, such as a Gate.
	Kind, Namespace, Name string
	// Reason is one word in PascalCase: a phase such as Skipped, or why the request failed.
	Reason string
	// Message is for people.
	Message string

	is    error
	cause error
	seen  seenLast
}

// seenLast is the last known state of an object; the zero value means that it had not reached the state.
type seenLast struct{ reason, detail string }

// Error names the object and says what happened to it.
func (e *Error) Error() string {
	return fmt.Sprintf("%s/%s in namespace %s: %s",
		strings.ToLower(e.Kind), e.Name, e.Namespace, e.Message)
}

// Unwrap lets errors.Is find what kind of error it is, and errors.As its cause.
func (e *Error) Unwrap() []error {
	var all []error
	for _, one := range []error{e.is, e.cause} {
		if one != nil {
			all = append(all, one)
		}
	}
	return all
}

// target is an object, as errors name it.
type target struct {
	kind, resource, namespace, name string
}

func (t target) fail(is error, reason, message string, arguments ...any) *Error {
	return &Error{
		Kind: t.kind, Namespace: t.namespace, Name: t.name,
		Reason: reason, Message: fmt.Sprintf(message, arguments...), is: is,
	}
}

func (e *Error) because(cause error) *Error {
	e.cause = cause
	return e
}

// ended explains why a context is over.
func (t target) ended(ctx context.Context, seen seenLast) *Error {
	cause := context.Cause(ctx)
	if errors.Is(ctx.Err(), context.Canceled) {
		e := t.fail(context.Canceled, "Canceled", "given up, because the context was cancelled")
		if !errors.Is(cause, context.Canceled) {
			e.Message = fmt.Sprintf("given up: %v", cause)
		}
		return e.because(cause)
	}
	return t.late(-1, seen).because(ctx.Err())
}

// late is the error of a timeout that has passed. A negative timeout is the context's deadline.
func (t target) late(after time.Duration, seen seenLast) *Error {
	within := "within the context's deadline"
	if after >= 0 {
		within = "within " + after.String()
	}
	if after == 0 {
		within = "yet"
	}
	if seen.reason == "" {
		seen.reason = ReasonTimeout
		seen.detail = fmt.Sprintf("`koncli %s get %s` shows how it stands",
			strings.ToLower(t.kind), t.name)
	}
	late := t.fail(ErrTimeout, seen.reason, "not %s; %s", within, seen.detail)
	late.seen = seen
	return late
}

// retimed makes a timeout error name the call's own timeout, if that passed and not the context's
// deadline.
func (t target) retimed(ctx, within context.Context, after time.Duration, err error) error {
	var known *Error
	if err == nil || ctx.Err() != nil || within.Err() == nil || !errors.Is(err, ErrTimeout) ||
		!errors.As(err, &known) {
		return err
	}
	return t.late(after, known.seen).because(within.Err())
}

// unanswered makes a timeout error say that no operator has looked at the object.
func (t target) unanswered(err error) error {
	var known *Error
	if !errors.Is(err, ErrTimeout) || !errors.As(err, &known) || known.Reason != ReasonTimeout {
		return err
	}
	detailed := *known
	detailed.Reason = ReasonNoAnswer
	detailed.Message += "; no operator has looked at it: check that konductor's operator runs"
	detailed.seen = seenLast{ReasonNoAnswer,
		"no operator has looked at it: check that konductor's operator runs"}
	return &detailed
}

// unheard is the state before the first answer.
var unheard = seenLast{ReasonUnreachable, "the API server has not answered; " +
	"check the kubeconfig and the network"}

// unreachable is the error that no API server answers.
func unreachable(err error) seenLast {
	return seenLast{ReasonUnreachable, fmt.Sprintf("the API server can't be reached: %v", err)}
}

// explain puts what the API client reports into the words of [Error].
func (t target) explain(ctx context.Context, err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	var status apierrors.APIStatus
	isAnswer := errors.As(err, &status)
	if ctx.Err() != nil {
		var seen seenLast
		if !isAnswer && !errors.Is(err, ctx.Err()) {
			seen = unreachable(err)
		}
		return t.ended(ctx, seen)
	}
	if !isAnswer {
		return t.fail(ErrUnreachable, ReasonUnreachable,
			"the API server can't be reached; check the kubeconfig and the network: %v", err,
		).because(err)
	}
	said := status.Status()
	switch {
	case said.Code == 404 && notServed(err):
		return t.fail(ErrNotFound, ReasonNotInstalled, "the API server does not serve it; "+
			"install konductor, such as with `koncli crds | kubectl apply -f -`").because(err)
	case said.Code == 404:
		return t.fail(ErrNotFound, ReasonNotFound,
			"it does not exist; create it, or use another namespace").because(err)
	case said.Code == 401:
		return t.fail(ErrUnauthorized, "Unauthorized", "the API server does not accept the "+
			"credentials; renew them, or use another kubeconfig: %s", said.Message).because(err)
	case said.Code == 403:
		return t.fail(ErrForbidden, "Forbidden",
			"not allowed; give this account the right: %s", said.Message).because(err)
	}
	reason := string(said.Reason)
	if reason == "" {
		reason = string(metav1.StatusReasonUnknown)
	}
	return t.fail(ErrRefused, reason,
		"the API server refuses it (%d): %s", said.Code, said.Message).because(err)
}

// notServed returns whether the path does not exist, rather than the object.
func notServed(err error) bool {
	return apierrors.IsNotFound(err) &&
		apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}

// uncertain returns whether a request may have been carried out although it failed, or may be
// answered differently if it is sent again.
func uncertain(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return true
	}
	code := status.Status().Code
	return code >= 500 || code == 429 || code == 408 || (code == 404 && notServed(err))
}
