package konductor_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	konductor "github.com/LogicIQ/konductor/sdk/go"
	v1 "github.com/LogicIQ/konductor/sdk/go/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// soon receives within the time that anything may take.
func soon[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case found := <-from:
		return found
	case <-time.After(30 * time.Second):
		t.Fatal("nothing in time")
		panic("unreachable")
	}
}

func TestObjectsAreCreatedOnFirstUseAndInspected(t *testing.T) {
	t.Parallel()
	client, _ := through(t, cluster.Namespace(t))
	if _, err := client.GetLease(t.Context(), "report"); !errors.Is(err, konductor.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	for _, ttl := range []time.Duration{7 * time.Second, 9 * time.Second} {
		if err := client.EnsureLease(t.Context(), "report", ttl); err != nil {
			t.Fatal(err)
		}
	}
	lease, err := client.GetLease(t.Context(), "report")
	if err != nil || lease.Spec.TTL != v1.NewDuration(7*time.Second) {
		t.Errorf("got %v, %v: one that exists is not changed", lease, err)
	}
	if err := client.EnsureLease(t.Context(), "a/b", time.Second); !errors.Is(err, konductor.ErrInvalid) {
		t.Errorf("got %v", err)
	}
	if err := client.EnsureBarrier(t.Context(), "workers", v1.BarrierSpec{Expected: 2}); err != nil {
		t.Error(err)
	}
	if barrier, err := client.GetBarrier(t.Context(), "workers"); err != nil || barrier.Spec.Expected != 2 {
		t.Errorf("got %v, %v", barrier, err)
	}
	if err := client.EnsureSemaphore(t.Context(), "batch", v1.SemaphoreSpec{Permits: 3}); err != nil {
		t.Error(err)
	}
	permit, err := client.AcquireSemaphore(t.Context(), "batch", konductor.WithPermits(2))
	if err != nil {
		t.Fatal(err)
	}
	semaphore, err := client.GetSemaphore(t.Context(), "batch")
	if err != nil || semaphore.Status.InUse != 2 || semaphore.Status.Holders[0].Holder != "tester" {
		t.Errorf("got %v, %v", semaphore, err)
	}
	if err := permit.Release(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestANewLeaderIsReported(t *testing.T) {
	t.Parallel()
	client, _ := through(t, cluster.Namespace(t))
	if err := client.EnsureLease(t.Context(), "scheduler", 30*time.Second); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	leaders, ended := make(chan string, 10), make(chan error, 1)
	go func() {
		ended <- client.WatchLeader(ctx, "scheduler", func(leader string) { leaders <- leader })
	}()
	if leader := soon(t, leaders); leader != "" {
		t.Errorf("%q leads", leader)
	}
	for _, holder := range []string{"one", "two"} {
		guard, err := client.AcquireLease(ctx, "scheduler", konductor.WithHolder(holder))
		if err != nil {
			t.Fatal(err)
		}
		if leader := soon(t, leaders); leader != holder {
			t.Errorf("%q leads, not %q", leader, holder)
		}
		if leader, err := client.Leader(ctx, "scheduler"); leader != holder || err != nil {
			t.Errorf("%q leads, %v", leader, err)
		}
		if err := guard.Release(ctx); err != nil {
			t.Error(err)
		}
		if leader := soon(t, leaders); leader != "" {
			t.Errorf("%q leads", leader)
		}
	}
	stop()
	if err := soon(t, ended); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestSeveralAreAcquiredInOneOrderWhateverOrderTheyAreAskedIn(t *testing.T) {
	t.Parallel()
	client, _ := through(t, cluster.Namespace(t))
	names := []string{"a", "b", "c"}
	for _, name := range names {
		if err := client.EnsureLease(t.Context(), name, 30*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	inside, most := 0, 0
	var counting sync.Mutex
	var parties sync.WaitGroup
	for _, order := range []string{"abc", "cba", "bac"} {
		parties.Go(func() {
			var requests []konductor.Request
			for name := range strings.SplitSeq(order, "") {
				requests = append(requests, konductor.LeaseRequest(name, konductor.WithHolder(order)))
			}
			for range 5 {
				err := client.WithAll(ctx, requests, func(ctx context.Context) error {
					counting.Lock()
					inside++
					most = max(most, inside)
					counting.Unlock()
					for _, name := range names {
						if token, ok := konductor.TokenOf(ctx, name); !ok || token == 0 {
							t.Errorf("lease %s has no token", name)
						}
					}
					counting.Lock()
					inside--
					counting.Unlock()
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	parties.Wait()
	if most != 1 {
		t.Errorf("%d were inside at once", most)
	}
	twice := []konductor.Request{
		konductor.LeaseRequest("a"), konductor.SemaphoreRequest("a"), konductor.LeaseRequest("a"),
	}
	never := func(context.Context) error { t.Error("it works"); return nil }
	if err := client.WithAll(ctx, twice, never); !errors.Is(err, konductor.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}

func TestWhatHappensInCallsIsReportedForMetrics(t *testing.T) {
	t.Parallel()
	namespace := cluster.Namespace(t)
	events := make(chan konductor.Event, 1000)
	client, err := konductor.New(cluster.Config, konductor.WithNamespace(namespace),
		konductor.WithOnEvent(func(event konductor.Event) { events <- event }))
	if err != nil {
		t.Fatal(err)
	}
	until := func(what konductor.EventKind) konductor.Event {
		for {
			if event := soon(t, events); event.What == what {
				return event
			}
		}
	}
	if err := client.EnsureLease(t.Context(), "report", 6*time.Second); err != nil {
		t.Fatal(err)
	}
	first, err := client.AcquireLease(t.Context(), "report", konductor.WithHolder("first"))
	if err != nil {
		t.Fatal(err)
	}
	until(konductor.EventAcquired)
	if event := until(konductor.EventRenewed); event.Kind != "Lease" || event.Name != "report" {
		t.Errorf("got %+v", event)
	}
	second := make(chan *konductor.LeaseGuard, 1)
	go func() {
		guard, err := client.AcquireLease(t.Context(), "report", konductor.WithHolder("second"))
		if err != nil {
			t.Error(err)
		}
		second <- guard
	}()
	if event := until(konductor.EventWaiting); event.Message == "" || event.Kind != "Lease" {
		t.Errorf("got %+v", event)
	}
	if err := first.Release(t.Context()); err != nil {
		t.Error(err)
	}
	until(konductor.EventReleased)
	guard := soon(t, second)
	claims := cluster.Resource(namespace, "claims")
	if err := claims.Delete(t.Context(), guard.Claim(), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	soon(t, guard.Lost())
	until(konductor.EventLost)
}
