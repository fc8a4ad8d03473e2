package konductor

import "time"

// EventKind is what has happened.
type EventKind string

const (
	// EventWaiting: what the operator says about what is waited for has changed, such as how many are before
	// it in the queue.
	EventWaiting EventKind = "Waiting"
	// EventAcquired: something was acquired; After is how long that took.
	EventAcquired EventKind = "Acquired"
	// EventRenewed: a hold was renewed; After is how long the request took.
	EventRenewed EventKind = "Renewed"
	// EventRenewalFailed: a renewal has failed, and is tried again.
	EventRenewalFailed EventKind = "RenewalFailed"
	// EventLost: a hold was lost; After is how long it was held.
	EventLost EventKind = "Lost"
	// EventReleased: a hold was released; After is how long it was held.
	EventReleased EventKind = "Released"
)

// Event is something that has happened in a call, or to what it acquired: for metrics, and to show what a caller waits for.
type Event struct {
	// What is EventWaiting or another of the kinds.
	What EventKind
	// Kind, Namespace and Name are the object that was asked for, such as a Lease.
	Kind, Namespace, Name string
	// After is a length of time, as the kind says.
	After time.Duration
	// Message is what the operator says.
	Message string
}

// WithOnEvent reports events. It is called by the goroutines that renew, so it must not block.
func WithOnEvent(observe func(Event)) Option {
	return clientOption(func(o *clientOptions) { o.observe = observe })
}

func (c *Client) report(what EventKind, on target, after time.Duration, message string) {
	if c.observe != nil {
		c.observe(Event{what, on.kind, on.namespace, on.name, after, message})
	}
}

// progress reports what the operator says, if that has changed.
type progress struct {
	client *Client
	on     target
	last   string
}

func (p *progress) report(message string) {
	if message != "" && message != p.last {
		p.last = message
		p.client.report(EventWaiting, p.on, 0, message)
	}
}
