// Command leader-election lets one of several replicas lead. The others stand by, and one of them
// takes over when the leader ends, or does not renew.
//
//	koncli lease create scheduler --ttl 15s
//	go run ./examples/leader-election -for 10s
package main

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	konductor "github.com/LogicIQ/konductor/sdk/go"
)

func main() {
	lease := flag.String("lease", "scheduler", "the Lease that the replicas share")
	length := flag.Duration("for", 0, "resign after this long; 0 leads until interrupted")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *lease, *length); err != nil && !errors.Is(err, context.Canceled) {
		slog.Error("ended", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, lease string, length time.Duration) error {
	client, err := konductor.New(nil)
	if err != nil {
		return err
	}
	for {
		slog.Info("standing by", "holder", client.Holder())
		err := client.WithLease(ctx, lease, func(ctx context.Context) error {
			return lead(ctx, length)
		})
		if !errors.Is(err, konductor.ErrLost) {
			return err
		}
		// Somebody else may lead by now: stand by again.
		slog.Warn("lost the lead", "error", err)
	}
}

// lead works until ctx ends: the lead is lost then, or the program is to end.
func lead(ctx context.Context, length time.Duration) error {
	token, _ := konductor.Token(ctx)
	slog.Info("leading", "token", token)
	if length > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, length, errResigned)
		defer cancel()
	}
	<-ctx.Done()
	if errors.Is(context.Cause(ctx), errResigned) {
		slog.Info("resigning")
		return nil
	}
	return ctx.Err()
}

var errResigned = errors.New("resigned")
