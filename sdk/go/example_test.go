package konductor_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	konductor "github.com/LogicIQ/konductor/sdk/go"
)

func Example() {
	ctx := context.Background()
	client, err := konductor.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := client.WaitGate(ctx, "dependencies-ready"); err != nil {
		log.Fatal(err)
	}
	// … the work of this stage …
	if err := client.ArriveBarrier(ctx, "stage-complete"); err != nil {
		log.Fatal(err)
	}
	fmt.Println("the stage is complete")
	// Output: the stage is complete
}

func ExampleClient_WithLease() {
	client, err := konductor.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	err = client.WithLease(context.Background(), "daily-report", func(ctx context.Context) error {
		token, _ := konductor.Token(ctx)
		fmt.Println("one at a time, with a token:", token > 0)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: one at a time, with a token: true
}

func ExampleClient_AcquireSemaphore() {
	ctx := context.Background()
	client, err := konductor.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	permit, err := client.AcquireSemaphore(ctx, "batch", konductor.WithPermits(2))
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.AcquireSemaphore(ctx, "batch", konductor.WithWait(false))
	fmt.Println("denied:", errors.Is(err, konductor.ErrDenied))
	if err := permit.Release(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: denied: true
}

func ExampleError() {
	client, err := konductor.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	err = client.WaitGate(context.Background(), "overdue", konductor.WithTimeout(time.Minute))
	var failed *konductor.Error
	if errors.As(err, &failed) && errors.Is(err, konductor.ErrFailed) {
		fmt.Printf("%s/%s: %s\n", failed.Kind, failed.Name, failed.Reason)
	}
	// Output: Gate/overdue: Failed
}
