// Command fenced-write writes a report that at most one holder of a Lease may write last. A holder
// that was stopped for longer than its TTL, and continues without knowing it, is refused by the storage.
//
//	koncli lease create daily-report --ttl 15s
//	go run ./examples/fenced-write -file report.json -text "all is well"
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	konductor "github.com/LogicIQ/konductor/sdk/go"
)

func main() {
	lease := flag.String("lease", "daily-report", "the Lease that protects the file")
	path := flag.String("file", "report.json", "the file")
	text := flag.String("text", "all is well", "what is written")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *lease, store{*path}, *text); err != nil {
		slog.Error("not written", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, lease string, to store, text string) error {
	client, err := konductor.New(nil)
	if err != nil {
		return err
	}
	held, err := client.AcquireLease(ctx, lease)
	if err != nil {
		return err
	}
	defer func() {
		if err := held.Release(ctx); err != nil {
			slog.Warn("the lease ends with its TTL", "error", err)
		}
	}()
	// The Lease lets one work at a time. The token makes it safe: between a look at the Lease and
	// the write, any time may pass.
	if err := to.write(held.Token(), text); err != nil {
		return err
	}
	fmt.Printf("written by the holder of token %d\n", held.Token())
	return nil
}
