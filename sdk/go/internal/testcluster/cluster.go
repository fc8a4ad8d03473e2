// Package testcluster gives tests a cluster with the operator: one for each test binary, and a
// namespace for each test.
//
// By default it is `koncli dev`, from the program that $KONCLI names or built here. With
// KONDUCTOR_TEST_CLUSTER=external it is the one of $KUBECONFIG. For what happens without an operator
// there is a second one: that of $KONDUCTOR_TEST_BARE_KUBECONFIG, or `koncli dev --no-operator`.
package testcluster

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	v1 "github.com/LogicIQ/konductor/sdk/go/api/v1"
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

	folder string
	stop   func() error

	starting sync.Once
	bare     *Cluster
	notBare  error
}

// Run starts a cluster, hands it out, runs the tests and stops it; it returns their exit code.
func Run(m *testing.M, use func(*Cluster) error) int {
	kubeconfig, err := external()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cluster, err := start(kubeconfig)
	if err != nil {
		fmt.Fprintln(os.Stderr, "no cluster for the tests:", err)
		return 1
	}
	// The tests wait more than they compute; -parallel says otherwise.
	if err := flag.Set("test.parallel", "16"); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	code := 1
	if err := use(cluster); err != nil {
		fmt.Fprintln(os.Stderr, "the cluster can't be prepared:", err)
	} else {
		code = m.Run()
	}
	if err := cluster.end(); err != nil {
		fmt.Fprintln(os.Stderr, "the cluster has not ended well:", err)
		return 1
	}
	return code
}

// external names the existing cluster to use, if there is one.
func external() (string, error) {
	if os.Getenv("KONDUCTOR_TEST_CLUSTER") != "external" {
		return "", nil
	}
	kubeconfig := os.Getenv("KUBECONFIG")
	if kubeconfig == "" {
		return "", errors.New("name the cluster for the tests with KUBECONFIG")
	}
	return kubeconfig, nil
}

// start opens the cluster of a kubeconfig, or without one starts `koncli dev` with these options.
func start(kubeconfig string, options ...string) (*Cluster, error) {
	folder, err := os.MkdirTemp("", "konductor-go-")
	if err != nil {
		return nil, err
	}
	made := &Cluster{
		Kubeconfig: kubeconfig, folder: folder, stop: func() error { return nil },
	}
	if kubeconfig == "" {
		err = made.dev(options)
	}
	if err == nil {
		err = made.connect()
	}
	if err != nil {
		return nil, errors.Join(err, made.end())
	}
	return made, nil
}

func (c *Cluster) end() error {
	ended := errors.Join(c.stop(), os.RemoveAll(c.folder))
	if c.bare != nil {
		ended = errors.Join(ended, c.bare.end())
	}
	return ended
}

// WithoutOperator is a second cluster, with the CustomResourceDefinitions and no operator.
func (c *Cluster) WithoutOperator(t testing.TB) *Cluster {
	t.Helper()
	c.starting.Do(func() {
		c.bare, c.notBare = start(os.Getenv("KONDUCTOR_TEST_BARE_KUBECONFIG"), "--no-operator")
	})
	if c.notBare != nil {
		t.Fatal("no cluster without an operator:", c.notBare)
	}
	return c.bare
}

// StartOperator starts an operator for one namespace. It ends with the test.
func (c *Cluster) StartOperator(t testing.TB, namespace string) {
	t.Helper()
	koncli, err := Koncli()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(koncli, "operator", "--leader-elect=false",
		"--watch-namespace", namespace, "--kubeconfig", c.Kubeconfig)
	said := &bytes.Buffer{}
	command.Stderr = said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		if err := command.Wait(); err != nil {
			t.Logf("the operator: %v: %s", err, said)
		}
	})
}

// dev starts `koncli dev`, and waits until it is up.
func (c *Cluster) dev(options []string) error {
	koncli, err := Koncli()
	if err != nil {
		return err
	}
	c.Kubeconfig = filepath.Join(c.folder, "kubeconfig")
	command := exec.Command(koncli,
		append([]string{"dev", "--write-kubeconfig", c.Kubeconfig}, options...)...)
	said := &bytes.Buffer{}
	command.Stderr = said
	stdout, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	c.stop = func() error {
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
	// One line says that it is up.
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		_ = command.Wait()
		c.stop = func() error { return nil }
		return fmt.Errorf("koncli dev: %w: %s", err, said)
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	return nil
}

func (c *Cluster) connect() (err error) {
	if c.Config, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig); err != nil {
		return err
	}
	c.Config.QPS = -1
	c.Objects, err = dynamic.NewForConfig(c.Config)
	return err
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

// Object is an object of konductor.io/v1.
type Object struct {
	Kind, Name string
	Spec       map[string]any
}

// Stage creates objects in a new namespace, and makes that the one of $KUBECONFIG.
func (c *Cluster) Stage(objects []Object) error {
	ctx := context.Background()
	namespace := name()
	if err := c.createNamespace(ctx, namespace); err != nil {
		return err
	}
	for _, one := range objects {
		if err := c.create(ctx, namespace, one); err != nil {
			return err
		}
	}
	path := filepath.Join(c.folder, "stage")
	if err := c.kubeconfigOf(namespace, path); err != nil {
		return err
	}
	return os.Setenv("KUBECONFIG", path)
}

// Namespace creates a namespace for a test, and deletes it after.
func (c *Cluster) Namespace(t testing.TB) string {
	t.Helper()
	made := name()
	if err := c.createNamespace(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := c.namespaces().Delete(ctx, made, metav1.DeleteOptions{}); err != nil {
			t.Logf("namespace %s stays: %v", made, err)
		}
	})
	return made
}

var count atomic.Int64

func name() string { return fmt.Sprintf("go-%d-%d", os.Getpid(), count.Add(1)) }

func (c *Cluster) namespaces() dynamic.ResourceInterface {
	return c.Objects.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"})
}

func (c *Cluster) createNamespace(ctx context.Context, name string) error {
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name},
	}}
	_, err := c.namespaces().Create(ctx, object, metav1.CreateOptions{})
	return err
}

// Create creates an object of konductor.io/v1.
func (c *Cluster) Create(t testing.TB, namespace, kind, name string, spec map[string]any) {
	t.Helper()
	if err := c.create(t.Context(), namespace, Object{kind, name, spec}); err != nil {
		t.Fatal(err)
	}
}

func (c *Cluster) create(ctx context.Context, namespace string, one Object) error {
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": v1.GroupVersion.String(), "kind": one.Kind, "spec": one.Spec,
		"metadata": map[string]any{"name": one.Name},
	}}
	_, err := c.Resource(namespace, strings.ToLower(one.Kind)+"s").
		Create(ctx, object, metav1.CreateOptions{})
	return err
}

// Resource is a resource of konductor.io/v1 in a namespace, with every right.
func (c *Cluster) Resource(namespace, resource string) dynamic.ResourceInterface {
	return c.Objects.Resource(v1.GroupVersion.WithResource(resource)).Namespace(namespace)
}

// Left is how many objects of a resource a namespace has.
func (c *Cluster) Left(t testing.TB, namespace, resource string) int {
	t.Helper()
	found, err := c.Resource(namespace, resource).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return len(found.Items)
}

// KubeconfigOf writes a kubeconfig whose context is in a namespace.
func (c *Cluster) KubeconfigOf(t testing.TB, namespace string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := c.kubeconfigOf(namespace, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func (c *Cluster) kubeconfigOf(namespace, path string) error {
	config, err := clientcmd.LoadFromFile(c.Kubeconfig)
	if err != nil {
		return err
	}
	config.Contexts[config.CurrentContext].Namespace = namespace
	return clientcmd.WriteToFile(*config, path)
}
