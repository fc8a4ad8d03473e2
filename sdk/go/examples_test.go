package konductor_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// program builds an example and returns a way to run it in a namespace.
func program(t *testing.T, name, namespace string) func(arguments ...string) *exec.Cmd {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if said, err := exec.Command("go", "build", "-o", path, "./examples/"+name).
		CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	kubeconfig := cluster.KubeconfigOf(t, namespace)
	return func(arguments ...string) *exec.Cmd {
		command := exec.CommandContext(t.Context(), path, arguments...)
		command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
		return command
	}
}

// output runs a program to its end, and returns what it prints.
func output(t *testing.T, command *exec.Cmd) string {
	t.Helper()
	var said bytes.Buffer
	command.Stderr = &said
	printed, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", command, err, said.String())
	}
	return string(printed)
}

func TestExampleWorkerPoolKeepsToThePermits(t *testing.T) {
	t.Parallel()
	namespace := cluster.Namespace(t)
	cluster.Create(t, namespace, "Semaphore", "database", map[string]any{"permits": 2})
	run := program(t, "worker-pool", namespace)
	if got := output(t, run("-items", "6")); got != "6 items done, at most 2 at once\n" {
		t.Fatalf("got %q", got)
	}
}

func TestExampleMapReduceAddsUpWhatAllMappersHaveCounted(t *testing.T) {
	t.Parallel()
	namespace := cluster.Namespace(t)
	cluster.Create(t, namespace, "Barrier", "counted", map[string]any{"expected": 2})
	run, folder := program(t, "map-reduce", namespace), t.TempDir()
	var printed bytes.Buffer
	reducer := run("-dir", folder, "-reduce")
	reducer.Stdout = &printed
	if err := reducer.Start(); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"one.txt": "a b c", "two.txt": "d e"} {
		input := filepath.Join(folder, name)
		if err := os.WriteFile(input, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		output(t, run("-dir", folder, "-map", input))
	}
	if err := reducer.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := printed.String(); got != "5 words in 2 files\n" {
		t.Fatalf("got %q", got)
	}
}

func TestExampleFencedWriteWritesWithItsToken(t *testing.T) {
	t.Parallel()
	namespace := cluster.Namespace(t)
	cluster.Create(t, namespace, "Lease", "daily-report", map[string]any{"ttl": "15s"})
	run := program(t, "fenced-write", namespace)
	path := filepath.Join(t.TempDir(), "report.json")
	got := output(t, run("-file", path, "-text", "all is well"))
	token := regexp.MustCompile(`^written by the holder of token (\d+)\n$`).FindStringSubmatch(got)
	if token == nil {
		t.Fatalf("got %q", got)
	}
	written, err := os.ReadFile(path)
	want := `{"token":` + token[1] + `,"text":"all is well"}`
	if err != nil || string(written) != want {
		t.Fatalf("the file has %q (%v), want %q", written, err, want)
	}
}

func TestExampleLeaderElectionLeavesNoClaimWhenItResigns(t *testing.T) {
	t.Parallel()
	namespace := cluster.Namespace(t)
	cluster.Create(t, namespace, "Lease", "scheduler", map[string]any{"ttl": "15s"})
	run := program(t, "leader-election", namespace)
	output(t, run("-for", "50ms"))
	output(t, run("-for", "50ms"))
	if left := cluster.Left(t, namespace, "claims"); left != 0 {
		t.Fatalf("%d claims are left", left)
	}
}
