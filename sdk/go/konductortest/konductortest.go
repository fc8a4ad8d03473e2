// Package konductortest starts a cluster in memory, with konductor's operator, for tests of programs against the
// real API. For unit tests without one there are [konductor.FakeLease] and [konductor.FakePermit].
package konductortest

import (
	"bufio"
	"bytes"
	"cmp"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	konductor "github.com/LogicIQ/konductor/sdk/go"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Start starts `koncli dev`, which takes a fraction of a second, and stops it at the end of the test. It takes the
// program that $KONCLI names, or the koncli of $PATH.
func Start(t testing.TB) *rest.Config {
	t.Helper()
	koncli := cmp.Or(os.Getenv("KONCLI"), "koncli")
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	command := exec.Command(koncli, "dev", "--write-kubeconfig", kubeconfig)
	said := &bytes.Buffer{}
	command.Stderr = said
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatalf("%s can't be started: %v; put koncli on PATH, or name it with KONCLI", koncli, err)
	}
	t.Cleanup(func() {
		// It keeps nothing outside of its memory.
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	// One line says that it is up.
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		_ = command.Wait()
		t.Fatalf("koncli dev has not started: %v: %s", err, said)
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// Client connects to a cluster of its own, as [Start] starts it.
func Client(t testing.TB, options ...konductor.Option) *konductor.Client {
	t.Helper()
	client, err := konductor.New(Start(t), options...)
	if err != nil {
		t.Fatal(err)
	}
	return client
}
