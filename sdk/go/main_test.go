package konductor_test

import (
	"os"
	"testing"

	"github.com/LogicIQ/konductor/sdk/go/internal/testcluster"
)

var cluster *testcluster.Cluster

func TestMain(m *testing.M) {
	os.Exit(testcluster.Run(m, func(started *testcluster.Cluster) error {
		cluster = started
		// What the examples of the documentation use, as a program finds it.
		return started.Stage([]testcluster.Object{
			{Kind: "Gate", Name: "dependencies-ready", Spec: map[string]any{"decision": "Open"}},
			{Kind: "Gate", Name: "overdue", Spec: map[string]any{"decision": "Failed"}},
			{Kind: "Barrier", Name: "stage-complete", Spec: map[string]any{"expected": 1}},
			{Kind: "Semaphore", Name: "batch", Spec: map[string]any{"permits": 2}},
			{Kind: "Lease", Name: "daily-report", Spec: map[string]any{"ttl": "15s"}},
		})
	}))
}
