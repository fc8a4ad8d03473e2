package konductor_test

import (
	"bufio"
	"cmp"
	"context"
	"encoding/pem"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	konductor "github.com/LogicIQ/konductor/sdk/go"
	"github.com/LogicIQ/konductor/sdk/go/internal/testcluster"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// recovery is how soon a connection that delivers nothing any more must be given up.
const recovery = 15 * time.Second

func TestAFrozenConnectionIsReplacedInTime(t *testing.T) {
	t.Parallel()
	namespace := cluster.Namespace(t)
	cluster.Create(t, namespace, "Gate", "ready", map[string]any{})
	cluster.Create(t, namespace, "Semaphore", "batch", map[string]any{"permits": 0})
	proxy := testcluster.NewProxy(t, cluster.Config)
	server := httptest.NewUnstartedServer(proxy)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	freezer := testcluster.NewFreezer(t, server.Listener.Addr().String())
	authority := pem.EncodeToMemory(
		&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	client, err := konductor.New(
		&rest.Config{
			Host: "https://" + freezer.Address,
			TLSClientConfig: rest.TLSClientConfig{
				CAData: authority, ServerName: "example.com",
			},
		},
		konductor.WithNamespace(namespace), konductor.WithHolder("tester"))
	if err != nil {
		t.Fatal(err)
	}
	waited, acquired := make(chan error, 1), make(chan error, 1)
	go func() { waited <- client.WaitGate(t.Context(), "ready") }()
	go func() {
		permit, err := client.AcquireSemaphore(t.Context(), "batch")
		if err == nil {
			err = permit.Release(t.Context())
		}
		acquired <- err
	}()
	await(t, proxy, "watch gates", 1)
	await(t, proxy, "watch claims", 1)
	freezer.Freeze()
	frozen := time.Now()
	patch(t, namespace, "gates", "ready", `{"spec":{"decision":"Open"}}`)
	patch(t, namespace, "semaphores", "batch", `{"spec":{"permits":1}}`)
	for what, ended := range map[string]chan error{"wait": waited, "acquisition": acquired} {
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
			t.Logf("%s: recovered after %s", what, time.Since(frozen).Round(10*time.Millisecond))
		case <-time.After(recovery - time.Since(frozen)):
			t.Errorf("%s: not within %s", what, recovery)
		}
	}
}

func patch(t *testing.T, namespace, resource, name, with string) {
	t.Helper()
	_, err := cluster.Resource(namespace, resource).Patch(t.Context(), name,
		types.MergePatchType, []byte(with), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func TestALossIsNoCancellation(t *testing.T) {
	t.Parallel()
	namespace := cluster.Namespace(t)
	client, proxy := through(t, namespace)
	cluster.Create(t, namespace, "Lease", "report", map[string]any{"ttl": "1s"})
	err := client.WithLease(t.Context(), "report", func(ctx context.Context) error {
		proxy.Break(testcluster.Fault{Verb: "patch", Resource: "claims", Code: 503})
		<-ctx.Done()
		return ctx.Err()
	})
	if !errors.Is(err, konductor.ErrLost) || errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

func TestAReleaseEndsWhileTheAPIServerIsAwayWhateverTheTTL(t *testing.T) {
	t.Parallel()
	namespace := cluster.Namespace(t)
	client, proxy := through(t, namespace)
	cluster.Create(t, namespace, "Lease", "report", map[string]any{"ttl": "30s"})
	lease, err := client.AcquireLease(t.Context(), "report")
	if err != nil {
		t.Fatal(err)
	}
	proxy.Down()
	begun := time.Now()
	if err := lease.Release(context.Background()); !errors.Is(err, konductor.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestTheAPIClientLogsNothingPastTheLogger(t *testing.T) {
	t.Parallel()
	// An answer that begins and does not end: client-go logs that as an error.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte("{"))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	var logged strings.Builder
	log := slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	client, err := konductor.New(&rest.Config{Host: server.URL}, konductor.WithLogger(log))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if err := client.ArriveBarrier(ctx, "stage"); !errors.Is(err, konductor.ErrTimeout) {
		t.Errorf("got %v", err)
	}
	want := `level=DEBUG msg="Unexpected error when reading response body"`
	if !strings.Contains(logged.String(), want) {
		t.Errorf("logged %s", logged.String())
	}
}

func TestWhatIsWrittenNamesItsFieldManager(t *testing.T) {
	t.Parallel()
	namespace := cluster.Namespace(t)
	client, proxy := through(t, namespace)
	cluster.Create(t, namespace, "Barrier", "stage", map[string]any{"expected": 1})
	cluster.Create(t, namespace, "Lease", "report", map[string]any{"ttl": "3s"})
	if err := client.ArriveBarrier(t.Context(), "stage"); err != nil {
		t.Fatal(err)
	}
	lease, err := client.AcquireLease(t.Context(), "report")
	if err != nil {
		t.Fatal(err)
	}
	await(t, proxy, "patch claims", 1)
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, manager := range proxy.Managers() {
		if manager != "konductor-sdk" {
			t.Errorf("a write names %q", manager)
		}
	}
	if len(proxy.Managers()) < 3 {
		t.Errorf("there were only %d writes", len(proxy.Managers()))
	}
}

func TestExampleLeaderElectionStandsByWhileTheAPIServerIsAway(t *testing.T) {
	t.Parallel()
	namespace := cluster.Namespace(t)
	// KONDUCTOR_OUTAGE=60 keeps the API server away for a minute.
	outage, err := time.ParseDuration(cmp.Or(os.Getenv("KONDUCTOR_OUTAGE"), "0") + "s")
	if err != nil {
		t.Fatal(err)
	}
	ttl := "3s"
	if outage > 0 {
		ttl = "15s"
	}
	cluster.Create(t, namespace, "Lease", "scheduler", map[string]any{"ttl": ttl})
	proxy := testcluster.NewProxy(t, cluster.Config)
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	config := api.NewConfig()
	config.Clusters["it"] = &api.Cluster{Server: proxy.Config.Host}
	config.Contexts["it"] = &api.Context{Cluster: "it", Namespace: namespace}
	config.CurrentContext = "it"
	if err := clientcmd.WriteToFile(*config, kubeconfig); err != nil {
		t.Fatal(err)
	}
	command := program(t, "leader-election", namespace)()
	command.Env = append(command.Env, "KUBECONFIG="+kubeconfig)
	said, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(said)
	until := func(words string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), words) {
				return
			}
		}
		t.Fatalf("it has ended before %q", words)
	}
	until("leading")
	proxy.Down()
	away := time.Now()
	until("lost the lead")
	t.Logf("the lead was lost after %s", time.Since(away))
	until("the API server can't be reached; trying again")
	time.Sleep(outage - time.Since(away))
	proxy.Up(t)
	back := time.Now()
	until("leading")
	t.Logf("it leads again %s after the API server is back", time.Since(back))
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		t.Log(lines.Text())
	}
	if err := command.Wait(); err != nil {
		t.Fatal(err)
	}
	// None is held: the claim of a lead that was lost in an outage may have ended with its TTL instead.
	all, err := cluster.Resource(namespace, "claims").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range all.Items {
		phase, _, _ := unstructured.NestedString(one.Object, "status", "phase")
		if phase != "Expired" {
			t.Fatalf("%s is %s", one.GetName(), phase)
		}
	}
}
