// Command worker-pool works on items with many goroutines, of which only as many work at once, in
// all replicas together, as a Semaphore has permits.
//
//	koncli semaphore create database --permits 2
//	go run ./examples/worker-pool -items 10
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	konductor "github.com/LogicIQ/konductor/sdk/go"
)

func main() {
	semaphore := flag.String("semaphore", "database", "the Semaphore that limits the work")
	items := flag.Int("items", 10, "how many items there are")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	most, err := run(ctx, *semaphore, *items)
	if err != nil {
		slog.Error("not all items are done", "error", err)
		os.Exit(1)
	}
	fmt.Printf("%d items done, at most %d at once\n", *items, most)
}

// run works on all items, and returns how many of this process were worked on at once.
func run(ctx context.Context, semaphore string, items int) (int64, error) {
	client, err := konductor.New(nil)
	if err != nil {
		return 0, err
	}
	var all sync.WaitGroup
	var busy, most atomic.Int64
	failures := make([]error, items)
	for item := range items {
		all.Go(func() {
			failures[item] = client.WithSemaphore(ctx, semaphore, func(ctx context.Context) error {
				raise(&most, busy.Add(1))
				defer busy.Add(-1)
				return work(ctx, item)
			})
		})
	}
	all.Wait()
	return most.Load(), errors.Join(failures...)
}

// work stands for a query. It ends with ctx: the permit may be another's then.
func work(ctx context.Context, item int) error {
	slog.InfoContext(ctx, "working", "item", item)
	select {
	case <-time.After(100 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func raise(most *atomic.Int64, to int64) {
	for {
		known := most.Load()
		if to <= known || most.CompareAndSwap(known, to) {
			return
		}
	}
}
