package konductor_test

import (
	"context"
	"errors"
	"testing"

	konductor "github.com/LogicIQ/konductor/sdk/go"
)

// A unit test of an application, with the published test doubles.
func TestWorkStopsWhenItsFakeLeaseIsLost(t *testing.T) {
	guard, lose := konductor.FakeLease(7)
	var written []int64
	write := func() error {
		if err := guard.Check(); err != nil {
			return err
		}
		written = append(written, guard.Token())
		return nil
	}
	if err := write(); err != nil {
		t.Fatal(err)
	}
	lose()
	lose()
	if err := write(); !errors.Is(err, konductor.ErrLost) {
		t.Errorf("got %v", err)
	}
	<-guard.Lost()
	if err := guard.Release(t.Context()); err != nil || len(written) != 1 || written[0] != 7 {
		t.Errorf("wrote %v; %v", written, err)
	}
}

func TestAFakePermitIsReleasedOnce(t *testing.T) {
	permit, lose := konductor.FakePermit()
	for range 2 {
		if err := permit.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	lose()
	if err := permit.Check(); !errors.Is(err, context.Canceled) || errors.Is(err, konductor.ErrLost) {
		t.Errorf("got %v", err)
	}
}

func TestATokenForTestsIsFoundInItsContext(t *testing.T) {
	if token, ok := konductor.Token(konductor.ContextWithToken(t.Context(), 7)); !ok || token != 7 {
		t.Errorf("got %d, %t", token, ok)
	}
}
