// Package konductor takes part in konductor's primitives from a Go program: it waits for Barriers
// and Gates, arrives at Barriers, and holds permits of Semaphores and Leases.
//
//	client, err := konductor.New(nil)
//	err = client.WaitGate(ctx, "dependencies-ready")
//	err = client.WithLease(ctx, "daily-report", func(ctx context.Context) error {
//		return writeReport(ctx) // ctx ends when the Lease is lost
//	})
//	err = client.ArriveBarrier(ctx, "stage-complete")
//
// # Guarantees
//
// A wait is one read and one watch: it makes no requests while nothing changes. It survives a restart of
// the API server, a cut watch and 410 Gone until the context ends. It returns as soon as the awaited
// state can no longer be reached.
//
// A context that is cancelled while a request stands in the queue leaves no Claim behind.
//
// What is held is renewed in the background. Its Lost channel is closed, and the contexts of
// [Client.WithLease] and [Client.WithSemaphore] end, before anybody else is granted it: at 4/5 of
// its TTL, counted from before the last confirmed renewal was sent, on a clock that runs while the
// machine sleeps. A process can be stopped between a look at that clock and a write, so what must
// never be written twice is protected by the storage: hand it [LeaseGuard.Token], and let it refuse
// lower ones.
//
// # Errors
//
// Every error of a call is an [Error] for errors.As, and one of [ErrNotFound], [ErrUnauthorized],
// [ErrForbidden], [ErrTimeout], [ErrFailed], [ErrDenied], [ErrLost], [ErrUnreachable], [ErrRefused] and
// [ErrInvalid], or [context.Canceled], for errors.Is.
package konductor
