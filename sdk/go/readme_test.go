package konductor_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// snippets are the pieces of Go in the README.
func snippets(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, piece := range strings.Split(string(text), "```go\n")[1:] {
		code, _, closed := strings.Cut(piece, "```")
		if !closed {
			t.Fatalf("a snippet is not closed: %q", piece)
		}
		found = append(found, code)
	}
	return found
}

// buildMain builds a program of this module that is in no folder of it.
func buildMain(t *testing.T, source string) string {
	t.Helper()
	folder := t.TempDir()
	file, overlay := filepath.Join(folder, "main.go"), filepath.Join(folder, "overlay.json")
	place, err := filepath.Abs(filepath.Join("internal", "readme", "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	replaced, err := json.Marshal(map[string]any{"Replace": map[string]string{place: file}})
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{file: source, overlay: string(replaced)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(folder, "readme")
	build := exec.Command("go", "build", "-overlay", overlay, "-o", program, "./internal/readme")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s\n%s", err, said, source)
	}
	return program
}

// first is the program that konductor's own README shows, without its comments.
const first = `import konductor "github.com/LogicIQ/konductor/sdk/go"

client, _ := konductor.New(nil)
client.WaitGate(ctx, "dependencies-ready")
client.ArriveBarrier(ctx, "stage-complete")
`

func TestTheFirstSnippetOfTheReadmeCompilesAndWorks(t *testing.T) {
	t.Parallel()
	snippet := snippets(t)[0]
	if snippet != first {
		t.Fatalf("the README begins with %q, want %q", snippet, first)
	}
	imports, code, _ := strings.Cut(snippet, "\n\n")
	program := buildMain(t, fmt.Sprintf(
		"package main\n\nimport \"context\"\n%s\n\nfunc main() {\nctx := context.Background()\n%s}\n",
		imports, code))
	namespace := cluster.Namespace(t)
	cluster.Create(t, namespace, "Gate", "dependencies-ready", map[string]any{"decision": "Open"})
	cluster.Create(t, namespace, "Barrier", "stage-complete", map[string]any{"expected": 1})
	run := exec.CommandContext(t.Context(), program)
	run.Env = append(os.Environ(), "KUBECONFIG="+cluster.KubeconfigOf(t, namespace))
	if said, err := run.CombinedOutput(); err != nil || len(said) > 0 {
		t.Fatalf("%v: %s", err, said)
	}
	if left := cluster.Left(t, namespace, "arrivals"); left != 1 {
		t.Errorf("there are %d arrivals, want the one of the snippet", left)
	}
}

func TestEverySnippetOfTheReadmeCompiles(t *testing.T) {
	t.Parallel()
	var source strings.Builder
	source.WriteString(`package main

import (
	"context"
	"log/slog"
	"time"

	konductor "github.com/LogicIQ/konductor/sdk/go"
	v1 "github.com/LogicIQ/konductor/sdk/go/api/v1"
)

// What the snippets take for granted.
var (
	client *konductor.Client
	ctx    = context.Background()
	done   chan struct{}
	store  storage
	report string

	customer string
)

type storage struct{}

func (storage) Write(context.Context, int64, string) error { return nil }
func migrate(context.Context) error                         { return nil }

var _ = []any{time.Minute, v1.ArrivalOutcomeFailed, customer, done, report, slog.Info, store}

func main() {}
`)
	for index, snippet := range snippets(t)[1:] {
		fmt.Fprintf(&source, "\nfunc snippet%d() error {\n%sreturn err\n}\n", index, snippet)
	}
	buildMain(t, source.String())
}
