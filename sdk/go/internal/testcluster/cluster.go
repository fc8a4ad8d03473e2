// Package testcluster gives tests a cluster with the operator: one for each test binary, and a
// namespace for each test.
//
// By default it is `koncli dev`, from the program that $KONCLI names or built here. With
// KONDUCTOR_TEST_CLUSTER=external it is the one of $KUBECONFIG.
package testcluster

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Cluster is a cluster that runs.
type Cluster struct {
	Config     *rest.Config
	Kubeconfig string
	Objects    dynamic.Interface
	stop       func() error
}

// Run starts a cluster, hands it out, runs the tests and stops it; it returns their exit code.
func Run(m *testing.M, use func(*Cluster)) int {
	cluster, err := start()
	if err != nil {
		fmt.Fprintln(os.Stderr, "no cluster for the tests:", err)
		return 1
	}
	use(cluster)
	code := m.Run()
	if err := cluster.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "the cluster has not ended well:", err)
		return 1
	}
	return code
}

func start() (*Cluster, error) {
	if os.Getenv("KONDUCTOR_TEST_CLUSTER") == "external" {
		return connect(os.Getenv("KUBECONFIG"), func() error { return nil })
	}
	koncli, err := Koncli()
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "konductor-go-")
	if err != nil {
		return nil, err
	}
	kubeconfig := filepath.Join(folder, "kubeconfig")
	var said bytes.Buffer
	command := exec.Command(koncli, "dev", "--write-kubeconfig", kubeconfig)
	command.Stderr = &said
	stdout, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	stop := func() error {
		defer func() { _ = os.RemoveAll(folder) }()
		if err := command.Process.Signal(syscall.SIGTERM); err != nil {
			return err
		}
		ended := command.Wait()
		// Ended by the signal is what was asked for, whatever its exit code is.
		var exit *exec.ExitError
		if ended != nil && !errors.As(ended, &exit) {
			return ended
		}
		return nil
	}
	// One line tells that it is up.
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		return nil, errors.Join(fmt.Errorf("koncli dev: %w", err), stop(), errors.New(said.String()))
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	return connect(kubeconfig, stop)
}

func connect(kubeconfig string, stop func() error) (*Cluster, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	config.QPS = -1
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	return &Cluster{config, kubeconfig, objects, stop}, nil
}

// Koncli is the path of koncli: that of $KONCLI, or it is built.
func Koncli() (string, error) {
	if path := os.Getenv("KONCLI"); path != "" {
		return path, nil
	}
	_, here, _, _ := runtime.Caller(0)
	command := exec.Command("cargo", "build", "--package", "koncli", "--message-format=json")
	command.Dir = filepath.Dir(here)
	command.Stderr = os.Stderr
	printed, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("cargo build --package koncli: %w", err)
	}
	for line := range strings.Lines(string(printed)) {
		var artifact struct{ Executable string }
		if json.Unmarshal([]byte(line), &artifact) == nil && artifact.Executable != "" {
			return artifact.Executable, nil
		}
	}
	return "", errors.New("cargo names no executable of koncli")
}

var count atomic.Int64

// Namespace creates a namespace for a test, and deletes it after.
func (c *Cluster) Namespace(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("go-%d-%d", os.Getpid(), count.Add(1))
	namespaces := c.Objects.Resource(
		schema.GroupVersionResource{Version: "v1", Resource: "namespaces"})
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name},
	}}
	if _, err := namespaces.Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := namespaces.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
			t.Logf("namespace %s stays: %v", name, err)
		}
	})
	return name
}

// Create creates an object of konductor.io/v1.
func (c *Cluster) Create(t testing.TB, namespace, kind, name string, spec map[string]any) {
	t.Helper()
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "konductor.io/v1", "kind": kind,
		"metadata": map[string]any{"name": name}, "spec": spec,
	}}
	resource := schema.GroupVersionResource{
		Group: "konductor.io", Version: "v1", Resource: strings.ToLower(kind) + "s",
	}
	_, err := c.Objects.Resource(resource).Namespace(namespace).
		Create(t.Context(), object, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// Left is how many objects of a resource a namespace has.
func (c *Cluster) Left(t testing.TB, namespace, resource string) int {
	t.Helper()
	found, err := c.Objects.Resource(schema.GroupVersionResource{
		Group: "konductor.io", Version: "v1", Resource: resource,
	}).Namespace(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return len(found.Items)
}

// KubeconfigOf writes a kubeconfig whose context is in a namespace.
func (c *Cluster) KubeconfigOf(t testing.TB, namespace string) string {
	t.Helper()
	config, err := clientcmd.LoadFromFile(c.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.Contexts[config.CurrentContext].Namespace = namespace
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}
