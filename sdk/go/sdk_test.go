package konductor_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"testing"
	"time"

	konductor "github.com/LogicIQ/konductor/sdk/go"
	"github.com/LogicIQ/konductor/sdk/go/internal/testcluster"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
)

// through connects to a namespace through a proxy.
func through(t *testing.T, namespace string) (*konductor.Client, *testcluster.Proxy) {
	t.Helper()
	proxy := testcluster.NewProxy(t, cluster.Config)
	client, err := konductor.New(proxy.Config,
		konductor.WithNamespace(namespace), konductor.WithHolder("tester"))
	if err != nil {
		t.Fatal(err)
	}
	return client, proxy
}

func TestWithoutAConfigTheKubeconfigAndItsNamespaceAreUsed(t *testing.T) {
	namespace := cluster.Namespace(t)
	cluster.Create(t, namespace, "Gate", "dependencies-ready", map[string]any{"decision": "Open"})
	cluster.Create(t, namespace, "Barrier", "stage-complete", map[string]any{"expected": 1})
	t.Setenv("KUBECONFIG", cluster.KubeconfigOf(t, namespace))
	client, err := konductor.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	if client.Namespace() != namespace {
		t.Errorf("the namespace is %q, want %q", client.Namespace(), namespace)
	}
	if err := client.WaitGate(t.Context(), "dependencies-ready"); err != nil {
		t.Error(err)
	}
	if err := client.ArriveBarrier(t.Context(), "stage-complete"); err != nil {
		t.Error(err)
	}
	if err := client.WaitBarrier(t.Context(), "stage-complete"); err != nil {
		t.Error(err)
	}
}

func TestAnErrorTellsTheObjectTheReasonAndWhatToDo(t *testing.T) {
	t.Parallel()
	namespace := cluster.Namespace(t)
	client, _ := through(t, namespace)
	err := client.WaitGate(t.Context(), "ready", konductor.WithFailFast())
	var known *konductor.Error
	if !errors.As(err, &known) || !errors.Is(err, konductor.ErrNotFound) {
		t.Fatalf("got %v", err)
	}
	got := [4]string{known.Kind, known.Namespace, known.Name, known.Reason}
	if want := [4]string{"Gate", namespace, "ready", "NotFound"}; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	want := "gate/ready in namespace " + namespace +
		": it does not exist; create it, or use another namespace"
	if err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
}

func TestAServerWithoutKonductorIsToldFromAMissingObject(t *testing.T) {
	t.Parallel()
	empty := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(empty.Close)
	client, err := konductor.New(&rest.Config{Host: empty.URL})
	if err != nil {
		t.Fatal(err)
	}
	err = client.WaitGate(t.Context(), "ready", konductor.WithFailFast())
	want := "gate/ready in namespace default: the API server does not serve it; " +
		"install konductor, such as with `koncli crds | kubectl apply -f -`"
	if !errors.Is(err, konductor.ErrNotFound) || err.Error() != want {
		t.Fatalf("got %q, want %q", err, want)
	}
}

func TestAContextsDeadlineIsATimeout(t *testing.T) {
	t.Parallel()
	namespace := cluster.Namespace(t)
	client, _ := through(t, namespace)
	cluster.Create(t, namespace, "Gate", "ready", map[string]any{})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := client.WaitGate(ctx, "ready")
	if !errors.Is(err, konductor.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
}

func TestRightsThatAreDeniedWhileTheServerStartsAreWaitedFor(t *testing.T) {
	t.Parallel()
	namespace := cluster.Namespace(t)
	client, proxy := through(t, namespace)
	cluster.Create(t, namespace, "Gate", "ready", map[string]any{"timeout": "6s"})
	ended := make(chan error, 1)
	go func() { ended <- client.WaitGate(t.Context(), "ready") }()
	await(t, proxy, "watch gates", 1)
	proxy.Break(testcluster.Fault{Verb: "get", Resource: "gates", Code: 403, Times: 2})
	proxy.CutWatches()
	await(t, proxy, "watch gates", 2)
	if err := <-ended; !errors.Is(err, konductor.ErrFailed) {
		t.Fatalf("got %v, want the gate's timeout", err)
	}
}

func await(t *testing.T, proxy *testcluster.Proxy, request string, times int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	if err := proxy.Await(ctx, request, times); err != nil {
		t.Fatal(err)
	}
}

func TestAnAcquisitionGivenUpWhileItsCreationIsUnansweredLeavesNoClaim(t *testing.T) {
	t.Parallel()
	namespace := cluster.Namespace(t)
	client, proxy := through(t, namespace)
	cluster.Create(t, namespace, "Lease", "report", map[string]any{"ttl": "30s"})
	proxy.Break(testcluster.Fault{Verb: "create", Resource: "claims", LoseAnswer: true})
	proxy.Break(testcluster.Fault{Verb: "get", Resource: "claims", Code: 503})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := client.AcquireLease(ctx, "report")
		ended <- err
	}()
	await(t, proxy, "create claims", 2)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
	if left := cluster.Left(t, namespace, "claims"); left != 0 {
		t.Errorf("%d claims are left", left)
	}
}

func TestTheWorksContextEndsWhenTheLeaseIsLost(t *testing.T) {
	t.Parallel()
	namespace := cluster.Namespace(t)
	client, proxy := through(t, namespace)
	cluster.Create(t, namespace, "Lease", "report", map[string]any{"ttl": "3s"})
	stopped := errors.New("the work has stopped")
	err := client.WithLease(t.Context(), "report", func(ctx context.Context) error {
		if token, ok := konductor.Token(ctx); !ok || token == 0 {
			t.Errorf("the token is %d, %t", token, ok)
		}
		proxy.Break(testcluster.Fault{Verb: "patch", Resource: "claims", Code: 503})
		<-ctx.Done()
		if cause := context.Cause(ctx); !errors.Is(cause, konductor.ErrLost) {
			t.Errorf("it ended because of %v", cause)
		}
		return stopped
	})
	if !errors.Is(err, konductor.ErrLost) || !errors.Is(err, stopped) {
		t.Errorf("got %v", err)
	}
	// The caller does not wait for this.
	err = wait.PollUntilContextTimeout(t.Context(), 10*time.Millisecond, 10*time.Second, true,
		func(context.Context) (bool, error) { return cluster.Left(t, namespace, "claims") == 0, nil })
	if err != nil {
		t.Errorf("a claim is left: %v", err)
	}
}

func TestTheWorksOwnErrorIsReturnedAndTheHoldReleased(t *testing.T) {
	t.Parallel()
	namespace := cluster.Namespace(t)
	client, _ := through(t, namespace)
	cluster.Create(t, namespace, "Semaphore", "batch", map[string]any{"permits": 1})
	failed := errors.New("the work has failed")
	err := client.WithSemaphore(t.Context(), "batch", func(context.Context) error { return failed })
	if err != failed {
		t.Errorf("got %v", err)
	}
	if left := cluster.Left(t, namespace, "claims"); left != 0 {
		t.Errorf("%d claims are left", left)
	}
}

func TestWorkThatPanicsReleases(t *testing.T) {
	t.Parallel()
	namespace := cluster.Namespace(t)
	client, _ := through(t, namespace)
	cluster.Create(t, namespace, "Semaphore", "batch", map[string]any{"permits": 1})
	func() {
		defer func() {
			if got := recover(); got != "the work panics" {
				t.Errorf("got %v", got)
			}
		}()
		_ = client.WithSemaphore(t.Context(), "batch", func(context.Context) error {
			panic("the work panics")
		})
	}()
	if left := cluster.Left(t, namespace, "claims"); left != 0 {
		t.Errorf("%d claims are left", left)
	}
}

func TestAHoldOutlivesTheContextItWasAcquiredWithAndIsReleasedWithoutOne(t *testing.T) {
	t.Parallel()
	namespace := cluster.Namespace(t)
	client, proxy := through(t, namespace)
	cluster.Create(t, namespace, "Lease", "report", map[string]any{"ttl": "3s"})
	ctx, cancel := context.WithCancel(t.Context())
	held, err := client.AcquireLease(ctx, "report")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	await(t, proxy, "patch claims", 4)
	if err := held.Context().Err(); err != nil {
		t.Errorf("the hold has ended: %v", err)
	}
	if err := held.Release(ctx); err != nil {
		t.Errorf("release: %v", err)
	}
	var cause *konductor.Error
	if !errors.As(context.Cause(held.Context()), &cause) ||
		cause.Reason != konductor.ReasonReleased {
		t.Errorf("its context ended because of %v", context.Cause(held.Context()))
	}
	select {
	case <-held.Lost():
		t.Error("what was released is reported as lost")
	default:
	}
	if left := cluster.Left(t, namespace, "claims"); left != 0 {
		t.Errorf("%d claims are left", left)
	}
}

func TestAPartyMeetsTheArrivalThatKoncliMadeForIt(t *testing.T) {
	t.Parallel()
	koncli, err := testcluster.Koncli()
	if err != nil {
		t.Fatal(err)
	}
	namespace := cluster.Namespace(t)
	client, _ := through(t, namespace)
	cluster.Create(t, namespace, "Barrier", "stage-complete", map[string]any{"expected": 2})
	said, err := exec.Command(koncli, "--kubeconfig", cluster.Kubeconfig, "-n", namespace,
		"barrier", "arrive", "stage-complete", "--holder", "tester").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	if err := client.ArriveBarrier(t.Context(), "stage-complete"); err != nil {
		t.Fatal(err)
	}
	if left := cluster.Left(t, namespace, "arrivals"); left != 1 {
		t.Errorf("there are %d arrivals, want the one of koncli", left)
	}
}

func TestAnAcquisitionGoesOnAlthoughItsClaimCanNotBeReadForAMoment(t *testing.T) {
	t.Parallel()
	namespace := cluster.Namespace(t)
	client, proxy := through(t, namespace)
	cluster.Create(t, namespace, "Lease", "report", map[string]any{"ttl": "30s"})
	proxy.Break(testcluster.Fault{Verb: "get", Resource: "claims", Code: 500, Times: 2})
	held, err := client.AcquireLease(t.Context(), "report")
	if err != nil {
		t.Fatal(err)
	}
	if err := held.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestWithoutAnAnswerOfAnOperatorAnAcquisitionThatDoesNotWaitEnds(t *testing.T) {
	t.Parallel()
	namespace := cluster.Namespace(t)
	client, proxy := through(t, namespace)
	cluster.Create(t, namespace, "Lease", "report", map[string]any{"ttl": "30s"})
	// What the operator says is not heard.
	proxy.Break(testcluster.Fault{Verb: "watch", Resource: "claims", Hang: true})
	_, err := client.AcquireLease(t.Context(), "report", konductor.WithWait(false))
	var known *konductor.Error
	if !errors.As(err, &known) || !errors.Is(err, konductor.ErrTimeout) ||
		known.Reason != konductor.ReasonNoAnswer || known.Kind != "Lease" {
		t.Errorf("got %v", err)
	}
	if left := cluster.Left(t, namespace, "claims"); left != 0 {
		t.Errorf("%d claims are left", left)
	}
}
