package konductor_test

import (
	"os"
	"testing"

	"github.com/LogicIQ/konductor/sdk/go/internal/testcluster"
)

var cluster *testcluster.Cluster

func TestMain(m *testing.M) {
	os.Exit(testcluster.Run(m, func(started *testcluster.Cluster) { cluster = started }))
}
