// Command workers is many workers on one Semaphore, for ../../../../tests/tests/workers.rs. Each reports
// to a counter outside of Kubernetes when it is inside.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	konductor "github.com/LogicIQ/konductor/sdk/go"
)

func main() {
	namespace := flag.String("namespace", "default", "the namespace of the Semaphore")
	semaphore := flag.String("semaphore", "batch", "the Semaphore")
	workers := flag.Int("workers", 10, "how many workers there are")
	counter := flag.String("counter", "", "the address of the counter")
	flag.Parse()
	client, err := konductor.New(nil, konductor.WithNamespace(*namespace))
	if err == nil {
		err = run(context.Background(), client, *semaphore, *workers, *counter)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(
	ctx context.Context, client *konductor.Client, semaphore string, workers int, counter string,
) error {
	failures := make([]error, workers)
	var all sync.WaitGroup
	for worker := range workers {
		all.Go(func() {
			permit, err := client.AcquireSemaphore(ctx, semaphore,
				konductor.WithHolder(fmt.Sprintf("go-%d", worker)))
			if err == nil {
				err = errors.Join(inside(counter), permit.Context().Err(), permit.Release(ctx))
			}
			failures[worker] = err
		})
	}
	all.Wait()
	return errors.Join(failures...)
}

// inside goes in and out at the counter, which answers each with the byte that it was sent.
func inside(counter string) error {
	connection, err := net.Dial("tcp", counter)
	if err != nil {
		return err
	}
	for _, one := range "io" {
		if _, err := connection.Write([]byte{byte(one)}); err != nil {
			return errors.Join(err, connection.Close())
		}
		if _, err := io.ReadFull(connection, make([]byte, 1)); err != nil {
			return errors.Join(err, connection.Close())
		}
	}
	return connection.Close()
}
