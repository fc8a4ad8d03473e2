package konductortest_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/LogicIQ/konductor/sdk/go/internal/testcluster"
	"github.com/LogicIQ/konductor/sdk/go/konductortest"
)

// A test of an application against the real API.
func TestAReportIsWrittenUnderItsLease(t *testing.T) {
	if os.Getenv("KONCLI") == "" {
		koncli, err := testcluster.Koncli()
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv("KONCLI", koncli)
	}
	client := konductortest.Client(t)
	if err := client.EnsureLease(t.Context(), "report", 5*time.Second); err != nil {
		t.Fatal(err)
	}
	written := 0
	err := client.WithLease(t.Context(), "report", func(context.Context) error {
		written++
		return nil
	})
	if err != nil || written != 1 {
		t.Errorf("%d reports, %v", written, err)
	}
}
